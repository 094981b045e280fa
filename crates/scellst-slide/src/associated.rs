use scellst_types::Size;

/// An image in the file beside the pyramid (label, macro, thumbnail), read by
/// [`Slide::read_associated`](crate::Slide::read_associated).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociatedImage {
    /// `label`, `macro`, `thumbnail`, or where it is in the file: `page 5`. A second of the same name is
    /// called `macro 2`.
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

/// Gives every image a name of its own.
pub(crate) fn make_names_unique(images: &mut [AssociatedImage]) {
    for i in 1..images.len() {
        let taken = |images: &[AssociatedImage], name: &str| images[..i].iter().any(|image| image.name == name);
        let base = images[i].name.clone();
        let mut number = 2;
        while taken(images, &images[i].name) {
            images[i].name = format!("{base} {number}");
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut images = ["macro", "label", "macro", "macro 2", "macro"]
            .map(|name| AssociatedImage { name: name.to_owned(), size: Size::new(1, 1) });
        make_names_unique(&mut images);
        assert_eq!(images.map(|image| image.name), ["macro", "label", "macro 2", "macro 2 2", "macro 3"]);
    }
}
