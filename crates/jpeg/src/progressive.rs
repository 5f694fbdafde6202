//! Pictures which are told in several passes, each about some frequencies and some bits of them.
//!
//! Of the coefficients those are held which the size asked for needs; of the others one bit each, as a
//! later pass has bits for all which are not zero yet. Passes which tell neither are not read.

use crate::bits::{Bits, Cursor, Window};
use crate::frame::Frame;
use crate::huffman::{Codes, DC_BITS, Dc, Dcs, END, STEP_BITS, Step, Steps, step_size};
use crate::markers::{File, Scan};
use crate::rows::Rows;
use crate::sequential::{BAD, NO_TABLE, long_dc};
use crate::transform::{last_place, slots};
use crate::{Error, Extent, Limits, Picture};

/// As many passes as that have told nothing about a coefficient.
const UNTOLD: u8 = 255;

/// Below this place a coefficient which is not told to its end makes libjpeg guess it from those of
/// its neighbours.
const GUESSED: usize = 10;

/// What is known of a component.
struct Component<const N: usize> {
    rows: Rows<N>,
    /// Of all rows of blocks.
    coefficients: Vec<i16>,
    /// Of each block, which coefficients are not zero, as bits in zigzag order. None where nothing
    /// depends on it.
    marks: Vec<u64>,
    /// Blocks in a row.
    across: usize,
    /// Of each place, where its coefficient is kept from that of DC on.
    offsets: [u32; 64],
    /// Of each place, the lowest bit told.
    told: [u8; 64],
}

pub(crate) fn decode<const N: usize>(
    file: &File<'_>,
    extent: Extent,
    limits: &Limits,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Picture, Error> {
    let frame = &file.frame;
    let (needed, history) = needed::<N>(file, extent);
    let mut components = Vec::with_capacity(frame.components.len());
    let mut bytes = 0;
    for (number, history) in history.into_iter().enumerate().take(frame.components.len()) {
        let (mcus_across, mcus_down) = frame.mcus();
        let (x, y) = frame.blocks_in_mcu(number);
        let (across, down) = (mcus_across * x, mcus_down * y);
        let rows = Rows::<N>::new(frame, number, across);
        let length = rows.length() * down;
        let marks = if history == 0 { 0 } else { across * down };
        bytes += length as u64 * 2 + marks as u64 * 8;
        if bytes > limits.coefficient_bytes_max {
            return Err(Error::Unsupported("memory"));
        }
        components.push(Component {
            coefficients: vec![0; length],
            marks: vec![0; marks],
            across,
            offsets: slots(N).map(|slot| u32::from(slot) * rows.stride() as u32),
            told: [UNTOLD; 64],
            rows,
        });
    }
    for (scan, needed) in file.scans.iter().zip(needed) {
        account(&mut components, scan)?;
        if needed {
            match (scan.band.0, scan.high) {
                (0, 0) => dc_first(file, scan, &mut components, goes_on)?,
                (0, _) => dc_more(file, scan, &mut components, goes_on)?,
                (_, 0) => ac_first(file, scan, &mut components, goes_on)?,
                (_, _) => ac_more(file, scan, &mut components, goes_on)?,
            }
        }
    }
    let wanted = last_place(N).max(GUESSED);
    let mut planes = Vec::with_capacity(components.len());
    for mut component in components {
        if component.told[..=wanted].iter().any(|low| *low != 0) {
            return Err(Error::Unsupported("incomplete"));
        }
        for row in component.coefficients.chunks_exact(component.rows.length()) {
            component.rows.push(row);
        }
        planes.push(component.rows.into_plane());
    }
    frame.picture(planes, N as u32)
}

/// The places of a band as bits.
fn bits_of((first, last): (u8, u8)) -> u64 {
    u64::MAX << (first & 63) & u64::MAX >> (63 - (last & 63))
}

/// Which scans have to be read, and for each component the places whose coefficients a later scan asks
/// whether they are zero.
fn needed<const N: usize>(file: &File<'_>, extent: Extent) -> (Vec<bool>, [u64; 3]) {
    let slots = const { slots(N) };
    let kept = (0..64).filter(|place| usize::from(slots[*place]) < N * N);
    let kept = kept.fold(0_u64, |kept, place| kept | 1 << place);
    let mut history = [0; 3];
    let mut needed: Vec<bool> = file
        .scans
        .iter()
        .rev()
        .map(|scan| {
            let band = bits_of(scan.band);
            scan.parts.iter().fold(false, |needed, part| {
                let history = &mut history[part.component];
                let read = extent == Extent::All || band & (kept | *history) != 0;
                if read && scan.band.0 > 0 && scan.high > 0 {
                    *history |= band;
                }
                needed | read
            })
        })
        .collect();
    needed.reverse();
    (needed, history)
}

/// Makes sure that a scan goes on where those before it have ended.
fn account<const N: usize>(components: &mut [Component<N>], scan: &Scan) -> Result<(), Error> {
    let (first, last) = scan.band;
    let of_dc = (first, last) == (0, 0);
    let of_ac = first > 0 && first <= last && last < 64 && scan.parts.len() == 1;
    let low = scan.low;
    if !(of_dc || of_ac) || low > 13 || (scan.high > 0 && scan.high != low + 1) {
        return Err(Error::Damaged("progression"));
    }
    let before = if scan.high == 0 { UNTOLD } else { scan.high };
    for part in &scan.parts {
        let told = &mut components[part.component].told;
        let band = &mut told[first.into()..=last.into()];
        if band.iter().any(|told| *told != before) {
            return Err(Error::Damaged("progression"));
        }
        band.fill(low);
        if told[0] == UNTOLD {
            return Err(Error::Damaged("progression"));
        }
    }
    Ok(())
}

/// Blocks which are read one after the other, with what all kinds of scans have in common.
struct Walk<'a> {
    bits: Bits<'a>,
    cursor: Cursor,
    restart_interval: usize,
    until_restart: usize,
    restarts: usize,
}

