//! Calls of the reference in pieces take memory for a piece, whatever the size of the tensors.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use wgpu_loss::{CrossEntropy, Inputs, Outputs, Tensor, reference};

/// The system's allocator, which counts.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all the work, from the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Bytes that work takes at most, beyond what there is before it.
fn taken(work: impl FnOnce()) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    work();
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn memory_is_that_of_a_piece() {
    let elements = 24 << 20;
    let logits = vec![0.5f32; elements];
    let labels = vec![3u8; elements / 8];
    let outputs = Outputs::loss().with_grad().with_lse();
    // Rows, an image whose classes are far apart, and one whose classes are the first axis.
    for (axis, shape) in
        [(1, &[elements / 8, 8][..]), (1, &[1, 8, elements / 8]), (0, &[8, elements / 8])]
    {
        let loss = CrossEntropy::new().class_axis(axis);
        let rows: Vec<usize> =
            (0..shape.len()).filter(|&a| a != axis as usize).map(|a| shape[a]).collect();
        let inputs = Inputs::new(Tensor::new(&logits, shape)).labels(&labels, &rows);
        let bytes = taken(|| {
            let output = reference::run_into(&loss, &inputs, outputs, &mut ()).unwrap();
            assert!((output.loss[0] - 8f64.ln()).abs() < 1e-14);
        });
        // The gradient alone has 192 MiB in f64.
        assert!(bytes < 100 << 20, "{shape:?}: {} MiB", bytes >> 20);
        if axis > 0 {
            let bytes = taken(|| {
                let stream = reference::stream(&loss, outputs)
                    .divisor(rows.iter().product::<usize>() as f64);
                let mut stream = stream.piece_bytes(1 << 20);
                stream.push(&inputs, &mut ()).unwrap();
                stream.finish().unwrap();
            });
            assert!(bytes < 10 << 20, "{shape:?}: {} KiB", bytes >> 10);
        }
    }
}
