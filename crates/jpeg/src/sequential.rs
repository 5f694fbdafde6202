//! Pictures whose blocks are told one after the other, each as a whole.

use std::rc::Rc;

use crate::bits::{Bits, Cursor, Window};
use crate::huffman::{
    Codes, DC_BITS, Dc, Dcs, END, PAIR_BITS, Pair, Pairs, RUN_BITS, Run, Runs, UNKNOWN,
    size_and_advance,
};
use crate::markers::{File, Part, Scan};
use crate::rows::Rows;
use crate::transform::{last_place, slots};
use crate::{Error, Picture, Plane};

pub(crate) fn decode<const N: usize>(
    file: &File<'_>,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Picture, Error> {
    let frame = &file.frame;
    let mut planes: Vec<Option<Plane>> = frame.components.iter().map(|_| None).collect();
    for scan in &file.scans {
        if scan.band != (0, 63) || (scan.high, scan.low) != (0, 0) {
            return Err(Error::Unsupported("part of the coefficients"));
        }
        if scan
            .parts
            .iter()
            .any(|part| planes[part.component].is_some())
        {
            return Err(Error::Unsupported("a component twice"));
        }
        let decoded = decode_scan::<N>(file, scan, goes_on)?;
        for (part, plane) in scan.parts.iter().zip(decoded) {
            planes[part.component] = Some(plane);
        }
    }
    let planes: Option<Vec<Plane>> = planes.into_iter().collect();
    frame.picture(planes.unwrap_or_default(), N as u32)
}

/// The tables of a component.
struct Tables<'a> {
    dc_codes: &'a Codes,
    ac_codes: &'a Codes,
    dcs: Dcs,
    pairs: Pairs,
    runs: Runs,
    /// Of each place of a block in zigzag order, and those behind, where its coefficient is kept.
    offsets: [u32; 256],
}

impl<'a> Tables<'a> {
    fn new<const N: usize>(file: &'a File<'_>, part: &Part, stride: usize) -> Result<Self, Error> {
        let codes = |number: Option<usize>| {
            let codes = number.and_then(|number| file.codes.get(number));
            codes.ok_or(NO_TABLE)
        };
        let (dc_codes, ac_codes) = (codes(part.dc)?, codes(part.ac)?);
        let mut tables = Self {
            dc_codes,
            ac_codes,
            dcs: [Dc::default(); 1 << DC_BITS],
            pairs: [Pair::UNKNOWN; 1 << PAIR_BITS],
            runs: [Run::UNKNOWN; 1 << RUN_BITS],
            offsets: [(N * N * stride) as u32; 256],
        };
        dc_codes.fill_dcs(&mut tables.dcs)?;
        let last = const { last_place(N) };
        if last > 0 {
            ac_codes.fill_pairs(&mut tables.pairs)?;
        }
        if last < 63 {
            ac_codes.fill_runs(&mut tables.runs)?;
        }
        for (offset, slot) in tables.offsets.iter_mut().zip(const { slots(N) }) {
            *offset = u32::from(slot) * stride as u32;
        }
        Ok(tables)
    }
}

/// A block of an MCU.
struct Place<'a> {
    tables: &'a Tables<'a>,
    /// Of the scan's components.
    part: usize,
    /// Where its coefficients begin in the first MCU of a row.
    start: usize,
    /// How much farther they are in each following one.
    step: usize,
}

