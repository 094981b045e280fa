use crate::random::Stream;

/// Of each crop of a section the crops near it, one of which may give the other view: see
/// [`MocoConfig::neighbours`](super::MocoConfig::neighbours).
///
/// ```
/// use scellst_embed::Neighbours;
///
/// // Three crops in a row, and a fourth far away.
/// let near = Neighbours::new([&[1][..], &[0, 2], &[1], &[]]);
/// assert_eq!((near.crops(), near.of(1)), (4, &[0, 2][..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    /// Where each crop's begin, and the end of the last's.
    starts: Vec<usize>,
    near: Vec<u32>,
}

impl Neighbours {
    /// From those near each crop, by their places in the section.
    pub fn new<T: AsRef<[u32]>>(near: impl IntoIterator<Item = T>) -> Self {
        let mut new = Self { starts: vec![0], near: Vec::new() };
        for of_one in near {
            new.near.extend_from_slice(of_one.as_ref());
            new.starts.push(new.near.len());
        }
        new
    }

    /// Number of crops.
    pub fn crops(&self) -> usize {
        self.starts.len() - 1
    }

    /// Those near a crop; none near one that is not there.
    pub fn of(&self, crop: usize) -> &[u32] {
        match self.starts.get(crop..crop.saturating_add(2)) {
            Some(&[start, end]) => &self.near[start..end],
            _ => &[],
        }
    }

    /// The first that is no crop's place.
    pub(super) fn astray(&self) -> Option<u32> {
        self.near.iter().copied().find(|&n| n as usize >= self.crops())
    }

    /// One of those near a crop, or itself if there is none.
    pub(super) fn draw(&self, crop: usize, random: &mut Stream) -> usize {
        let near = self.of(crop);
        near.get(random.below(near.len())).map_or(crop, |&n| n as usize)
    }
}
