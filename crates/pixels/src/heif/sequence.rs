//! Image sequences: the tracks of a file (ISO/IEC 14496-12, section 8, and 23008-12, section 7).

use super::{ENTRIES_MAX, Reading, boxes, child};
use crate::decode::Plays;
use crate::inspect::u32_at;

/// Tracks which are looked at.
const TRACKS_MAX: usize = 16;

/// Bytes of a picture's sample entry before its boxes (14496-12, section 12.1.3.2).
const SAMPLE_ENTRY_BYTES: usize = 78;

/// The pictures of a sequence.
pub(crate) struct Sequence<'a> {
    pub colour: Track<'a>,
    /// As many samples as `colour`.
    pub alpha: Option<Track<'a>>,
    /// Whether colours were multiplied by their alpha already.
    pub premultiplied: bool,
    pub plays: Plays,
}

/// One track of coded pictures. Its samples were counted, and not yet looked for.
pub(crate) struct Track<'a> {
    source: &'a [u8],
    id: u32,
    /// The track of which this is the alpha.
    auxiliary_of: Option<u32>,
    premultiplied_by: Option<u32>,
    /// `pict` or `auxv`.
    kind: [u8; 4],
    size: (u32, u32),
    plays: Plays,
    /// Units of time in a second.
    timescale: u32,
    /// The boxes of its sample entry.
    properties: &'a [u8],
    /// `stbl`.
    tables: &'a [u8],
    samples: u32,
}

/// Where a coded picture lies, and how long it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    offset: u64,
    length: u32,
    /// Milliseconds.
    pub delay: u32,
}

impl<'a> Sequence<'a> {
    /// `None` unless the file says first of all that it is a sequence, and has one.
    pub(crate) fn read(source: &'a [u8]) -> Option<Self> {
        (child(source, *b"ftyp")?.get(..4)? == b"avis").then_some(())?;
        let moov = child(source, *b"moov")?;
        let mut tracks: Vec<Track<'a>> = boxes(moov)
            .filter(|(name, _)| *name == b"trak")
            .take(TRACKS_MAX)
            .filter_map(|(_, body)| Track::read(source, body))
            .collect();
        let first = tracks
            .iter()
            .position(|track| track.kind == *b"pict" && track.auxiliary_of.is_none())?;
        let colour = tracks.swap_remove(first);
        let alpha = tracks.into_iter().find(|track| {
            track.kind == *b"auxv"
                && track.auxiliary_of == Some(colour.id)
                && track.samples == colour.samples
        });
        let premultiplied = alpha
            .as_ref()
            .is_some_and(|alpha| colour.premultiplied_by == Some(alpha.id));
        Some(Self {
            plays: colour.plays,
            colour,
            alpha,
            premultiplied,
        })
    }
}

impl<'a> Track<'a> {
    fn read(source: &'a [u8], body: &'a [u8]) -> Option<Self> {
        let header = child(body, *b"tkhd")?;
        let long = *header.first()? == 1;
        let id = u32_at(header, if long { 20 } else { 12 })?;
        let duration = number_at(header, if long { 28 } else { 20 }, long)?;
        let endless = if long { u64::MAX } else { u32::MAX.into() };
        // Width and height are the last two numbers, with 16 bits after the point.
        let at = header.len().checked_sub(8)?;
        let size = (u32_at(header, at)? >> 16, u32_at(header, at + 4)? >> 16);
        let reference = |kind: [u8; 4]| {
            let body = child(child(body, *b"tref")?, kind)?;
            u32_at(body, 0)
        };
        let media = child(body, *b"mdia")?;
        let clock = child(media, *b"mdhd")?;
        let timescale = u32_at(clock, if *clock.first()? == 1 { 20 } else { 12 })?;
        let handler = child(media, *b"hdlr")?;
        let tables = child(child(media, *b"minf")?, *b"stbl")?;
        // A version, flags and a number of entries; the first one counts.
        let (coding, entry) = boxes(child(tables, *b"stsd")?.get(8..)?).next()?;
        (coding == b"av01").then_some(())?;
        Some(Self {
            source,
            id,
            auxiliary_of: reference(*b"auxl"),
            premultiplied_by: reference(*b"prem"),
            kind: handler.get(8..12)?.try_into().ok()?,
            size,
            plays: plays(body, Some(duration).filter(|duration| *duration != endless))
                .unwrap_or(Plays::Forever),
            timescale: timescale.max(1),
            properties: entry.get(SAMPLE_ENTRY_BYTES..)?,
            tables,
            samples: u32_at(child(tables, *b"stsz")?, 8)?,
        })
    }

