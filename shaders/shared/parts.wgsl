// The states of parts of rows, in the workspace.

import shared::{fold, params, state};

@if(READS_STATES) fn read_state(number: u32) -> State {
    let at = params.{FIRST_READ} + STATE_WORDS * number;
    var s: State;
    s.max = bitcast<f32>({STATES_READ}[at]);
    s.sum_exp_m1 = bitcast<f32>({STATES_READ}[at + 1u]);
    s.flags = {STATES_READ}[at + 2u];
    s.label_logit = {STATES_READ}[at + 3u];
    @for(f in FIELDS) s.{f.name} = bitcast<{f.scalar}>({STATES_READ}[at + {f.at}]);
    return s;
}

@if(KEEPS_STATES) fn write_state(s: State, number: u32) {
    let at = params.{FIRST_WRITTEN} + STATE_WORDS * number;
    {STATES_WRITTEN}[at] = bitcast<u32>(s.max);
    {STATES_WRITTEN}[at + 1u] = bitcast<u32>(s.sum_exp_m1);
    {STATES_WRITTEN}[at + 2u] = s.flags;
    {STATES_WRITTEN}[at + 3u] = s.label_logit;
    @for(f in FIELDS) {STATES_WRITTEN}[at + {f.at}] = bitcast<u32>(s.{f.name});
}

// Returns a part's state merged with that of the earlier pieces, which have other classes of the same rows.
@if(CUT && !APART) fn with_pieces_before(s: State, number: u32) -> State {
    @if(SHARD) if (params.continues == 0u) { return s; }
    @else if ((params.class_base_low | params.class_base_high) == 0u) { return s; }
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
