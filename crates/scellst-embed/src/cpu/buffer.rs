/// Values that begin at a cache line. Grows, never shrinks: the workspace of a thread.
#[derive(Default)]
pub(crate) struct Buffer {
    values: Vec<f32>,
    start: usize,
    len: usize,
}

/// Values of a cache line, and of the longest vector.
pub(crate) const LINE: usize = 16;

impl Buffer {
    /// Room for so many values, whatever they are.
    pub(crate) fn resize(&mut self, len: usize) -> &mut [f32] {
        if self.values.len() < len + LINE {
            self.values = vec![0.0; len + LINE];
            // A multiple of a value's size always fits; 0 would only be slower.
            self.start = self.values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        }
        self.len = len;
        self.as_mut()
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        &self.values[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.len]
    }
}

/// Values from one pixel to the next: a line more where whole kilobytes would put all pixels of a tile into
/// the same few places of the first cache.
pub(crate) fn padded(channels: usize) -> usize {
    if channels.is_multiple_of(256) { channels + LINE } else { channels }
}
