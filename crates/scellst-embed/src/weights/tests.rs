use super::*;

#[test]
fn a_file_says_its_source_and_licence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let metadata = [("license", "CC-BY-4.0"), ("source", "a paper")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    let data = 1f32.to_le_bytes();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &data).unwrap();
    let bytes = safetensors::serialize([("a", view)], Some(metadata.into_iter().collect())).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let spec = Weights::read("test", &path).unwrap().spec().unwrap();
    assert_eq!(spec.licence.as_deref(), Some("CC-BY-4.0"));
    assert_eq!((spec.source.as_deref(), spec.file.as_str(), spec.sha256.len()), (Some("a paper"), "w.safetensors", 64));
    // Bundles from before had no licence.
    let old: WeightsSpec = serde_json::from_str(r#"{"file":"a","sha256":"b","source":null}"#).unwrap();
    assert_eq!(old.licence, None);
}
