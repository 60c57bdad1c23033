// LANES lanes share a row, ROWS rows are under way in a group, and groups walk over blocks of rows.
// Each element is read once, or once more where gradient or log-probabilities are wanted of rows too
// long to keep: by the same lane, so the output may be the input. A row's loads are neighbours, or
// (STRIDED: the classes' axis is not the last) `inner` apart.
//
// A few long rows would leave most of a GPU idle. Then every row is cut into `parts`, and the kernel
// runs up to three times: FOLD writes the state of each part, MERGE the state of each row and its
// loss, WRITE reads the row's state and writes what is wanted of the part.
//
// Rows that do not fit a binding are cut (CUT): then a piece has some of their classes. FOLD runs over
// one such piece after the other and takes what was folded before into its states, MERGE runs once, and
// WRITE over every piece again.

// Loads of a row, or of a lane's part of it.
struct Range {
    start: u32,
    end: u32,
#if PAIRS
    left_out: u32,   // the number of a load that is written apart
#endif
}

#if WIDE
fn class_weights(c: Words) -> Reals {
#if WEIGHT_PACKS
    return weight_pack((params.weight_origin + c.x) / 4u);
#else
    return Reals(class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
#endif
}
#else
fn class_weights(c: Words) -> Reals { return class_weight(c); }
#endif

// Lanes take a row's loads in their order in memory; but where rows begin and end inside a load (RAGGED),
// the first one comes last, behind the last one: all in front of these two are the row's alone. `turn` is a
// load's number in that order, and these are its numbers in memory: of any load, and of one that comes
// before `whole_end`.
#if RAGGED
fn load_of(places: Places, turn: u32) -> u32 { return select(turn + 1u, 0u, turn + 1u == places.loads); }
fn whole_load_of(turn: u32) -> u32 { return turn + 1u; }
fn turn_of(places: Places, p: u32) -> u32 { return select(p, places.loads, p == 0u) - 1u; }
fn whole_end(places: Places) -> u32 { return max(places.loads, 2u) - 2u; }
#else
fn load_of(places: Places, turn: u32) -> u32 { return turn; }
fn whole_load_of(turn: u32) -> u32 { return turn; }
fn turn_of(places: Places, p: u32) -> u32 { return p; }
#if PARTIAL
fn whole_end(places: Places) -> u32 { return params.classes / PACK; }
#else
fn whole_end(places: Places) -> u32 { return 0xffffffffu; }
#endif
#endif

// The classes of load `p` of the row.
fn classes_of(places: Places, p: u32) -> Pack {
    var c: Pack;
#if WIDE
    c.a = PACK * p + Words(0u, 1u, 2u, 3u);
#else
    c.a = p;
#endif
#if RAGGED
    c.a -= Words(places.lead);   // below class 0 it wraps around, to no class
#endif
#if EIGHT
    c.b = c.a + Words(4u);
#endif
    return c;
}

// Where load `p` of the row is, behind its first one.
fn place_of(p: u32) -> u32 {
#if STRIDED
    return p * params.inner;
#else
#if LOOSE
    return p * PACK;   // in elements
#else
    return p;
#endif
#endif
}

#if !MERGE
// Load `p`, all of which is the row's.
fn read_whole(places: Places, p: u32) -> Pack { return read_logits(places.logits + place_of(p)); }

// Any load of the row.
fn read_pack(places: Places, p: u32) -> Pack {
    var pack = read_whole(places, p);
#if PARTIAL
    // What belongs to the rows before and behind counts as -inf: it changes nothing.
    let c = classes_of(places, p);
    pack.a = select(Words(NEG_INF), pack.a, c.a < Words(params.classes));
#if EIGHT
    pack.b = select(Words(NEG_INF), pack.b, c.b < Words(params.classes));
#endif
#endif
    return pack;
}

fn weights_of(places: Places, p: u32) -> PackReals {
    var v: PackReals;
#if SPREAD
    let c = classes_of(places, p);
    var w: PackReals;
    w.a = class_weights(c.a);
#if EIGHT
    w.b = class_weights(c.b);
#endif
    v = spread_weights(places, place_of(p), w);
#if PARTIAL
    v.a = select(Reals(0.0), v.a, c.a < Words(params.classes));
#if EIGHT
    v.b = select(Reals(0.0), v.b, c.b < Words(params.classes));
#endif
#endif
#endif
    return v;
}

// The row's element `c`, as a word.
fn logit_word(places: Places, c: u32) -> u32 {
#if RAGGED
    let at = c + places.lead;
    return word_of_logits(places.logits + at / PACK, at % PACK);
#else
    return word_of_logits(places.logits + place_of(c / PACK), c % PACK);
#endif
}
#endif

// The loads of a row by their turns, whole or in part number `part`.
fn range_of(places: Places, part: u32) -> Range {
#if RAGGED
    let loads = places.loads;
#else
    let loads = (params.classes + PACK - 1u) / PACK;
#endif
    return part_of(loads, part);
}

// What is folded of a row, whole or in part number `part`: by turns, or (BY_CLASS) by the numbers of its packs.
fn folded_range_of(places: Places, part: u32) -> Range {
#if BY_CLASS
    return part_of((params.classes + PACK - 1u) / PACK, part);
#else
    return range_of(places, part);
#endif
}

// Part number `part` of so many loads.
fn part_of(loads: u32, part: u32) -> Range {
    var range: Range;
#if PARTS
    let start = part * params.part_loads;
    range.start = min(loads, start);
    range.end = min(loads, start + params.part_loads);
#else
    range.end = loads;
#endif
#if PAIRS
    range.left_out = 0xffffffffu;
#endif
    return range;
}

#if !MERGE
#if CUT
#if RANK
// What the numbers of the piece's classes are below of, where the label's class is not one of them.
fn order_of_label(r: Row) -> u32 {
    let elsewhere = select(NO_CLASS, 0u, r.label < params.class_base_low);
    return select(r.class_index, elsewhere, r.class_index == NO_CLASS);
}
#endif
#endif

// The mark of a row's label. All lanes read its logit, before any of them writes.
fn mark_of_row(r: Row, row: u32, places: Places) -> Mark {
    var m: Mark;
#if RANK
#if CUT
    if (r.kind == LIVE) { m = mark_of(order_of_label(r), workspace[place_of_mark(row)]); }
#else
    if (r.kind == LIVE) { m = mark_of(r.class_index, logit_word(places, r.class_index)); }
#endif
#endif
    return m;
}

fn marks_of_row(r: Row, row: u32, places: Places) -> Marks {
    var marks: Marks;
    marks.a = mark_of_row(r, row, places);
#if EIGHT
    marks.b = marks.a;
#endif
    return marks;
}
#endif

#if LABELS
#if !MERGE
// The label's logit, read by the one lane that owns its load: no other lane ever touches an element
// that this lane may overwrite.
fn label_word(r: Row, places: Places, range: Range, lane: u32) -> u32 {
#if BY_CLASS
    let p = r.class_index / PACK;
#else
#if RAGGED
    let p = turn_of(places, (r.class_index + places.lead) / PACK);
#else
    let p = r.class_index / PACK;
#endif
#endif
#if CUT
    if (r.class_index == NO_CLASS) { return 0u; }
#endif
    if (r.kind != LIVE || p < range.start || p >= range.end) { return 0u; }
    if ((p - range.start) % LANES != lane) { return 0u; }
    return logit_word(places, r.class_index);
}
#endif
#endif

#if PARTS
fn read_state(number: u32) -> State {
    let at = params.states + STATE_WORDS * number;
    var s: State;
    s.top = bitcast<f32>(workspace[at]);
    s.excess = bitcast<f32>(workspace[at + 1u]);
    s.flags = workspace[at + 2u];
    s.hit = workspace[at + 3u];
#if SPREAD
    s.gap = bitcast<f32>(workspace[at + 4u]);
    s.mass = bitcast<f32>(workspace[at + 5u]);
#endif
    var more = at + 6u;
#if ARGMAX
    s.best = workspace[more];
    more += 1u;
#endif
#if RANK
    s.before = workspace[more];
    more += 1u;
#endif
#if ENTROPY
    s.moment = bitcast<f32>(workspace[more]);
    more += 1u;
#endif
#if PRODUCT
    s.product = bitcast<f32>(workspace[more]);
    s.u_top = bitcast<f32>(workspace[more + 1u]);
#endif
    return s;
}

fn write_state(s: State, number: u32) {
    let at = params.states + STATE_WORDS * number;
    workspace[at] = bitcast<u32>(s.top);
    workspace[at + 1u] = bitcast<u32>(s.excess);
    workspace[at + 2u] = s.flags;
    workspace[at + 3u] = s.hit;
#if SPREAD
    workspace[at + 4u] = bitcast<u32>(s.gap);
    workspace[at + 5u] = bitcast<u32>(s.mass);
#endif
    var more = at + 6u;
#if ARGMAX
    workspace[more] = s.best;
    more += 1u;
#endif
#if RANK
    workspace[more] = s.before;
    more += 1u;
#endif
#if ENTROPY
    workspace[more] = bitcast<u32>(s.moment);
    more += 1u;
#endif
#if PRODUCT
    workspace[more] = bitcast<u32>(s.product);
    workspace[more + 1u] = bitcast<u32>(s.u_top);
#endif
}

#if CUT
#if !APART
// A part's state together with that of the pieces before, which have other classes of the same rows.
fn with_pieces_before(s: State, number: u32) -> State {
    if ((params.class_base_low | params.class_base_high) == 0u) { return s; }
    return merge(read_state(number), s);
}
#endif
#endif
#endif

#if MERGE
// A row's parts have the numbers row, row + rows, row + 2 rows, ...
fn merge_parts(row: u32, lane: u32) -> State {
    var s = empty_state();
    for (var part = lane; part < params.parts; part += LANES) {
        s = merge(s, read_state(part * params.rows + row));
    }
    return s;
}
#endif

// The row's first element, in loads (ANYWHERE: in elements).
fn first_of(row: u32) -> u32 {
#if STRIDED
    return row / params.inner * params.classes * params.inner + row % params.inner;
#else
#if ANYWHERE
    return row * params.classes;
#else
    return row * (params.classes / PACK);
#endif
#endif
}

#if !KEPT
// The state of the row, in each of its lanes. Every lane of the group must call it, in uniform control
// flow; `read` tells whether there is anything to read.
fn state_of_row(
    r: Row,
    row: u32,
    places: Places,
    range: Range,
    lane: u32,
    read: bool,
    thread: u32,
) -> State {
#if WRITE
    return read_state(row);
#else
    var mine = empty_state();
    if (read) {
#if MERGE
        mine = merge_parts(row, lane);
#else
        mine = collapse(fold_row(places, range, lane, marks_of_row(r, row, places)));
#if LABELS
        mine.hit = label_word(r, places, range, lane);
#endif
#endif
    }
#if READ_BY_OTHERS
    // What a lane overwrites has been folded by another one.
    storageBarrier();
#endif
    return merge_lanes(mine, thread);
#endif
}
#endif

#if !PAIRS
// One block: a row, or a part of one, for each slot of the group.
fn take_block(totals: Totals, block: u32, thread: u32) -> Totals {
    let item = block * ROWS + slot_of(thread);
#if SPLIT
    let row = item % params.rows;
    let part = item / params.rows;
    let present = part < params.parts;
#else
    let row = item;
    let part = 0u;
    let present = row < params.rows;
#endif
    let lane = lane_of(thread);
    let places = places_of(first_of(row));
    let range = range_of(places, part);
    var r = open_rows(row, present);
#if EVERY_ROW
    let read = present;
#else
    let read = present && r.kind == LIVE;   // a row that does not count is not read
#endif
#if KEPT
    var a: Kept;
    var b: Kept;
    var v_a: KeptReals;
    var v_b: KeptReals;
    if (read) { keep(places, range, lane, &a, &b, &v_a, &v_b); }
    var hit = 0u;
#if LABELS
    hit = label_word(r, places, range, lane);
#endif
    let s = state_of_kept(&a, &b, &v_a, &v_b, hit, mark_of_row(r, row, places), thread);
#else
    var s = state_of_row(r, row, places, folded_range_of(places, part), lane, read, thread);
#endif

    var t = totals;
    let speaks = present && lane == 0u;
#if FOLD
#if CUT
#if ARGMAX
    // The number among the classes of the piece becomes that among all.
    s.best += select(0u, params.class_base_low, s.best != NO_CLASS);
#endif
#if APART
    if (speaks) { write_state(s, item); }
#else
    if (speaks) { write_state(with_pieces_before(s, item), item); }
#endif
#if LABELS
#if WEIGHT
    if (speaks && part == 0u && r.kind == LIVE && r.class_index != NO_CLASS) {
        workspace[place_of_weight(row)] = bitcast<u32>(class_weight(r.class_index));
    }
#endif
#endif
#else
    if (speaks) { write_state(s, item); }
#endif
#else
    r = close_rows(r, s, row);
#endif
#if MERGE
    // In the place of its first part, which this lane has read.
    if (speaks) { write_state(s, row); }
#endif
#if COUNTS
    if (speaks) { t = count_rows(t, r, row); }
#endif
#if WRITES
    if (present) {
        let w = writers(r);
#if KEPT
        write_kept(w, places, range, lane, &a, &b, &v_a, &v_b);
#else
        write_row(w, places, range, lane);
#endif
    }
#endif
    return t;
}
#endif

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
#if SUBGROUPS
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) subgroup_size: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
#endif
) {
#if SUBGROUPS
    let thread = subgroup * subgroup_size + subgroup_lane;
#else
    let thread = index;
#endif
    var totals = empty_totals();
    for (var turn = 0u; turn < params.turns; turn += 1u) {
        totals = take_block(totals, group.x * params.group_step + turn * params.turn_step, thread);
    }
#if COUNTS
    write_partial(totals, index, params.partial_base + group.x);
#endif
}
