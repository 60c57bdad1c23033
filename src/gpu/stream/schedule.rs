//! The choice of the GPU that takes the next piece.

/// A GPU that may take the piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker {
    /// The pieces that it has taken and not finished.
    pub under_way: usize,
    /// False if it cannot take more at the moment.
    pub has_room: bool,
    /// Bytes per second, if it has computed anything.
    pub speed: Option<f64>,
}

/// Returns the place of the worker that takes the next of `left` pieces of equal size; `None` if the piece waits for one
/// that is busy.
///
/// Of those that have room, that is the one that would finish the piece first. It leaves the piece if the others would
/// finish everything before it finishes this one: so no call waits for a slow GPU at the end, and a call of few pieces
/// does without it. One of unknown speed is taken for as fast as the fastest, but takes one piece at a time, and no
/// piece that a known one would finish as soon.
pub(super) fn taker(workers: &[Worker], left: usize) -> Option<usize> {
    if left == 0 {
        return None;
    }
    if let [only] = workers {
        return only.has_room.then_some(0);
    }
    let sum = |number: &dyn Fn(&Worker) -> f64| workers.iter().map(number).sum::<f64>();
    let (all_under_way, all_speeds) =
        (sum(&|worker| worker.under_way as f64), sum(&|worker| worker.speed.unwrap_or(0.0)));
    let is_idle = all_under_way == 0.0;
    let fastest = workers.iter().filter_map(|worker| worker.speed).fold(0.0, f64::max);
    // When a worker would finish the piece, if it may take it; and whether that is a guess.
    let finish = |worker: &Worker| {
        let own = worker.under_way as f64;
        let Some(speed) = worker.speed else {
            return (worker.under_way == 0).then_some((1.0 / fastest, true));
        };
        let finish = (own + 1.0) / speed;
        // Without others of known speed this is infinite.
        let others = (left as f64 + all_under_way - own) / (all_speeds - speed).max(0.0);
        // Rounded speeds must not leave a piece to GPUs that are all idle.
        (finish <= others || is_idle).then_some((finish, false))
    };
    let free = workers.iter().enumerate().filter(|(_, worker)| worker.has_room);
    let takers = free.filter_map(|(place, worker)| {
        let (finish, guessed) = finish(worker)?;
        Some((finish, guessed, place))
    });
    takers.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).map(|(.., place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: usize = 3;

    /// Computes pieces by workers of these speeds, known from the start or not, and returns each one's number of pieces
    /// and the time it takes in all.
    fn computed(speeds: &[f64], pieces: usize, known: bool) -> (Vec<usize>, f64) {
        let mut workers: Vec<Worker> = speeds
            .iter()
            .map(|&speed| Worker { under_way: 0, has_room: true, speed: known.then_some(speed) })
            .collect();
        let mut done = vec![0; speeds.len()];
        // When each finishes its present piece.
        let mut ends = vec![f64::INFINITY; speeds.len()];
        let (mut left, mut now) = (pieces, 0.0);
        loop {
            if let Some(place) = taker(&workers, left) {
                let worker = &mut workers[place];
                worker.under_way += 1;
                worker.has_room = worker.under_way < TURNS;
                if worker.under_way == 1 {
                    ends[place] = now + 1.0 / speeds[place];
                }
                left -= 1;
                continue;
            }
            let next = (0..ends.len()).min_by(|&a, &b| ends[a].total_cmp(&ends[b])).unwrap();
            if workers[next].under_way == 0 {
                assert_eq!(left, 0, "nobody takes what is left");
                return (done, now);
            }
            now = ends[next];
            done[next] += 1;
            let worker = &mut workers[next];
            worker.under_way -= 1;
            (worker.has_room, worker.speed) = (true, Some(speeds[next]));
            let more = worker.under_way > 0;
            ends[next] = if more { now + 1.0 / speeds[next] } else { f64::INFINITY };
        }
    }

    #[test]
    fn alone_it_takes_everything() {
        for known in [true, false] {
            assert_eq!(computed(&[2.0], 10, known), (vec![10], 5.0));
        }
    }

    #[test]
    fn equals_share() {
        assert_eq!(computed(&[1.0, 1.0], 10, true), (vec![5, 5], 5.0));
        assert_eq!(computed(&[1.0; 3], 3, true), (vec![1, 1, 1], 1.0));
        assert_eq!(computed(&[1.0, 1.0], 10, false), (vec![5, 5], 5.0));
    }

    #[test]
    fn a_single_piece_goes_to_the_fastest() {
        assert_eq!(computed(&[1.0, 5.0, 2.0], 1, true).0, [0, 1, 0]);
        let known = Worker { under_way: 0, has_room: true, speed: Some(1.0) };
        assert_eq!(taker(&[Worker { speed: None, ..known }, known], 1), Some(1));
    }

    /// One whose first pieces tell nothing of its speed has more of them.
    #[test]
    fn the_unknown_are_tried_again() {
        let known = Worker { under_way: 1, has_room: true, speed: Some(5.0) };
        let unknown = Worker { under_way: 0, has_room: true, speed: None };
        assert_eq!(taker(&[known, unknown], 100), Some(1));
        assert_eq!(taker(&[known, Worker { under_way: 1, ..unknown }], 100), Some(0));
    }

    /// The end is near the best there is: all speeds together, and at most one piece of the fastest.
    #[test]
    fn a_slow_one_does_not_delay_the_end() {
        for speeds in [&[10.0, 1.0][..], &[1.0, 10.0], &[10.0, 9.0, 0.1], &[3.0, 2.0, 1.0, 1e-6]] {
            for pieces in [1, 2, 5, 11, 100, 1000] {
                let (done, time) = computed(speeds, pieces, true);
                let fastest = speeds.iter().copied().fold(0.0, f64::max);
                let best = pieces as f64 / speeds.iter().sum::<f64>() + 1.0 / fastest;
                assert!(time <= 1.25 * best, "{speeds:?}: {done:?} in {time}, {best} at best");
                assert_eq!(done.iter().sum::<usize>(), pieces);
            }
        }
    }

    /// One of unknown speed delays the end by one piece at most.
    #[test]
    fn the_unknown_are_tried_with_one_piece() {
        let (done, _) = computed(&[100.0, 1.0], 100, false);
        assert_eq!(done, [99, 1]);
    }

    #[test]
    fn nobody_takes_nothing() {
        let worker = Worker { under_way: 0, has_room: true, speed: None };
        assert_eq!(taker(&[worker], 0), None);
        assert_eq!(taker(&[Worker { has_room: false, under_way: 3, ..worker }], 5), None);
    }
}
