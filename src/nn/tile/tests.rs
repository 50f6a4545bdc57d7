use candle_core::Tensor;

use super::*;
use crate::nn::{Activation, Init, Stack};
use crate::rng::Rng;
use crate::shape::{Spec, to_f64};

fn stack(hidden: &[usize], output: usize, activation: Activation) -> Stack {
    let config = StackConfig {
        input: 23,
        hidden: hidden.to_vec(),
        output,
        activation,
        members: 3,
        init: Init::GlorotUniform,
    };
    Stack::new(&config, &mut Rng::new(4), &Spec::f32()).unwrap()
}

fn rows(n: usize) -> (Tensor, Vec<f32>) {
    let x = Rng::new(n as u64).normals((n, 23), &Spec::f32()).unwrap();
    let flat = x.flatten_all().unwrap().to_vec1().unwrap();
    (x, flat)
}

fn through(net: &PackedNet, member: usize, n: usize, x: &[f32]) -> Vec<f32> {
    let mut y = vec![f32::NAN; n * net.output];
    net.forward(member, n, x, &mut y, &mut Room::default());
    y
}

#[test]
fn a_packed_net_is_the_stack_it_was_made_of() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::Swish] {
        for (hidden, output) in [(vec![200, 65], 36), (vec![33], 1), (vec![], 16)] {
            let stack = stack(&hidden, output, activation);
            let net =
                PackedNet::with_precision(stack.config(), stack.params(), Precision::F32).unwrap();
            for n in [1, 2, 13, 50, 131] {
                let (x, flat) = rows(n);
                let want = stack.forward(&x).unwrap();
                for m in 0..3 {
                    let want = to_f64(&want.get(m).unwrap()).unwrap();
                    let scale = want.iter().fold(0f64, |s, w| s.max(w.abs()));
                    for (got, want) in through(&net, m, n, &flat).iter().zip(&want) {
                        // Sums of up to 200 rounded terms.
                        assert!((f64::from(*got) - want).abs() < 1e-5 * scale, "{got} {want}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let stack = stack(&[200, 40], 36, Activation::Swish);
    for precision in [Precision::F32, Precision::Bf16] {
        let net = PackedNet::with_precision(stack.config(), stack.params(), precision).unwrap();
        let (_, flat) = rows(97);
        let all = through(&net, 1, 97, &flat);
        for n in [1, 2, 3, 7, 11, 12, 30] {
            for first in (0..97 - n).step_by(5) {
                let part = through(&net, 1, n, &flat[first * 23..][..n * 23]);
                assert_eq!(part, all[first * 36..][..n * 36], "{n} rows from {first}");
            }
        }
    }
}

#[test]
fn the_portable_kernels_agree_with_this_processors() {
    let stack = stack(&[70], 36, Activation::Tanh);
    for precision in [Precision::F32, Precision::Bf16] {
        let net = PackedNet::with_precision(stack.config(), stack.params(), precision).unwrap();
        let layer = &net.members[0][0];
        let (_, x) = rows(21);
        let (mut here, mut portable) = (vec![0.0; 21 * 70], vec![0.0; 21 * 70]);
        layer.apply(21, &x, &mut here, &mut Vec::new());
        match &layer.panels {
            Panels::F32(w) => {
                // As a processor without AVX-512 takes it: with AVX2 and FMA where they are.
                portable::layer(layer, w.panels(), 21, &x, &mut portable);
                for (a, b) in here.iter().zip(&portable) {
                    assert!((a - b).abs() < 3e-6, "{a} {b}");
                }
                portable.fill(f32::NAN);
                portable::body(layer, w.panels(), 21, &x, &mut portable, false);
            }
            Panels::Bf16(w) => {
                let mut pairs = Vec::new();
                round(&x, 23, &mut pairs);
                portable::layer_bf16(layer, w, 21, &pairs, &mut portable);
            }
        }
        for (a, b) in here.iter().zip(&portable) {
            assert!((a - b).abs() < 3e-6, "{a} {b}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn packed_products_of_any_layout_are_products() {
    if !fast() {
        return;
    }
    let mut rng = Rng::new(9);
    for (m, k, n) in [(1, 1, 1), (5, 17, 33), (12, 40, 16), (29, 16, 64), (128, 23, 200)] {
        let mut numbers =
            |len: usize| -> Vec<f32> { (0..len).map(|_| rng.normal() as f32).collect() };
        let (a, w, bias, times) = (numbers(m * k), numbers(k * n), numbers(n), numbers(m * n));
        let mut want = vec![0f64; m * n];
        for (i, j, p) in (0..m * n * k).map(|x| (x / (n * k), x / k % n, x % k)) {
            want[i * n + j] += f64::from(a[i * k + p]) * f64::from(w[p * n + j]);
        }
        let transpose = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
            (0..columns * rows).map(|i| x[i % rows * columns + i / rows]).collect()
        };
        let (at, wt) = (transpose(&a, m, k), transpose(&w, k, n));
        let close = |got: &[f32], want: &dyn Fn(usize) -> f64| {
            for (i, got) in got.iter().enumerate() {
                let want = want(i);
                assert!((f64::from(*got) - want).abs() < 2e-5 * (1.0 + want.abs()), "{got} {want}");
            }
        };
        let mut out = vec![f32::NAN; m * n];
        for packed in [Packed::new(&w, k, n), Packed::transposed(&wt, k, n)] {
            for rows in [Rows { data: &a, row: k, step: 1 }, Rows { data: &at, row: 1, step: m }] {
                product(&mut out, (m, k, n), rows, packed.panels(), Epilogue::Plain);
                close(&out, &|i| want[i]);
                let epilogue = Epilogue::Times(&times);
                product(&mut out, (m, k, n), rows, packed.panels(), epilogue);
                close(&out, &|i| want[i] * f64::from(times[i]));
            }
            for after in [After::Linear, After::Relu, After::Tanh, After::Swish] {
                let mut slope = vec![f32::NAN; m * n];
                let epilogue = Epilogue::Activate { bias: &bias, after, slope: Some(&mut slope) };
                let rows = Rows { data: &a, row: k, step: 1 };
                product(&mut out, (m, k, n), rows, packed.panels(), epilogue);
                let z = |i: usize| want[i] + f64::from(bias[i % n]);
                let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
                close(&out, &|i| match after {
                    After::Linear => z(i),
                    After::Relu => z(i).max(0.0),
                    After::Tanh => z(i).tanh(),
                    After::Swish => z(i) * sigmoid(z(i)),
                });
                close(&slope, &|i| match after {
                    After::Linear => 1.0,
                    After::Relu => f64::from(z(i) > 0.0),
                    After::Tanh => 1.0 - z(i).tanh().powi(2),
                    After::Swish => {
                        let s = sigmoid(z(i));
                        s + z(i) * s * (1.0 - s)
                    }
                });
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_output_is_one_chain_of_multiply_adds_for_tiles_of_any_size() {
    if !fast() {
        return;
    }
    let mut rng = Rng::new(10);
    // Panels of one to four lanes; sums in one part and in several, with a shorter last one.
    for (k, n) in [(128, 16), (129, 40), (255, 64), (256, 200), (300, 112)] {
        let m = 31;
        let mut numbers =
            |len: usize| -> Vec<f32> { (0..len).map(|_| rng.normal() as f32).collect() };
        let (a, w) = (numbers(m * k), numbers(k * n));
        let packed = Packed::new(&w, k, n);
        let mut out = vec![f32::NAN; m * n];
        let rows = Rows { data: &a, row: k, step: 1 };
        product(&mut out, (m, k, n), rows, packed.panels(), Epilogue::Plain);
        for (i, j) in (0..m * n).map(|x| (x / n, x % n)) {
            let chain = (0..k).fold(0f32, |sum, p| a[i * k + p].mul_add(w[p * n + j], sum));
            assert_eq!(out[i * n + j], chain, "row {i}, column {j}, {k} terms of {n} columns");
        }
    }
}

#[test]
fn bfloat16_is_within_its_precision() {
    let stack = stack(&[200, 200], 36, Activation::Swish);
    let exact = PackedNet::with_precision(stack.config(), stack.params(), Precision::F32).unwrap();
    let rounded =
        PackedNet::with_precision(stack.config(), stack.params(), Precision::Bf16).unwrap();
    let (_, x) = rows(100);
    let (a, b) = (through(&exact, 0, 100, &x), through(&rounded, 0, 100, &x));
    let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|x| x * x).sum::<f32>().sqrt();
    let error = norm(&mut a.iter().zip(&b).map(|(a, b)| a - b));
    let share = error / norm(&mut a.iter().copied());
    // bfloat16 keeps 8 bits: 2^-9 a rounding, and three layers of them.
    assert!(share > 1e-4 && share < 1e-2, "{share}");
}

#[test]
fn rounding_to_bfloat16_is_to_the_nearest_and_keeps_nan() {
    assert_eq!(bf16(1.0), 0x3f80);
    assert_eq!(bf16(f32::from_bits(0x3f80_8000)), 0x3f80, "a tie goes to even");
    assert_eq!(bf16(f32::from_bits(0x3f81_8000)), 0x3f82, "a tie goes to even");
    assert_eq!(bf16(f32::from_bits(0x3f80_8001)), 0x3f81);
    assert!(f32::from_bits(u32::from(bf16(f32::NAN)) << 16).is_nan());
    assert_eq!(bf16(f32::INFINITY), 0x7f80);
}

#[test]
fn nan_goes_through() {
    for activation in [Activation::Relu, Activation::Tanh, Activation::Swish] {
        let net = stack(&[20], 3, activation);
        let net = PackedNet::with_precision(net.config(), net.params(), Precision::F32).unwrap();
        let (_, mut x) = rows(4);
        x[23 + 5] = f32::NAN;
        let y = through(&net, 0, 4, &x);
        assert!(y[..3].iter().chain(&y[6..]).all(|y| y.is_finite()));
        assert!(y[3..6].iter().all(|y| y.is_nan()), "{activation:?}");
    }
}