impl<'a> Walk<'a> {
    fn new(file: &File<'a>, scan: &Scan) -> Self {
        let (bits, cursor) = Bits::new(&file.source[scan.data.clone()]);
        Self {
            bits,
            cursor,
            restart_interval: scan.restart_interval,
            until_restart: scan.restart_interval,
            restarts: 0,
        }
    }

    /// Makes ready for an MCU. Whether it is the first after a restart.
    #[inline(always)]
    fn next(&mut self) -> Result<bool, Error> {
        let mut restarted = false;
        if self.restart_interval > 0 {
            if self.until_restart == 0 {
                self.bits.pass_restart(self.restarts, &mut self.cursor)?;
                self.restarts += 1;
                self.until_restart = self.restart_interval;
                restarted = true;
            }
            self.until_restart -= 1;
        }
        self.bits.reserve(&mut self.cursor)?;
        Ok(restarted)
    }

    fn end(mut self) -> Result<(), Error> {
        self.bits.end(&mut self.cursor)
    }
}

fn codes<'a>(file: &'a File<'_>, number: Option<usize>) -> Result<&'a Codes, Error> {
    number
        .and_then(|number| file.codes.get(number))
        .ok_or(NO_TABLE)
}

/// For each MCU of a scan of DC, the part of the scan and the places of its coefficients.
struct DcPlaces {
    across: usize,
    down: usize,
    /// For each block of an MCU its part, and its row and column among the part's blocks of an MCU.
    blocks: Vec<(usize, usize, usize)>,
    /// For each part, blocks of an MCU across and down.
    counts: Vec<(usize, usize)>,
}

impl DcPlaces {
    fn new(frame: &Frame, scan: &Scan) -> Self {
        let (across, down) = match &scan.parts[..] {
            [part] => frame.blocks(part.component),
            _ => frame.mcus(),
        };
        let counts: Vec<(usize, usize)> = match &scan.parts[..] {
            [_] => vec![(1, 1)],
            parts => parts
                .iter()
                .map(|part| frame.blocks_in_mcu(part.component))
                .collect(),
        };
        let mut blocks = Vec::new();
        for (part, (x, y)) in counts.iter().enumerate() {
            for row in 0..*y {
                blocks.extend((0..*x).map(|column| (part, row, column)));
            }
        }
        Self {
            across,
            down,
            blocks,
            counts,
        }
    }

    /// Calls the function for each block with the part, its coefficient, and whether it is the first
    /// after a restart.
    fn each<const N: usize>(
        &self,
        scan: &Scan,
        components: &mut [Component<N>],
        walk: &mut Walk<'_>,
        goes_on: &mut dyn FnMut() -> bool,
        mut read: impl FnMut(&Window, Cursor, usize, &mut i16, bool) -> Result<Cursor, Error>,
    ) -> Result<(), Error> {
        for mcu_row in 0..self.down {
            if !goes_on() {
                return Err(Error::Stopped);
            }
            for mcu in 0..self.across {
                let mut restarted = walk.next()?;
                for (part, row, column) in &self.blocks {
                    let (x, y) = self.counts[*part];
                    let component = &mut components[scan.parts[*part].component];
                    let start = (mcu_row * y + row) * component.rows.length();
                    let coefficient = &mut component.coefficients[start + mcu * x + column];
                    let window = walk.bits.window();
                    walk.cursor = read(window, walk.cursor, *part, coefficient, restarted)?;
                    restarted = false;
                }
            }
        }
        Ok(())
    }
}

