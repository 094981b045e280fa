//! Compressions that give back bytes and know nothing of pixels.

use std::io::Read;

use crate::Compression;

/// The most that a byte of deflate can become: 258 bytes for two bits, and room for rounding.
pub(crate) const DEFLATE_MOST: u64 = 1040;
/// The most that a byte of LZW can become: a string as long as there are codes, for a code of 9 to 12 bits.
const LZW_MOST: u64 = 3640;
/// The most that a byte of Zstandard can become: a block of 128 KiB from four bytes.
const ZSTD_MOST: u64 = 1 << 15;
/// The most that a byte of PackBits can become: 128 for two.
const PACK_BITS_MOST: u64 = 64;

/// The most bytes that a byte can become; so that nothing is allocated for what there is no data for.
pub(super) fn most(compression: Compression) -> u64 {
    match compression {
        Compression::Deflate => DEFLATE_MOST,
        Compression::Lzw => LZW_MOST,
        Compression::Zstd => ZSTD_MOST,
        Compression::PackBits => PACK_BITS_MOST,
        // Not packed, or not by one of these.
        _ => 1,
    }
}

/// Unpacks until the buffer is full or the data ends; how much was written.
pub(super) fn unpack(compression: Compression, bytes: &mut [u8], out: &mut [u8]) -> Result<usize, String> {
    match compression {
        Compression::Deflate => deflate(bytes, out),
        Compression::Lzw => lzw(bytes, out),
        Compression::Zstd => zstd(bytes, out),
        Compression::PackBits => Ok(pack_bits(bytes, out)),
        other => Err(format!("{other} data")),
    }
}

/// A zlib stream. Its checksum is looked at where it ends with the buffer.
fn deflate(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut decoder = fdeflate::Decompressor::new();
    let (_, written) = decoder.read(bytes, out, 0, true).map_err(|e| format!("{e:?}"))?;
    Ok(written)
}

/// TIFF's LZW: most significant bit first, code size switched one code early.
fn lzw(bytes: &[u8], out: &mut [u8]) -> Result<usize, String> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < out.len() {
        let step = decoder.decode_bytes(&bytes[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status.map_err(|e| e.to_string())? {
            weezl::LzwStatus::Ok if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    Ok(written)
}

/// The first frame.
fn zstd(bytes: &mut [u8], out: &mut [u8]) -> Result<usize, String> {
    shrink_window(bytes, out.len() as u64);
    let window = window_for(out.len() as u64).1;
    let mut decoder =
        ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&*bytes, window).map_err(|e| e.to_string())?;
    let mut written = 0;
    while written < out.len() {
        match decoder.read(&mut out[written..]).map_err(|e| e.to_string())? {
            0 => break,
            more => written += more,
        }
    }
    Ok(written)
}

/// The descriptor (RFC 8878, 3.1.1.1.2) of the smallest window of at least `len` bytes, and its size.
fn window_for(len: u64) -> (u8, u64) {
    let log = len.max(1 << 10).next_power_of_two().ilog2();
    ((log as u8 - 10) << 3, 1 << log)
}

/// Makes the window of a frame no larger than what is wanted of its content.
///
/// Writers that do not know the length in advance ask for up to 128 MiB of window, and the decoder takes
/// as much. The first `wanted` bytes can refer to nothing further back.
fn shrink_window(frame: &mut [u8], wanted: u64) {
    const SINGLE_SEGMENT: u8 = 0x20;
    if let [0x28, 0xb5, 0x2f, 0xfd, descriptor, window, ..] = frame
        && *descriptor & SINGLE_SEGMENT == 0
    {
        let most = window_for(wanted).0;
        if *window > most {
            *window = most;
        }
    }
}

/// A count, then as many bytes, or one that is repeated (TIFF 6.0, section 9).
pub(crate) fn pack_bits(bytes: &[u8], out: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while written < out.len()
        && let [count, rest @ ..] = &bytes[read..]
    {
        let left = out.len() - written;
        let n = match *count {
            128 => {
                read += 1;
                continue;
            }
            count @ 0..128 => {
                let n = (usize::from(count) + 1).min(rest.len()).min(left);
                out[written..written + n].copy_from_slice(&rest[..n]);
                read += 1 + n;
                n
            }
            count => {
                let Some(&value) = rest.first() else { break };
                let n = (257 - usize::from(count)).min(left);
                out[written..written + n].fill(value);
                read += 2;
                n
            }
        };
        written += n;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lzw_stops_where_it_should() {
        let data: Vec<u8> = (0..4000_u32).map(|i| (i * i % 251) as u8).collect();
        let packed = weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&data).unwrap();
        let mut out = vec![0; 4000];
        assert_eq!(lzw(&packed, &mut out), Ok(4000));
        assert_eq!(out, data);
        assert_eq!(lzw(&packed, &mut out[..100]), Ok(100));
        assert!(lzw(&packed[..50], &mut out).unwrap() < 4000);
        assert_eq!(lzw(&[], &mut out), Ok(0));
    }

    /// The example of Apple's technical note 1023, which TIFF 6.0 refers to, and its ends.
    #[test]
    fn pack_bits_example() {
        let packed = [0xfe, 0xaa, 0x02, 0x80, 0x00, 0x2a, 0xfd, 0xaa, 0x03, 0x80, 0x00, 0x2a, 0x22, 0xf7, 0xaa];
        let expected = [
            0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0xaa, 0xaa, 0xaa, 0xaa, 0x80, 0x00, 0x2a, 0x22, 0xaa, 0xaa, 0xaa, 0xaa,
            0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
        ];
        let mut out = [0; 24];
        assert_eq!(pack_bits(&packed, &mut out), 24);
        assert_eq!(out, expected);
        assert_eq!(pack_bits(&packed, &mut out[..5]), 5);
        // 128 means nothing; a count without its byte ends the data.
        assert_eq!(pack_bits(&[128, 0, 7, 200], &mut out), 1);
        assert_eq!(pack_bits(&[5, 1, 2], &mut out), 2);
    }

    #[test]
    fn windows_are_as_large_as_needed() {
        assert_eq!(window_for(1), (0, 1 << 10));
        assert_eq!(window_for(1 << 20), (10 << 3, 1 << 20));
        assert_eq!(window_for((1 << 20) + 1), (11 << 3, 1 << 21));
        let mut frame = [0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3, 0];
        shrink_window(&mut frame, 1 << 20);
        assert_eq!(frame[5], 10 << 3);
        // A single segment has no window, but a length in its place.
        let mut frame = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0xff, 0];
        shrink_window(&mut frame, 16);
        assert_eq!(frame[5], 0xff);
    }
}