    /// Pixels of each picture.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.size
    }

    /// Pictures, as the header says.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// The boxes of its sample entry, which are the properties of all of its pictures.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        boxes(self.properties).take(ENTRIES_MAX)
    }

    /// Looks for its samples; `None` if the tables do not give as many as the header says. Room is
    /// taken for `samples` of them, so that their number has to be judged first.
    pub(crate) fn find_samples(&self) -> Option<Vec<Sample>> {
        let count = self.samples as usize;
        let mut samples = Vec::with_capacity(count);
        let mut lengths = self.lengths()?;
        let mut delays = self.delays()?;
        let mut offsets = self.chunk_offsets()?;
        let mut runs = self.runs()?;
        let mut following = runs.next();
        let (mut chunk, mut in_chunk) = (0_u32, 0);
        while samples.len() < count {
            let mut offset = offsets.next()?;
            chunk = chunk.checked_add(1)?;
            if let Some((first, samples)) = following
                && first <= chunk
            {
                in_chunk = samples;
                following = runs.next();
            }
            for _ in 0..in_chunk.min((count - samples.len()) as u32) {
                let length = lengths.next()?;
                let units = u64::from(delays.next().unwrap_or_default()) * 1_000;
                samples.push(Sample {
                    offset,
                    length,
                    delay: u32::try_from(units / u64::from(self.timescale)).unwrap_or(u32::MAX),
                });
                offset = offset.checked_add(length.into())?;
            }
        }
        Some(samples)
    }

    /// The bytes of a sample; `None` if they are not there.
    pub(crate) fn bytes(&self, sample: &Sample) -> Option<&'a [u8]> {
        let start = usize::try_from(sample.offset).ok()?;
        self.source.get(start..)?.get(..sample.length as usize)
    }

    /// Bytes of each sample (14496-12, section 8.7.3.2).
    fn lengths(&self) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let body = child(self.tables, *b"stsz")?;
        let all = u32_at(body, 4)?;
        let mut reading = Reading { body, at: 12 };
        Some(std::iter::from_fn(move || match all {
            0 => reading.number(4).map(|length| length as u32),
            _ => Some(all),
        }))
    }

    /// Units of time of each sample (14496-12, section 8.6.1.2).
    fn delays(&self) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let body = child(self.tables, *b"stts")?;
        let mut reading = Reading { body, at: 8 };
        let (mut left, mut delay) = (0, 0);
        Some(std::iter::from_fn(move || {
            while left == 0 {
                left = reading.number(4)?;
                delay = reading.number(4)? as u32;
            }
            left -= 1;
            Some(delay)
        }))
    }

    /// Where its chunks begin (14496-12, section 8.7.5).
    fn chunk_offsets(&self) -> Option<impl Iterator<Item = u64> + use<'a>> {
        let short = child(self.tables, *b"stco").map(|body| (body, 4));
        let (body, size) = short.or_else(|| Some((child(self.tables, *b"co64")?, 8)))?;
        let mut reading = Reading { body, at: 8 };
        Some(std::iter::from_fn(move || reading.number(size)))
    }

    /// The first chunk, from 1, of each run of equal ones, and how many samples these hold (14496-12,
    /// section 8.7.4).
    fn runs(&self) -> Option<impl Iterator<Item = (u32, u32)> + use<'a>> {
        let body = child(self.tables, *b"stsc")?;
        let mut reading = Reading { body, at: 8 };
        Some(std::iter::from_fn(move || {
            let first = reading.number(4)? as u32;
            let samples = reading.number(4)? as u32;
            reading.number(4)?;
            Some((first, samples))
        }))
    }
}

/// How often a track is played, by its list of edits (23008-12, section 9.6.1). Without one nothing
/// is said, and it goes on for ever. `duration` is that of all repetitions, if they end.
fn plays(track: &[u8], duration: Option<u64>) -> Option<Plays> {
    let list = child(child(track, *b"edts")?, *b"elst")?;
    if list.get(3)? & 1 == 0 {
        return Some(Plays::Times(1));
    }
    let once = number_at(list, 8, *list.first()? == 1)?;
    Some(match duration {
        Some(duration) => {
            let times = duration.div_ceil(once.max(1)).max(1);
            Plays::Times(u32::try_from(times).unwrap_or(u32::MAX))
        }
        None => Plays::Forever,
    })
}

