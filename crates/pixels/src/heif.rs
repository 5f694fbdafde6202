//! The boxes of AVIF and HEIC: items, their properties and their bytes (ISO/IEC 14496-12, section
//! 8.11, and 23008-12, section 6). Whatever a box claims, nothing is allocated beyond what the file
//! itself could hold.

mod sequence;

use std::borrow::Cow;
use std::ops::Range;

use model::Limits;

use crate::Error;
use crate::inspect::{u16_at, u32_at};
use crate::orientation::Orientation;
use crate::plan::Rect;

pub(crate) use sequence::{Sample, Sequence, Track};

/// Boxes, items and extents which are looked at, of each kind; sound files have far fewer.
const ENTRIES_MAX: usize = 4_096;

/// The file's `meta` box, taken apart.
pub(crate) struct Heif<'a> {
    source: &'a [u8],
    pub primary: u32,
    items: Vec<Item<'a>>,
    /// The body of `idat`.
    own_bytes: &'a [u8],
    references: Vec<Reference>,
}

/// One item.
struct Item<'a> {
    id: u32,
    kind: [u8; 4],
    extents: Vec<Extent>,
    /// In the order in which they apply.
    properties: Vec<(&'a [u8], &'a [u8])>,
}

struct Extent {
    /// From the start of `idat`, and not of the file.
    in_own_bytes: bool,
    offset: u64,
    length: u64,
}

struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

/// How the stored pixels of an item become those which are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Display {
    /// What is kept of them, `clap`.
    pub cut: Option<Rect>,
    /// `irot` and `imir`, as EXIF numbers it.
    pub orientation: u8,
}

/// A picture made of equal ones in rows (23008-12, section 6.6.2.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub rows: u32,
    pub columns: u32,
    pub width: u32,
    pub height: u32,
}

impl Display {
    /// Of stored pixels with these properties. A cut which does not lie inside is none.
    pub(crate) fn of<'a>(
        size: (u32, u32),
        properties: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut cut = None;
        let mut turned = Orientation::from_exif(1);
        for (name, body) in properties {
            match name {
                b"clap" => cut = clean_aperture(body, size).or(cut),
                // Counterclockwise.
                b"irot" => {
                    let turns = body.first().copied().unwrap_or_default() & 3;
                    let number = [1, 8, 3, 6][usize::from(turns)];
                    turned = turned.then(Orientation::from_exif(number));
                }
                // Top for bottom, or left for right.
                b"imir" => {
                    let sideways = body.first().copied().unwrap_or_default() & 1 == 1;
                    let number = if sideways { 2 } else { 4 };
                    turned = turned.then(Orientation::from_exif(number));
                }
                _ => {}
            }
        }
        Self {
            cut,
            orientation: turned.to_exif(),
        }
    }
}

impl<'a> Heif<'a> {
    /// `None` if there is no primary item.
    pub(crate) fn read(source: &'a [u8]) -> Option<Self> {
        // What follows a broken box is no data of the image.
        let sound = boxes(source)
            .map(|(_, body)| body.len())
            .fold(0, |end, length| {
                // Headers have 8 bytes, and 16 if their first number is 1.
                let long = u32_at(source, end) == Some(1);
                end + length + if long { 16 } else { 8 }
            });
        let source = source.get(..sound)?;
        // Full boxes begin with a version and flags.
        let meta = child(source, *b"meta")?.get(4..)?;
        let primary = {
            let body = child(meta, *b"pitm")?;
            match body.first()? {
                0 => u32::from(u16_at(body, 4)?),
                _ => u32_at(body, 4)?,
            }
        };
        let mut items = Vec::new();
        if let Some(body) = child(meta, *b"iinf") {
            read_infos(body, &mut items);
        }
        if let Some(body) = child(meta, *b"iloc") {
            // A broken list still has its beginning.
            let _ = read_locations(body, &mut items);
        }
        if let Some(properties) = child(meta, *b"iprp") {
            read_properties(properties, &mut items);
        }
        let references = child(meta, *b"iref").map(read_references);
        Some(Self {
            source,
            primary,
            items,
            own_bytes: child(meta, *b"idat").unwrap_or_default(),
            references: references.unwrap_or_default(),
        })
    }

