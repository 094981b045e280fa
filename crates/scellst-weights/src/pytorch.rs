//! PyTorch's files: a zip with one pickle and a member for each storage.

use std::collections::BTreeMap;

use crate::pickle::{Id, Pickle, Value};
use crate::{Stored, zip};

/// Where checkpoints have the network's tensors, if not at the top.
const KEYS: [&str; 6] = ["state_dict", "model_state_dict", "teacher", "model", "student", "net"];

pub(crate) fn is_zip(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

/// Why a file that is neither a zip nor safetensors is not read, if it is known what it is.
pub(crate) fn refused(file: &[u8]) -> Option<&'static str> {
    // torch.save before 1.6: a pickle of the magic number 0x1950a86a20f9469cfc6c.
    let legacy = file.len() > 16 && file.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    if legacy {
        return Some(
            "PyTorch's legacy format (before 1.6, or _use_new_zipfile_serialization=False) is not read: \
             save it again with torch.save, or as safetensors",
        );
    }
    if file.starts_with(b"\x80") && file.get(1).is_some_and(|v| (2..=5).contains(v)) && file.last() == Some(&b'.') {
        return Some("a bare pickle is not read: save the state_dict with torch.save or as safetensors");
    }
    None
}

/// The tensors by name. A nested dictionary of tensors is looked for where there are none at the top.
pub(crate) fn tensors(file: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let members = zip::members(file)?;
    let (name, range) = members
        .iter()
        .find(|(name, _)| name.ends_with("/data.pkl") || *name == "data.pkl")
        .ok_or("a zip without data.pkl: not a file of torch.save")?;
    let folder = name.strip_suffix("data.pkl").unwrap_or_default();
    if let Some(order) = members.get(&format!("{folder}byteorder"))
        && &file[order.clone()] != b"little"
    {
        return Err("its numbers are not little-endian".into());
    }
    let pickle = Pickle::read(&file[range.clone()])?;
    let mut found = entries(&pickle, pickle.root)?;
    let has_tensors = |all: &[(&str, Id)]| all.iter().any(|(_, id)| matches!(pickle.value(*id), Value::Tensor { .. }));
    if !has_tensors(&found) {
        let nested = KEYS.iter().filter_map(|key| found.iter().find(|(name, _)| name == key).map(|(_, id)| *id));
        let nested = nested.filter_map(|id| entries(&pickle, id).ok()).find(|e| has_tensors(e));
        let top: Vec<&str> = found.iter().map(|(name, _)| *name).take(8).collect();
        found = nested.ok_or_else(|| format!("no tensors in it: at its top there are {top:?}"))?;
    }
    let mut tensors = BTreeMap::new();
    for (name, id) in found {
        let Value::Tensor { storage, offset, shape, stride } = pickle.value(id) else { continue };
        let Value::Storage { dtype, key } = pickle.value(*storage) else {
            return Err(format!("tensor {name} has no storage"));
        };
        let member = format!("{folder}data/{key}");
        let range = members.get(&member).ok_or_else(|| format!("tensor {name}: no member {member}"))?;
        let size = match dtype.as_str() {
            "F64" | "I64" => 8,
            "F32" | "I32" => 4,
            "F16" | "BF16" | "I16" => 2,
            _ => 1,
        };
        let begin = offset.checked_mul(size).and_then(|o| o.checked_add(range.start)).filter(|b| *b <= range.end);
        let begin = begin.ok_or_else(|| format!("tensor {name} begins behind the end of its storage {member}"))?;
        let (dtype, shape, stride) = (dtype.clone(), shape.clone(), stride.clone());
        tensors.insert(name.to_owned(), Stored { dtype, shape, stride, range: begin..range.end });
    }
    Ok(tensors)
}

/// What a dictionary has under texts; of a key that comes twice the later, as Python has it.
fn entries(pickle: &Pickle, id: Id) -> Result<Vec<(&str, Id)>, String> {
    match pickle.value(id) {
        Value::Dict(items) => Ok(items
            .iter()
            .filter_map(|(k, v)| match pickle.value(*k) {
                Value::Text(name) => Some((name.as_str(), *v)),
                _ => None,
            })
            .collect()),
        _ => Err("it holds no dictionary of tensors".into()),
    }
}
