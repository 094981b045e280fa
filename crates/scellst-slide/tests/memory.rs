//! Memory is bounded by the cache however much is read, and pixels do not depend on the cache or on
//! threads. A process of its own, since it looks at the highest memory so far.
#![allow(clippy::print_stderr)]

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};

use scellst_slide::{OpenOptions, PyramidOptions, PyramidWriter, RgbImage, Slide};
use scellst_types::{LevelIndex, Size};

const SIDE: u32 = 6144;
const CACHE: usize = 8 << 20;
const THREADS: usize = 8;
const REGIONS: usize = 1000;
const REGION: u32 = 512;

/// Highest resident memory so far, MiB; Linux only.
fn peak_mib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib / 1024)
}

/// The corner of the i-th region: anywhere, also partly outside of the slide.
fn corner(i: usize) -> (i64, i64) {
    let at = |factor: u64| (i as u64).wrapping_mul(factor) >> 7;
    let inside = |n: u64| (n % u64::from(SIDE + 200)) as i64 - 200;
    (inside(at(2_654_435_761)), inside(at(2_246_822_519)))
}

fn hash(image: &RgbImage) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.as_raw().hash(&mut hasher);
    hasher.finish()
}

/// Hashes of all regions, read by so many threads.
fn read_all(slide: &Slide, threads: usize) -> Vec<u64> {
    let next = AtomicUsize::new(0);
    let read = || {
        let level = slide.level(LevelIndex(0)).unwrap();
        let mut found = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= REGIONS {
                return found;
            }
            let (x, y) = corner(i);
            let image = slide.read(&level.region(x, y, Size::new(REGION, REGION))).unwrap();
            found.push((i, hash(&image)));
        }
    };
    let mut all: Vec<(usize, u64)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        handles.into_iter().flat_map(|h| h.join().unwrap()).collect()
    });
    all.sort_unstable();
    all.into_iter().map(|(_, hash)| hash).collect()
}

#[test]
fn memory_is_bounded_by_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    let mut writer = PyramidWriter::create(&path, Size::new(SIDE, SIDE), &PyramidOptions::default()).unwrap();
    while let Some(rows) = writer.next_rows() {
        let band = RgbImage::from_fn(SIDE, rows.end - rows.start, |x, y| {
            let y = y + rows.start;
            image::Rgb([(x / 24) as u8, (y / 24) as u8, ((x / 8) ^ (y / 8)) as u8])
        });
        writer.push_rows(&band).unwrap();
    }
    writer.finish().unwrap();
    let Some(before) = peak_mib() else {
        eprintln!("skipped: no /proc/self/status");
        return;
    };
    let open = |cache_bytes| Slide::open_with(&path, &OpenOptions { cache_bytes, ..OpenOptions::default() }).unwrap();
    let by_many = read_all(&open(CACHE), THREADS);
    let after = peak_mib().unwrap();
    // The tiles that a region touches (9 at most, 192 KiB each) and the region itself, a thread; the cache; and what
    // the allocator keeps for every thread. All tiles together are 108 MiB.
    let bound = (CACHE >> 20) + THREADS * 2 + 8;
    eprintln!("peak {before} MiB before, {after} MiB after; {bound} MiB more allowed");
    assert!(after - before <= bound, "{before} -> {after} MiB, {bound} more allowed");

    // Neither who reads nor what is kept changes a pixel.
    assert!(by_many == read_all(&open(0), 1));
}
