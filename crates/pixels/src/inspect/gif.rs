//! The blocks of a GIF, without unpacking any.

use super::Found;
use crate::Error;

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let u16_at = |at: usize| -> Option<u32> {
        let bytes = source.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(bytes.try_into().ok()?).into())
    };
    let colours = |flags: u8| match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    };
    let header = || Some((u16_at(6)?, u16_at(8)?, *source.get(10)?));
    let (mut width, mut height, flags) =
        header().ok_or_else(|| Error::corrupt("the header of the GIF is short"))?;
    let mut position = 13 + colours(flags);
    let mut frames = 0_u32;
    // A GIF which breaks off has the frames up to there.
    while let Some(introducer) = source.get(position) {
        position += match introducer {
            // An image: place, size, flags, own palette, code size.
            0x2c => {
                let flags = source.get(position + 9).copied().unwrap_or_default();
                // Decoders take a screen without size to be as large as the first image.
                if frames == 0 && (width == 0 || height == 0) {
                    width = u16_at(position + 5).unwrap_or_default();
                    height = u16_at(position + 7).unwrap_or_default();
                }
                frames = frames.saturating_add(1);
                10 + colours(flags) + 1
            }
            0x21 => 2,
            0x3b => break,
            // Bytes between blocks are padding in the wild.
            _ => {
                position += 1;
                continue;
            }
        };
        // Sub-blocks, ended by an empty one.
        while let Some(length) = source.get(position) {
            position += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
    Ok(Found {
        frames,
        ..Found::still(width, height)
    })
}
