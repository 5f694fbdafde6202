//! EXIF: a TIFF structure of numbered entries. It is read for the orientation, and written anew
//! rather than patched, so that nothing is kept by accident (transformations.md, section 2.15).

use model::transform::Exif;

const ORIENTATION: u16 = 0x0112;
const COPYRIGHT: u16 = 0x8298;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const INTEROPERABILITY_DIRECTORY: u16 = 0xa005;
/// Of the maker's own layout, with addresses which would no longer hold, and often a preview.
const MAKER_NOTE: u16 = 0x927c;
const PIXEL_WIDTH: u16 = 0xa002;
const PIXEL_HEIGHT: u16 = 0xa003;

/// What of the main directory of a TIFF is about the picture and not about its samples: description,
/// make, model, orientation, resolution, program, date, artist, host, copyright and directories.
const DESCRIPTIONS: [u16; 14] = [
    0x010e,
    0x010f,
    0x0110,
    ORIENTATION,
    0x011a,
    0x011b,
    0x0128,
    0x0131,
    0x0132,
    0x013b,
    0x013c,
    COPYRIGHT,
    EXIF_DIRECTORY,
    GPS_DIRECTORY,
];

/// A directory with more entries than this is not one that a camera wrote.
const ENTRIES_MAX: u16 = 1_000;
/// A JPEG segment holds 65,533 bytes, of which six name it.
const BYTES_MAX: usize = 65_000;

/// An entry whose value is kept as bytes, in the byte order of the source.
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value: Vec<u8>,
}

struct Source<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..4)? {
            [b'I', b'I', 0x2a, 0] => true,
            [b'M', b'M', 0, 0x2a] => false,
            _ => return None,
        };
        Some(Self { bytes, little })
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    /// The entries of the directory at an address, without those that are broken.
    fn directory(&self, at: u32) -> Vec<Entry> {
        let at = at as usize;
        let count = self.u16(at).unwrap_or_default();
        if count > ENTRIES_MAX {
            return Vec::new();
        }
        (0..usize::from(count))
            .filter_map(|index| self.entry(at.checked_add(2 + index * 12)?))
            .collect()
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind, count) = (self.u16(at)?, self.u16(at + 2)?, self.u32(at + 4)?);
        let size = match kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 => 4,
            5 | 10 | 12 => 8,
            _ => return None,
        };
        let length = (count as usize).checked_mul(size)?;
        let start = if length <= 4 {
            at + 8
        } else {
            self.u32(at + 8)? as usize
        };
        let value = self.bytes.get(start..start.checked_add(length)?)?.to_vec();
        Some(Entry {
            tag,
            kind,
            count,
            value,
        })
    }

    fn first_directory(&self) -> Vec<Entry> {
        self.u32(4).map_or_else(Vec::new, |at| self.directory(at))
    }

    /// The directory which an entry of `parent` points to.
    fn child(&self, parent: &[Entry], tag: u16) -> Vec<Entry> {
        let pointer = parent
            .iter()
            .find(|entry| entry.tag == tag && entry.kind == 4);
        let Some(bytes) = pointer.and_then(|entry| entry.value.get(..4)?.try_into().ok()) else {
            return Vec::new();
        };
        self.directory(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }
}

/// The orientation, 1 to 8; `None` if there is none that makes sense.
pub(crate) fn orientation(exif: &[u8]) -> Option<u8> {
    let source = Source::new(exif)?;
    let directory = source.u32(4)? as usize;
    let count = source.u16(directory)?.min(ENTRIES_MAX);
    let at = (0..usize::from(count))
        .map(|index| directory.saturating_add(2 + index * 12))
        .find(|at| source.u16(*at) == Some(ORIENTATION))?;
    let value = match source.u16(at + 2)? {
        3 => u32::from(source.u16(at + 8)?),
        4 => source.u32(at + 8)?,
        1 => u32::from(*exif.get(at + 8)?),
        _ => return None,
    };
    (1..=8).contains(&value).then_some(value as u8)
}

