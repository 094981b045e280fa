/// Hears what a long call is doing. All methods have an empty body.
pub trait Observer: Sync {
    /// A stage begins.
    fn stage(&self, _name: &str) {}
    /// How far the stage is.
    fn progress(&self, _done: u64, _total: u64) {}
    /// Something that the user should read: a count, a warning.
    fn note(&self, _text: &str) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}
