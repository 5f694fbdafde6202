//! The boxes of AVIF and HEIC: which of the two it is, and the size of the primary picture.

use model::MediaType;

use super::{Found, u16_at, u32_at};
use crate::Error;

/// Boxes lie in boxes; deeper than this nothing is looked for.
const PROPERTIES_MAX: usize = 1_000;

/// The format by the brands in the `ftyp` box.
pub(super) fn recognise(source: &[u8]) -> Result<MediaType, Error> {
    let length = u32_at(source, 0).unwrap_or_default() as usize;
    let file_type = source.get(8..length.min(source.len())).unwrap_or_default();
    let brands = || {
        file_type
            .chunks_exact(4)
            .enumerate()
            .filter(|(index, _)| *index != 1)
            .map(|(_, brand)| brand)
    };
    let has = |wanted: &[&[u8; 4]]| brands().any(|brand| wanted.iter().any(|w| brand == *w));
    if has(&[b"avif", b"avis"]) {
        Ok(MediaType::Avif)
    } else if has(&[
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2",
    ]) {
        Ok(MediaType::Heic)
    } else {
        Err(Error::NotAnImage)
    }
}

/// The size of the primary item as displayed: `ispe`, cut by `clap` and turned by `irot`. A sequence without a
/// primary item is measured by its track.
pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    primary(source)
        .or_else(|| track(source))
        .ok_or_else(|| Error::corrupt("it does not say its size"))
}

fn primary(source: &[u8]) -> Option<Found> {
    // `meta` and `ipma` begin with a version and flags.
    let meta = child(source, *b"meta")?.get(4..)?;
    let item = {
        let body = child(meta, *b"pitm")?;
        match body.first()? {
            0 => u32::from(u16_at(body, 4)?),
            _ => u32_at(body, 4)?,
        }
    };
    let properties = child(meta, *b"iprp")?;
    let declared: Vec<(&[u8], &[u8])> = boxes(child(properties, *b"ipco")?)
        .take(PROPERTIES_MAX)
        .collect();
    let mut size = None;
    let mut clean = None;
    let mut quarter_turns = 0;
    let associations = boxes(properties).filter(|(name, _)| *name == b"ipma");
    for index in associations.flat_map(|(_, body)| associated(body, item)) {
        match index.checked_sub(1).and_then(|index| declared.get(index)) {
            Some((b"ispe", body)) => size = u32_at(body, 4).zip(u32_at(body, 8)),
            // What is shown of a picture whose sides had to be multiples of something.
            Some((b"clap", body)) => {
                clean = fraction_at(body, 0).zip(fraction_at(body, 8)).or(clean);
            }
            Some((b"irot", body)) => quarter_turns = body.first().copied().unwrap_or_default() & 3,
            _ => {}
        }
    }
    let (width, height) = size?;
    let (width, height) = match clean {
        Some((clean_width, clean_height)) if clean_width <= width && clean_height <= height => {
            (clean_width, clean_height)
        }
        _ => (width, height),
    };
    Some(if quarter_turns % 2 == 1 {
        Found::still(height, width)
    } else {
        Found::still(width, height)
    })
}

/// A numerator and a denominator, rounded down.
fn fraction_at(bytes: &[u8], at: usize) -> Option<u32> {
    u32_at(bytes, at)?.checked_div(u32_at(bytes, at + 4)?)
}

/// The properties of one item, as numbers from 1.
fn associated(body: &[u8], wanted: u32) -> Vec<usize> {
    let mut found = Vec::new();
    let mut read = || -> Option<()> {
        let (version, wide) = (*body.first()?, *body.get(3)? & 1 == 1);
        let count = u32_at(body, 4)?;
        let mut at = 8;
        for _ in 0..count {
            let item = if version == 0 {
                at += 2;
                u32::from(u16_at(body, at - 2)?)
            } else {
                at += 4;
                u32_at(body, at - 4)?
            };
            let properties = *body.get(at)?;
            at += 1;
            for _ in 0..properties {
                let index = if wide {
                    at += 2;
                    usize::from(u16_at(body, at - 2)? & 0x7fff)
                } else {
                    at += 1;
                    usize::from(*body.get(at - 1)? & 0x7f)
                };
                if item == wanted {
                    found.push(index);
                }
            }
        }
        Some(())
    };
    // A broken list still has its beginning.
    let _ = read();
    found
}

fn track(source: &[u8]) -> Option<Found> {
    let header = child(child(child(source, *b"moov")?, *b"trak")?, *b"tkhd")?;
    // Width and height are the last two numbers, with 16 bits after the point.
    let at = header.len().checked_sub(8)?;
    Some(Found::still(
        u32_at(header, at)? >> 16,
        u32_at(header, at + 4)? >> 16,
    ))
}

fn child(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes)
        .find(|(name, _)| *name == wanted.as_slice())
        .map(|(_, body)| body)
}

/// Names and bodies; ends early where they are broken.
fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut position = 0_usize;
    std::iter::from_fn(move || {
        let length = u32_at(bytes, position)?;
        let name = bytes.get(position + 4..position + 8)?;
        let (start, length) = match length {
            0 => (position + 8, bytes.len() - position),
            1 => {
                let high = u32_at(bytes, position + 8)?;
                let low = u32_at(bytes, position + 12)?;
                let length = usize::try_from(u64::from(high) << 32 | u64::from(low)).ok()?;
                (position + 16, length)
            }
            length => (position + 8, length as usize),
        };
        let end = position.checked_add(length)?;
        let body = bytes.get(start..end)?;
        position = end;
        Some((name, body))
    })
}
