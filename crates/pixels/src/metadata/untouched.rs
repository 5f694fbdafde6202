//! Animations which are sent without being decoded, as they are but for what describes them: whoever
//! publishes one has not asked for the place where it was taken to be published.

use std::ops::Range;

use flate2::Crc;
use model::MediaType;

use crate::heif::{self, Heif};
use crate::{exif, inspect};

/// Extensions of GIF which say how often it is played.
const LOOPS: [&[u8]; 2] = [b"\x0bNETSCAPE2.0", b"\x0bANIMEXTS1.0"];
/// Chunks of PNG which may be left out, and which change what is seen.
const SEEN: [&[u8]; 14] = [
    b"acTL", b"fcTL", b"fdAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT",
    b"bKGD", b"pHYs", b"mDCV", b"cLLI",
];
/// Boxes of a sequence in which others lie.
const CONTAINERS: [&[u8]; 2] = [b"moov", b"trak"];
/// Flags of WebP which say that there is EXIF and XMP.
const WEBP_EXIF: u8 = 0x08;
const WEBP_XMP: u8 = 0x04;

/// An animation without EXIF, XMP, comments and whatever else is not seen, save the orientation.
pub(crate) fn undescribed(source: &[u8], format: MediaType, orientation: u8) -> Vec<u8> {
    let turned = (orientation != 1).then(|| exif::turned(orientation));
    let kept = match format {
        MediaType::Gif => gif(source),
        MediaType::Webp => webp(source, turned.as_deref()),
        MediaType::Png => png(source, turned.as_deref()),
        MediaType::Avif | MediaType::Heic => Some(blanked(source)),
        // No others move.
        _ => None,
    };
    kept.unwrap_or_else(|| source.to_vec())
}

