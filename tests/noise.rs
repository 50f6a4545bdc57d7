//! Keyed noise: its distribution, and which numbers it depends on.

use candle_core::DType;
use hstep::pool;
use hstep::rng::{Key, Rng};
use hstep::shape::{Spec, to_f64};
use statrs::distribution::{ContinuousCDF, Normal};

fn key() -> Key {
    Rng::new(31).key()
}

/// The mean of `x y`, in standard errors of independent numbers of unit variance.
fn correlation(x: impl Iterator<Item = f64>, y: impl Iterator<Item = f64>) -> f64 {
    let (n, sum) = x.zip(y).fold((0.0f64, 0.0), |(n, sum), (x, y)| (n + 1.0, sum + x * y));
    sum / n.sqrt()
}

#[test]
fn noise_is_standard_normal_to_the_tails() {
    let x: Vec<f64> = key().rows(0, 50_000, 18, 0);
    let n = x.len() as f64;
    let moment = |k| x.iter().map(|x| x.powi(k)).sum::<f64>() / n;
    // Five standard errors: the variance of x^k is E x^2k - (E x^k)^2.
    for (k, want, variance) in
        [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64), (6, 15.0, 10_170.0)]
    {
        let error = 5.0 * (variance / n).sqrt();
        assert!((moment(k) - want).abs() < error, "moment {k}: {} {want}", moment(k));
    }
    let normal = Normal::new(0.0, 1.0).unwrap();
    for at in [-4.5, -4.0, -3.0, -2.0, -1.0, -0.3, -1e-2, 0.0, 1e-2, 0.5, 1.5, 2.5, 3.5, 4.2] {
        let p = normal.cdf(at);
        let below = x.iter().filter(|x| **x < at).count() as f64;
        let error = 5.0 * (n * p * (1.0 - p)).sqrt();
        assert!((below - n * p).abs() < error, "below {at}: {below} {}", n * p);
    }
}

#[test]
fn neighbours_are_independent() {
    let (rows, width) = (20_000, 18);
    let draw = |key: Key, step| -> Vec<f64> { key.rows(0, rows, width, step) };
    let x = draw(key(), 0);
    let others = [
        ("the next column", x[1..].to_vec()),
        ("the column after the next", x[2..].to_vec()),
        ("the next block", x[16..].to_vec()),
        ("the next row", x[width..].to_vec()),
        ("the same lane of the next sixteen rows", x[16 * width..].to_vec()),
        ("the next step", draw(key(), 1)),
        ("another fork", draw(key().fork("other"), 0)),
    ];
    // The sizes, too: the two numbers of a pair share their radius.
    let square = |x: &f64| (x * x - 1.0) / 2f64.sqrt();
    for (name, y) in &others {
        let plain = correlation(x.iter().copied(), y.iter().copied());
        let squares = correlation(x.iter().map(square), y.iter().map(square));
        assert!(plain.abs() < 5.0 && squares.abs() < 5.0, "{name}: {plain} {squares}");
    }
    let uniform = |step| {
        let u = key().uniforms(0, 100_000, step);
        assert!(u.iter().all(|u| (0.0..1.0).contains(u)));
        u.into_iter().map(|u| (u - 0.5) * 12f64.sqrt()).collect::<Vec<f64>>()
    };
    let (u, next) = (uniform(0), uniform(1));
    let mean = correlation(u.iter().copied(), std::iter::repeat(1.0));
    let variance = u.iter().map(|u| u * u).sum::<f64>() / u.len() as f64;
    assert!(mean.abs() < 5.0);
    // The variance of a squared uniform number of unit variance is 4/5.
    assert!((variance - 1.0).abs() < 5.0 * (0.8 / u.len() as f64).sqrt());
    assert!(correlation(u.iter().copied(), u[1..].iter().copied()).abs() < 5.0);
    assert!(correlation(u.iter().copied(), next.into_iter()).abs() < 5.0);
}

