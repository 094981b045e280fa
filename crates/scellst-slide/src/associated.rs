use scellst_types::Size;

/// An image in the file beside the pyramid (label, macro, thumbnail), read by
/// [`Slide::read_associated`](crate::Slide::read_associated).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociatedImage {
    /// `label`, `macro`, `thumbnail`, or where it is in the file: `page 5`.
    pub name: String,
    /// Width and height in its own pixels.
    pub size: Size,
}

impl AssociatedImage {
    /// Whether it cannot show a label: a thumbnail is made from the scan, while a macro picture shows
    /// the whole glass and an image without a name may show anything.
    pub(crate) fn is_free_of_label(&self) -> bool {
        self.name == "thumbnail"
    }
}
