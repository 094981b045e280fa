#![no_main]

use std::fs::File;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

// The bytes are the geometry of the one row of a sound Parquet file.
fuzz_target!(|bytes: &[u8]| {
    let schema = parse_message_type("message cells { required binary geometry; }").expect("a schema");
    let file = File::create(scellst_cells_fuzz::path()).expect("a file in memory");
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = group.next_column().expect("a column").expect("a column");
    column.typed::<ByteArrayType>().write_batch(&[ByteArray::from(bytes)], None, None).expect("a row");
    column.close().expect("a column");
    group.close().expect("a row group");
    writer.close().expect("a file");
    scellst_cells_fuzz::read();
});
