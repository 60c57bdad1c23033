// The states of parts of rows, in the workspace.

import shared::{params, state};

fn read_state(number: u32) -> State {
    let at = params.states + STATE_WORDS * number;
    var s: State;
    s.top = bitcast<f32>(workspace[at]);
    s.excess = bitcast<f32>(workspace[at + 1u]);
    s.flags = workspace[at + 2u];
    s.hit = workspace[at + 3u];
    @if(SPREAD) s.gap = bitcast<f32>(workspace[at + 4u]);
    @if(SPREAD) s.mass = bitcast<f32>(workspace[at + 5u]);
    var more = at + 6u;
    @if(ARGMAX) s.best = workspace[more];
    @if(ARGMAX) more += 1u;
    @if(RANK) s.before = workspace[more];
    @if(RANK) more += 1u;
    @if(ENTROPY) s.moment = bitcast<f32>(workspace[more]);
    @if(ENTROPY) more += 1u;
    @if(PRODUCT) s.product = bitcast<f32>(workspace[more]);
    @if(PRODUCT) s.u_top = bitcast<f32>(workspace[more + 1u]);
    return s;
}

fn write_state(s: State, number: u32) {
    let at = params.states + STATE_WORDS * number;
    workspace[at] = bitcast<u32>(s.top);
    workspace[at + 1u] = bitcast<u32>(s.excess);
    workspace[at + 2u] = s.flags;
    workspace[at + 3u] = s.hit;
    @if(SPREAD) workspace[at + 4u] = bitcast<u32>(s.gap);
    @if(SPREAD) workspace[at + 5u] = bitcast<u32>(s.mass);
    var more = at + 6u;
    @if(ARGMAX) workspace[more] = s.best;
    @if(ARGMAX) more += 1u;
    @if(RANK) workspace[more] = s.before;
    @if(RANK) more += 1u;
    @if(ENTROPY) workspace[more] = bitcast<u32>(s.moment);
    @if(ENTROPY) more += 1u;
    @if(PRODUCT) workspace[more] = bitcast<u32>(s.product);
    @if(PRODUCT) workspace[more + 1u] = bitcast<u32>(s.u_top);
}

// A part's state together with that of the pieces before, which have other classes of the same rows.
@if(CUT && !APART) fn with_pieces_before(s: State, number: u32) -> State {
    if ((params.class_base_low | params.class_base_high) == 0u) { return s; }
    return merge(read_state(number), s);
}

// A row's parts have the numbers row, row + rows, row + 2 rows, ...
@if(MERGE) fn merge_parts(row: u32, lane: u32) -> State {
    var s = empty_state();
    for (var part = lane; part < params.parts; part += LANES) {
        s = merge(s, read_state(part * params.rows + row));
    }
    return s;
}