#[test]
fn a_number_is_a_function_of_row_column_and_step() {
    // Widths around the blocks of sixteen, and one that fills the lanes by itself.
    for width in [1, 2, 5, 16, 17, 33, 300] {
        for (rows, step) in [(1, 0), (3, 7), (16, 1), (45, 1 << 40)] {
            let whole: Vec<f64> = key().rows(0, rows, width, step);
            for row in 0..rows {
                let mut single = vec![0.0; width];
                key().fill_normals(row, step, &mut single);
                assert_eq!(single, whole[row * width..][..width], "row {row} of {rows} [{width}]");
                let mut short = vec![0.0; width.div_ceil(2)];
                key().fill_normals(row, step, &mut short);
                assert_eq!(short, single[..short.len()]);
            }
            // Any rows in any order, some twice.
            let list: Vec<usize> = (0..2 * rows).map(|i| i * 7 % rows / 2).collect();
            let mut listed = vec![0f32; list.len() * width];
            key().fill_rows(list.iter().copied(), width, step, &mut listed);
            for (row, got) in list.iter().zip(listed.chunks(width)) {
                let want = &whole[row * width..][..width];
                assert!(got.iter().zip(want).all(|(g, w)| f64::from(*g) == *w));
            }
        }
    }
    let all = key().uniforms(0, 50, 3);
    assert!((0..50).all(|row| key().uniform(row, 3) == all[row]));
    assert_eq!(key().uniforms(20, 9, 3), all[20..29]);
    let mut listed = [0.0; 20];
    key().fill_uniforms((0..20).rev(), 3, &mut listed);
    assert!((0..20).all(|i| listed[i] == all[19 - i]));
}

#[test]
fn skip_spread_and_shared_choose_the_rows() {
    let draw = |key: Key, rows| -> Vec<f64> { key.rows(0, rows, 3, 4) };
    let all = draw(key(), 200);
    let row = |i: usize| &all[3 * i..3 * i + 3];
    assert_eq!(draw(key().skip(30), 20), all[90..150]);
    assert_eq!(draw(key().skip(30).spread(4), 20), all[360..420]);
    for each in [2, 5, 23, 70] {
        let got = draw(key().skip(11).shared(each), 130);
        assert!((0..130).all(|i| got[3 * i..3 * i + 3] == *row(11 + i / each)), "each {each}");
        let u = key().shared(each).uniforms(0, 90, 2);
        assert!((0..90).all(|i| u[i] == key().uniform(i / each, 2)));
    }
    // In blocks, as planners do it.
    let whole = draw(key().shared(5), 60);
    let mut block = vec![0.0; 3 * 20];
    key().shared(5).fill_rows(33..53, 3, 4, &mut block);
    assert_eq!(block, whole[99..159]);
}

#[test]
fn filling_stops_where_either_ends() {
    let mut out = [7f32; 10];
    key().fill_rows(0..2, 3, 0, &mut out);
    assert!(out[..6].iter().all(|x| *x != 7.0) && out[6..] == [7.0; 4]);
    key().fill_rows(0.., 4, 0, &mut out[6..]);
    assert!(out[6..].iter().all(|x| *x != 7.0));
    let before = out;
    key().fill_rows(0.., 0, 0, &mut out);
    key().fill_rows(0..0, 2, 0, &mut out);
    assert_eq!(out, before);
    let mut u = [7.0; 40];
    key().fill_uniforms(0..35, 0, &mut u);
    assert!(u[..35].iter().all(|u| *u < 1.0) && u[35..] == [7.0; 5]);
}

#[test]
fn noise_is_the_same_in_both_precisions_and_for_any_number_of_threads() {
    // Large enough for several threads, and not a multiple of anything.
    let (rows, width) = (20_011, 7);
    let draw = |spec: &Spec| key().normals(5, rows, width, 2, spec).unwrap();
    let single = draw(&Spec::f32());
    assert_eq!((single.dims(), single.dtype()), (&[rows, width][..], DType::F32));
    let numbers = to_f64(&single).unwrap();
    assert_eq!(numbers, to_f64(&draw(&Spec::f64())).unwrap());
    assert_eq!(numbers, to_f64(&pool::serially(|| draw(&Spec::f32()))).unwrap());
    let mut by_hand = vec![0.0; rows * width];
    key().fill_rows(5..5 + rows, width, 2, &mut by_hand);
    assert_eq!(numbers, by_hand);
    let uniforms = || key().uniforms(0, 100_003, 1);
    assert_eq!(uniforms(), pool::serially(uniforms));
}
