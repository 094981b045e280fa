//! The very sources of the GPU kernels, compiled as C++ and run on the CPU, against the CPU's operations.
//!
//! While a test holds [`Emulator::observe`], every operation that runs on the CPU is also launched, by the same plan
//! that a GPU would get, in the emulator (`emulator/emulator.h` says what it is strict about); whatever differs is an
//! error of the operation. It wants a C++ compiler and Linux, and says so where it finds none.
#![allow(clippy::print_stderr)] // what is skipped, and how each mutation was noticed

mod cases;
mod mutations;
mod program;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use candle_core::{CpuStorage, Layout, Result, Shape, bail};
use half::bf16;

use crate::cpu::elements;
use crate::operation::Operation;
use crate::plan::Plan;
use crate::source::Dialect;

use program::{Array, Program, bytes_of};

thread_local! {
    static OBSERVER: RefCell<Option<Rc<Emulator>>> = const { RefCell::new(None) };
}

/// A compiled source, and which of its kernels have run.
struct Emulator {
    program: Program,
    dialect: Dialect,
    /// The orders in which threads run between barriers; results are the same bits in each.
    orders: Vec<u32>,
    ran: RefCell<BTreeSet<String>>,
}

impl Emulator {
    /// None without a compiler.
    fn new(dialect: Dialect, source: &str) -> Option<Rc<Self>> {
        let program = Program::compile(dialect, source)?;
        Some(Rc::new(Self { program, dialect, orders: vec![0, 1, 2], ran: RefCell::default() }))
    }

    /// Runs `f` with every operation on the CPU in f32 checked.
    fn observe<R>(self: &Rc<Self>, f: impl FnOnce() -> R) -> R {
        OBSERVER.set(Some(self.clone()));
        let result = f();
        OBSERVER.set(None);
        result
    }

    /// The arrays after a launch, the same in every order.
    fn launch(&self, plan: &Plan, suffix: &str, arrays: &[Array]) -> Result<Vec<Vec<u8>>> {
        let name = format!("{}_{suffix}", plan.kernel);
        let mut first: Option<Vec<Vec<u8>>> = None;
        for &order in &self.orders {
            let result = self
                .program
                .launch(&name, plan, order, arrays)
                .map_err(|e| candle_core::Error::Msg(format!("{name}: {e}")))?;
            match &first {
                Some(first) if *first != result => bail!("{name}: the result depends on the order of threads"),
                Some(_) => {}
                None => first = Some(result),
            }
        }
        self.ran.borrow_mut().insert(name);
        Ok(first.unwrap_or_default())
    }

    fn check<O: Operation>(&self, op: &O, inputs: &[&[f32]], shapes: &[&Shape], expected: &[f32]) -> Result<()> {
        let plan = op.plan(shapes)?;
        if plan.is_empty() {
            return if expected.is_empty() { Ok(()) } else { bail!("{}: nothing would write the result", plan.kernel) };
        }
        let offsets = op.offsets().map(|o| Array::Read(bytes_of(o.as_slice())));
        let arrays = |inputs: Vec<Vec<u8>>, result: usize| -> Vec<Array> {
            inputs.into_iter().map(Array::Read).chain(offsets.clone()).chain([Array::Written(result)]).collect()
        };
        let read = inputs.iter().map(|x| bytes_of(x)).collect();
        let found = self.launch(&plan, "f32", &arrays(read, expected.len() * 4))?;
        let found: Vec<f32> = program::words(&found[0]).map(f32::from_bits).collect();
        compare(&plan, &found, expected, tolerance(plan.kernel))?;
        let name = format!("{}_bf16", plan.kernel);
        if !crate::source::kernels(self.dialect).contains(&name) {
            return Ok(());
        }
        let short: Vec<Vec<bf16>> = inputs.iter().map(|x| x.iter().map(|&x| bf16::from_f32(x)).collect()).collect();
        let read = short.iter().map(|x| x.iter().flat_map(|x| x.to_bits().to_ne_bytes()).collect()).collect();
        let found = self.launch(&plan, "bf16", &arrays(read, expected.len() * 2))?;
        let found: Vec<f32> =
            found[0].chunks_exact(2).map(|b| bf16::from_bits(u16::from_ne_bytes([b[0], b[1]])).to_f32()).collect();
        let long: Vec<Vec<f32>> = short.iter().map(|x| x.iter().map(|x| x.to_f32()).collect()).collect();
        let expected = op.cpu::<f32>(&long.iter().map(Vec::as_slice).collect::<Vec<_>>(), shapes)?;
        compare(&plan, &found, &expected, 1.0 / 256.0) // half a unit in the last place of 8 bits, and f32's own
    }
}

/// What a launch may differ by from the CPU, relative to a value or absolute below 1: nothing where a value is picked
/// or made by one rounding after another on both sides; else what another order of adding up f32 leaves.
fn tolerance(kernel: &str) -> f32 {
    match kernel {
        "segment_max" | "segment_max_grad" | "segment_sum_grad" | "segment_weighted_by_x" => 0.0,
        "bias_activation" | "bias_activation_grad" => 0.0,
        // Measured: 2e-6 for one count, of 0 to 2 million.
        "negative_binomial" | "negative_binomial_by_mean" | "negative_binomial_by_theta" => 2e-5,
        _ => 4e-6,
    }
}

fn compare(plan: &Plan, found: &[f32], expected: &[f32], tolerance: f32) -> Result<()> {
    if found.len() != expected.len() {
        bail!("{}: {} values for {}", plan.kernel, found.len(), expected.len());
    }
    // Over bags, derivatives of both signs are added up: what is left of them is known to the largest only.
    let cancels = plan.kernel == "negative_binomial_by_theta";
    let largest = if cancels { expected.iter().fold(1.0, |a: f32, b| a.max(b.abs())) } else { 1.0 };
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let close = (found - expected).abs() <= tolerance * expected.abs().max(largest);
        if !(same || close) {
            bail!("{}: element {i} is {found}, not {expected}", plan.kernel);
        }
    }
    Ok(())
}

/// Called for every operation that has run on the CPU.
pub(crate) fn observe<O: Operation>(
    op: &O,
    storages: &[&CpuStorage],
    layouts: &[&Layout],
    result: &CpuStorage,
) -> Result<()> {
    let Some(emulator) = OBSERVER.with_borrow(Option::clone) else { return Ok(()) };
    let CpuStorage::F32(result) = result else { return Ok(()) };
    let inputs: Vec<&[f32]> = storages.iter().zip(layouts).map(|(s, l)| elements(s, l)).collect::<Result<_>>()?;
    let shapes: Vec<&Shape> = layouts.iter().map(|l| l.shape()).collect();
    emulator.check(op, &inputs, &shapes, result)
}
