//! The application's memory: tensors at odd places of one buffer.

use std::ops::Range;

use bytemuck::Pod;

use crate::Host;

/// The content of the arena outside the tensors.
const EMPTY: u32 = 0x7fc0_beef;

/// One buffer that holds every tensor, a few words apart, so that few of them start on 16 bytes.
pub struct Arena<'a> {
    host: &'a Host,
    buffer: wgpu::Buffer,
    taken: Vec<Range<u64>>,
}

impl<'a> Arena<'a> {
    /// An empty one.
    pub fn new(host: &'a Host, bytes: u64) -> Self {
        let buffer = host.buffer(bytes);
        let words = vec![EMPTY; bytes as usize / 4];
        host.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
        Self { host, buffer, taken: Vec::new() }
    }

    /// Room for so many bytes, rounded up to whole words.
    pub fn room(&mut self, bytes: usize) -> Range<u64> {
        let start = self.taken.last().map_or(4, |last| last.end + 12);
        let range = start..start + (bytes as u64).next_multiple_of(4);
        assert!(range.end <= self.buffer.size(), "the arena is too small");
        self.taken.push(range.clone());
        range
    }

    /// Room for elements, filled with them.
    pub fn put<T: Pod>(&mut self, elements: &[T]) -> Range<u64> {
        let mut bytes: Vec<u8> = bytemuck::cast_slice(elements).to_vec();
        let range = self.room(bytes.len());
        bytes.resize((range.end - range.start) as usize, 0);
        self.host.queue.write_buffer(&self.buffer, range.start, &bytes);
        range
    }

    /// Overwrites the elements of a range.
    pub fn write<T: Pod>(&self, range: &Range<u64>, elements: &[T]) {
        self.host.queue.write_buffer(&self.buffer, range.start, bytemuck::cast_slice(elements));
    }

    /// A range as it is bound.
    pub fn at(&self, range: &Range<u64>) -> wgpu::BufferBinding<'_> {
        let size = wgpu::BufferSize::new(range.end - range.start);
        wgpu::BufferBinding { buffer: &self.buffer, offset: range.start, size }
    }

    /// The elements of a range.
    pub fn read<T: Pod>(&self, range: &Range<u64>) -> Vec<T> {
        bytemuck::pod_collect_to_vec(&self.host.read(self.at(range)))
    }

    /// Asserts that nothing was written outside the ranges that were handed out.
    #[track_caller]
    pub fn check(&self) {
        let all: Vec<u32> =
            bytemuck::pod_collect_to_vec(&self.host.read(self.buffer.as_entire_buffer_binding()));
        let mut start = 0;
        for range in self.taken.iter().chain([&(self.buffer.size()..0)]) {
            let gap = &all[start as usize / 4..range.start as usize / 4];
            assert!(gap.iter().all(|&word| word == EMPTY), "something lies before {range:?}");
            start = range.end;
        }
    }
}