    fn item(&self, id: u32) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.id == id)
    }

    /// The EXIF block of the primary picture: a TIFF structure, before which stands where it begins
    /// (23008-12, annex A.2.1).
    pub(crate) fn exif(&self) -> Option<Cow<'a, [u8]>> {
        let describes = |item: &&Item<'_>| {
            &item.kind == b"Exif" && self.referred(item.id, *b"cdsc").contains(&self.primary)
        };
        let item = self.items.iter().find(describes)?;
        let bytes = self.bytes(item.id)?;
        let start = 4_usize.checked_add(u32_at(&bytes, 0)? as usize)?;
        Some(match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..)?),
            Cow::Owned(bytes) => Cow::Owned(bytes.get(start..)?.to_vec()),
        })
    }

    /// What an item is coded as, such as `av01`.
    pub(crate) fn kind(&self, id: u32) -> Option<[u8; 4]> {
        self.item(id).map(|item| item.kind)
    }

    /// The bodies of an item's properties of one name.
    pub(crate) fn properties(&self, id: u32, name: [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
        let properties = self.item(id).map(|item| item.properties.as_slice());
        let properties = properties.unwrap_or_default().iter();
        properties
            .filter(move |(found, _)| *found == name.as_slice())
            .map(|(_, body)| *body)
    }

    /// Pixels as stored, `ispe`.
    pub(crate) fn size(&self, id: u32) -> Option<(u32, u32)> {
        let body = self.properties(id, *b"ispe").next()?;
        u32_at(body, 4).zip(u32_at(body, 8))
    }

    /// Pixels as stored, judged before they are cut: a small cut of a huge picture costs as much as
    /// the picture.
    pub(crate) fn size_within(&self, id: u32, limits: &Limits) -> Result<(u32, u32), Error> {
        let size = self.size(id);
        let size = size.ok_or_else(|| Error::corrupt("it does not say its size"))?;
        let area = u64::from(size.0) * u64::from(size.1);
        if area > limits.pixels_max {
            return Err(Error::TooLarge {
                limit: "pixels_max",
                value: area,
                maximum: limits.pixels_max,
            });
        }
        Ok(size)
    }

    /// The ICC profile of an item.
    pub(crate) fn icc(&self, id: u32) -> Option<&'a [u8]> {
        self.properties(id, *b"colr").find_map(icc)
    }

    /// How an item is shown.
    pub(crate) fn display(&self, id: u32) -> Display {
        let size = self.size(id).unwrap_or_default();
        let properties = self.item(id).map(|item| item.properties.as_slice());
        Display::of(size, properties.unwrap_or_default().iter().copied())
    }

    /// The bytes of an item, put together from its extents; `None` if they are not all there.
    pub(crate) fn bytes(&self, id: u32) -> Option<Cow<'a, [u8]>> {
        let item = self.item(id)?;
        let piece = |extent: &Extent| {
            let whole = if extent.in_own_bytes {
                self.own_bytes
            } else {
                self.source
            };
            let start = usize::try_from(extent.offset).ok()?;
            let rest = whole.get(start..)?;
            match usize::try_from(extent.length).ok()? {
                // All that there is.
                0 => Some(rest),
                length => rest.get(..length),
            }
        };
        match item.extents.as_slice() {
            [] => None,
            [extent] => piece(extent).map(Cow::Borrowed),
            extents => {
                let mut bytes = Vec::new();
                for extent in extents {
                    let piece = piece(extent)?;
                    // Extents may overlap, but then they are more than a file.
                    if bytes.len() + piece.len() > self.source.len() {
                        return None;
                    }
                    bytes.extend_from_slice(piece);
                }
                Some(Cow::Owned(bytes))
            }
        }
    }

    /// Where in the file lie the items which are not seen: EXIF, XMP and other texts.
    pub(crate) fn descriptions(&self) -> impl Iterator<Item = Range<usize>> {
        const KINDS: [&[u8; 4]; 3] = [b"Exif", b"mime", b"uri "];
        let own_bytes = self.own_bytes.as_ptr() as usize;
        let own_start = own_bytes.saturating_sub(self.source.as_ptr() as usize);
        let items = self.items.iter();
        let items = items.filter(|item| KINDS.contains(&&item.kind));
        let extents = items.flat_map(|item| &item.extents);
        extents.filter_map(move |extent| {
            let start = usize::try_from(extent.offset).ok()?;
            let start = start.checked_add(if extent.in_own_bytes { own_start } else { 0 })?;
            let end = start.checked_add(usize::try_from(extent.length).ok()?)?;
            Some(start..end.min(self.source.len()))
        })
    }

    /// The items to which an item refers.
    pub(crate) fn referred(&self, from: u32, kind: [u8; 4]) -> &[u32] {
        let mut references = self.references.iter();
        references
            .find(|reference| reference.kind == kind && reference.from == from)
            .map_or(&[], |reference| reference.to.as_slice())
    }

    /// The item which holds the alpha of another.
    pub(crate) fn alpha_of(&self, id: u32) -> Option<u32> {
        const ALPHA: [&[u8]; 2] = [
            b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
            b"urn:mpeg:hevc:2015:auxid:1\0",
        ];
        let mut auxiliary = self
            .references
            .iter()
            .filter(|reference| reference.kind == *b"auxl" && reference.to.contains(&id));
        auxiliary
            .find(|reference| {
                self.properties(reference.from, *b"auxC").any(|body| {
                    let kind = body.get(4..).unwrap_or_default();
                    ALPHA.iter().any(|known| kind.starts_with(known))
                })
            })
            .map(|reference| reference.from)
    }

    /// Whether the colours of an item were multiplied by its alpha already.
    pub(crate) fn is_premultiplied(&self, id: u32, alpha: u32) -> bool {
        self.referred(id, *b"prem").contains(&alpha)
    }

    /// The layout of an item of the kind `grid`.
    pub(crate) fn grid(&self, id: u32) -> Option<Grid> {
        let bytes = self.bytes(id)?;
        let [0, flags, rows, columns] = *bytes.first_chunk::<4>()? else {
            return None;
        };
        let (width, height) = if flags & 1 == 0 {
            (u16_at(&bytes, 4)?.into(), u16_at(&bytes, 6)?.into())
        } else {
            (u32_at(&bytes, 4)?, u32_at(&bytes, 8)?)
        };
        Some(Grid {
            rows: u32::from(rows) + 1,
            columns: u32::from(columns) + 1,
            width,
            height,
        })
    }
}

