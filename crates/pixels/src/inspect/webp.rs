//! The chunks of a WebP.

use super::Found;
use crate::{Error, exif};

/// Before the first chunk.
pub(crate) const HEADER_BYTES: usize = 12;

/// Names and bodies from a place on; ends early where they are broken.
pub(crate) fn chunks(source: &[u8], start: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut position = start;
    std::iter::from_fn(move || {
        let name = source.get(position..position + 4)?;
        let length = source.get(position + 4..position + 8)?;
        let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
        let start = position + 8;
        // The last chunk may be cut off; its beginning still has the size.
        let end = start.checked_add(length)?;
        let body = source.get(start..end.min(source.len()))?;
        position = end.checked_add(length % 2)?;
        Some((name, body))
    })
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let mut canvas = None;
    let mut picture = None;
    let mut frames = 0_u32;
    let mut animated = false;
    for (name, body) in chunks(source, HEADER_BYTES) {
        match name {
            b"VP8X" => {
                animated = body.first().is_some_and(|flags| flags & 2 != 0);
                canvas = u24_at(body, 4).zip(u24_at(body, 7));
            }
            b"ANMF" => frames = frames.saturating_add(1),
            b"VP8 " if picture.is_none() => picture = lossy_size(body),
            b"VP8L" if picture.is_none() => picture = lossless_size(body),
            _ => {}
        }
    }
    let (width, height) = match canvas {
        Some((width, height)) => (width + 1, height + 1),
        None => picture.ok_or_else(|| Error::corrupt("a WebP without a picture"))?,
    };
    let frames = match (animated, picture) {
        (true, _) => frames,
        (false, Some(_)) => 1,
        (false, None) => return Err(Error::corrupt("a WebP without a picture")),
    };
    Ok(Found {
        width,
        height,
        frames,
        orientation: exif(source).and_then(exif::orientation).unwrap_or(1),
        coded: None,
    })
}

/// The EXIF block: a TIFF structure.
pub(crate) fn exif(source: &[u8]) -> Option<&[u8]> {
    chunk(source, *b"EXIF").map(|body| body.strip_prefix(b"Exif\0\0").unwrap_or(body))
}

/// The packet of XMP.
pub(crate) fn xmp(source: &[u8]) -> Option<&[u8]> {
    chunk(source, *b"XMP ")
}

/// The colour profile.
pub(crate) fn icc(source: &[u8]) -> Option<&[u8]> {
    chunk(source, *b"ICCP")
}

fn chunk(source: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    chunks(source, HEADER_BYTES)
        .find(|(name, _)| *name == wanted.as_slice())
        .map(|(_, body)| body)
}

fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 3)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

/// A key frame's header: three bytes, the start code, then 14 bits of each side.
fn lossy_size(body: &[u8]) -> Option<(u32, u32)> {
    let header = body.get(..10)?;
    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    (header[3..6] == [0x9d, 0x01, 0x2a])
        .then(|| (side(header[6], header[7]), side(header[8], header[9])))
}

/// A signature, then 14 bits of each side less one.
fn lossless_size(body: &[u8]) -> Option<(u32, u32)> {
    let header = body.get(..5)?;
    let bits = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    (header[0] == 0x2f).then_some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
}

/// Whether the container and every chunk in it have all of their bytes.
pub(crate) fn is_whole(source: &[u8]) -> bool {
    let length = |at: usize| -> Option<usize> {
        let bytes = source.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let Some(end) = length(4).and_then(|length| length.checked_add(8)) else {
        return false;
    };
    let mut position = 12_usize;
    while position + 8 <= end.min(source.len()) {
        let Some(next) = length(position + 4).and_then(|length| position.checked_add(8 + length))
        else {
            return false;
        };
        if next > source.len() {
            return false;
        }
        position = next + next % 2;
    }
    true
}