/// The upper bits of DC.
fn dc_first<const N: usize>(
    file: &File<'_>,
    scan: &Scan,
    components: &mut [Component<N>],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let mut tables: Vec<(&Codes, Box<Dcs>)> = Vec::with_capacity(scan.parts.len());
    for part in &scan.parts {
        let mut dcs = Box::new([Dc::default(); 1 << DC_BITS]);
        let codes = codes(file, part.dc)?;
        codes.fill_dcs(&mut dcs)?;
        tables.push((codes, dcs));
    }
    let mut walk = Walk::new(file, scan);
    let mut predictions = [0_i32; 3];
    let places = DcPlaces::new(&file.frame, scan);
    let read = |window: &Window,
                mut cursor: Cursor,
                part: usize,
                coefficient: &mut i16,
                restarted: bool| {
        if restarted {
            predictions = [0; 3];
        }
        let (codes, dcs) = &tables[part];
        cursor.refill(window);
        let dc = dcs[cursor.peek(DC_BITS)];
        let difference = if dc.length() > 0 {
            cursor.skip(dc.length());
            dc.value()
        } else {
            let (value, behind) = long_dc(cursor, codes)?;
            cursor = behind;
            value
        };
        let value = (predictions[part] + difference) << scan.low;
        if value.unsigned_abs() > 1 << 14 {
            return Err(Error::Damaged("a coefficient out of range"));
        }
        predictions[part] += difference;
        *coefficient = value as i16;
        Ok(cursor)
    };
    places.each(scan, components, &mut walk, goes_on, read)?;
    walk.end()
}

/// One more bit of DC.
fn dc_more<const N: usize>(
    file: &File<'_>,
    scan: &Scan,
    components: &mut [Component<N>],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let mut walk = Walk::new(file, scan);
    let places = DcPlaces::new(&file.frame, scan);
    let read = |window: &Window, mut cursor: Cursor, _, coefficient: &mut i16, _| {
        cursor.refill(window);
        *coefficient |= (cursor.take(1) << scan.low) as i16;
        Ok(cursor)
    };
    places.each(scan, components, &mut walk, goes_on, read)?;
    walk.end()
}

/// A step of any length, with nothing left to be skipped.
#[cold]
#[inline(never)]
fn long_step(mut cursor: Cursor, codes: &Codes) -> Result<(Step, Cursor), Error> {
    let symbol = cursor.long_symbol(codes).ok_or(BAD)?;
    let (size, _) = step_size(symbol).ok_or(BAD)?;
    let bits = cursor.take(size) as i32;
    Ok((Step::of(symbol, bits).ok_or(BAD)?, cursor))
}

/// The next step. At the call [`STEP_BITS`] bits are there, and afterwards as well.
#[inline(always)]
fn step(
    window: &Window,
    mut cursor: Cursor,
    codes: &Codes,
    steps: &Steps,
) -> Result<(Step, Cursor), Error> {
    let step = steps[cursor.peek(STEP_BITS)];
    cursor.refill(window);
    if step.length() == 0 {
        let (step, mut cursor) = long_step(cursor, codes)?;
        cursor.refill(window);
        return Ok((step, cursor));
    }
    cursor.skip(step.length());
    Ok((step, cursor))
}

/// The upper bits of some frequencies.
fn ac_first<const N: usize>(
    file: &File<'_>,
    scan: &Scan,
    components: &mut [Component<N>],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let part = &scan.parts[0];
    let (blocks, rows) = file.frame.blocks(part.component);
    let component = &mut components[part.component];
    let codes = codes(file, part.ac)?;
    let mut steps = Box::new([Step::default(); 1 << STEP_BITS]);
    codes.fill_steps(&mut steps)?;
    let (first, last) = (usize::from(scan.band.0), usize::from(scan.band.1));
    let mut walk = Walk::new(file, scan);
    // Blocks which have ended before they begin.
    let mut ended = 0;
    for row in 0..rows {
        if !goes_on() {
            return Err(Error::Stopped);
        }
        let start = row * component.rows.length();
        for block in 0..blocks {
            if walk.next()? {
                ended = 0;
            }
            if ended > 0 {
                ended -= 1;
                continue;
            }
            let window = walk.bits.window();
            let mut cursor = walk.cursor;
            cursor.refill(window);
            let coefficients = &mut component.coefficients[start + block..];
            let mut marks = 0;
            let mut place = first;
            while place <= last {
                let (step, behind) = step(window, cursor, codes, &steps)?;
                cursor = behind;
                if step.advance() == END {
                    ended = step.value() - 1;
                    break;
                }
                place += step.advance();
                if place > last + 1 {
                    return Err(BAD);
                }
                let offset = component.offsets[(place - 1) & 63];
                coefficients[offset as usize] = (step.value() << scan.low) as i16;
                marks |= u64::from(step.value() != 0) << ((place - 1) & 63);
            }
            walk.cursor = cursor;
            if let Some(known) = component.marks.get_mut(row * component.across + block) {
                *known |= marks;
            }
        }
    }
    if ended > 0 {
        return Err(Error::Damaged("more blocks end than there are"));
    }
    walk.end()
}