fn decode_scan<const N: usize>(
    file: &File<'_>,
    scan: &Scan,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<Plane>, Error> {
    let frame = &file.frame;
    let together = scan.parts.len() > 1;
    let (across, down) = match &scan.parts[..] {
        [part] => frame.blocks(part.component),
        _ => frame.mcus(),
    };
    let mut tables: Vec<Rc<Tables<'_>>> = Vec::with_capacity(scan.parts.len());
    let mut rows = Vec::with_capacity(scan.parts.len());
    let mut counts = Vec::with_capacity(scan.parts.len());
    for part in &scan.parts {
        let (x, y) = if together {
            frame.blocks_in_mcu(part.component)
        } else {
            (1, 1)
        };
        let row = Rows::<N>::new(frame, part.component, across * x);
        // The two of colour use the same as a rule, which then stay in the innermost cache.
        let same = scan
            .parts
            .iter()
            .zip(&rows)
            .position(|(other, other_row): (_, &Rows<N>)| {
                (other.dc, other.ac, other_row.stride()) == (part.dc, part.ac, row.stride())
            });
        tables.push(match same {
            Some(index) => Rc::clone(&tables[index]),
            None => Rc::new(Tables::new::<N>(file, part, row.stride())?),
        });
        rows.push(row);
        counts.push((x, y));
    }
    let mut places = Vec::new();
    let mut length = 0;
    for (part, (x, y)) in counts.iter().enumerate() {
        for _ in 0..*y {
            places.extend((0..*x).map(|column| Place {
                tables: &tables[part],
                part,
                start: length + column,
                step: *x,
            }));
            length += rows[part].length();
        }
    }
    let mut coefficients = vec![0; length];

    let (mut bits, mut cursor) = Bits::new(&file.source[scan.data.clone()]);
    let mut predictions = [0; 3];
    let (mut until_restart, mut restarts) = (scan.restart_interval, 0);
    for _ in 0..down {
        if !goes_on() {
            return Err(Error::Stopped);
        }
        for mcu in 0..across {
            if scan.restart_interval > 0 {
                if until_restart == 0 {
                    bits.pass_restart(restarts, &mut cursor)?;
                    predictions = [0; 3];
                    restarts += 1;
                    until_restart = scan.restart_interval;
                }
                until_restart -= 1;
            }
            bits.reserve(&mut cursor)?;
            let window = bits.window();
            for place in &places {
                let coefficients = &mut coefficients[place.start + mcu * place.step..];
                let prediction = &mut predictions[place.part];
                cursor = block::<N>(window, cursor, place.tables, prediction, coefficients)?;
            }
        }
        // Far beyond what coefficients can be, and near what 16 bits can hold.
        if predictions
            .iter()
            .any(|value: &i32| value.unsigned_abs() > 1 << 14)
        {
            return Err(Error::Damaged("a coefficient out of range"));
        }
        let mut rest = &coefficients[..];
        for (rows, (_, y)) in rows.iter_mut().zip(&counts) {
            for _ in 0..*y {
                let (row, behind) = rest.split_at(rows.length());
                rows.push(row);
                rest = behind;
            }
        }
        coefficients.fill(0);
    }
    bits.end(&mut cursor)?;
    Ok(rows.into_iter().map(Rows::into_plane).collect())
}

pub(crate) const NO_TABLE: Error = Error::Damaged("a table is missing");
pub(crate) const BAD: Error = Error::Damaged("a bad code");

/// Reads a block, whose coefficients are at the offsets of its tables.
///
/// Before each look at the next bits there are as many of them as are looked up: a refill leaves 56.
#[inline(always)]
fn block<const N: usize>(
    window: &Window,
    mut cursor: Cursor,
    tables: &Tables<'_>,
    prediction: &mut i32,
    coefficients: &mut [i16],
) -> Result<Cursor, Error> {
    let last = const { last_place(N) };

    cursor.refill(window);
    let dc = tables.dcs[cursor.peek(DC_BITS)];
    let difference = if dc.length() > 0 {
        cursor.skip(dc.length());
        dc.value()
    } else {
        let (value, behind) = long_dc(cursor, tables.dc_codes)?;
        cursor = behind;
        cursor.refill(window);
        value
    };
    *prediction += difference;
    coefficients[0] = *prediction as i16;

    let mut place = 0;
    while place < last {
        let pair = tables.pairs[cursor.peek(PAIR_BITS)];
        cursor.refill(window);
        let [first, both] = pair.advances().map(|advance| place + advance);
        if both > 63 {
            // Behind the last coefficient comes no end.
            if (END..END + 63).contains(&both) {
                cursor.skip(pair.length());
                coefficients[tables.offsets[first & 255] as usize] = pair.values()[0];
                return Ok(cursor);
            }
            let (value, advance, behind) = one(cursor, tables.ac_codes)?;
            cursor = behind;
            cursor.refill(window);
            place += advance;
            if place > 63 {
                return if place < END { Err(BAD) } else { Ok(cursor) };
            }
            coefficients[tables.offsets[place] as usize] = value;
            continue;
        }
        cursor.skip(pair.length());
        let values = pair.values();
        coefficients[tables.offsets[first & 255] as usize] = values[0];
        coefficients[tables.offsets[both] as usize] = values[1];
        place = both;
    }
    while place < 63 {
        let run = tables.runs[cursor.peek(RUN_BITS)];
        cursor.refill(window);
        let behind = place + run.advance();
        if behind < 63 {
            cursor.skip(run.length());
            place = behind;
            continue;
        }
        if behind == 63 || (END..END + 63).contains(&behind) {
            cursor.skip(run.length());
            return Ok(cursor);
        }
        let (_, advance, behind) = one(cursor, tables.ac_codes)?;
        cursor = behind;
        cursor.refill(window);
        place += advance;
        if place > 63 {
            return if place < END { Err(BAD) } else { Ok(cursor) };
        }
    }
    Ok(cursor)
}

/// One value of AC of any length, and how far it goes.
#[cold]
#[inline(never)]
fn one(mut cursor: Cursor, codes: &Codes) -> Result<(i16, usize, Cursor), Error> {
    let symbol = cursor.long_symbol(codes).ok_or(BAD)?;
    let (size, advance) = size_and_advance(symbol).ok_or(BAD)?;
    let value = if size == 0 { 0 } else { cursor.value(size) };
    Ok((value as i16, advance, cursor))
}

/// A value of DC of any length.
#[cold]
#[inline(never)]
pub(crate) fn long_dc(mut cursor: Cursor, codes: &Codes) -> Result<(i32, Cursor), Error> {
    let size = u32::from(cursor.long_symbol(codes).ok_or(BAD)?);
    let value = if size == 0 { 0 } else { cursor.value(size) };
    Ok((value, cursor))
}

const _: () = assert!(UNKNOWN > END + 63);
