//! The layout of a rendition's file: a magic number, a checksum of all that follows, the length of
//! a header, the header as JSON, the image. Files are not synced, so a power cut may tear one; the
//! checksum tells, and the rendition is made again.

use bytes::{BufMut as _, Bytes};
use model::MediaType;
use serde_json::{Value, json};

use super::StoredRendition;

/// The last byte is the version of the layout.
const MAGIC: [u8; 4] = *b"CTR\x01";

/// The magic number of bytes which are no rendition.
const NOTE: [u8; 4] = *b"CTN\x01";

/// The magic number, the checksum and the length of the header.
const FIXED: usize = 12;

/// The file of a rendition.
pub(super) fn write(rendition: &StoredRendition) -> Vec<u8> {
    let header = json!({
        "format": rendition.format.as_str(),
        "warnings": rendition.warnings,
    });
    let header = header.to_string();
    let mut file = Vec::with_capacity(FIXED + header.len() + rendition.bytes.len());
    file.put_slice(&MAGIC);
    file.put_u32_le(0);
    file.put_u32_le(header.len() as u32);
    file.put_slice(header.as_bytes());
    file.put_slice(&rendition.bytes);
    let checksum = crc32fast::hash(&file[8..]);
    file[4..8].copy_from_slice(&checksum.to_le_bytes());
    file
}

/// The rendition in a file; `None` if the file is torn or of another version.
pub(super) fn read(file: &Bytes) -> Option<StoredRendition> {
    let (magic, rest) = file.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || u32::from_le_bytes(*checksum) != crc32fast::hash(rest) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let header: Value = serde_json::from_slice(rest.get(..length)?).ok()?;
    let warnings = header.get("warnings")?.as_array()?;
    let warnings = warnings.iter().map(|text| text.as_str().map(str::to_owned));
    Some(StoredRendition {
        format: MediaType::parse(header.get("format")?.as_str()?)?,
        warnings: warnings.collect::<Option<_>>()?,
        bytes: file.slice(FIXED + length..),
    })
}

/// The file of a note: a magic number, a checksum, the bytes.
pub(super) fn write_note(note: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(8 + note.len());
    file.put_slice(&NOTE);
    file.put_u32_le(crc32fast::hash(note));
    file.put_slice(note);
    file
}

/// The note in a file; `None` if the file is torn or something else.
pub(super) fn read_note(file: &Bytes) -> Option<Bytes> {
    let (magic, rest) = file.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let whole = *magic == NOTE && u32::from_le_bytes(*checksum) == crc32fast::hash(rest);
    whole.then(|| file.slice(8..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendition() -> StoredRendition {
        StoredRendition {
            format: MediaType::Avif,
            bytes: Bytes::from_static(b"light"),
            warnings: vec!["too large".to_owned(), "é \"".to_owned()],
        }
    }

    #[test]
    fn a_file_reads_as_it_was_written() {
        assert_eq!(read(&write(&rendition()).into()), Some(rendition()));
        let empty = StoredRendition {
            bytes: Bytes::new(),
            warnings: Vec::new(),
            ..rendition()
        };
        assert_eq!(read(&write(&empty).into()), Some(empty));
    }

    #[test]
    fn a_note_reads_as_it_was_written_and_is_no_rendition() {
        for note in [&b"pixels"[..], b""] {
            let file = Bytes::from(write_note(note));
            assert_eq!(read_note(&file).as_deref(), Some(note));
            assert_eq!(read(&file), None);
        }
        let file = write_note(b"pixels");
        for at in 0..file.len() {
            assert_eq!(
                read_note(&Bytes::copy_from_slice(&file[..at])),
                None,
                "{at}"
            );
        }
        assert_eq!(read_note(&write(&rendition()).into()), None);
    }

    #[test]
    fn a_torn_or_changed_file_is_none() {
        let file = write(&rendition());
        for at in 0..file.len() {
            assert_eq!(read(&Bytes::copy_from_slice(&file[..at])), None, "{at}");
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            assert_eq!(read(&changed.into()), None, "{at}");
            let mut zeroed = file.clone();
            zeroed[at..].fill(0);
            assert_eq!(read(&zeroed.into()), None, "{at}");
        }
    }
}
