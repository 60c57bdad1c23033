// Short rows on their way from and to memory. If a lane reads its rows itself, each load instruction of a subgroup
// accesses as many cache lines as there are lanes. Here neighbouring lanes access neighbouring loads of their group's
// rows, and exchange them in workgroup memory, the stage.
//
// In the stage a lane has the loads of its own rows one after another, with a gap after each STAGE_RUN of them
// (`kernels/stage.rs` says why), and STAGE_STRIDE after those of the lane before. Between two barriers they are its own.
// Tensors follow each other through a stage; those with other types of loads have another.

import shared::offsets;

@for(s in STAGES) var<workgroup> {s.name}: array<{s.element}, WORKGROUP * STAGE_STRIDE>;

// Returns the place in a stage of a load of the group.
fn place_of(load: u32) -> u32 { return load + load / STAGE_RUN; }

// Returns the place of load `k` of the lane's own rows.
fn own_place(offsets: Offsets, k: u32) -> u32 { return offsets.lane * STAGE_STRIDE + place_of(k); }

// Returns load `k` of those that the lane moves between memory and the stage.
fn moved_load(offsets: Offsets, k: u32) -> u32 { return offsets.lane + k * WORKGROUP; }

// Returns its place: that of a sum is the sum of the places, since runs divide WORKGROUP.
fn moved_place(offsets: Offsets, k: u32) -> u32 { return place_of(offsets.lane) + place_of(k * WORKGROUP); }

// Loads the group's rows of a tensor. All loads are under way before the first is stored. Every lane of the group must
// call it.
@for(t in READ) fn stage_{t.buffer}(offsets: Offsets) {
    var loads: array<{t.element}, RESIDENT_LOADS>;
    if (offsets.whole) {
        @for(k in REGISTERS) loads[{k}] = {t.buffer}[offsets.{t.buffer} + moved_load(offsets, {k})];
    } else {
        @for(k in REGISTERS) if ({k} < offsets.moved) { loads[{k}] = {t.buffer}[offsets.{t.buffer} + moved_load(offsets, {k})]; }
    }
    // The other lanes have read what is in the stage.
    workgroupBarrier();
    @for(k in REGISTERS) {t.source}[moved_place(offsets, {k})] = loads[{k}];
    // They have stored what they have loaded.
    workgroupBarrier();
}

// Stores what the lanes of the group have written to the stage. Every lane of the group must call it.
@for(t in WRITTEN) fn unstage_{t.name}(offsets: Offsets) {
    // The other lanes have written their rows.
    workgroupBarrier();
    if (offsets.whole) {
        @for(k in REGISTERS) {t.buffer}[offsets.{t.name} + moved_load(offsets, {k})] = {t.source}[moved_place(offsets, {k})];
    } else {
        @for(k in REGISTERS) if ({k} < offsets.moved) {
            {t.buffer}[offsets.{t.name} + moved_load(offsets, {k})] = {t.source}[moved_place(offsets, {k})];
        }
    }
}
