//! Which directories are the levels of the pyramid.

use scellst_types::Size;

use super::tags::Directory;
use crate::Format;

/// What a directory is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Level,
    /// A picture beside the pyramid, with its name.
    Associated(String),
    /// A mask, or another plane of a stack.
    Other,
}

/// The role of every directory; at least one is a level if any is an image at all.
///
/// Level 0 is the largest image that is neither a mask nor an associated image, one not marked as
/// reduced before one that is. Levels are those that have its shape, smaller and smaller.
pub(crate) fn roles(directories: &[Directory], sizes: &[Size], format: Format) -> Vec<Role> {
    let aperio = format == Format::AperioSvs;
    let mut roles: Vec<Role> = directories.iter().map(first_guess).collect();
    if aperio {
        for (i, directory) in directories.iter().enumerate().filter(|(_, d)| !d.has(322)) {
            if roles[i] == Role::Level {
                let second = i == 1 && similar(sizes[0], sizes[i]);
                roles[i] = Role::Associated(beside_aperio(directory, second));
            }
        }
    }
    let candidates = || (0..sizes.len()).filter(|&i| roles[i] == Role::Level);
    let reduced = |i: usize| directories[i].first(254).unwrap_or(0) & 1 != 0;
    // Of equals, the first.
    let largest = |a: &usize, b: &usize| sizes[*a].pixels().cmp(&sizes[*b].pixels()).then(b.cmp(a));
    let full = candidates().filter(|&i| !reduced(i)).max_by(largest);
    let Some(finest) = full.or_else(|| candidates().max_by(largest)) else { return roles };

    let mut order: Vec<usize> = candidates().filter(|&i| i != finest).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sizes[i].pixels()));
    let mut last = sizes[finest];
    for i in order {
        let size = sizes[i];
        let smaller = size.width <= last.width && size.height <= last.height && size != last;
        if size == last || size == sizes[finest] {
            roles[i] = Role::Other;
        } else if smaller && (same_shape(sizes[finest], size) || (aperio && similar(sizes[finest], size))) {
            last = size;
        } else {
            roles[i] = Role::Associated(name(&directories[i]));
        }
    }
    roles
}

/// What a directory says of itself.
fn first_guess(directory: &Directory) -> Role {
    const MASK: u64 = 4;
    if directory.first(254).unwrap_or(0) & MASK != 0 {
        return Role::Other;
    }
    let name = name(directory);
    if ["label", "macro", "thumbnail"].contains(&name.as_str()) {
        return Role::Associated(name);
    }
    Role::Level
}

/// What an Aperio slide has in strips, where no word says: its levels are tiled. `second`: it is the
/// second page and has the slide's shape, as a thumbnail has.
///
/// Of a GT450 the label and the macro picture have no description; their subfile types (tag 254) tell them
/// apart, as they do in older files.
fn beside_aperio(directory: &Directory, second: bool) -> String {
    match directory.first(254) {
        Some(1) => "label".to_owned(),
        Some(9) => "macro".to_owned(),
        _ if second => "thumbnail".to_owned(),
        _ => directory.name.clone(),
    }
}

/// `label`, `macro` or `thumbnail` where the description says so, else where it is in the file.
///
/// Aperio has the word at the start of the description's second line, others at its start.
fn name(directory: &Directory) -> String {
    let description = directory.text(270).unwrap_or_default().to_lowercase();
    let known = ["label", "macro", "thumbnail"]
        .into_iter()
        .find(|known| description.lines().take(2).any(|line| line.split_whitespace().next() == Some(known)));
    known.map_or_else(|| directory.name.clone(), str::to_owned)
}

/// Whether a smaller image can be the larger one shrunk, give or take a pixel of rounding a side.
pub(crate) fn same_shape(full: Size, small: Size) -> bool {
    let range = |full: u32, small: u32| {
        let (full, small) = (f64::from(full), f64::from(small));
        (full / (small + 1.0), if small > 1.0 { full / (small - 1.0) } else { f64::INFINITY })
    };
    let (x, y) = (range(full.width, small.width), range(full.height, small.height));
    x.0 <= y.1 && y.0 <= x.1
}

/// Whether two images are nearly as wide for their height, as Aperio's levels are whose sides were
/// rounded to something else than a pixel.
fn similar(full: Size, small: Size) -> bool {
    let ratio = |size: Size| f64::from(size.width) / f64::from(size.height);
    (ratio(small) / ratio(full) - 1.0).abs() < 0.02
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let full = Size::new(9274, 9911);
        for level in [(4637, 4955), (2318, 2477), (289, 309), (1, 1)] {
            assert!(same_shape(full, Size::new(level.0, level.1)));
        }
        assert!(!same_shape(Size::new(2220, 2967), Size::new(387, 463)));
        assert!(!same_shape(Size::new(2220, 2967), Size::new(1280, 431)));
    }
}
