// Sums over rows: a lane's running totals, a tree over the group's lanes, one partial per group.
// The shape of the tree depends on nothing but the plan, so two runs give the same bits.

import shared::{arithmetic, constants, params, vectors};
@if(LABELS) import shared::labels;

// The sum of terms may exceed the range of f32 although their mean does not. After a term beyond LARGE, totals are in
// units of 1 / RAISE. Either way 2^32 terms stay in range.
const LARGE: f32 = 0x1p+90f;

struct Totals {
    // The rounding error of a running f32 sum grows with its length. Three levels of 16 terms keep every sum short.
    loss: vec3<f32>,
    @if(WEIGHS_ROWS) weight: vec3<f32>,
    @if(Z_LOSS) z_loss: vec3<f32>,
    added: u32,
    live: u32,
    flags: u32,
    bad: u32,
    first_bad: u32,
    nonfinite: u32,
    first_nonfinite: u32,
    @if(ACCURACY) correct: u32,
    @if(TOP_K) top_k: u32,
}

fn empty_totals() -> Totals {
    var t: Totals;
    t.first_bad = NO_ROW;
    t.first_nonfinite = NO_ROW;
    return t;
}

fn is_raised(flags: u32) -> bool { return (flags & RAISED) != 0u; }

// The same totals in units of 1 / RAISE, if `raised` asks for it.
fn raise(totals: Totals, raised: bool) -> Totals {
    var t = totals;
    let unit = select(1.0, RAISE, raised && !is_raised(t.flags));
    t.loss *= unit;
    @if(WEIGHS_ROWS) t.weight *= unit;
    @if(Z_LOSS) t.z_loss *= unit;
    t.flags |= select(0u, RAISED, raised);
    return t;
}

// The share of a sum over a lane's rows that is within the range of f32. The rounding prevents a compiler from adding
// before it multiplies.
@if(ROW_VECTORS) const ROW_SHARE: f32 = 0.25;
@else const ROW_SHARE: f32 = 1.0;
@if(ROW_VECTORS) fn share_of_total(v: RowReals) -> f32 { return total(rounded(v * ROW_SHARE)); }
@else fn share_of_total(v: RowReals) -> f32 { return v; }

// The terms that are added to totals: sums over a few rows, times `share`.
struct Terms {
    loss: f32,
    weight: f32,
    z_loss: f32,
    share: f32,     // a power of two
    raised: bool,   // in units of 1 / RAISE already
}

fn add(totals: Totals, terms: Terms) -> Totals {
    var most = max(abs(terms.loss), abs(terms.z_loss));
    @if(WEIGHS_ROWS) most = max(most, abs(terms.weight));
    var t = raise(totals, terms.raised || most > LARGE * terms.share);
    let whole = 1.0 / terms.share;
    let unit = select(whole, RAISE * whole, is_raised(t.flags) && !terms.raised);
    t.loss.x = fma(terms.loss, unit, t.loss.x);
    t.added += 1u;
    // Selects, not branches: software drivers run both sides of a branch.
    let carry = (t.added & 15u) == 0u;
    t.loss = select(t.loss, vec3<f32>(0.0, t.loss.y + t.loss.x, t.loss.z), carry);
    let carry_on = (t.added & 255u) == 0u;
    t.loss = select(t.loss, vec3<f32>(0.0, 0.0, t.loss.z + t.loss.y), carry_on);
    @if(WEIGHS_ROWS) {
        t.weight.x = fma(terms.weight, unit, t.weight.x);
        t.weight = select(t.weight, vec3<f32>(0.0, t.weight.y + t.weight.x, t.weight.z), carry);
        t.weight = select(t.weight, vec3<f32>(0.0, 0.0, t.weight.z + t.weight.y), carry_on);
    }
    @if(Z_LOSS) {
        t.z_loss.x = fma(terms.z_loss, unit, t.z_loss.x);
        t.z_loss = select(t.z_loss, vec3<f32>(0.0, t.z_loss.y + t.z_loss.x, t.z_loss.z), carry);
        t.z_loss = select(t.z_loss, vec3<f32>(0.0, 0.0, t.z_loss.z + t.z_loss.y), carry_on);
    }
    return t;
}

var<workgroup> tree_loss: array<f32, WORKGROUP>;
@if(WEIGHS_ROWS) var<workgroup> tree_weight: array<f32, WORKGROUP>;
var<workgroup> tree_live: array<u32, WORKGROUP>;
@if(Z_LOSS) var<workgroup> tree_z_loss: array<f32, WORKGROUP>;
// Rare events are collected by atomics. Sums of integers, minima and `or` do not depend on the order.
var<workgroup> group_flags: atomic<u32>;
var<workgroup> group_bad: atomic<u32>;
var<workgroup> group_first_bad: atomic<u32>;
var<workgroup> group_nonfinite: atomic<u32>;
var<workgroup> group_first_nonfinite: atomic<u32>;
@if(ACCURACY) var<workgroup> group_correct: atomic<u32>;
@if(TOP_K) var<workgroup> group_top_k: atomic<u32>;

