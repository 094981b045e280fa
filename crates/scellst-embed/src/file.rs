use std::io::Write;
use std::path::Path;

/// Writes a file whole or not at all: what was there stays until the new one is on the disk.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().inspect_err(|_| {
        // What cannot be removed was not made.
        let _ = std::fs::remove_file(&part);
    })
}
