/// Hears what a long call is doing, and may end it. All methods have a body that does nothing.
pub trait Observer: Sync {
    /// A stage begins.
    fn stage(&self, _name: &str) {}
    /// How far the stage is.
    fn progress(&self, _done: u64, _total: u64) {}
    /// Something that the user should read: a count, a warning.
    fn note(&self, _text: &str) {}
    /// Whether to stop: asked after every epoch of a training, which then ends with
    /// [`PipelineError::Cancelled`](crate::PipelineError::Cancelled); its checkpoints stay.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {}
