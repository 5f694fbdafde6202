//! BMP: the size and the profile, in the headers of every version.

use super::Found;
use crate::Error;

/// Little-endian numbers at a place which may not exist.
pub(crate) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

/// See [`u16_le`].
pub(crate) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What the header is called `BITMAPCOREHEADER` for.
const CORE_BYTES: u32 = 12;
/// `BITMAPV5HEADER`
const V5_BYTES: u32 = 124;

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    size(source)
        .map(|(width, height)| Found::still(width, height))
        .ok_or_else(|| Error::corrupt("it does not say its size"))
}

fn size(source: &[u8]) -> Option<(u32, u32)> {
    let header = source.get(14..)?;
    if u32_le(header, 0)? == CORE_BYTES {
        return Some((u16_le(header, 4)?.into(), u16_le(header, 6)?.into()));
    }
    // A negative height means that the first row comes first.
    let height = u32_le(header, 8)?.cast_signed().unsigned_abs();
    Some((u32_le(header, 4)?, height))
}

/// The profile in the file. One that is only named is never looked for.
pub(crate) fn icc(source: &[u8]) -> Option<&[u8]> {
    let header = source.get(14..)?;
    if u32_le(header, 0)? != V5_BYTES || header.get(56..60)? != b"DEBM" {
        return None;
    }
    let (start, length) = (u32_le(header, 112)? as usize, u32_le(header, 116)? as usize);
    header.get(start..start.checked_add(length)?)
}