fn number_at(bytes: &[u8], at: usize, long: bool) -> Option<u64> {
    Reading { body: bytes, at }.number(if long { 8 } else { 4 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heif::tests::boxed;

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// Five samples of 10 to 14 bytes: two each in the chunks at 100 and 200, one at 300.
    fn tables(count: u32) -> Vec<u8> {
        let entry = boxed(*b"av01", &[0; SAMPLE_ENTRY_BYTES]);
        [
            boxed(*b"stsd", &[&numbers(&[0, 1]), &entry[..]].concat()),
            boxed(*b"stts", &numbers(&[0, 2, 1, 30, 4, 60])),
            boxed(*b"stsc", &numbers(&[0, 2, 1, 2, 1, 3, 1, 1])),
            boxed(*b"stsz", &numbers(&[0, 0, count, 10, 11, 12, 13, 14])),
            boxed(*b"stco", &numbers(&[0, 3, 100, 200, 300])),
        ]
        .concat()
    }

    /// A file with one track; `edit` is its duration and the flags and duration of its edit.
    fn file(count: u32, edit: Option<(u32, u8, u32)>) -> Vec<u8> {
        let duration = edit.map_or(0, |edit| edit.0);
        let header = numbers(&[0, 0, 0, 7, 0, duration, 20 << 16, 10 << 16]);
        let edits = edit.map(|(_, flags, once)| {
            let list = [vec![0, 0, 0, flags], numbers(&[1, once, 0, 1 << 16])].concat();
            boxed(*b"edts", &boxed(*b"elst", &list))
        });
        let media = [
            boxed(*b"mdhd", &numbers(&[0, 0, 0, 600, 0])),
            boxed(*b"hdlr", b"\0\0\0\0\0\0\0\0pict"),
            boxed(*b"minf", &boxed(*b"stbl", &tables(count))),
        ]
        .concat();
        let track = [
            boxed(*b"tkhd", &header),
            edits.unwrap_or_default(),
            boxed(*b"mdia", &media),
        ]
        .concat();
        [
            boxed(*b"ftyp", b"avis\0\0\0\0"),
            boxed(*b"moov", &boxed(*b"trak", &track)),
        ]
        .concat()
    }

    #[test]
    fn samples_lie_in_their_chunks_and_last_their_time() {
        let file = file(5, None);
        let sequence = Sequence::read(&file).unwrap();
        assert_eq!(sequence.colour.size(), (20, 10));
        assert_eq!(sequence.colour.samples(), 5);
        assert!(sequence.alpha.is_none());
        let samples = sequence.colour.find_samples().unwrap();
        let found: Vec<_> = samples
            .iter()
            .map(|sample| (sample.offset, sample.length, sample.delay))
            .collect();
        let expected = [
            (100, 10, 50),
            (110, 11, 100),
            (200, 12, 100),
            (212, 13, 100),
            (300, 14, 100),
        ];
        assert_eq!(found, expected);
        // The first lies in the file, and the last after its end.
        assert_eq!(sequence.colour.bytes(&samples[0]), file.get(100..110));
        let beyond = Sample {
            offset: u64::MAX,
            ..samples[4]
        };
        assert_eq!(sequence.colour.bytes(&beyond), None);
    }

    #[test]
    fn more_samples_than_the_tables_have_are_none() {
        for count in [6, 1_000] {
            let file = file(count, None);
            assert!(
                Sequence::read(&file)
                    .unwrap()
                    .colour
                    .find_samples()
                    .is_none()
            );
        }
    }

    #[test]
    fn an_edit_says_how_often_it_is_played() {
        for (edit, expected) in [
            (None, Plays::Forever),
            (Some((500, 0, 500)), Plays::Times(1)),
            (Some((500, 1, 500)), Plays::Times(1)),
            (Some((1_500, 1, 500)), Plays::Times(3)),
            (Some((1_501, 1, 500)), Plays::Times(4)),
            (Some((7, 1, 0)), Plays::Times(7)),
            (Some((u32::MAX, 1, 500)), Plays::Forever),
        ] {
            let file = file(5, edit);
            assert_eq!(Sequence::read(&file).unwrap().plays, expected, "{edit:?}");
        }
    }

    #[test]
    fn a_sequence_which_is_cut_off_is_none() {
        let whole = file(5, Some((1_500, 1, 500)));
        for length in 0..whole.len() {
            assert!(Sequence::read(&whole[..length]).is_none(), "{length}");
        }
    }
}
