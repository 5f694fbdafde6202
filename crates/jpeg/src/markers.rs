//! The segments of a file: everything but the codes of its scans.
//!
//! Strict on purpose: what is unusual or wrong in any way is an error here.

use std::ops::Range;

use crate::frame::{Component, Frame};
use crate::huffman::Codes;
use crate::{Error, Limits};

/// A file taken apart.
pub(crate) struct File<'a> {
    pub source: &'a [u8],
    pub frame: Frame,
    pub scans: Vec<Scan>,
    /// All tables of codes which the scans refer to.
    pub codes: Vec<Codes>,
}

/// One pass over one or all components.
pub(crate) struct Scan {
    pub parts: Vec<Part>,
    /// The first and last coefficient it is about, in zigzag order.
    pub band: (u8, u8),
    /// The bit from which on a previous scan has told the coefficients; 0 if this is the first.
    pub high: u8,
    /// The bit from which on they are told after it.
    pub low: u8,
    /// MCUs between markers of restart; 0 is all.
    pub restart_interval: usize,
    /// Where its codes lie, markers of restart among them.
    pub data: Range<usize>,
}

/// A component in a scan, and the numbers of its tables in [`File::codes`].
pub(crate) struct Part {
    pub component: usize,
    pub dc: Option<usize>,
    pub ac: Option<usize>,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;
const DQT: u8 = 0xdb;
const DHT: u8 = 0xc4;
const DRI: u8 = 0xdd;
const COM: u8 = 0xfe;
const APP0: u8 = 0xe0;
const APP14: u8 = 0xee;
const APP15: u8 = 0xef;

struct Reader<'a> {
    source: &'a [u8],
    frame: Option<Frame>,
    quantisation: [Option<[u16; 64]>; 4],
    codes: Vec<Codes>,
    /// Of DC and AC, the latest of each number.
    named: [[Option<usize>; 4]; 2],
    restart_interval: usize,
    jfif: bool,
    adobe_transform: Option<u8>,
    scans: Vec<Scan>,
}

impl<'a> File<'a> {
    /// Reads everything but the scans' codes, and finds out where those are.
    pub(crate) fn read(source: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let mut reader = Reader {
            source,
            frame: None,
            quantisation: [None; 4],
            codes: Vec::new(),
            named: [[None; 4]; 2],
            restart_interval: 0,
            jfif: false,
            adobe_transform: None,
            scans: Vec::new(),
        };
        reader.read(limits)?;
        let frame = reader.frame.ok_or(Error::Damaged("no frame"))?;
        if !frame.components.iter().all(|part| part.quantised) {
            return Err(Error::Damaged("a component without a scan"));
        }
        Ok(Self {
            source,
            frame,
            scans: reader.scans,
            codes: reader.codes,
        })
    }
}

