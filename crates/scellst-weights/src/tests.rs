//! Files made by PyTorch: see `tests/pytorch/make.py`.

use std::path::Path;

use super::*;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../tests/pytorch/", $name))
    };
}

struct File<'a> {
    bytes: &'a [u8],
    listing: Listing,
}

impl File<'_> {
    fn get(&self, name: &str) -> Result<(&[usize], Vec<f32>), String> {
        let stored = &self.listing.tensors[name];
        Ok((stored.shape(), stored.values(self.bytes).map_err(|e| e.to_string())?))
    }
}

fn read(bytes: &[u8]) -> Result<File<'_>, String> {
    Ok(File { bytes, listing: list(bytes).map_err(|e| e.to_string())? })
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
            assert_eq!(weights.get(name).unwrap(), (shape, whole.clone()), "{name}");
        }
        assert_eq!(weights.get("part").unwrap(), (&[6][..], whole[4..10].to_vec()));
        assert_eq!(weights.get("parameter").unwrap(), (&[3][..], whole[..3].to_vec()));
        assert_eq!(weights.get("channels_last").unwrap(), (&[1, 2, 3, 4][..], whole.clone()));
        assert_eq!(weights.get("empty").unwrap(), (&[0, 5][..], Vec::new()));
        let (shape, transposed) = weights.get("transposed").unwrap();
        assert_eq!(shape, [6, 4]);
        assert_eq!(transposed[..5], [base(0), base(6), base(12), base(18), base(1)]);
        // What is there but cannot be a weight.
        let message = weights.get("expanded").unwrap_err();
        assert!(message.contains("storage of 24 values"), "{message}");
        let message = weights.get("steps").unwrap_err();
        assert!(message.contains("I64"), "{message}");
        assert_eq!(weights.listing.tensors["steps"].numbers(bytes).unwrap().len(), 1);
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
    for cut in (0..good.len()).step_by(37) {
        assert!(read(&good[..cut]).is_err(), "{cut}");
    }
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = good.to_vec();
            bytes[at] ^= flip;
            if let Ok(Listing { tensors, .. }) = list(&bytes) {
                for stored in tensors.values() {
                    let _ = stored.values(&bytes);
                }
            }
        }
    }
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
fn files_over_the_limit_are_not_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pytorch/plain.pth");
    assert_eq!(crate::read(&path, 1 << 20).unwrap(), file!("plain.pth"));
    assert!(crate::read(&path, 100).unwrap_err().to_string().contains("limit of 100"));
    assert!(matches!(crate::read(&path.with_extension("none"), 100), Err(WeightsError::File(_))));
}
