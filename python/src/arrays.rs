//! Arrays of NumPy in and out. `hstep._arrays` has checked and laid out what comes in: contiguous `float64`.

use candle_core::Tensor;
use hstep::shape::{Spec, to_f64};
use numpy::{
    PyArray1, PyArrayDyn, PyArrayMethods as _, PyReadonlyArrayDyn, PyUntypedArrayMethods as _,
};
use pyo3::prelude::*;

use crate::errors::Raised as _;

/// An array that comes in.
pub type In<'py> = PyReadonlyArrayDyn<'py, f64>;
/// An array that goes out.
pub type Out<'py> = Bound<'py, PyArrayDyn<f64>>;

/// Numbers row after row, and their dimensions.
#[derive(Debug, Clone)]
pub struct Numbers {
    pub data: Vec<f64>,
    pub dims: Vec<usize>,
}

impl Numbers {
    /// A copy of an array.
    pub fn read(array: &In<'_>) -> PyResult<Self> {
        Ok(Self { data: array.as_slice()?.to_vec(), dims: array.shape().to_vec() })
    }

    /// As a tensor.
    pub fn tensor(&self, spec: &Spec) -> hstep::Result<Tensor> {
        spec.tensor(&self.data, self.dims.clone())
    }
}

/// An array of these numbers, which it takes over.
pub fn array<'py>(py: Python<'py>, data: Vec<f64>, dims: &[usize]) -> PyResult<Out<'py>> {
    PyArray1::from_vec(py, data).reshape(dims.to_vec())
}

/// An array of a tensor's numbers.
pub fn of_tensor<'py>(py: Python<'py>, tensor: &Tensor) -> PyResult<Out<'py>> {
    let data = to_f64(tensor).raised(py)?;
    array(py, data, tensor.dims())
}
