//! The boxes of AVIF and HEIC: which of the two it is, and the size of the primary picture.

use model::MediaType;

use super::{Found, u32_at};
use crate::Error;
use crate::heif::{Display, Heif, Sequence, child};

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

/// The size of the pictures of a sequence, or of the primary item, cut by `clap`, and how they are
/// turned. What is neither is measured by its track.
pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    sequence(source)
        .or_else(|| primary(source))
        .or_else(|| track(source))
        .ok_or_else(|| Error::corrupt("it does not say its size"))
}

fn primary(source: &[u8]) -> Option<Found> {
    let heif = Heif::read(source)?;
    let (width, height) = heif.size(heif.primary)?;
    Some(shown((width, height), heif.display(heif.primary), 1))
}

fn sequence(source: &[u8]) -> Option<Found> {
    let track = Sequence::read(source)?.colour;
    let display = Display::of(track.size(), track.properties());
    Some(shown(track.size(), display, track.samples()))
}

fn shown(coded: (u32, u32), display: Display, frames: u32) -> Found {
    let (width, height) = match display.cut {
        Some(cut) => (cut.width, cut.height),
        None => coded,
    };
    Found {
        coded: Some(coded),
        width,
        height,
        frames,
        orientation: display.orientation,
    }
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
