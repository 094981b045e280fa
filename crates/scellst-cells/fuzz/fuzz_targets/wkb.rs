#![no_main]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

thread_local! {
    /// Files by the length of their one geometry, and where in them it lies: writing one takes a hundred times as long
    /// as reading it.
    static FILES: RefCell<HashMap<usize, (Vec<u8>, usize)>> = RefCell::default();
}

// The bytes are the geometry of the one row of a sound Parquet file.
fuzz_target!(|bytes: &[u8]| {
    if bytes.is_empty() || bytes.len() > 1024 {
        return;
    }
    FILES.with_borrow_mut(|files| {
        let (file, at) = files.entry(bytes.len()).or_insert_with(|| file_of(bytes.len()));
        file[*at..*at + bytes.len()].copy_from_slice(bytes);
        scellst_cells_fuzz::import(file);
    });
});

fn file_of(length: usize) -> (Vec<u8>, usize) {
    let schema = parse_message_type("message cells { required binary geometry; }").expect("a schema");
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = group.next_column().expect("a column").expect("a column");
    let mark = vec![0xab; length];
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(mark.clone())], None, None).expect("a row");
    column.close().expect("a column");
    group.close().expect("a row group");
    let file = writer.into_inner().expect("a file");
    // Behind its length, as PLAIN has it.
    let needle = [&(length as u32).to_le_bytes()[..], &mark].concat();
    let at = file.windows(needle.len()).position(|w| w == needle).expect("the geometry") + 4;
    (file, at)
}
