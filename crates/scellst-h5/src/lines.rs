//! Text files line by line, gzipped or not, with a bound on what one line may take.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::H5Error;

/// A table of 60,000 genes has lines of a megabyte; more is no table of counts.
const MAX_LINE: u64 = 64 << 20;
const BUFFER: usize = 256 << 10;

/// Lines of a text file.
pub(crate) struct Lines {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, H5Error> {
        let mut file = File::open(path).map_err(|e| H5Error::io(path, "open", e))?;
        let mut start = Vec::new();
        file.by_ref()
            .take(2)
            .read_to_end(&mut start)
            .and_then(|_| file.seek(SeekFrom::Start(0)))
            .map_err(|e| H5Error::io(path, "read", e))?;
        let reader: Box<dyn BufRead> = if start == [0x1f, 0x8b] {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file)))
        } else {
            Box::new(BufReader::with_capacity(BUFFER, file))
        };
        Ok(Self { path: path.to_owned(), reader, line: Vec::new(), number: 0 })
    }

    /// The next line without its end; nothing at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<&str>, H5Error> {
        self.line.clear();
        self.number += 1;
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line);
        let read = read.map_err(|e| {
            // A packed file that ends early or is damaged, too.
            self.broken(format!("cannot be read, perhaps truncated or damaged ({e})"))
        })?;
        if read == 0 {
            return Ok(None);
        }
        if read as u64 == MAX_LINE && self.line.last() != Some(&b'\n') {
            return Err(H5Error::limit(&self.path, &self.place(), format!("a line of over {} MB", MAX_LINE >> 20)));
        }
        while self.line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            self.line.pop();
        }
        let start = if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        match std::str::from_utf8(self.line.get(start..).unwrap_or_default()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(H5Error::broken(&self.path, &format!("line {}", self.number), "no UTF-8 text")),
        }
    }

    fn place(&self) -> String {
        format!("line {}", self.number)
    }

    /// The file's fault, at the line that was read last.
    pub(crate) fn broken(&self, problem: impl Into<String>) -> H5Error {
        H5Error::broken(&self.path, &self.place(), problem)
    }
}

/// A field without the quotes that R puts around it.
pub(crate) fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|f| f.strip_suffix('"')).unwrap_or(field)
}
