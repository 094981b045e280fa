//! Any bytes as a Hamamatsu NDPI: its directories, its restart markers, its strips.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(slide) = scellst_slide_fuzz::open(bytes) {
        scellst_slide_fuzz::read(&slide);
    }
});
