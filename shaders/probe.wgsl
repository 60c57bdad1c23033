// What WGSL leaves to a driver, shown by running it: how lanes are numbered in subgroups, and how f16 are converted.

// Two f32 of each lane, and two f16 in a word.
@group(0) @binding(0) var<storage, read> given: array<vec3<u32>>;
// What becomes of them: the f32 as two f16, the f16 as two f32. Then the lane's number and the lanes of its subgroup.
struct Answer {
    narrowed: u32,
    low: u32,
    high: u32,
    thread: u32,
    subgroup_size: u32,
}
@group(0) @binding(1) var<storage, read_write> answers: array<Answer>;
