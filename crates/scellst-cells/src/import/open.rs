use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::CellsError;

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    Text,
    Parquet,
    Png,
    Tiff,
    Npy,
}

/// A file whose kind is known. Text and JSON come unpacked where they are gzipped.
pub(crate) struct Opened {
    pub(crate) kind: Kind,
    pub(crate) file: File,
    pub(crate) packed: bool,
}

/// A stream of text, its byte order mark passed over.
pub(crate) type Text = BufReader<Chain<Cursor<Vec<u8>>, Box<dyn Read>>>;

/// Looks at the beginning of a file.
pub(crate) fn open(path: &Path) -> Result<Opened, CellsError> {
    let file = File::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    let start = start_of(path, &file, 512)?;
    let packed = start.starts_with(&[0x1f, 0x8b]);
    let inner = if packed { start_of(path, MultiGzDecoder::new(rewound(path, &file)?), 512)? } else { start };
    let unsupported = |found: &str, hint: &str| {
        Err(CellsError::Unsupported {
            path: path.to_owned(),
            place: "the file".into(),
            found: found.into(),
            hint: hint.into(),
        })
    };
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kind = match inner.as_slice() {
        _ if name.ends_with(".snappy") => {
            return unsupported("JSON packed by snappy, as CellViT++ writes it", "run CellViT without --compression");
        }
        [b'P', b'A', b'R', b'1', ..] => Kind::Parquet,
        [0x89, b'P', b'N', b'G', ..] => Kind::Png,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Kind::Tiff,
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Kind::Npy,
        [b'P', b'K', 3, 4, ..] => {
            return unsupported(
                "a zip archive",
                "unzip it and give the file inside (for .npz, save the array as .npy)",
            );
        }
        [0x89, b'H', b'D', b'F', ..] => return unsupported("HDF5", "export the cells as GeoJSON, Parquet or CSV"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return unsupported("Zstandard", "unpack it first"),
        bytes => match without_mark(bytes).iter().find(|b| !b.is_ascii_whitespace()) {
            Some(b'{' | b'[') => Kind::Json,
            Some(_) if !bytes.contains(&0) => Kind::Text,
            Some(_) => {
                return Err(CellsError::broken(path, "the file", "cells in a format of docs/formats", "binary data"));
            }
            None => return Err(CellsError::broken(path, "line 1", "JSON, a table or a picture", "an empty file")),
        },
    };
    if packed && !matches!(kind, Kind::Json | Kind::Text) {
        return unsupported("a gzipped picture or Parquet file", "unpack it first");
    }
    Ok(Opened { kind, file, packed })
}

impl Opened {
    /// From the beginning.
    pub(crate) fn text(self, path: &Path) -> Result<Text, CellsError> {
        let file = rewound(path, &self.file)?;
        let mut inner: Box<dyn Read> =
            if self.packed { Box::new(MultiGzDecoder::new(BufReader::new(file))) } else { Box::new(file) };
        // In one piece, so that whoever peeks at the text sees its first lines.
        let start = start_of(path, &mut inner, 1 << 14)?;
        let start = without_mark(&start).to_vec();
        Ok(BufReader::with_capacity(1 << 16, Cursor::new(start).chain(inner)))
    }
}

/// A file of text that is small by its nature.
pub(crate) fn small_text(path: &Path, most: u64) -> Result<String, CellsError> {
    let file = File::open(path).map_err(|e| CellsError::io(path, "open", &e))?;
    let mut text = Vec::new();
    file.take(most + 1).read_to_end(&mut text).map_err(|e| CellsError::io(path, "read", &e))?;
    if text.len() as u64 > most {
        return Err(CellsError::broken(path, "the file", format!("at most {most} bytes"), "more"));
    }
    String::from_utf8(text).map_err(|_| CellsError::broken(path, "the file", "text", "binary data"))
}

/// Refuses lines over 1 MiB: a small packed file could else unpack into one that fills the memory.
pub(crate) struct ShortLines<R> {
    inner: R,
    since: usize,
}

impl<R> ShortLines<R> {
    const MOST: usize = 1 << 20;

    pub(crate) fn new(inner: R) -> Self {
        Self { inner, since: 0 }
    }
}

impl<R: BufRead> Read for ShortLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let read = buffer.get(..n).unwrap_or(&[]);
        self.since = match read.iter().rposition(|&b| b == b'\n') {
            Some(last) => n - last,
            None => self.since + n,
        };
        if self.since > Self::MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of over 1 MiB"));
        }
        Ok(n)
    }
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn start_of(path: &Path, from: impl Read, most: u64) -> Result<Vec<u8>, CellsError> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes).map_err(|e| CellsError::io(path, "read", &e))?;
    Ok(bytes)
}

fn rewound(path: &Path, file: &File) -> Result<File, CellsError> {
    use std::io::Seek;
    let mut again = file.try_clone().map_err(|e| CellsError::io(path, "open", &e))?;
    again.rewind().map_err(|e| CellsError::io(path, "read", &e))?;
    Ok(again)
}
