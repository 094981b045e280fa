//! Reads the pickles that `torch.save` writes for dictionaries of tensors. A pickle is a program that may import and
//! call anything; here only the few names are known that make up tensors, nothing is ever called, and whatever
//! else stands in the file is refused by its name.
//!
//! Opcodes after `pickletools` of CPython; the tensors' arguments after `torch/_utils.py`.

/// Pickles of state dictionaries have some hundred kilobytes; a byte may cost seventy of memory.
const MAX_BYTES: usize = 2 << 20;

/// Place of a value.
pub(crate) type Id = usize;

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nothing,
    Mark,
    Int(i64),
    Other,
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Name(Known),
    Storage { dtype: String, key: String },
    Tensor { storage: Id, offset: usize, shape: Vec<usize>, stride: Vec<usize> },
}

/// The names that a pickle may use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    Dict,
    Tensor,
    Parameter,
    Size,
    Storage(&'static str),
}

fn known(module: &str, name: &str) -> Option<Known> {
    Some(match (module, name) {
        ("collections", "OrderedDict") => Known::Dict,
        ("torch._utils", "_rebuild_tensor_v2") => Known::Tensor,
        ("torch._utils", "_rebuild_parameter") => Known::Parameter,
        ("torch", "Size") => Known::Size,
        ("torch", "FloatStorage") => Known::Storage("F32"),
        ("torch", "HalfStorage") => Known::Storage("F16"),
        ("torch", "BFloat16Storage") => Known::Storage("BF16"),
        ("torch", "DoubleStorage") => Known::Storage("F64"),
        ("torch", "LongStorage") => Known::Storage("I64"),
        ("torch", "IntStorage") => Known::Storage("I32"),
        ("torch", "ShortStorage") => Known::Storage("I16"),
        ("torch", "CharStorage") => Known::Storage("I8"),
        ("torch", "ByteStorage") => Known::Storage("U8"),
        ("torch", "BoolStorage") => Known::Storage("BOOL"),
        _ => return None,
    })
}

/// What a pickle holds. Values refer to each other by their place, so that no depth of nesting costs stack.
pub(crate) struct Pickle {
    values: Vec<Value>,
    pub root: Id,
}

impl Pickle {
    pub(crate) fn value(&self, id: Id) -> &Value {
        self.values.get(id).unwrap_or(&Value::Other)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_BYTES {
            return Err(format!("its pickle of {} bytes is over the limit of {MAX_BYTES}", bytes.len()));
        }
        let mut machine = Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), memo: Vec::new() };
        loop {
            let at = machine.at;
            match machine.step() {
                Ok(None) => (),
                Ok(Some(root)) => return Ok(Self { values: machine.values, root }),
                Err(e) => return Err(format!("its pickle, byte {at}: {e}")),
            }
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    memo: Vec<Option<Id>>,
}

impl<'a> Machine<'a> {
    /// One opcode; what the program leaves at its end.
    fn step(&mut self) -> Result<Option<Id>, String> {
        match self.byte()? {
            0x80 => {
                let version = self.byte()?;
                if version > 5 {
                    return Err(format!("protocol {version}"));
                }
            }
            // FRAME: only a length.
            0x95 => drop(self.take(8)?),
            b'.' => return self.pop().map(Some),
            b'(' => self.push(Value::Mark),
            b'N' => self.push(Value::Nothing),
            0x88 => self.push(Value::Int(1)),
            0x89 => self.push(Value::Int(0)),
            b'K' => {
                let v = self.byte()?;
                self.push(Value::Int(v.into()));
            }
            b'M' => {
                let b = self.take(2)?;
                self.push(Value::Int(u16::from_le_bytes([b[0], b[1]]).into()));
            }
            b'J' => {
                let v = self.u32()? as i32;
                self.push(Value::Int(v.into()));
            }
            0x8a => {
                let n = usize::from(self.byte()?);
                let b = self.take(n)?;
                if n > 8 {
                    self.push(Value::Other);
                } else {
                    let mut wide = [if b.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
                    wide[..n].copy_from_slice(b);
                    self.push(Value::Int(i64::from_le_bytes(wide)));
                }
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other);
            }
            b'X' => {
                let n = self.u32()? as usize;
                self.text(n)?;
            }
            0x8c => {
                let n = usize::from(self.byte()?);
                self.text(n)?;
            }
            // BINBYTES, SHORT_BINBYTES, BINSTRING, SHORT_BINSTRING: nothing that a tensor needs.
            b'B' | b'T' => {
                let n = self.u32()? as usize;
                self.take(n)?;
                self.push(Value::Other);
            }
            b'C' | b'U' => {
                let n = usize::from(self.byte()?);
                self.take(n)?;
                self.push(Value::Other);
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b']' => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(&items)?;
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                self.set(&items)?;
            }
            b'0' => drop(self.pop()?),
            b'q' => {
                let place = usize::from(self.byte()?);
                self.remember(place)?;
            }
            b'r' => {
                let place = self.u32()? as usize;
                self.remember(place)?;
            }
            0x94 => self.remember(self.memo.len())?,
            b'h' => {
                let place = usize::from(self.byte()?);
                self.recall(place)?;
            }
            b'j' => {
                let place = self.u32()? as usize;
                self.recall(place)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.values.get(module), self.values.get(name)) {
                    (Some(Value::Text(module)), Some(Value::Text(name))) => {
                        let (module, name) = (module.clone(), name.clone());
                        self.name(&module, &name)?;
                    }
                    _ => return Err("a name that is no text".into()),
                }
            }
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.state()?,
            other => return Err(format!("opcode 0x{other:02x} is none that PyTorch writes for tensors")),
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let found = self.at.checked_add(n).and_then(|end| self.bytes.get(self.at..end)).ok_or("it is cut off")?;
        self.at += n;
        Ok(found)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|b| b[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.take(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or("it is cut off")?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|e| e.to_string())
    }

    fn text(&mut self, n: usize) -> Result<(), String> {
        let text = String::from_utf8(self.take(n)?.to_vec()).map_err(|e| e.to_string())?;
        self.push(Value::Text(text));
        Ok(())
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "it takes a value and there is none".into())
    }

