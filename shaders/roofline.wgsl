// The least that any kernel does: read vectors of 16 bytes, and write them somewhere else.
//
// A tile is what a group reads before it turns to its next one: four vectors for each of its lanes, all
// four loads under way together. What does not fill a tile comes last, so that the loop over tiles has
// no condition in it: software drivers run both sides of one.

struct Params {
    // Vectors to move.
    vectors: u32,
    // Whole tiles among them.
    tiles: u32,
    // From one group's first tile to the next group's.
    stretch: u32,
    // From a tile of a group to its next.
    step: u32,
    // How many tiles a group has at most.
    turns: u32,
}

const LOADS: u32 = 4u;
const TILE: u32 = WORKGROUP * LOADS;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<u32>>;
// The sum of all words that were read, so that no compiler leaves a load out.
@group(0) @binding(2) var<storage, read_write> sum: atomic<u32>;
@group(0) @binding(3) var<storage, read_write> copied: array<vec4<u32>>;

var<workgroup> group_sum: atomic<u32>;

@compute @workgroup_size(WORKGROUP)
fn read_words(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    var words = vec4<u32>();
    let first = group.x * params.stretch;
    let end = min(first + params.turns * params.step, params.tiles);
    for (var tile = first; tile < end; tile += params.step) {
        let at = tile * TILE + lane;
        let a = source[at];
        let b = source[at + WORKGROUP];
        let c = source[at + 2u * WORKGROUP];
        let d = source[at + 3u * WORKGROUP];
        words += (a + b) + (c + d);
    }
    let rest = params.tiles * TILE + group.x * WORKGROUP + lane;
    for (var at = rest; at < params.vectors; at += groups.x * WORKGROUP) {
        words += source[at];
    }
    // Once for the whole group: the sum of all is one word, and every group wants it.
    atomicAdd(&group_sum, (words.x + words.y) + (words.z + words.w));
    workgroupBarrier();
    if lane == 0u {
        atomicAdd(&sum, atomicLoad(&group_sum));
    }
}

@compute @workgroup_size(WORKGROUP)
fn copy_words(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = group.x * params.stretch;
    let end = min(first + params.turns * params.step, params.tiles);
    for (var tile = first; tile < end; tile += params.step) {
        let at = tile * TILE + lane;
        let a = source[at];
        let b = source[at + WORKGROUP];
        let c = source[at + 2u * WORKGROUP];
        let d = source[at + 3u * WORKGROUP];
        copied[at] = a;
        copied[at + WORKGROUP] = b;
        copied[at + 2u * WORKGROUP] = c;
        copied[at + 3u * WORKGROUP] = d;
    }
    let rest = params.tiles * TILE + group.x * WORKGROUP + lane;
    for (var at = rest; at < params.vectors; at += groups.x * WORKGROUP) {
        copied[at] = source[at];
    }
}
