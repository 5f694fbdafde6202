//! TIFF and `BigTIFF`: the entries of the first picture (TIFF 6.0, section 2).

use super::Found;
use crate::Error;

pub(crate) const PHOTOMETRIC: u16 = 262;
pub(crate) const COLOUR_MAP: u16 = 320;
pub(crate) const EXTRA_SAMPLES: u16 = 338;
pub(crate) const ICC: u16 = 34675;
const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const ORIENTATION: u16 = 274;

/// Entries of a directory; sound files have some dozens.
const ENTRIES_MAX: usize = 4_096;

/// The first directory of a file.
pub(crate) struct Directory<'a> {
    source: &'a [u8],
    little: bool,
    /// `BigTIFF`, whose numbers are wider.
    big: bool,
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    pub(crate) fn read(source: &'a [u8]) -> Option<Self> {
        let (little, big) = match source.get(..4)? {
            [b'I', b'I', 0x2a, 0] => (true, false),
            [b'M', b'M', 0, 0x2a] => (false, false),
            [b'I', b'I', 0x2b, 0] => (true, true),
            [b'M', b'M', 0, 0x2b] => (false, true),
            _ => return None,
        };
        let mut directory = Self {
            source,
            little,
            big,
            entries: &[],
        };
        let (at, size) = if big { (8, 8) } else { (4, 4) };
        let start = usize::try_from(directory.uint(at, size)?).ok()?;
        let size = if big { 8 } else { 2 };
        let count = usize::try_from(directory.uint(start, size)?).ok()?;
        let rest = source.get(start.checked_add(size)?..)?;
        let count = count.min(rest.len() / directory.step());
        if count > ENTRIES_MAX {
            return None;
        }
        directory.entries = &rest[..count * directory.step()];
        Some(directory)
    }

    /// Bytes of one entry.
    fn step(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// A number of `size` bytes, at most 8.
    fn uint(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.source.get(at..at.checked_add(size)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    }

    /// Where the entries are.
    fn entries(&self) -> impl Iterator<Item = usize> {
        let first = self.entries.as_ptr().addr() - self.source.as_ptr().addr();
        let count = self.entries.len() / self.step();
        (0..count).map(move |index| first + index * self.step())
    }

    /// Whether none of these entries claims more than so many values.
    pub(crate) fn has_at_most(&self, most: u64, tags: &[u16]) -> bool {
        let count_bytes = if self.big { 8 } else { 4 };
        self.entries().all(|at| {
            let named = tags
                .iter()
                .any(|tag| self.uint(at, 2) == Some((*tag).into()));
            !named
                || self
                    .uint(at + 4, count_bytes)
                    .is_some_and(|count| count <= most)
        })
    }

    /// Where the values of an entry are, how many there are, and how many bytes each has.
    fn place(&self, tag: u16) -> Option<(usize, usize, usize)> {
        let at = self
            .entries()
            .find(|at| self.uint(*at, 2) == Some(tag.into()))?;
        let size = match self.uint(at + 2, 2)? {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            _ => return None,
        };
        let wide = if self.big { 8 } else { 4 };
        let count = usize::try_from(self.uint(at + 4, wide)?).ok()?;
        let inside = at + 4 + wide;
        let start = if count.checked_mul(size)? <= wide {
            inside
        } else {
            usize::try_from(self.uint(inside, wide)?).ok()?
        };
        Some((start, count, size))
    }

    /// The bytes of an entry.
    pub(crate) fn bytes(&self, tag: u16) -> Option<&'a [u8]> {
        let (start, count, size) = self.place(tag)?;
        self.source
            .get(start..start.checked_add(count.checked_mul(size)?)?)
    }

    /// The first number of an entry.
    pub(crate) fn number(&self, tag: u16) -> Option<u64> {
        let (start, count, size) = self.place(tag)?;
        (count > 0).then(|| self.uint(start, size)).flatten()
    }

    /// Numbers of 16 bits.
    pub(crate) fn words(&self, tag: u16) -> Option<Vec<u16>> {
        let (start, _, size) = self.place(tag)?;
        let bytes = self.bytes(tag).filter(|_| size == 2)?;
        (0..bytes.len() / 2)
            .map(|index| self.uint(start + index * 2, 2).map(|word| word as u16))
            .collect()
    }

    /// The file with another small number in an entry of 16 bits.
    pub(crate) fn with(&self, tag: u16, number: u8) -> Option<Vec<u8>> {
        let (start, _, size) = self.place(tag)?;
        let mut changed = self.source.to_vec();
        let value = changed.get_mut(start..start.checked_add(size)?)?;
        value.fill(0);
        let lowest = if self.little { 0 } else { size - 1 };
        *value.get_mut(lowest)? = number;
        Some(changed)
    }
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    read(source).ok_or_else(|| Error::corrupt("it does not say its size"))
}

fn read(source: &[u8]) -> Option<Found> {
    let directory = Directory::read(source)?;
    let side = |tag| u32::try_from(directory.number(tag)?).ok();
    let mut found = Found::still(side(WIDTH)?, side(HEIGHT)?);
    if let Some(orientation @ 1..=8) = directory.number(ORIENTATION) {
        found.orientation = orientation as u8;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of 32-bit numbers.
    fn file(little: bool, big: bool, entries: &[(u16, u32)]) -> Vec<u8> {
        let number = |value: u64, size: usize| -> Vec<u8> {
            if little {
                value.to_le_bytes()[..size].to_vec()
            } else {
                value.to_be_bytes()[8 - size..].to_vec()
            }
        };
        let mut file = if little {
            b"II".to_vec()
        } else {
            b"MM".to_vec()
        };
        file.extend(number(if big { 43 } else { 42 }, 2));
        if big {
            file.extend([number(8, 2), number(0, 2), number(16, 8)].concat());
        } else {
            file.extend(number(8, 4));
        }
        file.extend(number(entries.len() as u64, if big { 8 } else { 2 }));
        for (tag, value) in entries {
            let wide = if big { 8 } else { 4 };
            file.extend([number((*tag).into(), 2), number(4, 2), number(1, wide)].concat());
            let mut value = number((*value).into(), 4);
            value.resize(wide, 0);
            file.extend(value);
        }
        file
    }

    #[test]
    fn both_byte_orders_and_widths_are_read() {
        for (little, big) in [(true, false), (false, false), (true, true), (false, true)] {
            let file = file(
                little,
                big,
                &[(WIDTH, 70_000), (HEIGHT, 3), (ORIENTATION, 6)],
            );
            let found = find(&file).ok().unwrap();
            let found = (found.width, found.height, found.orientation);
            assert_eq!(found, (70_000, 3, 6), "{little} {big}");
            for length in 0..file.len() {
                // Half an entry is none, so that the size may be there already.
                let _ = find(&file[..length]);
            }
            let changed = Directory::read(&file).unwrap().with(HEIGHT, 9).unwrap();
            assert_eq!(find(&changed).ok().map(|found| found.height), Some(9));
        }
    }

    #[test]
    fn addresses_out_of_the_file_lead_nowhere() {
        let mut file = file(true, false, &[(WIDTH, 1), (HEIGHT, 1), (ICC, 5)]);
        let end = file.len();
        // 4 numbers of 4 bytes no longer fit into the entry, so that 5 is their address.
        file[end - 8] = 4;
        assert_eq!(
            Directory::read(&file).unwrap().bytes(ICC).map(<[u8]>::len),
            Some(16)
        );
        file[end - 5] = 0xff;
        assert_eq!(Directory::read(&file).unwrap().bytes(ICC), None);
        file[4..8].fill(0xff);
        assert!(find(&file).is_err());
    }
}
