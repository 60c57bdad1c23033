//! The layout of a tensor in its buffer, if a kernel can read it in place.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

/// A tensor without gaps and the order of its axes in memory.
pub(crate) struct Laid {
    pub(crate) tensor: CubeTensor,
    /// Its extents, from the axis with the longest steps to the one with the shortest.
    pub(crate) shape: Vec<usize>,
    /// The index of axis 1 among them.
    pub(crate) class_axis: usize,
}

impl Laid {
    /// Returns the tensor in place, if only the position of axis 1 is out of order: transposed logits `(N, C)` have
    /// their classes outermost, images that were permuted from `(N, H, W, C)` have them innermost. Any other tensor is
    /// copied into its own order first.
    pub(crate) fn of(tensor: CubeTensor) -> Self {
        if tensor.meta.is_tiled() {
            return Self::in_order(into_contiguous(tensor));
        }
        let (extents, strides) = (tensor.meta.shape(), tensor.meta.strides());
        // An axis of extent 1 may have any step: it stays between its neighbours.
        let mut axes: Vec<usize> = (0..extents.num_dims()).collect();
        let rows = axes.iter().copied().filter(|&axis| axis != 1);
        let place = |steps: usize| rows.clone().filter(|&axis| strides[axis] > steps).count();
        if axes.len() > 1 {
            let place = if extents[1] == 1 { 1 } else { place(strides[1]) };
            axes = rows.clone().collect();
            axes.insert(place, 1);
        }
        let mut step = 1;
        let whole = axes.iter().rev().all(|&axis| {
            let fits = extents[axis] == 1 || strides[axis] == step;
            step *= extents[axis];
            fits
        });
        if !whole {
            return Self::in_order(into_contiguous(tensor));
        }
        let shape = axes.iter().map(|&axis| extents[axis]).collect();
        let class_axis = axes.iter().position(|&axis| axis == 1).unwrap_or(0);
        Self { tensor, shape, class_axis }
    }

    /// A contiguous tensor.
    fn in_order(tensor: CubeTensor) -> Self {
        let shape: Vec<usize> = tensor.meta.shape().iter().copied().collect();
        let class_axis = usize::from(shape.len() > 1);
        Self { tensor, shape, class_axis }
    }

    /// Returns the tensor in its own order, copied if it has another.
    pub(crate) fn contiguous(tensor: CubeTensor) -> Self {
        Self::in_order(into_contiguous(tensor))
    }
}
