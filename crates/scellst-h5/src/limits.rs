/// How much a reader may take from a file that nobody has vouched for.
///
/// Every array is also refused that declares far more than the file has stored for it, so that a
/// header of a few bytes cannot ask for terabytes; this limit is for honest files that are too big.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Largest number of bytes that any one array may have in memory.
    pub max_array_bytes: u64,
}

impl Default for ReadLimits {
    /// 16 GiB an array.
    fn default() -> Self {
        Self { max_array_bytes: 16 << 30 }
    }
}
