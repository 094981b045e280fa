#![no_main]

use libfuzzer_sys::fuzz_target;

/// Headers that begin the tables, by the first byte: a fuzzer does not find one.
const HEADERS: [&str; 4] =
    ["x,y,id,class,score,area_um2\n", "x_um\ty_um\ttype\n", "cell_id,vertex_x,vertex_y,label_id\n", ""];

fuzz_target!(|bytes: &[u8]| {
    if let Some((first, rest)) = bytes.split_first() {
        let header = HEADERS[usize::from(*first) % HEADERS.len()];
        scellst_cells_fuzz::import(&[header.as_bytes(), rest].concat());
    }
});