/// One more bit of some frequencies.
fn ac_more<const N: usize>(
    file: &File<'_>,
    scan: &Scan,
    components: &mut [Component<N>],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let part = &scan.parts[0];
    let (blocks, rows) = file.frame.blocks(part.component);
    let component = &mut components[part.component];
    let codes = codes(file, part.ac)?;
    let mut steps = Box::new([Step::default(); 1 << STEP_BITS]);
    codes.fill_steps(&mut steps)?;
    let band = bits_of(scan.band);
    let mut walk = Walk::new(file, scan);
    let mut ended = 0;
    for row in 0..rows {
        if !goes_on() {
            return Err(Error::Stopped);
        }
        let start = row * component.rows.length();
        let marks = &mut component.marks[row * component.across..][..blocks];
        for (block, marks) in marks.iter_mut().enumerate() {
            if walk.next()? {
                ended = 0;
            }
            let window = walk.bits.window();
            let mut cursor = walk.cursor;
            let coefficients = &mut component.coefficients[start + block..];
            let mut more = More {
                coefficients,
                offsets: &component.offsets,
                bit: 1 << scan.low,
            };
            // The places which the scan has not come to yet.
            let mut rest = band;
            if ended == 0 {
                cursor.refill(window);
                while rest != 0 {
                    let (step, behind) = step(window, cursor, codes, &steps)?;
                    cursor = behind;
                    if step.advance() == END {
                        ended = step.value();
                        break;
                    }
                    // So many zeros are passed, and one more which is a new value or the last zero.
                    let mut zeros = rest & !*marks;
                    for _ in 1..step.advance() {
                        zeros &= zeros.wrapping_sub(1);
                    }
                    let place = zeros & zeros.wrapping_neg();
                    // A new value has one bit.
                    if place == 0 || step.value().unsigned_abs() > 1 {
                        return Err(BAD);
                    }
                    let passed = rest & (place - 1) & *marks;
                    cursor = more.correct::<N>(window, cursor, passed);
                    if step.value() != 0 {
                        more.set(place, step.value());
                        *marks |= place;
                    }
                    rest &= !(place | (place - 1));
                }
            }
            if ended > 0 {
                ended -= 1;
                cursor = more.correct::<N>(window, cursor, rest & *marks);
            }
            walk.cursor = cursor;
        }
    }
    if ended > 0 {
        return Err(Error::Damaged("more blocks end than there are"));
    }
    walk.end()
}

/// The coefficients of a block which are told one more bit of.
struct More<'a> {
    coefficients: &'a mut [i16],
    offsets: &'a [u32; 64],
    /// What the bit is worth.
    bit: i16,
}

impl More<'_> {
    #[inline(always)]
    fn set(&mut self, place: u64, sign: i32) {
        let offset = self.offsets[(place.trailing_zeros() & 63) as usize];
        self.coefficients[offset as usize] = self.bit * sign as i16;
    }

    /// Reads a bit for each of the places, whose coefficients are not zero. Leaves as many bits as a
    /// step looks at.
    #[inline(always)]
    fn correct<const N: usize>(
        &mut self,
        window: &Window,
        mut cursor: Cursor,
        mut places: u64,
    ) -> Cursor {
        let kept = const { u64::MAX >> (63 - last_place(N)) };
        while places & kept != 0 {
            cursor.refill(window);
            // No more of them than there are bits.
            for _ in 0..40 {
                let place = places & places.wrapping_neg();
                let told = cursor.take(1);
                let offset = self.offsets[(place.trailing_zeros() & 63) as usize];
                let coefficient = &mut self.coefficients[offset as usize];
                let sign = i16::from(*coefficient >= 0) * 2 - 1;
                *coefficient = coefficient.wrapping_add(sign * self.bit * told as i16);
                places ^= place;
                if places & kept == 0 {
                    break;
                }
            }
        }
        cursor.refill(window);
        let mut others = places.count_ones();
        if others > 32 {
            cursor.skip(32);
            cursor.refill(window);
            others -= 32;
        }
        cursor.skip(others);
        cursor
    }
}
