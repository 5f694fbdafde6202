//! The segments before a JPEG's first scan.

use super::{Found, u16_at};
use crate::{Error, exif};

/// A marker and what follows it.
pub(crate) struct Segment<'a> {
    pub marker: u8,
    pub body: &'a [u8],
}

/// The segments up to the first scan; ends early where they are broken.
pub(crate) fn segments(source: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut position = 2;
    std::iter::from_fn(move || {
        // Any number of fill bytes may stand before a marker, and decoders skip stray bytes.
        while *source.get(position)? != 0xff {
            position += 1;
        }
        while *source.get(position)? == 0xff {
            position += 1;
        }
        let marker = source[position];
        position += 1;
        // Markers without a body; after the start of scan no segments follow that matter here.
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            return Some(Segment { marker, body: &[] });
        }
        if matches!(marker, 0xd9 | 0xda) {
            return None;
        }
        let length = usize::from(u16_at(source, position)?);
        let body = source.get(position + 2..position.checked_add(length)?)?;
        position += length;
        Some(Segment { marker, body })
    })
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let mut size = None;
    let mut orientation = 1;
    for Segment { marker, body } in segments(source) {
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && size.is_none() => {
                judge(marker, body)?;
                size = u16_at(body, 3).zip(u16_at(body, 1));
            }
            0xe1 => {
                if let Some(exif) = body.strip_prefix(b"Exif\0") {
                    let exif = exif.get(1..).unwrap_or_default();
                    orientation = exif::orientation(exif).unwrap_or(orientation);
                }
            }
            _ => {}
        }
    }
    let (width, height) = size.ok_or_else(|| Error::corrupt("a JPEG without a frame header"))?;
    Ok(Found {
        orientation,
        ..Found::still(width.into(), height.into())
    })
}

/// Refuses the kinds which no browser shows either, by the frame header (T.81, table B.1).
fn judge(marker: u8, body: &[u8]) -> Result<(), Error> {
    let unsupported = match (marker, body.first()) {
        (0xc3, _) => "lossless JPEG",
        (0xc9 | 0xca, _) => "arithmetic-coded JPEG",
        (0xcb, _) => "arithmetic-coded lossless JPEG",
        (0xc5..=0xc7 | 0xcd..=0xcf, _) => "hierarchical JPEG",
        (_, Some(12)) => "12-bit JPEG",
        _ => return Ok(()),
    };
    Err(Error::Unsupported(unsupported))
}

/// Whether an end of image follows the headers. The one of a thumbnail in the EXIF block is none.
pub(crate) fn is_whole(source: &[u8]) -> bool {
    let headers = segments(source).map(|segment| segment.body.len() + 2).sum();
    let scans: &[u8] = source.get(headers..).unwrap_or_default();
    scans.windows(2).rev().any(|pair| pair == [0xff, 0xd9])
}

/// The EXIF block: a TIFF structure.
pub(crate) fn exif(source: &[u8]) -> Option<&[u8]> {
    segments(source)
        .filter(|segment| segment.marker == 0xe1)
        .find_map(|segment| segment.body.strip_prefix(b"Exif\0")?.get(1..))
}

/// The name of segments with XMP.
pub(crate) const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// The packet of XMP.
pub(crate) fn xmp(source: &[u8]) -> Option<&[u8]> {
    segments(source)
        .filter(|segment| segment.marker == 0xe1)
        .find_map(|segment| segment.body.strip_prefix(XMP))
}

/// Resources in the manner of Photoshop.
pub(crate) fn photoshop(source: &[u8]) -> Option<&[u8]> {
    segments(source)
        .filter(|segment| segment.marker == 0xed)
        .find_map(|segment| segment.body.strip_prefix(b"Photoshop 3.0\0"))
}

/// The colour profile, put together from its parts.
pub(crate) fn icc(source: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<(u8, &[u8])> = segments(source)
        .filter(|segment| segment.marker == 0xe2)
        .filter_map(
            |segment| match segment.body.strip_prefix(b"ICC_PROFILE\0")? {
                [number, _, part @ ..] => Some((*number, part)),
                _ => None,
            },
        )
        .collect();
    parts.sort_by_key(|(number, _)| *number);
    let profile: Vec<u8> = parts
        .into_iter()
        .flat_map(|(_, part)| part.iter().copied())
        .collect();
    (!profile.is_empty()).then_some(profile)
}

/// Whether Adobe's marker is there: then CMYK is stored inverted.
pub(crate) fn is_adobe(source: &[u8]) -> bool {
    segments(source).any(|segment| segment.marker == 0xee && segment.body.starts_with(b"Adobe"))
}
