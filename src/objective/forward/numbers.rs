//! Explicit noise on rows.

use candle_core::DType;

use crate::error::{Error, Result};
use crate::objective::Normals;
use crate::rng::Key;

/// Explicit noise, read once: `[n,B,width]`.
pub(super) enum Numbers<'a> {
    Zero,
    Given { numbers: Vec<f32>, b: usize },
    Key(&'a Key),
}

impl<'a> Numbers<'a> {
    /// Checks that there are numbers of `width` for `steps` steps of `b` rows.
    pub fn new(
        normals: &'a Normals,
        b: usize,
        width: usize,
        steps: usize,
        name: &str,
    ) -> Result<Self> {
        Ok(match normals {
            Normals::Zero => Self::Zero,
            Normals::Key(_) if width == 0 => Self::Zero,
            Normals::Key(key) => Self::Key(key),
            Normals::Tensor(eps) => {
                match eps.dims() {
                    &[n, rows, w] if n >= steps && rows == b && w == width => {}
                    dims => {
                        let expected = format!("[n >= {steps},{b},{width}]");
                        return Err(Error::shape(format!("{name} noise"), expected, dims));
                    }
                }
                let numbers = eps.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
                Self::Given { numbers, b }
            }
        })
    }

    /// The numbers of `rows` at step `t`; `None` for zeros.
    pub fn at<'b>(
        &self,
        rows: &[u32],
        t: usize,
        width: usize,
        out: &'b mut Vec<f32>,
    ) -> Option<&'b [f32]> {
        let rows = rows.iter().map(|row| *row as usize);
        out.resize(rows.len() * width, 0.0);
        match self {
            Self::Zero => return None,
            Self::Key(key) => key.fill_rows(rows, width, t, out),
            Self::Given { numbers, b } => {
                for (row, out) in rows.zip(out.chunks_exact_mut(width.max(1))) {
                    out.copy_from_slice(&numbers[(t * b + row) * width..][..width]);
                }
            }
        }
        Some(out)
    }
}
