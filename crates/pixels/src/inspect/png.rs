//! The chunks of a PNG.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

use super::{Found, u32_at};
use crate::{Error, exif};

/// The name of a text which is a packet of XMP (XMP specification, part 3, section 1.1.5).
const XMP: &[u8] = b"XML:com.adobe.xmp\0";
/// Bytes of such a packet when it is unpacked.
const XMP_BYTES_MAX: u64 = 1024 * 1024;

/// Names and bodies; ends early where they are broken.
pub(crate) fn chunks(source: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut position = 8;
    std::iter::from_fn(move || {
        let length = u32_at(source, position)? as usize;
        let name = source.get(position + 4..position + 8)?;
        let start = position + 8;
        let body = source.get(start..start.checked_add(length)?)?;
        position = start + length + 4;
        Some((name, body))
    })
}

pub(super) fn find(source: &[u8]) -> Result<Found, Error> {
    let Some((b"IHDR", header)) = chunks(source).next() else {
        return Err(Error::corrupt("a PNG without a header"));
    };
    let size = u32_at(header, 0).zip(u32_at(header, 4));
    let (width, height) = size.ok_or_else(|| Error::corrupt("the header of the PNG is short"))?;
    Ok(Found {
        orientation: exif(source).and_then(exif::orientation).unwrap_or(1),
        ..Found::still(width, height)
    })
}

/// [`find`], with the frames of APNG: as many as are promised, if they are there. Promises after the
/// picture do not count.
pub(super) fn find_animation(source: &[u8]) -> Result<Found, Error> {
    let mut promised = 0;
    let mut found = 0_u32;
    for (name, body) in chunks(source) {
        match name {
            b"acTL" if promised == 0 => promised = u32_at(body, 0).unwrap_or_default(),
            b"IDAT" if promised == 0 => break,
            b"fcTL" => found = found.saturating_add(1),
            _ => {}
        }
    }
    Ok(Found {
        frames: promised.min(found).max(1),
        ..find(source)?
    })
}

/// The EXIF block: a TIFF structure.
pub(crate) fn exif(source: &[u8]) -> Option<&[u8]> {
    chunks(source)
        .find(|(name, _)| *name == b"eXIf")
        .map(|(_, body)| body.strip_prefix(b"Exif\0\0").unwrap_or(body))
}

/// The packet of XMP, compressed or not, of a text in Unicode or of one which should not hold it.
pub(crate) fn xmp(source: &[u8]) -> Option<Cow<'_, [u8]>> {
    chunks(source).find_map(|(name, body)| {
        let body = body.strip_prefix(XMP)?;
        match name {
            b"iTXt" => {
                let (compression, rest) = body.split_at_checked(2)?;
                // A language and a translation of the name.
                let mut texts = rest.splitn(3, |byte| *byte == 0).skip(2);
                let text = texts.next()?;
                match compression {
                    [0, _] => Some(Cow::Borrowed(text)),
                    [1, 0] => unpacked(text).map(Cow::Owned),
                    _ => None,
                }
            }
            b"zTXt" => unpacked(body.strip_prefix(&[0])?).map(Cow::Owned),
            _ => None,
        }
    })
}

/// What a zlib stream holds, unless it is cut off or too long.
fn unpacked(stream: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    let mut reader = ZlibDecoder::new(stream).take(XMP_BYTES_MAX + 1);
    reader.read_to_end(&mut packet).ok()?;
    (packet.len() as u64 <= XMP_BYTES_MAX).then_some(packet)
}

/// Whether every chunk up to the last is there. Frames of APNG beyond the first are not decoded, and
/// a file which breaks off in them is broken all the same.
pub(crate) fn is_whole(source: &[u8]) -> bool {
    chunks(source).any(|(name, _)| name == b"IEND")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn with_text(name: [u8; 4], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [b"\x89PNG\r\n\x1a\n", &length[..], &name, body, &[0; 4]].concat()
    }

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_packet_is_found_in_every_kind_of_text() {
        let body = |rest: &[&[u8]]| [XMP, &rest.concat()].concat();
        let packet = packed(b"<a/>");
        for (name, body) in [
            (b"iTXt", body(&[b"\0\0\0\0<a/>"])),
            (b"iTXt", body(&[b"\0\0en\0name\0<a/>"])),
            (b"iTXt", body(&[b"\x01\0\0\0", &packet])),
            (b"iTXt", body(&[b"\x01\0de\0x\0", &packet])),
            (b"zTXt", body(&[b"\0", &packet])),
        ] {
            let source = with_text(*name, &body);
            assert_eq!(xmp(&source).as_deref(), Some(&b"<a/>"[..]), "{body:?}");
        }
        let bomb = packed(&vec![b' '; 3 << 20]);
        for (name, body) in [
            (b"tEXt", body(&[b"<a/>"])),
            (b"iTXt", body(&[b"\x02\0\0\0<a/>"])),
            (b"iTXt", body(&[b"\x01\x01\0\0", &packet])),
            (b"iTXt", body(&[b"\0\0\0"])),
            (b"iTXt", body(&[b"\x01"])),
            (b"iTXt", body(&[b"\x01\0\0\0", &packet[..packet.len() - 3]])),
            (b"zTXt", body(&[b"\0", &bomb])),
            (b"zTXt", body(&[b"\0", b"<a/>"])),
            (b"zTXt", body(&[b"\x01", &packet])),
        ] {
            assert_eq!(xmp(&with_text(*name, &body)), None, "{name:?} {body:?}");
        }
    }
}
