//! Profiles, put into files which were written without.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Target;
use crate::Error;
use crate::colour::Gamut;

/// The file with the profile of its space. Only where it has one, and AVIF says it in its own way.
pub(crate) fn tagged(bytes: Vec<u8>, target: Target, gamut: Gamut) -> Result<Vec<u8>, Error> {
    let Some(icc) = gamut.icc() else {
        return Ok(bytes);
    };
    match target {
        Target::Jpeg { .. } => jpeg(&bytes, icc),
        Target::Png { .. } => png(&bytes, icc),
        Target::Webp { .. } => webp(&bytes, icc),
        Target::Avif { .. } => Some(bytes),
        Target::Gif | Target::Raw { .. } => None,
    }
    .ok_or_else(|| Error::encode("the profile finds no place"))
}

/// Behind the segments which have to come first, JFIF, EXIF and XMP (ICC.1:2022, annex B.4).
fn jpeg(bytes: &[u8], icc: &[u8]) -> Option<Vec<u8>> {
    let mut place = 2;
    while let [0xff, 0xe0 | 0xe1, high, low, ..] = bytes.get(place..)? {
        place += 2 + usize::from(u16::from_be_bytes([*high, *low]));
    }
    let body = [b"ICC_PROFILE\0\x01\x01", icc].concat();
    let length = u16::try_from(body.len() + 2).ok()?.to_be_bytes();
    let (head, rest) = bytes.split_at_checked(place)?;
    Some([head, &[0xff, 0xe2], &length, &body, rest].concat())
}

/// Behind the header (PNG, section 11.3.2.3).
fn png(bytes: &[u8], icc: &[u8]) -> Option<Vec<u8>> {
    let mut packed = ZlibEncoder::new(b"iCCPicc\0\0".to_vec(), Compression::best());
    packed.write_all(icc).ok()?;
    let chunk = packed.finish().ok()?;
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    let length = u32::try_from(chunk.len() - 4).ok()?.to_be_bytes();
    let (head, rest) = bytes.split_at_checked(33)?;
    Some([head, &length, &chunk, &sum.sum().to_be_bytes(), rest].concat())
}

/// Flags of the extended header of WebP.
const PROFILE: u8 = 0x20;
const ALPHA: u8 = 0x10;

/// In front of the picture, with an extended header (WebP container specification).
fn webp(bytes: &[u8], icc: &[u8]) -> Option<Vec<u8>> {
    let chunks = bytes.get(12..)?;
    let (extended, rest) = match chunks {
        [b'V', b'P', b'8', b'X', ..] => {
            let (head, rest) = chunks.split_at_checked(18)?;
            (<[u8; 10]>::try_from(head.get(8..)?).ok()?, rest)
        }
        [b'V', b'P', b'8', b' ', ..] => {
            let side = |at| Some(u16::from_le_bytes([*chunks.get(at)?, *chunks.get(at + 1)?]));
            let size = (side(14)? & 0x3fff, side(16)? & 0x3fff);
            (header(size.0.into(), size.1.into(), 0), chunks)
        }
        [b'V', b'P', b'8', b'L', ..] => {
            let bits = u32::from_le_bytes(chunks.get(9..13)?.try_into().ok()?);
            let alpha = if bits >> 28 & 1 == 1 { ALPHA } else { 0 };
            let size = ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
            (header(size.0, size.1, alpha), chunks)
        }
        _ => return None,
    };
    let mut extended = extended;
    extended[0] |= PROFILE;
    let mut body = b"WEBPVP8X\x0a\0\0\0".to_vec();
    body.extend(extended);
    body.extend(b"ICCP");
    body.extend((icc.len() as u32).to_le_bytes());
    body.extend(icc);
    body.resize(body.len().next_multiple_of(2), 0);
    body.extend(rest);
    let length = u32::try_from(body.len()).ok()?.to_le_bytes();
    Some([b"RIFF", &length[..], &body].concat())
}

fn header(width: u32, height: u32, flags: u8) -> [u8; 10] {
    let mut header = [0; 10];
    header[0] = flags;
    header[4..7].copy_from_slice(&width.saturating_sub(1).to_le_bytes()[..3]);
    header[7..].copy_from_slice(&height.saturating_sub(1).to_le_bytes()[..3]);
    header
}
