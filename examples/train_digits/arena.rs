//! Matrices in one buffer.

use wgpu_loss::wgpu;

/// Offsets are multiples of so many floats, which the loss reads in one load.
const ALIGNMENT: u32 = 4;

/// The place of a matrix in the arena, in floats. The shaders know it as `Matrix`.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Matrix {
    pub start: u32,
    pub rows: u32,
    pub columns: u32,
    row_step: u32,
    column_step: u32,
}

impl Matrix {
    /// Returns the transpose, over the same floats.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_step: self.column_step,
            column_step: self.row_step,
            ..self
        }
    }

    /// Returns the first row, as if it were repeated so many times.
    pub fn repeated(self, rows: u32) -> Self {
        Self { rows, row_step: 0, ..self }
    }

    pub fn len(self) -> u32 {
        self.rows * self.columns
    }

    /// Returns the offset of its first byte.
    pub fn offset(self) -> u64 {
        u64::from(self.start) * 4
    }

    /// Returns its bytes as the library takes them.
    pub fn range(self, arena: &wgpu::Buffer) -> wgpu::BufferBinding<'_> {
        let size = wgpu::BufferSize::new(u64::from(self.len()) * 4);
        wgpu::BufferBinding { buffer: arena, offset: self.offset(), size }
    }
}

/// Hands out the arena's floats, one matrix after the other.
#[derive(Default)]
pub struct Arena {
    floats: u32,
}

impl Arena {
    pub fn matrix(&mut self, rows: u32, columns: u32) -> Matrix {
        let start = self.floats;
        self.floats = (start + rows * columns).next_multiple_of(ALIGNMENT);
        Matrix { start, rows, columns, row_step: columns, column_step: 1 }
    }

    pub fn bytes(&self) -> u64 {
        u64::from(self.floats) * 4
    }
}
