//! The three products of a dense layer: by tiles where this processor has fast ones for the number
//! type, else by the general product and loops after it.

use super::super::kernel::{self, Real};
use super::super::layout::Layer;
use super::super::tile::{self, Packed};

/// Rows below which packing the weights costs more than tiles gain.
const PACK_FROM: usize = 16;

/// Whether `rows` rows of this type go through tiles.
pub(super) fn tiles<T: Real>(rows: usize) -> bool {
    rows >= PACK_FROM && T::as_f32(&[]).is_some() && tile::fast()
}

/// Weights `[d,o]` packed for [`forward`].
pub(super) fn pack<T: Real>(layer: &Layer, w: &[T]) -> Option<Packed> {
    Some(Packed::new(T::as_f32(w)?, layer.d, layer.o))
}

/// Weights `[d,o]` packed for [`backward`].
pub(super) fn pack_transposed<T: Real>(layer: &Layer, w: &[T]) -> Option<Packed> {
    Some(Packed::transposed(T::as_f32(w)?, layer.o, layer.d))
}

/// `z [n,o] <- f(x [n,d] w + b)`, and the slope where there is room for it.
pub(super) fn forward<T: Real>(
    z: &mut [T],
    x: &[T],
    layer: &Layer,
    (w, b): (&[T], &[T]),
    packed: Option<&Packed>,
    slope: &mut [T],
) {
    let n = x.len() / layer.d;
    #[cfg(target_arch = "x86_64")]
    if let (Some(packed), Some(x), Some(b)) = (packed, T::as_f32(x), T::as_f32(b))
        && let (Some(z), Some(slope)) = (T::as_f32_mut(z), T::as_f32_mut(slope))
    {
        let slope = (!slope.is_empty()).then_some(slope);
        let epilogue = tile::Epilogue::Activate { bias: b, after: layer.after, slope };
        let rows = tile::Rows { data: x, row: layer.d, step: 1 };
        tile::product(z, (n, layer.d, layer.o), rows, packed.panels(), epilogue);
        return;
    }
    let _ = packed;
    kernel::x_w(z, x, w, n, layer.d, layer.o);
    kernel::activate(layer.after, z, b, slope);
}

/// The slopes of the activations below a layer.
pub(super) enum Below<'a, T> {
    /// There is none: the layer's input is data.
    Data,
    /// As they were kept.
    Slopes(&'a [T]),
    /// ReLU's, which the sign of its output tells.
    Relu(&'a [T]),
}

/// `out [n,d] <- dz [n,o] w^T`, times the slopes.
pub(super) fn backward<T: Real>(
    out: &mut [T],
    dz: &[T],
    layer: &Layer,
    w: &[T],
    packed: Option<&Packed>,
    below: &Below<T>,
) {
    let n = dz.len() / layer.o;
    #[cfg(target_arch = "x86_64")]
    if let (Some(packed), Some(dz)) = (packed, T::as_f32(dz))
        && let Some(out) = T::as_f32_mut(out)
    {
        let epilogue = match below {
            Below::Slopes(slopes) => T::as_f32(slopes).map(tile::Epilogue::Times),
            Below::Relu(h) => T::as_f32(h).map(tile::Epilogue::WherePositive),
            Below::Data => None,
        };
        let epilogue = epilogue.unwrap_or(tile::Epilogue::Plain);
        let rows = tile::Rows { data: dz, row: layer.o, step: 1 };
        tile::product(out, (n, layer.o, layer.d), rows, packed.panels(), epilogue);
        return;
    }
    let _ = packed;
    kernel::dz_wt(out, dz, w, n, layer.d, layer.o);
    match below {
        Below::Data => {}
        Below::Slopes(slopes) => kernel::multiply(out, slopes),
        Below::Relu(h) => kernel::where_positive(out, h),
    }
}

/// `out [j,o] <- x^T dz [n,o]`, where `x` has `n` rows of length `d` and its first `j` columns are
/// meant.
pub(super) fn gradient<T: Real>(out: &mut [T], x: &[T], dz: &[T], d: usize, o: usize) {
    let n = dz.len() / o;
    #[cfg(target_arch = "x86_64")]
    if tiles::<T>(n)
        && let (Some(x), Some(dz)) = (T::as_f32(x), T::as_f32(dz))
        && let Some(out) = T::as_f32_mut(out)
    {
        let packed = Packed::new(dz, n, o);
        let rows = tile::Rows { data: x, row: 1, step: d };
        tile::product(out, (out.len() / o, n, o), rows, packed.panels(), tile::Epilogue::Plain);
        return;
    }
    kernel::xt_dz(out, x, dz, n, d, o);
}
