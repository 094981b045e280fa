#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    // What is no JSON at all belongs to the other targets.
    if !matches!(bytes.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'[')) {
        return Corpus::Reject;
    }
    scellst_cells_fuzz::import(bytes);
    Corpus::Keep
});