fn gif(source: &[u8]) -> Option<Vec<u8>> {
    let colours = |flags: u8| match flags & 0x80 {
        0 => 0,
        _ => 3 << ((flags & 7) + 1),
    };
    let mut at = 13 + colours(*source.get(10)?);
    let mut kept = source.get(..at)?.to_vec();
    while let Some(introducer) = source.get(at) {
        let start = at;
        let label = source.get(at + 1).copied().unwrap_or_default();
        let rest = source.get(at + 2..).unwrap_or_default();
        let is_kept = match (introducer, label) {
            (0x2c, _) | (0x21, 0xf9) => true,
            (0x21, 0xff) => LOOPS.iter().any(|name| rest.starts_with(name)),
            (0x21, _) => false,
            (0x3b, _) => {
                kept.push(0x3b);
                break;
            }
            // Bytes between blocks are padding in the wild.
            _ => {
                at += 1;
                continue;
            }
        };
        at += match introducer {
            0x2c => 11 + colours(source.get(at + 9).copied().unwrap_or_default()),
            _ => 2,
        };
        // Sub-blocks, ended by an empty one.
        while let Some(length) = source.get(at) {
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
        if is_kept {
            kept.extend(&source[start..at.min(source.len())]);
        }
    }
    Some(kept)
}

fn webp(source: &[u8], turned: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut kept = b"RIFF\0\0\0\0WEBP".to_vec();
    for (name, body) in inspect::webp::chunks(source, inspect::webp::HEADER_BYTES) {
        match name {
            b"VP8X" => {
                let (flags, canvas) = body.split_first()?;
                let flags = flags & !(WEBP_EXIF | WEBP_XMP);
                let flags = flags | if turned.is_some() { WEBP_EXIF } else { 0 };
                push_webp(&mut kept, name, &[&[flags], canvas].concat());
            }
            b"ANMF" => {
                let mut frame = body.get(..16)?.to_vec();
                for (name, body) in inspect::webp::chunks(body, 16) {
                    if matches!(name, b"ALPH" | b"VP8 " | b"VP8L") {
                        push_webp(&mut frame, name, body);
                    }
                }
                push_webp(&mut kept, name, &frame);
            }
            b"ICCP" | b"ANIM" => push_webp(&mut kept, name, body),
            _ => {}
        }
    }
    if let Some(turned) = turned {
        push_webp(&mut kept, b"EXIF", turned);
    }
    let length = (kept.len() as u32 - 8).to_le_bytes();
    kept[4..8].copy_from_slice(&length);
    Some(kept)
}

fn push_webp(kept: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    kept.extend(name);
    kept.extend((body.len() as u32).to_le_bytes());
    kept.extend(body);
    kept.resize(kept.len().next_multiple_of(2), 0);
}

fn png(source: &[u8], turned: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut kept = source.get(..8)?.to_vec();
    for (name, body) in inspect::png::chunks(source) {
        let is_critical = name.first()?.is_ascii_uppercase();
        if is_critical || SEEN.contains(&name) {
            push_png(&mut kept, name, body);
        }
        match (name, turned) {
            (b"IHDR", Some(turned)) => push_png(&mut kept, b"eXIf", turned),
            (b"IEND", _) => break,
            _ => {}
        }
    }
    Some(kept)
}

fn push_png(kept: &mut Vec<u8>, name: &[u8], body: &[u8]) {
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(body);
    kept.extend((body.len() as u32).to_be_bytes());
    kept.extend(name);
    kept.extend(body);
    kept.extend(sum.sum().to_be_bytes());
}

/// Nothing moves, since boxes say where in the file others are.
fn blanked(source: &[u8]) -> Vec<u8> {
    let mut kept = source.to_vec();
    let mut places = Vec::new();
    find_descriptions(source, source, &CONTAINERS, &mut places);
    if let Some(heif) = Heif::read(source) {
        places.extend(heif.descriptions());
    }
    for place in places {
        if let Some(description) = kept.get_mut(place) {
            description.fill(0);
        }
    }
    kept
}

/// The bodies of boxes which hold nothing that is seen, also within boxes of these names, each of which
/// holds the next.
fn find_descriptions(
    source: &[u8],
    boxes: &[u8],
    containers: &[&[u8]],
    places: &mut Vec<Range<usize>>,
) {
    for (name, body) in heif::boxes(boxes) {
        if matches!(name, b"uuid" | b"udta" | b"free" | b"skip") {
            let start = body.as_ptr() as usize - source.as_ptr() as usize;
            places.push(start..start + body.len());
        } else if let Some((first, inner)) = containers.split_first()
            && name == *first
        {
            find_descriptions(source, body, inner, places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_which_describe_are_blanked_where_they_are() {
        let exif = exif::turned(6);
        let picture = b"coded picture";
        let described = avif_serialize::Aviffy::new()
            .set_exif(exif.clone())
            .to_vec(picture, None, 8, 8, 8);
        let described = [
            &described[..],
            b"\0\0\0\x0cuuidCANA\0\0\0\x10moov\0\0\0\x08trak",
        ]
        .concat();
        let has =
            |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(&described, &exif));
        let kept = undescribed(&described, MediaType::Avif, 1);
        assert_eq!(kept.len(), described.len());
        assert!(!has(&kept, &exif) && !has(&kept, b"CANA"));
        let heif = Heif::read(&kept).unwrap();
        assert_eq!(heif.bytes(heif.primary).as_deref(), Some(&picture[..]));
    }

    #[test]
    fn what_is_broken_does_not_stop_it() {
        let gif =
            b"GIF89a\x01\0\x01\0\0\0\0\x21\xfe\x02ab\0\0\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0\x2c";
        let kept = undescribed(gif, MediaType::Gif, 1);
        assert_eq!(kept, [&gif[..13], &gif[20..]].concat());
        for format in [
            MediaType::Gif,
            MediaType::Webp,
            MediaType::Png,
            MediaType::Avif,
        ] {
            for length in 0..gif.len() {
                undescribed(&gif[..length], format, 6);
            }
        }
    }
}
