//! Files made by PyTorch: see `tests/data/pytorch/make.py`.

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/data/pytorch/", $name))
    };
}

fn read(bytes: &[u8]) -> Result<Weights, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pth");
    std::fs::write(&path, bytes).unwrap();
    Weights::read("test", &path).map_err(|e| e.to_string())
}

fn base(i: usize) -> f32 {
    i as f32 / 4.0 - 2.0
}

#[test]
fn tensors_are_those_that_pytorch_saved() {
    for bytes in [file!("plain.pth").as_slice(), file!("checkpoint.pth"), file!("protocol4.pth")] {
        let weights = read(bytes).unwrap();
        let whole: Vec<f32> = (0..24).map(base).collect();
        for (name, shape) in [("f32", &[2, 3, 4][..]), ("f16", &[4, 6]), ("bf16", &[24]), ("f64", &[6, 4])] {
            assert_eq!(weights.get(name, shape).unwrap(), whole, "{name}");
        }
        assert_eq!(weights.get("part", &[6]).unwrap(), whole[4..10]);
        assert_eq!(weights.get("parameter", &[3]).unwrap(), whole[..3]);
        assert_eq!(weights.get("channels_last", &[1, 2, 3, 4]).unwrap(), whole);
        assert!(weights.get("empty", &[0, 5]).unwrap().is_empty());
        let transposed = weights.get("transposed", &[6, 4]).unwrap();
        assert_eq!(transposed[..5], [base(0), base(6), base(12), base(18), base(1)]);
        // What is there but cannot be a weight.
        let message = weights.get("expanded", &[1000]).unwrap_err().to_string();
        assert!(message.contains("storage of 24 values"), "{message}");
        let message = weights.get("steps", &[]).unwrap_err().to_string();
        assert!(message.contains("I64"), "{message}");
        let message = weights.get("f32", &[24]).unwrap_err().to_string();
        assert!(message.contains("[24]") && message.contains("[2, 3, 4]"), "{message}");
    }
}

#[test]
fn code_is_named_and_not_run() {
    let message = read(file!("code.pth")).err().unwrap();
    assert!(message.contains("posix.system") && message.contains("nothing was run"), "{message}");
    assert!(!Path::new("scellst-pickle-was-run").exists());
    let message = read(file!("namespace.pth")).err().unwrap();
    assert!(message.contains("argparse.Namespace"), "{message}");
    let message = read(file!("script.pth")).err().unwrap();
    assert!(message.contains("TorchScript"), "{message}");
}

#[test]
fn other_formats_are_called_by_name() {
    let message = read(file!("legacy.pth")).err().unwrap();
    assert!(message.contains("legacy"), "{message}");
    let message = read(file!("bare.pkl")).err().unwrap();
    assert!(message.contains("bare pickle"), "{message}");
    let message = read(file!("list.pth")).err().unwrap();
    assert!(message.contains("no dictionary"), "{message}");
    let message = read(b"").err().unwrap();
    assert!(message.contains("safetensors"), "{message}");
}

#[test]
fn broken_files_are_errors_and_never_panics() {
    let good = file!("plain.pth");
    let all = |weights: Weights| {
        let names: Vec<(String, Vec<usize>)> =
            weights.tensors.iter().map(|(n, t)| (n.clone(), t.shape.clone())).collect();
        for (name, shape) in names {
            // Either is well, as long as it comes back.
            let _ = weights.get(&name, &shape);
        }
    };
    for cut in (0..good.len()).step_by(37) {
        assert!(read(&good[..cut]).is_err(), "{cut}");
    }
    let parsed = |bytes: &[u8]| pytorch::tensors(bytes);
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            if let Ok(tensors) = parsed(&bytes) {
                for stored in tensors.values() {
                    let _ = stored.values(&bytes);
                }
            }
        }
    }
    all(read(good).unwrap());
}

#[test]
fn pickles_are_held_to_what_tensors_need() {
    let read = |bytes: &[u8]| pickle::Pickle::read(bytes).err().unwrap_or_default();
    for (bytes, expected) in [
        (&b"\x80\x02cos\nsystem\n."[..], "os.system"),
        (b"\x80\x02\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x09.", "protocol 9"),
        (b"\x80\x02i", "opcode 0x69"),
        (b"\x80\x02h\x05.", "no value was kept"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "place"),
        (b"\x80\x02)R.", "there is none"),
        (b"\x80\x02K\x01)R.", "no name"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "cut off"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", "0 arguments"),
        (b"\x80\x02K\x01}b.", "no dictionary"),
        (b"\x80\x02", "cut off"),
    ] {
        let message = read(bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
    // Nesting costs no stack: a million lists in lists.
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(std::iter::repeat_n(b']', 1_000_000));
    deep.extend(std::iter::repeat_n(b'a', 999_999));
    deep.push(b'.');
    assert!(pickle::Pickle::read(&deep).is_ok());
    assert!(read(&vec![b'N'; 9 << 20]).contains("limit"));
}

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