// Returns the group's totals, the same in every lane. Every lane of the group must call it.
fn group_totals(totals: Totals, index: u32) -> Totals {
    var t = totals;
    if (index == 0u) {
        atomicStore(&group_flags, 0u);
        atomicStore(&group_bad, 0u);
        atomicStore(&group_first_bad, NO_ROW);
        atomicStore(&group_nonfinite, 0u);
        atomicStore(&group_first_nonfinite, NO_ROW);
        @if(ACCURACY) atomicStore(&group_correct, 0u);
        @if(TOP_K) atomicStore(&group_top_k, 0u);
    }
    workgroupBarrier();
    @if(ACCURACY) atomicAdd(&group_correct, t.correct);
    @if(TOP_K) atomicAdd(&group_top_k, t.top_k);
    if (t.flags != 0u) { atomicOr(&group_flags, t.flags); }
    if (t.bad != 0u) {
        atomicAdd(&group_bad, t.bad);
        atomicMin(&group_first_bad, t.first_bad);
    }
    if (t.nonfinite != 0u) {
        atomicAdd(&group_nonfinite, t.nonfinite);
        atomicMin(&group_first_nonfinite, t.first_nonfinite);
    }
    workgroupBarrier();
    // Converts all lanes to the same unit.
    t = raise(t, is_raised(atomicLoad(&group_flags)));
    tree_loss[index] = t.loss.x + (t.loss.y + t.loss.z);
    @if(WEIGHS_ROWS) tree_weight[index] = t.weight.x + (t.weight.y + t.weight.z);
    tree_live[index] = t.live;
    @if(Z_LOSS) tree_z_loss[index] = t.z_loss.x + (t.z_loss.y + t.z_loss.z);
    workgroupBarrier();
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        if (index < half) {
            tree_loss[index] += tree_loss[index + half];
            @if(WEIGHS_ROWS) tree_weight[index] += tree_weight[index + half];
            tree_live[index] += tree_live[index + half];
            @if(Z_LOSS) tree_z_loss[index] += tree_z_loss[index + half];
        }
        workgroupBarrier();
    }
    var whole = empty_totals();
    whole.loss.x = tree_loss[0];
    @if(WEIGHS_ROWS) whole.weight.x = tree_weight[0];
    whole.live = tree_live[0];
    whole.flags = atomicLoad(&group_flags);
    whole.bad = atomicLoad(&group_bad);
    whole.first_bad = atomicLoad(&group_first_bad);
    whole.nonfinite = atomicLoad(&group_nonfinite);
    whole.first_nonfinite = atomicLoad(&group_first_nonfinite);
    @if(Z_LOSS) whole.z_loss.x = tree_z_loss[0];
    @if(ACCURACY) whole.correct = atomicLoad(&group_correct);
    @if(TOP_K) whole.top_k = atomicLoad(&group_top_k);
    return whole;
}

// Returns the place in the workspace of a word of partial number `slot`. Words of all partials follow each other, so that
// the lanes that sum them read neighbours.
fn partial_at(word: u32, slot: u32) -> u32 { return HEADER_WORDS + word * params.slots + slot; }

// Writes the first bad label or value of a partial.
@if(PARTIALS) fn write_bad(value: u32, operand: u32, slot: u32) {
    workspace[partial_at(BAD_VALUE_AT, slot)] = value;
    workspace[partial_at(BAD_OPERAND_AT, slot)] = operand;
}

// Writes the group's totals as partial number `slot`.
@if(PARTIALS) fn write_partial(t: Totals, index: u32, slot: u32) {
    let whole = group_totals(t, index);
    if (index != 0u) { return; }
    workspace[partial_at(LOSS_AT, slot)] = bitcast<u32>(whole.loss.x);
    @if(WEIGHS_ROWS) workspace[partial_at(WEIGHT_AT, slot)] = bitcast<u32>(whole.weight.x);
    workspace[partial_at(LIVE_AT, slot)] = whole.live;
    workspace[partial_at(FLAGS_AT, slot)] = whole.flags;
    workspace[partial_at(BAD_AT, slot)] = whole.bad;
    workspace[partial_at(FIRST_BAD_AT, slot)] = whole.first_bad;
    // The first bad label is read again: keeping it would cost every row an instruction.
    @if(LABELS) if (whole.bad != 0u) {
        let words = label_words(whole.first_bad - params.row_base);
        write_bad(words.x, words.y, slot);
    }
    workspace[partial_at(NONFINITE_AT, slot)] = whole.nonfinite;
    workspace[partial_at(FIRST_NONFINITE_AT, slot)] = whole.first_nonfinite;
    @if(Z_LOSS) workspace[partial_at(Z_LOSS_AT, slot)] = bitcast<u32>(whole.z_loss.x);
    @if(ACCURACY) workspace[partial_at(CORRECT_AT, slot)] = whole.correct;
    @if(TOP_K) workspace[partial_at(TOP_K_AT, slot)] = whole.top_k;
}
