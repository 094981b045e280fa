//! That the emulator notices: sources with one thing wrong must fail.

use super::{Emulator, cases};
use crate::Offsets;
use crate::source::{self, Dialect};

/// A smaller body than that of the cases, through every kind of kernel.
fn body(emulator: &std::rc::Rc<Emulator>) -> candle_core::Result<()> {
    use candle_core::{Device, Tensor, Var};
    emulator.observe(|| {
        let offsets = Offsets::new(vec![0, 0, 1, 30, 47]).unwrap();
        let x = Tensor::from_vec(cases::numbers(47 * 33, 1), (47, 33), &Device::Cpu)?;
        cases::segments(&Var::from_tensor(&x)?, &offsets)?;
        let ties = Tensor::from_iter(
            (0..47 * 33).map(|i| if i % 97 == 0 { f32::NAN } else { (i / 40 % 3) as f32 }),
            &Device::Cpu,
        )?;
        cases::segments(&Var::from_tensor(&ties.reshape((47, 33))?)?, &offsets)?;
        cases::activations(&Var::from_tensor(&x)?)?;
        cases::losses(3, 300)
    })?;
    cases::adamw(emulator, 300)
}

/// Each is found in the source and replaced, all of its places at once.
fn must_be_noticed(dialect: Dialect, source: &str, mutations: &[(&str, &str)]) {
    let Some(sound) = Emulator::new(dialect, source) else { return };
    body(&sound).unwrap();
    for (from, to) in mutations {
        assert!(source.contains(from), "{from}");
        let Some(broken) = Emulator::new(dialect, &source.replace(from, to)) else { return };
        match body(&broken) {
            Ok(()) => panic!("{dialect:?}: nobody noticed `{to}` for `{from}`"),
            Err(e) => eprintln!("{dialect:?}: `{to}` for `{from}`: {e}"),
        }
    }
}

#[test]
fn broken_cuda_kernels_are_noticed() {
    must_be_noticed(
        Dialect::Cuda,
        source::CUDA,
        &[
            // Barriers: before parts are added up, before the tile is used again, in the tree of a loss.
            ("= part;\n  __syncthreads();\n  float sum", "= part;\n  float sum"),
            ("      store(dw, r, sum);\n    }\n    __syncthreads();", "      store(dw, r, sum);\n    }"),
            ("[threadIdx.x + reach];\n    __syncthreads();", "[threadIdx.x + reach];"),
            // A barrier that part of a block misses.
            (
                "  const Place p = place(offsets, columns);\n",
                "  const Place p = place(offsets, columns);\n  if (!p.inside) return;\n",
            ),
            // Indices.
            ("tile[y][threadIdx.x]", "tile[threadIdx.x % TILE_ROWS][y]"),
            ("p.inside = p.column < columns", "p.inside = p.column <= columns"),
            ("if (i < n) store", "if (i <= n) store"),
            ("offsets[p.bag + 1]", "offsets[p.bag + 1] - 1"),
            // Ties, no numbers, random bits, 16-bit rounding, a moment that is not kept.
            ("row_a < row_b);\n}", "row_a > row_b);\n}"),
            ("return no_number(a) && (!no_number(b) || row_a < row_b)", "return false"),
            (">> 40)", ">> 41)"),
            ("b + 0x7fff + ((b >> 16) & 1)", "b + 0x1ffff"),
            ("second[i] = v;", ""),
        ],
    );
}

#[test]
fn broken_metal_kernels_are_noticed() {
    const BARRIER: &str = "threadgroup_barrier(mem_flags::mem_threadgroup);";
    must_be_noticed(
        Dialect::Metal,
        source::METAL,
        &[
            (&format!("= part;\n  {BARRIER}\n  float sum"), "= part;\n  float sum"),
            (&format!("      dw[r] = sum;\n    }}\n    {BARRIER}"), "      dw[r] = sum;\n    }"),
            (&format!("[lane.x + reach];\n    {BARRIER}"), "[lane.x + reach];"),
            ("tile[y][lane.x]", "tile[lane.x % TILE_ROWS][y]"),
            ("p.inside = p.column < columns", "p.inside = p.column <= columns"),
            ("(stirling_rest(n) - stirling_rest(t))", "stirling_rest(n)"),
            ("first[i] = m;", ""),
        ],
    );
}

/// What a C++ compiler does not see of Metal: arguments are numbered in turn, and every pointer says where it points.
#[test]
fn metal_attributes_are_in_order() {
    let mut kernels = 0;
    for kernel in source::METAL.split("\nkernel void ").skip(1) {
        let (name, rest) = kernel.split_once('(').unwrap();
        let (parameters, _) = rest.split_once("THREADS)").unwrap();
        let numbers: Vec<&str> = parameters.split("[[buffer(").skip(1).map(|p| p.split(')').next().unwrap()).collect();
        let expected: Vec<String> = (0..numbers.len()).map(|i| i.to_string()).collect();
        assert_eq!(numbers, expected, "{name}");
        for parameter in parameters.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let placed = parameter.starts_with("device ") || parameter.starts_with("constant ");
            assert!(placed && parameter.ends_with(")]]"), "{name}: {parameter}");
        }
        kernels += 1;
    }
    assert_eq!(kernels, source::kernels(Dialect::Metal).len());
    let group = "[[threadgroup_position_in_grid]], uint3 lane [[thread_position_in_threadgroup]]";
    assert!(source::METAL.contains(&format!("#define THREADS uint3 group {group}\n")));
    for line in source::METAL.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for pointer in
            line.match_indices(" *").map(|(i, _)| &line[..i]).filter(|before| !before.ends_with([')', ']', '}']))
        {
            let declared = ["float", "u32", "Tile", "Rows"].iter().any(|t| pointer.ends_with(t));
            let placed = ["device ", "LOCAL ", "constant "].iter().any(|space| {
                pointer.rsplit(['(', ',']).next().is_some_and(|last| last.trim_start().starts_with(space))
            });
            assert!(!declared || placed, "{line}");
        }
    }
}
