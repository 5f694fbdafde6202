//! JPEG XL: size and orientation from the head of the codestream (ISO/IEC 18181-1, annex D).

use super::Found;
use crate::Error;
use crate::heif::child;

/// Width to height, where the width is not written out (table D.2).
const RATIOS: [(u64, u64); 7] = [(1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)];

/// The codestream, which may lie in a box, or in parts of which the first is enough here.
fn codestream(source: &[u8]) -> Option<&[u8]> {
    if source.starts_with(&[0xff, 0x0a]) {
        return Some(source);
    }
    let part = || child(source, *b"jxlp")?.get(4..);
    child(source, *b"jxlc").or_else(part)
}

/// Only the first picture of an animation counts.
pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    codestream(source)
        .and_then(read)
        .ok_or_else(|| Error::corrupt("it does not say its size"))
}

fn read(codestream: &[u8]) -> Option<Found> {
    let mut bits = Bits {
        bytes: codestream.strip_prefix(&[0xff, 0x0a])?,
        at: 0,
    };
    let small = bits.read(1)? == 1;
    let height = side(&mut bits, small)?;
    let ratio = bits.read(3)?;
    let width = if let Some(place) = ratio.checked_sub(1) {
        let (across, down) = RATIOS.get(place as usize)?;
        u32::try_from(u64::from(height) * across / down).ok()?
    } else {
        side(&mut bits, small)?
    };
    let mut found = Found::still(width, height);
    // Not all as usual, and more than colours is unusual.
    if bits.read(1)? == 0 && bits.read(1)? == 1 {
        found.orientation = bits.read(3)? as u8 + 1;
    }
    Some(found)
}

fn side(bits: &mut Bits<'_>, small: bool) -> Option<u32> {
    if small {
        return Some((bits.read(5)? + 1) * 8);
    }
    let count = [9, 13, 18, 30][bits.read(2)? as usize & 3];
    Some(bits.read(count)? + 1)
}

/// Bits from the lowest on.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut number = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            number |= u32::from(byte >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Puts numbers of so many bits one after another.
    fn codestream_of(fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bits = Vec::new();
        for (number, count) in fields {
            bits.extend((0..*count).map(|place| (number >> place & 1) as u8));
        }
        let mut bytes = vec![0xff, 0x0a];
        bytes.extend(bits.chunks(8).map(|byte| {
            byte.iter()
                .enumerate()
                .fold(0, |sum, (place, bit)| sum | bit << place)
        }));
        bytes
    }

    fn seen(fields: &[(u32, u32)]) -> (u32, u32, u8) {
        let found = find(&codestream_of(fields)).ok().unwrap();
        (found.width, found.height, found.orientation)
    }

    #[test]
    fn sizes_are_read_in_every_spelling() {
        let all_default = (1, 1);
        // Eights, and a square.
        assert_eq!(seen(&[(1, 1), (3, 5), (1, 3), all_default]), (32, 32, 1));
        // Nine bits a side.
        let plain = [(0, 1), (0, 2), (299, 9), (0, 3), (0, 2), (399, 9)];
        assert_eq!(seen(&[&plain[..], &[all_default]].concat()), (400, 300, 1));
        // Sixteen to nine, turned as EXIF calls 6.
        let wide = [(0, 1), (1, 2), (1079, 13), (5, 3), (0, 1), (1, 1), (5, 3)];
        assert_eq!(seen(&wide), (1920, 1080, 6));
    }

    #[test]
    fn boxes_around_the_codestream_are_opened() {
        let codestream = codestream_of(&[(1, 1), (3, 5), (1, 3), (1, 1)]);
        for (name, before) in [(b"jxlc", &[][..]), (b"jxlp", &[0, 0, 0, 0][..])] {
            let body = [before, &codestream].concat();
            let mut file = vec![0, 0, 0, 12];
            file.extend(b"JXL \r\n\x87\n");
            file.extend((body.len() as u32 + 8).to_be_bytes());
            file.extend(name);
            file.extend(&body);
            assert_eq!(find(&file).ok().map(|found| found.width), Some(32));
            assert!(find(&file[..file.len() - 2]).is_err());
        }
    }
}