/// EXIF which says nothing but the orientation.
pub(crate) fn turned(orientation: u8) -> Vec<u8> {
    let write = Writer { little: true };
    let main = vec![write.short(ORIENTATION, orientation.into())];
    write.all(main, Vec::new(), Vec::new(), Vec::new())
}

/// What of the source's EXIF goes into a JPEG of this size; `None` is nothing. The orientation is
/// 1, because the pixels are upright, and there is no thumbnail.
pub(crate) fn kept(exif: &[u8], keep: Exif, (width, height): (u32, u32)) -> Option<Vec<u8>> {
    let source = Source::new(exif)?;
    let main = source.first_directory();
    kept_of(&source, main, keep, (width, height))
}

/// The same from a whole TIFF, whose first directory also says how its pixels are stored.
pub(crate) fn kept_of_tiff(tiff: &[u8], keep: Exif, size: (u32, u32)) -> Option<Vec<u8>> {
    let source = Source::new(tiff)?;
    let mut main = source.first_directory();
    main.retain(|entry| DESCRIPTIONS.contains(&entry.tag));
    kept_of(&source, main, keep, size)
}

fn kept_of(
    source: &Source<'_>,
    mut main: Vec<Entry>,
    keep: Exif,
    (width, height): (u32, u32),
) -> Option<Vec<u8>> {
    let (mut camera, mut gps, mut interoperability) = (Vec::new(), Vec::new(), Vec::new());
    match keep {
        Exif::None => return None,
        Exif::Copyright => main.retain(|entry| entry.tag == COPYRIGHT),
        Exif::Keep => {
            camera = source.child(&main, EXIF_DIRECTORY);
            gps = source.child(&main, GPS_DIRECTORY);
            interoperability = source.child(&camera, INTEROPERABILITY_DIRECTORY);
            camera.retain(|entry| entry.tag != MAKER_NOTE);
        }
    }
    if main.is_empty() && camera.is_empty() && gps.is_empty() {
        return None;
    }
    let write = Writer {
        little: source.little,
    };
    for entry in &mut main {
        if entry.tag == ORIENTATION {
            *entry = write.short(ORIENTATION, 1);
        }
    }
    for entry in &mut camera {
        match entry.tag {
            PIXEL_WIDTH => *entry = write.long(PIXEL_WIDTH, width),
            PIXEL_HEIGHT => *entry = write.long(PIXEL_HEIGHT, height),
            _ => {}
        }
    }
    let written = write.all(main, camera, gps, interoperability);
    (written.len() <= BYTES_MAX).then_some(written)
}

struct Writer {
    little: bool,
}

impl Writer {
    fn two(&self, value: u16) -> [u8; 2] {
        if self.little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    }

