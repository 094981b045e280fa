//! What the tests share.
#![allow(dead_code, reason = "not every test needs all of it")]

use ndarray::Array2;
use serde_json::Value;

pub fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("g{i}")).collect()
}

/// Numbers of a golden file, null as NaN.
pub fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

pub fn singles(value: &Value) -> Vec<f32> {
    floats(value).into_iter().map(|v| v as f32).collect()
}

pub fn column(values: &[f32]) -> Array2<f32> {
    Array2::from_shape_vec((values.len(), 1), values.to_vec()).unwrap()
}

/// Both missing, or equal within `tolerance` (relative for what is above 1).
#[track_caller]
pub fn same(what: &str, found: Option<f64>, wanted: Option<f64>, tolerance: f64) {
    match (found, wanted) {
        (Some(a), Some(b)) => assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{what}: {a} beside {b}"),
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}

/// Even numbers from 0 to 1, by a rule: tests need no generator.
pub fn mixed(row: usize, column: usize) -> f32 {
    let mut x = (row as u32).wrapping_mul(0x9E37_79B1) ^ (column as u32 + 1).wrapping_mul(0x85EB_CA77);
    x = (x ^ x >> 16).wrapping_mul(0x7FEB_352D);
    x = (x ^ x >> 15).wrapping_mul(0x846C_A68B);
    ((x ^ x >> 16) >> 8) as f32 / 16_777_216.0
}

/// About normal with variance 1: the sum of 12 even ones.
pub fn normal(row: usize, column: usize) -> f32 {
    (0..12).map(|part| mixed(row * 12 + part, column)).sum::<f32>() - 6.0
}

pub fn with_threads<T: Send>(threads: usize, f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
