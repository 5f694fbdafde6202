//! Bytes to a font.

use std::borrow::Cow;

use crate::Error;

/// Inter, under the SIL Open Font License 1.1: Latin, Greek and Cyrillic.
pub(super) const BUILT_IN: &[u8] = include_bytes!("../../fonts/Inter-Regular.otf");

/// Bytes of a font, packed or not.
const BYTES_MAX: usize = 64_000_000;

/// A font of OpenType (or the first of a collection) from one of any kind, or the one which is built
/// in: WOFF and WOFF2 are unpacked.
pub(super) fn unpacked(font: Option<&[u8]>) -> Result<Cow<'_, [u8]>, Error> {
    let bytes = font.unwrap_or(BUILT_IN);
    let unpacked = match bytes.get(..4) {
        Some(b"wOFF") if unpacked_bytes(bytes).is_some_and(|bytes| bytes <= BYTES_MAX) => {
            wuff::decompress_woff1(bytes)
        }
        Some(b"wOF2") => wuff::decompress_woff2(bytes),
        Some(b"wOFF") => return Err(Error::Font),
        _ => return Ok(Cow::Borrowed(bytes)),
    };
    unpacked.map(Cow::Owned).map_err(|_| Error::Font)
}

/// Bytes of all tables of a WOFF file, as its directory says (WOFF 1.0, sections 3 and 4): its
/// unpacker allocates them on that word.
fn unpacked_bytes(woff: &[u8]) -> Option<usize> {
    let number = |at: usize| {
        let bytes = woff.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    let tables = number(12)? >> 16;
    (0..tables).try_fold(0_usize, |sum, table| {
        sum.checked_add(number(44 + table * 20 + 12)?)
    })
}
