// The states of parts of rows, in the workspace.

import shared::{fold, params, state};

fn read_state(number: u32) -> State {
    let at = params.states + STATE_WORDS * number;
    var s: State;
    s.max = bitcast<f32>(workspace[at]);
    s.sum_exp_m1 = bitcast<f32>(workspace[at + 1u]);
    s.flags = workspace[at + 2u];
    s.label_logit = workspace[at + 3u];
    @for(f in FIELDS) s.{f.name} = bitcast<{f.scalar}>(workspace[at + {f.at}]);
    return s;
}

fn write_state(s: State, number: u32) {
    let at = params.states + STATE_WORDS * number;
    workspace[at] = bitcast<u32>(s.max);
    workspace[at + 1u] = bitcast<u32>(s.sum_exp_m1);
    workspace[at + 2u] = s.flags;
    workspace[at + 3u] = s.label_logit;
    @for(f in FIELDS) workspace[at + {f.at}] = bitcast<u32>(s.{f.name});
}

// Returns a part's state merged with that of the earlier pieces, which have other classes of the same rows.
@if(CUT && !APART) fn with_pieces_before(s: State, number: u32) -> State {
    if ((params.class_base_low | params.class_base_high) == 0u) { return s; }
    return merge_state(read_state(number), s);
}

// A row's parts have the numbers row, row + rows, row + 2 rows, ...
@if(MERGE) fn merge_parts(row: u32, lane: u32) -> State {
    var s = empty_state();
    for (var part = lane; part < params.parts; part += LANES) {
        s = merge_state(s, read_state(part * params.rows + row));
    }
    return s;
}
