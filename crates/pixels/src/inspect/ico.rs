//! ICO and CUR: a list of pictures, each a PNG or the inside of a BMP.

use super::{Found, png};
use crate::Error;
use crate::inspect::bmp::u16_le;
use crate::inspect::bmp::u32_le;

/// One picture of the list.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Its line of the list.
    pub line: &'a [u8],
    /// What the line points to.
    pub body: &'a [u8],
}

impl Entry<'_> {
    pub(crate) fn is_png(&self) -> bool {
        self.body.starts_with(b"\x89PNG\r\n\x1a\n")
    }

    /// Pixels as the list has them; 0 stands for 256.
    fn listed_area(&self) -> u32 {
        let side = |index: usize| match self.line.get(index) {
            None | Some(0) => 256,
            Some(side) => u32::from(*side),
        };
        side(0) * side(1)
    }

    fn size(&self) -> Option<(u32, u32)> {
        if self.is_png() {
            let found = png::find(self.body).ok()?;
            return Some((found.width, found.height));
        }
        // The height counts the mask below the picture.
        let (width, height) = (u32_le(self.body, 4)?, u32_le(self.body, 8)?);
        Some((width, height / 2))
    }
}

/// The largest picture, and of equal ones that with the most colours. Those which point out of the
/// file do not count.
pub(crate) fn largest(source: &[u8]) -> Option<Entry<'_>> {
    let count = usize::from(u16_le(source, 4)?);
    let icon = u16_le(source, 2)? == 1;
    let entries = (0..count).filter_map(|index| {
        let line = source.get(6 + index * 16..)?.get(..16)?;
        let (length, start) = (u32_le(line, 8)? as usize, u32_le(line, 12)? as usize);
        let body = source.get(start..start.checked_add(length)?)?;
        Some(Entry { line, body })
    });
    // The depth of a cursor is not listed; its place has something else.
    let depth = |entry: &Entry<'_>| if icon { u16_le(entry.line, 6) } else { None };
    entries.max_by_key(|entry| (entry.listed_area(), depth(entry)))
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let size = largest(source).and_then(|entry| entry.size());
    let (width, height) = size.ok_or_else(|| Error::corrupt("no picture"))?;
    Ok(Found::still(width, height))
}