    fn top(&mut self) -> Result<&mut Value, String> {
        let id = self.stack.last().copied().ok_or("it takes a value and there is none")?;
        self.values.get_mut(id).ok_or_else(|| "no such value".into())
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let is_mark = |id: &Id| matches!(self.values.get(*id), Some(Value::Mark));
        let at = self.stack.iter().rposition(is_mark).ok_or("no mark")?;
        let items = self.stack.split_off(at + 1);
        self.stack.pop();
        Ok(items)
    }

    fn tuple(&mut self, n: usize) -> Result<(), String> {
        let from = self.stack.len().checked_sub(n).ok_or("a tuple of nothing")?;
        let items = self.stack.split_off(from);
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), String> {
        match self.top()? {
            Value::List(list) => list.extend(items),
            _ => return Err("appends to what is no list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<(), String> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Value::Dict(dict) if rest.is_empty() => dict.extend(pairs.iter().map(|[k, v]| (*k, *v))),
            _ => return Err("sets an item of what is no dictionary".into()),
        }
        Ok(())
    }

    fn remember(&mut self, place: usize) -> Result<(), String> {
        let id = self.stack.last().copied().ok_or("it keeps a value and there is none")?;
        // PyTorch counts up; a place far ahead would only cost memory.
        if place > self.values.len() {
            return Err(format!("place {place} of {} values", self.values.len()));
        }
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        self.memo[place] = Some(id);
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<(), String> {
        let id = self.memo.get(place).copied().flatten().ok_or_else(|| format!("no value was kept at {place}"))?;
        self.stack.push(id);
        Ok(())
    }

    fn name(&mut self, module: &str, name: &str) -> Result<(), String> {
        let found = known(module, name).ok_or_else(|| {
            format!(
                "it wants {module}.{name}, which is no part of a tensor: nothing was run; save the state_dict alone"
            )
        })?;
        self.push(Value::Name(found));
        Ok(())
    }

    fn items(&self, id: Id) -> Result<&[Id], String> {
        match self.values.get(id) {
            Some(Value::Tuple(items)) => Ok(items),
            _ => Err("no tuple where one must be".into()),
        }
    }

    /// `('storage', type, key, location, count)` by persistent id.
    fn storage(&mut self) -> Result<(), String> {
        let id = self.pop()?;
        let found = match self.items(id)? {
            [_, kind, key, ..] => match (self.values.get(*kind), self.values.get(*key)) {
                (Some(Value::Name(Known::Storage(dtype))), Some(Value::Text(key))) => {
                    Value::Storage { dtype: (*dtype).to_owned(), key: key.clone() }
                }
                _ => return Err("a storage of no known type".into()),
            },
            _ => return Err("a storage without type and key".into()),
        };
        self.push(found);
        Ok(())
    }

    fn call(&mut self) -> Result<(), String> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Some(Value::Name(callee)) = self.values.get(callee).cloned() else {
            return Err("it calls what is no name".into());
        };
        let arguments = self.items(arguments)?.to_vec();
        match (callee, arguments.as_slice()) {
            (Known::Dict, []) => self.push(Value::Dict(Vec::new())),
            (Known::Size, _) => self.push(Value::Other),
            // The data, whether it needs a gradient, hooks.
            (Known::Parameter, [data, ..]) => self.stack.push(*data),
            (Known::Tensor, [storage, offset, shape, stride, ..]) => {
                let size = |id: &Id| match self.values.get(*id) {
                    Some(Value::Int(v)) => usize::try_from(*v).map_err(|_| format!("a size of {v}")),
                    _ => Err("a size that is no number".to_owned()),
                };
                let sizes = |id: Id| self.items(id)?.iter().map(size).collect::<Result<Vec<_>, _>>();
                let (offset, shape, stride) = (size(offset)?, sizes(*shape)?, sizes(*stride)?);
                if shape.len() != stride.len() || shape.len() > 8 {
                    return Err(format!("a tensor of shape {shape:?} with strides {stride:?}"));
                }
                self.push(Value::Tensor { storage: *storage, offset, shape, stride });
            }
            (callee, arguments) => return Err(format!("{callee:?} with {} arguments", arguments.len())),
        }
        Ok(())
    }

    /// BUILD: an ordered dictionary carries `_metadata`, which is let be; a class would carry its attributes.
    fn state(&mut self) -> Result<(), String> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err("it sets the state of what is no dictionary".into()),
        }
    }
}