/// The ICC profile in a `colr` box, if it has one (14496-12, section 12.1.5).
pub(crate) fn icc(colr: &[u8]) -> Option<&[u8]> {
    let (kind, profile) = colr.split_at_checked(4)?;
    (kind == b"prof" || kind == b"rICC").then_some(profile)
}

/// Names of items (14496-12, section 8.11.6).
fn read_infos(body: &[u8], items: &mut Vec<Item<'_>>) {
    let start = match body.first() {
        Some(0) => 6,
        _ => 8,
    };
    let entries = boxes(body.get(start..).unwrap_or_default());
    for (_, info) in entries
        .filter(|(name, _)| *name == b"infe")
        .take(ENTRIES_MAX)
    {
        let read = match info.first() {
            Some(2) => u16_at(info, 4).map(u32::from).zip(info.get(8..12)),
            Some(3) => u32_at(info, 4).zip(info.get(10..14)),
            _ => None,
        };
        if let Some((id, kind)) = read
            && let Ok(kind) = kind.try_into()
        {
            items.push(Item {
                id,
                kind,
                extents: Vec::new(),
                properties: Vec::new(),
            });
        }
    }
}

/// Places of items (14496-12, section 8.11.3).
fn read_locations(body: &[u8], items: &mut [Item<'_>]) -> Option<()> {
    let version = *body.first()?;
    let mut reading = Reading { body, at: 4 };
    let sizes = reading.number(2)?;
    let size = |shift: u32| (sizes >> shift & 15) as usize;
    let (offset_size, length_size, base_size) = (size(12), size(8), size(4));
    let index_size = if version == 0 { 0 } else { size(0) };
    let id_size = if version < 2 { 2 } else { 4 };
    let count = reading.number(id_size)?;
    let mut extents_left = ENTRIES_MAX;
    for _ in 0..count.min(ENTRIES_MAX as u64) {
        let id = reading.number(id_size)?;
        let method = if version == 0 {
            0
        } else {
            reading.number(2)? & 15
        };
        // Another file is never looked into.
        let elsewhere = reading.number(2)? != 0;
        let base = reading.number(base_size)?;
        let extents = reading.number(2)?;
        for _ in 0..extents {
            reading.number(index_size)?;
            let offset = base.checked_add(reading.number(offset_size)?)?;
            let length = reading.number(length_size)?;
            extents_left = extents_left.checked_sub(1)?;
            let item = items.iter_mut().find(|item| u64::from(item.id) == id);
            if let Some(item) = item
                && method < 2
                && !elsewhere
            {
                item.extents.push(Extent {
                    in_own_bytes: method == 1,
                    offset,
                    length,
                });
            }
        }
    }
    Some(())
}

/// Properties and which items have them (23008-12, section 9.3).
fn read_properties<'a>(properties: &'a [u8], items: &mut [Item<'a>]) {
    let declared: Vec<_> = child(properties, *b"ipco")
        .map(|body| boxes(body).take(ENTRIES_MAX).collect())
        .unwrap_or_default();
    let mut left = ENTRIES_MAX;
    for (_, body) in boxes(properties).filter(|(name, _)| *name == b"ipma") {
        let _ = read_associations(body, &mut left, |id, index| {
            let property = index.checked_sub(1).and_then(|index| declared.get(index));
            let item = items.iter_mut().find(|item| item.id == id);
            if let (Some(property), Some(item)) = (property, item) {
                item.properties.push(*property);
            }
        });
    }
}

/// Tells every association of an item with the number, from 1, of a property.
fn read_associations(
    body: &[u8],
    left: &mut usize,
    mut tell: impl FnMut(u32, usize),
) -> Option<()> {
    let (version, wide) = (*body.first()?, *body.get(3)? & 1 == 1);
    let mut reading = Reading { body, at: 4 };
    let count = reading.number(4)?;
    for _ in 0..count {
        let id = reading.number(if version == 0 { 2 } else { 4 })? as u32;
        let properties = reading.number(1)?;
        for _ in 0..properties {
            *left = left.checked_sub(1)?;
            // The highest bit says whether it is essential.
            let index = if wide {
                reading.number(2)? & 0x7fff
            } else {
                reading.number(1)? & 0x7f
            };
            tell(id, index as usize);
        }
    }
    Some(())
}

/// References between items (14496-12, section 8.11.12).
fn read_references(body: &[u8]) -> Vec<Reference> {
    let id_size = if body.first() == Some(&0) { 2 } else { 4 };
    let mut left = ENTRIES_MAX;
    boxes(body.get(4..).unwrap_or_default())
        .take(ENTRIES_MAX)
        .filter_map(|(name, body)| {
            let mut reading = Reading { body, at: 0 };
            let from = reading.number(id_size)? as u32;
            let count = reading.number(2)? as usize;
            left = left.checked_sub(count)?;
            let to = (0..count).map(|_| reading.number(id_size).map(|id| id as u32));
            Some(Reference {
                kind: name.try_into().ok()?,
                from,
                to: to.collect::<Option<_>>()?,
            })
        })
        .collect()
}

/// The part which is kept, in whole pixels (14496-12, section 12.1.4.1).
fn clean_aperture(body: &[u8], (width, height): (u32, u32)) -> Option<Rect> {
    let fraction = |at: usize| {
        // Offsets have a sign; sizes are below the point where it matters.
        let numerator = f64::from(u32_at(body, at)?.cast_signed());
        let denominator = f64::from(u32_at(body, at + 4)?.cast_signed());
        Some(numerator / denominator).filter(|value| value.is_finite())
    };
    let along = |size: u32, kept: f64, offset: f64| {
        let kept = kept.floor();
        let start = (offset + (f64::from(size) - kept) / 2.0).floor();
        (kept >= 1.0 && start >= 0.0 && start + kept <= f64::from(size))
            .then_some((start as u32, kept as u32))
    };
    let (left, width) = along(width, fraction(0)?, fraction(16)?)?;
    let (top, height) = along(height, fraction(8)?, fraction(24)?)?;
    Some(Rect {
        left,
        top,
        width,
        height,
    })
}

/// Numbers of any size, one after another.
struct Reading<'a> {
    body: &'a [u8],
    at: usize,
}