impl Reader<'_> {
    fn read(&mut self, limits: &Limits) -> Result<(), Error> {
        if self.source.get(..2) != Some(&[0xff, SOI]) {
            return Err(Error::Damaged("no start of image"));
        }
        let mut position = 2;
        loop {
            if self.source.get(position) != Some(&0xff) {
                return Err(Error::Damaged("no marker where one should be"));
            }
            while self.source.get(position) == Some(&0xff) {
                position += 1;
            }
            let marker = *self.source.get(position).ok_or(CUT_OFF)?;
            position += 1;
            if marker == EOI {
                return Ok(());
            }
            let length = self.source.get(position..position + 2).ok_or(CUT_OFF)?;
            let length = usize::from(u16_at(length, 0));
            let body = position + 2..position + length;
            if length < 2 || body.end > self.source.len() {
                return Err(CUT_OFF);
            }
            position = body.end;
            let body = &self.source[body];
            match marker {
                0xc0..=0xc2 => self.frame(marker, body, limits)?,
                DQT => self.quantisation(body)?,
                DHT => self.codes(body)?,
                DRI => match *body {
                    [high, low] => self.restart_interval = u16::from_be_bytes([high, low]).into(),
                    _ => return Err(Error::Damaged("restart interval")),
                },
                SOS => {
                    if self.scans.len() >= limits.scans_max {
                        return Err(Error::Unsupported("many scans"));
                    }
                    let end = end_of_scan(self.source, position)?;
                    self.scan(body, position..end)?;
                    position = end;
                }
                APP0 if body.starts_with(b"JFIF") => {
                    if body.len() < 14 || body[4] != 0 {
                        return Err(Error::Unsupported("JFIF"));
                    }
                    self.jfif = true;
                }
                APP14 if body.starts_with(b"Adobe") => {
                    let transform = *body.get(11).ok_or(Error::Unsupported("Adobe"))?;
                    self.adobe_transform = Some(transform);
                }
                APP0..=APP15 | COM => {}
                _ => return Err(Error::Unsupported("marker")),
            }
        }
    }

    fn frame(&mut self, marker: u8, body: &[u8], limits: &Limits) -> Result<(), Error> {
        if self.frame.is_some() {
            return Err(Error::Damaged("a second frame"));
        }
        let [precision, h1, h0, w1, w0, count, components @ ..] = body else {
            return Err(Error::Damaged("frame"));
        };
        if *precision != 8 || !matches!(count, 1 | 3) {
            return Err(Error::Unsupported("samples"));
        }
        let height = u32::from(u16::from_be_bytes([*h1, *h0]));
        let width = u32::from(u16::from_be_bytes([*w1, *w0]));
        if width == 0 || height == 0 || components.len() != usize::from(*count) * 3 {
            return Err(Error::Damaged("frame"));
        }
        if u64::from(width) * u64::from(height) > limits.pixels_max {
            return Err(Error::Unsupported("size"));
        }
        let components: Vec<[u8; 4]> = components
            .chunks_exact(3)
            .map(|part| [part[0], part[1] >> 4, part[1] & 15, part[2]])
            .collect();
        let ids: Vec<u8> = components.iter().map(|part| part[0]).collect();
        let rgb = match (self.jfif, self.adobe_transform) {
            (true, _) => false,
            (false, Some(transform)) => transform != 1,
            (false, None) => ids == *b"RGB",
        };
        let distinct = ids
            .iter()
            .enumerate()
            .all(|(at, id)| !ids[..at].contains(id));
        if !distinct || (rgb && ids.len() == 3) {
            return Err(Error::Unsupported("colours"));
        }
        let factors: Vec<(u8, u8)> = components.iter().map(|part| (part[1], part[2])).collect();
        let subsampling = match factors[..] {
            [(1..=4, 1..=4)] => (1, 1),
            [
                (across @ 1..=2, down @ 1..=2) | (across @ 4, down @ 1),
                (1, 1),
                (1, 1),
            ] => (across.into(), down.into()),
            _ => return Err(Error::Unsupported("sampling")),
        };
        let components = components
            .iter()
            .enumerate()
            .map(|(number, [id, _, _, table])| Component::new(number, *id, *table))
            .collect();
        self.frame = Some(Frame {
            width,
            height,
            subsampling,
            components,
            progressive: marker == 0xc2,
        });
        Ok(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Result<(), Error> {
        while let [head, rest @ ..] = body {
            let (bytes, number) = match head >> 4 {
                0 => (1, head & 15),
                1 => (2, head & 15),
                _ => return Err(Error::Damaged("quantisation")),
            };
            let values = rest.get(..64 * bytes);
            let table = self.quantisation.get_mut(usize::from(number));
            let (Some(values), Some(table)) = (values, table) else {
                return Err(Error::Damaged("quantisation"));
            };
            let mut zigzag = [0; 64];
            for (value, bytes) in zigzag.iter_mut().zip(values.chunks_exact(bytes)) {
                *value = bytes
                    .iter()
                    .fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            *table = Some(zigzag);
            body = &rest[64 * bytes..];
        }
        Ok(())
    }

    fn codes(&mut self, mut body: &[u8]) -> Result<(), Error> {
        while let [head, rest @ ..] = body {
            let class = self.named.get_mut(usize::from(head >> 4));
            let name = class.and_then(|class| class.get_mut(usize::from(head & 15)));
            let (Some(counts), Some(name)) = (rest.first_chunk::<16>(), name) else {
                return Err(Error::Damaged("codes"));
            };
            let count: usize = counts.iter().map(|count| usize::from(*count)).sum();
            let symbols = rest.get(16..16 + count).filter(|_| count <= 256);
            let symbols = symbols.ok_or(Error::Damaged("codes"))?;
            *name = Some(self.codes.len());
            self.codes.push(Codes::new(*counts, symbols));
            body = &rest[16 + count..];
        }
        Ok(())
    }

    fn scan(&mut self, body: &[u8], data: Range<usize>) -> Result<(), Error> {
        let frame = self
            .frame
            .as_mut()
            .ok_or(Error::Damaged("a scan before the frame"))?;
        let wrong = Error::Damaged("scan");
        let [count, rest @ ..] = body else {
            return Err(wrong);
        };
        let count = usize::from(*count);
        if count == 0 || rest.len() != count * 2 + 3 {
            return Err(wrong);
        }
        let (parts, band) = rest.split_at(count * 2);
        // One after the other or all together; two of three do not occur.
        if count != 1 && count != frame.components.len() {
            return Err(Error::Unsupported("interleaving"));
        }
        let mut scan = Scan {
            parts: Vec::with_capacity(count),
            band: (band[0], band[1]),
            high: band[2] >> 4,
            low: band[2] & 15,
            restart_interval: self.restart_interval,
            data,
        };
        for (place, part) in parts.chunks_exact(2).enumerate() {
            let component = frame
                .components
                .iter()
                .position(|known| known.id == part[0]);
            let component = component.ok_or(wrong)?;
            if count > 1 && component != place {
                return Err(Error::Unsupported("order of components"));
            }
            let table = |class: usize, number: u8| {
                let table = self.named[class].get(usize::from(number));
                table.copied().ok_or(wrong)
            };
            scan.parts.push(Part {
                component,
                dc: table(0, part[1] >> 4)?,
                ac: table(1, part[1] & 15)?,
            });
            let known = &mut frame.components[component];
            if !known.quantised {
                let table = self.quantisation.get(usize::from(known.table));
                let table = table.copied().flatten();
                known.quantisation = table.ok_or(Error::Damaged("no quantisation"))?;
                known.quantised = true;
            }
        }
        self.scans.push(scan);
        Ok(())
    }
}

const CUT_OFF: Error = Error::Damaged("cut off");

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Where the codes from `start` on end: at the next marker which is none of restart.
fn end_of_scan(source: &[u8], start: usize) -> Result<usize, Error> {
    let mut position = start;
    loop {
        position = next_ff(source, position).ok_or(CUT_OFF)?;
        match source.get(position + 1) {
            Some(0x00 | 0xd0..=0xd7) => position += 2,
            Some(_) => return Ok(position),
            None => return Err(CUT_OFF),
        }
    }
}

/// The next byte of all ones.
fn next_ff(source: &[u8], start: usize) -> Option<usize> {
    let rest = source.get(start..)?;
    let blocks = rest.chunks_exact(32);
    // Without an early end, so that it is done in vectors.
    let clean = |block: &[u8]| {
        block
            .iter()
            .fold(0, |found, byte| found | u8::from(*byte == 0xff))
            == 0
    };
    let skipped = blocks.take_while(|block| clean(block)).count() * 32;
    let found = rest[skipped..].iter().position(|byte| *byte == 0xff)?;
    Some(start + skipped + found)
}
