//! The chunks of a PNG.

use super::{Found, u32_at};
use crate::{Error, exif};

/// Names and bodies; ends early where they are broken.
fn chunks(source: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut position = 8;
    std::iter::from_fn(move || {
        let length = u32_at(source, position)? as usize;
        let name = source.get(position + 4..position + 8)?;
        let start = position + 8;
        let body = source.get(start..start.checked_add(length)?)?;
        position = start + length + 4;
        Some((name, body))
    })
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let Some((b"IHDR", header)) = chunks(source).next() else {
        return Err(Error::corrupt("a PNG without a header"));
    };
    let size = u32_at(header, 0).zip(u32_at(header, 4));
    let (width, height) = size.ok_or_else(|| Error::corrupt("the header of the PNG is short"))?;
    Ok(Found {
        orientation: exif(source).and_then(exif::orientation).unwrap_or(1),
        ..Found::still(width, height)
    })
}

/// [`find`], with the frames of APNG: as many as are promised, if they are there. Promises after the
/// picture do not count.
pub(super) fn find_animation(source: &[u8]) -> Result<Found, Error> {
    let mut promised = 0;
    let mut found = 0_u32;
    for (name, body) in chunks(source) {
        match name {
            b"acTL" if promised == 0 => promised = u32_at(body, 0).unwrap_or_default(),
            b"IDAT" if promised == 0 => break,
            b"fcTL" => found = found.saturating_add(1),
            _ => {}
        }
    }
    Ok(Found {
        frames: promised.min(found).max(1),
        ..find(source)?
    })
}

/// The EXIF block: a TIFF structure.
pub(crate) fn exif(source: &[u8]) -> Option<&[u8]> {
    chunks(source)
        .find(|(name, _)| *name == b"eXIf")
        .map(|(_, body)| body.strip_prefix(b"Exif\0\0").unwrap_or(body))
}

/// The packet of XMP, if it is not compressed, which it should not be.
pub(crate) fn xmp(source: &[u8]) -> Option<&[u8]> {
    chunks(source)
        .filter(|(name, _)| *name == b"iTXt")
        // Flag and method of compression, then a language and a translation, both empty.
        .find_map(|(_, body)| body.strip_prefix(b"XML:com.adobe.xmp\0\0\0\0\0"))
}

/// Whether every chunk up to the last is there. Frames of APNG beyond the first are not decoded, and
/// a file which breaks off in them is broken all the same.
pub(crate) fn is_whole(source: &[u8]) -> bool {
    chunks(source).any(|(name, _)| name == b"IEND")
}