impl Reading<'_> {
    /// Of up to 8 bytes, high ones first.
    fn number(&mut self, size: usize) -> Option<u64> {
        let bytes = self.body.get(self.at..self.at.checked_add(size)?)?;
        self.at += size;
        (size <= 8).then(|| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }
}

/// The body of the first box of this name.
pub(crate) fn child(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    boxes(bytes)
        .take(ENTRIES_MAX)
        .find(|(name, _)| *name == wanted.as_slice())
        .map(|(_, body)| body)
}

/// Names and bodies; ends early where they are broken.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
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

#[cfg(test)]
pub(crate) mod tests {
    use model::Limits;

    use super::*;
    use crate::Error;

    pub(crate) fn boxed(name: [u8; 4], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 8).to_be_bytes();
        [&length[..], &name, body].concat()
    }

    /// Item 1 of 20 by 10 pixels with further properties, its bytes `abc` and `de` apart.
    fn file(properties: &[Vec<u8>], extents: &[[u32; 2]]) -> Vec<u8> {
        let size = [&[0; 4][..], &20_u32.to_be_bytes(), &10_u32.to_be_bytes()].concat();
        let declared = [&[boxed(*b"ispe", &size)], properties].concat().concat();
        let mut associations = vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 1, properties.len() as u8 + 1];
        associations.extend(1..=properties.len() as u8 + 1);
        let properties = [boxed(*b"ipco", &declared), boxed(*b"ipma", &associations)].concat();
        let info = [&[2, 0, 0, 0, 0, 1, 0, 0][..], b"av01\0"].concat();
        let infos = [&[0, 0, 0, 0, 0, 1][..], &boxed(*b"infe", &info)].concat();
        // Version 1, numbers of 4 bytes, in `idat`.
        let mut places = vec![1, 0, 0, 0, 0x44, 0, 0, 1, 0, 1, 0, 1, 0, 0];
        places.extend((extents.len() as u16).to_be_bytes());
        for number in extents.iter().flatten() {
            places.extend(number.to_be_bytes());
        }
        let meta = [
            vec![0; 4],
            boxed(*b"pitm", &[0, 0, 0, 0, 0, 1]),
            boxed(*b"iinf", &infos),
            boxed(*b"iloc", &places),
            boxed(*b"iprp", &properties),
            boxed(*b"idat", b"abcxde"),
        ]
        .concat();
        [boxed(*b"ftyp", b"avif\0\0\0\0"), boxed(*b"meta", &meta)].concat()
    }

    #[test]
    fn an_item_is_put_together_from_its_extents() {
        let read = |extents: &[[u32; 2]]| {
            let file = file(&[], extents);
            let heif = Heif::read(&file).unwrap();
            assert_eq!(heif.kind(1), Some(*b"av01"));
            assert_eq!(heif.size(1), Some((20, 10)));
            heif.bytes(1).map(Cow::into_owned)
        };
        assert_eq!(read(&[[0, 3], [4, 2]]), Some(b"abcde".to_vec()));
        assert_eq!(read(&[[4, 0]]), Some(b"de".to_vec()));
        for broken in [&[][..], &[[0, 7]], &[[7, 1]], &[[u32::MAX, u32::MAX]]] {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn turns_and_mirrors_are_those_of_exif() {
        // Turns are counterclockwise; 0 mirrors top for bottom, 1 left for right.
        for (turn, mirror, exif) in [
            (None, None, 1),
            (Some(0), None, 1),
            (Some(1), None, 8),
            (Some(2), None, 3),
            (Some(3), None, 6),
            (None, Some(0), 4),
            (None, Some(1), 2),
            (Some(1), Some(0), 5),
            (Some(1), Some(1), 7),
            (Some(2), Some(0), 2),
            (Some(2), Some(1), 4),
            (Some(3), Some(0), 7),
            (Some(3), Some(1), 5),
        ] {
            let turns = turn.map(|turn| boxed(*b"irot", &[turn]));
            let mirrors = mirror.map(|mirror| boxed(*b"imir", &[mirror]));
            let file = file(
                &[turns, mirrors].into_iter().flatten().collect::<Vec<_>>(),
                &[],
            );
            let display = Heif::read(&file).unwrap().display(1);
            assert_eq!(display.orientation, exif, "{turn:?} {mirror:?}");
            assert_eq!(display.cut, None);
        }
    }

    #[test]
    fn a_cut_lies_inside_or_is_none() {
        let cut = |numbers: [i32; 8]| {
            let body: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
            let file = file(&[boxed(*b"clap", &body)], &[]);
            let cut = Heif::read(&file).unwrap().display(1).cut;
            cut.map(|cut| [cut.left, cut.top, cut.width, cut.height])
        };
        assert_eq!(cut([10, 1, 6, 1, 0, 1, 0, 1]), Some([5, 2, 10, 6]));
        assert_eq!(cut([10, 1, 6, 1, -5, 1, 2, 1]), Some([0, 4, 10, 6]));
        assert_eq!(cut([39, 2, 10, 1, 1, 2, 0, 1]), Some([1, 0, 19, 10]));
        for outside in [
            [21, 1, 10, 1, 0, 1, 0, 1],
            [10, 1, 6, 1, 6, 1, 0, 1],
            [0, 1, 6, 1, 0, 1, 0, 1],
            [10, 0, 6, 1, 0, 1, 0, 1],
            [-10, 1, 6, 1, 0, 1, 0, 1],
        ] {
            assert_eq!(cut(outside), None, "{outside:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_decoded_first_and_judged_as_well() {
        let numbers = [10, 1, 6, 1, 0, 1, 0, 1_i32];
        let body: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        let file = file(&[boxed(*b"clap", &body)], &[]);
        let judge = |avif_side_max| {
            let limits = Limits {
                avif_side_max,
                ..Limits::default()
            };
            crate::inspect(&file, &limits).map(|header| (header.width, header.height))
        };
        assert_eq!(judge(20), Ok((10, 6)));
        assert_eq!(
            judge(19),
            Err(Error::TooLarge {
                limit: "avif_side_max",
                value: 20,
                maximum: 19
            })
        );
    }

    #[test]
    fn what_follows_a_broken_box_does_not_count() {
        let whole = file(&[], &[[0, 3]]);
        for length in 0..whole.len() {
            let read = Heif::read(&whole[..length]);
            assert!(read.is_none(), "{length}");
        }
        let followed = [&whole[..], b"\xff\xff\xff\xffmoov and more"].concat();
        assert!(Heif::read(&followed).is_some());
    }
}