    fn four(&self, value: u32) -> [u8; 4] {
        if self.little {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    }

    fn short(&self, tag: u16, value: u16) -> Entry {
        let value = self.two(value).to_vec();
        Entry {
            tag,
            kind: 3,
            count: 1,
            value,
        }
    }

    fn long(&self, tag: u16, value: u32) -> Entry {
        let value = self.four(value).to_vec();
        Entry {
            tag,
            kind: 4,
            count: 1,
            value,
        }
    }

    fn all(
        &self,
        mut main: Vec<Entry>,
        mut camera: Vec<Entry>,
        gps: Vec<Entry>,
        interoperability: Vec<Entry>,
    ) -> Vec<u8> {
        // Children first, because their parents say where they begin.
        let mut written = Vec::from(if self.little { *b"II" } else { *b"MM" });
        written.extend(self.two(0x2a));
        written.extend(self.four(0));
        let mut place = |parent: &mut Vec<Entry>, tag: u16, child: Vec<Entry>| {
            parent.retain(|entry| entry.tag != tag);
            if !child.is_empty() {
                let at = self.directory(&mut written, child);
                parent.push(self.long(tag, at));
            }
        };
        place(&mut camera, INTEROPERABILITY_DIRECTORY, interoperability);
        place(&mut main, EXIF_DIRECTORY, camera);
        place(&mut main, GPS_DIRECTORY, gps);
        let at = self.directory(&mut written, main);
        written[4..8].copy_from_slice(&self.four(at));
        written
    }

    /// Appends a directory and the values which do not fit in it; says where it begins.
    fn directory(&self, written: &mut Vec<u8>, mut entries: Vec<Entry>) -> u32 {
        entries.sort_by_key(|entry| entry.tag);
        entries.dedup_by_key(|entry| entry.tag);
        let start = written.len();
        let mut values = Vec::new();
        let values_start = start + 2 + entries.len() * 12 + 4;
        written.extend(self.two(entries.len() as u16));
        for entry in &entries {
            written.extend(self.two(entry.tag));
            written.extend(self.two(entry.kind));
            written.extend(self.four(entry.count));
            if entry.value.len() <= 4 {
                let mut inline = [0; 4];
                inline[..entry.value.len()].copy_from_slice(&entry.value);
                written.extend(inline);
            } else {
                written.extend(self.four((values_start + values.len()) as u32));
                values.extend_from_slice(&entry.value);
                // Directories and values begin at even addresses.
                if values.len() % 2 == 1 {
                    values.push(0);
                }
            }
        }
        written.extend(self.four(0));
        written.extend(values);
        start as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(little: bool) -> Vec<u8> {
        let write = Writer { little };
        let text = |tag, value: &[u8]| Entry {
            tag,
            kind: 2,
            count: value.len() as u32,
            value: value.to_vec(),
        };
        let main = vec![
            text(0x010f, b"Maker\0"),
            write.short(ORIENTATION, 6),
            text(COPYRIGHT, b"(c) Somebody\0"),
        ];
        let camera = vec![
            text(MAKER_NOTE, b"secret preview\0"),
            write.long(PIXEL_WIDTH, 4000),
        ];
        let gps = vec![text(0x001d, b"2026:01:01\0")];
        write.all(main, camera, gps, Vec::new())
    }

    #[test]
    fn the_orientation_is_read_in_both_byte_orders() {
        assert_eq!(orientation(&sample(true)), Some(6));
        assert_eq!(orientation(&sample(false)), Some(6));
        assert_eq!(orientation(b""), None);
        assert_eq!(orientation(b"II\x2a\0\xff\xff\xff\xff"), None);
    }

    #[test]
    fn copyright_alone_is_kept_by_default() {
        for little in [true, false] {
            let kept = kept(&sample(little), Exif::Copyright, (8, 9)).unwrap();
            let tags: Vec<u16> = Source::new(&kept)
                .unwrap()
                .first_directory()
                .iter()
                .map(|entry| entry.tag)
                .collect();
            assert_eq!(tags, [COPYRIGHT]);
            assert!(kept.windows(12).any(|text| text == b"(c) Somebody"));
        }
    }

    #[test]
    fn most_is_kept_when_asked() {
        let kept = kept(&sample(false), Exif::Keep, (8, 9)).unwrap();
        assert_eq!(orientation(&kept), Some(1));
        let source = Source::new(&kept).unwrap();
        let main = source.first_directory();
        let camera = source.child(&main, EXIF_DIRECTORY);
        assert_eq!(camera.len(), 1);
        assert_eq!(camera[0].value, 8_u32.to_be_bytes());
        assert_eq!(source.child(&main, GPS_DIRECTORY).len(), 1);
        assert!(!kept.windows(6).any(|text| text == b"secret"));
    }

    #[test]
    fn nothing_is_kept_when_asked() {
        assert_eq!(kept(&sample(true), Exif::None, (8, 9)), None);
        assert_eq!(kept(b"II", Exif::Keep, (8, 9)), None);
    }
}
