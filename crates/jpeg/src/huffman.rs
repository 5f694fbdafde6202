//! Tables of codes, and what is looked up in them.

use crate::Error;
use crate::bits::extend;

/// A table as a file has it.
#[derive(Debug)]
pub(crate) struct Codes {
    /// Codes of each length from 1 on.
    counts: [u8; 16],
    symbols: Vec<u8>,
    /// For each length the first code which is longer, at the left of 16 bits.
    ends: [u32; 16],
    /// For each length what a code has to be moved by to give the place of its symbol.
    shifts: [i32; 16],
    sound: bool,
}

/// Bits of which a value of DC is looked up. Longer ones are rare, as those below.
pub(crate) const DC_BITS: u32 = 10;
/// Bits of which two values of AC are looked up.
pub(crate) const PAIR_BITS: u32 = 11;
/// Bits of which a step through a progressive scan is looked up.
pub(crate) const STEP_BITS: u32 = 11;
/// Bits of which values of AC are looked up that do not matter.
pub(crate) const RUN_BITS: u32 = 13;

/// An advance beyond all places in a block, and beyond all wrong ones: the end of the block.
pub(crate) const END: usize = 128;
/// An advance beyond that, where more bits are needed to tell. None are to be skipped then.
pub(crate) const UNKNOWN: usize = 255;

/// A value of DC: in the lowest byte the bits of its code and itself, 0 where more are needed to
/// tell.
#[derive(Clone, Copy, Default)]
pub(crate) struct Dc(u32);

/// Two values of AC, or one twice. From the lowest byte on: the bits of both; how far the first goes
/// in the block, and how far both go; and from the fifth on the values, two bytes each.
#[derive(Clone, Copy)]
pub(crate) struct Pair(u64);

/// Values of AC which do not matter: bits of all, and how far they go.
#[derive(Clone, Copy)]
pub(crate) struct Run(u16);

/// A step through a progressive scan of AC. From the lowest byte on: the bits of code and value, 0
/// where more are needed to tell; how far it goes; and the value, or with [`END`] the blocks which
/// end here.
#[derive(Clone, Copy, Default)]
pub(crate) struct Step(u32);

/// By the bits to come.
pub(crate) type Dcs = [Dc; 1 << DC_BITS];
pub(crate) type Pairs = [Pair; 1 << PAIR_BITS];
pub(crate) type Steps = [Step; 1 << STEP_BITS];
pub(crate) type Runs = [Run; 1 << RUN_BITS];

impl Dc {
    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        self.0 & 255
    }

    #[inline(always)]
    pub(crate) fn value(self) -> i32 {
        self.0 as i32 >> 16
    }
}

impl Pair {
    pub(crate) const UNKNOWN: Self = Self((UNKNOWN as u64) << 8 | (UNKNOWN as u64) << 16);

    fn new(length: u32, advances: [usize; 2], values: [i32; 2]) -> Self {
        let [first, both] = advances.map(|advance| advance as u64);
        let values = values.map(|value| u64::from(value as u16));
        Self(u64::from(length) | first << 8 | both << 16 | values[0] << 32 | values[1] << 48)
    }

    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        (self.0 & 255) as u32
    }

    #[inline(always)]
    pub(crate) fn advances(self) -> [usize; 2] {
        [(self.0 >> 8 & 255) as usize, (self.0 >> 16 & 255) as usize]
    }

    #[inline(always)]
    pub(crate) fn values(self) -> [i16; 2] {
        [(self.0 >> 32) as i16, (self.0 >> 48) as i16]
    }
}

impl Run {
    pub(crate) const UNKNOWN: Self = Self((UNKNOWN as u16) << 8);

    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        (self.0 & 255).into()
    }

    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        (self.0 >> 8).into()
    }
}

impl Step {
    fn new(length: u32, advance: usize, value: i32) -> Self {
        Self((value << 16) as u32 | (advance as u32) << 8 | length)
    }

    #[inline(always)]
    pub(crate) fn length(self) -> u32 {
        self.0 & 255
    }

    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        (self.0 >> 8 & 255) as usize
    }

    /// Below 1 << 15.
    #[inline(always)]
    pub(crate) fn value(self) -> i32 {
        self.0 as i32 >> 16
    }

    /// What a symbol means whose value has these bits.
    pub(crate) fn of(symbol: u8, bits: i32) -> Option<Self> {
        let (size, advance) = step_size(symbol)?;
        let value = match advance {
            END => (1 << size) + bits,
            _ => extend(bits, size),
        };
        Some(Self::new(0, advance, value))
    }
}

/// The same of a symbol in a progressive scan, which may end many blocks.
pub(crate) fn step_size(symbol: u8) -> Option<(u32, usize)> {
    match (symbol >> 4, symbol & 15) {
        (zeros @ 0..15, 0) => Some((zeros.into(), END)),
        _ => size_and_advance(symbol),
    }
}

/// Of a symbol of AC, how many bits its value has, and how far it goes in the block.
pub(crate) fn size_and_advance(symbol: u8) -> Option<(u32, usize)> {
    match (symbol >> 4, symbol & 15) {
        (0, 0) => Some((0, END)),
        (15, 0) => Some((0, 16)),
        (_, 0) => None,
        (zeros, size) => Some((size.into(), usize::from(zeros) + 1)),
    }
}

/// A value of AC by the bits to come, and bits of it and its code: 0 where more are needed.
#[derive(Clone, Copy, Default)]
struct Single {
    length: u32,
    advance: usize,
    value: i32,
}

impl Codes {
    pub(crate) fn new(counts: [u8; 16], symbols: &[u8]) -> Self {
        let (mut ends, mut shifts) = ([0; 16], [0; 16]);
        let (mut end, mut place, mut sound) = (0_u32, 0, true);
        for (index, count) in counts.into_iter().enumerate() {
            shifts[index] = place - (end >> (15 - index)) as i32;
            end += u32::from(count) << (15 - index);
            place += i32::from(count);
            sound &= end <= 1 << 16;
            ends[index] = end;
        }
        Self {
            counts,
            symbols: symbols.to_vec(),
            ends,
            shifts,
            sound,
        }
    }

    /// The symbol at the left of 16 bits, and the length of its code.
    pub(crate) fn find(&self, bits: u32) -> Option<(u8, u32)> {
        let index = self
            .ends
            .iter()
            .map(|end| u32::from(bits >= *end))
            .sum::<u32>() as usize;
        let place = (bits >> 15_usize.checked_sub(index)?) as i32 + self.shifts[index];
        Some((*self.symbols.get(place as usize)?, index as u32 + 1))
    }

    /// All codes of at most so many bits, each with what bits of that number begin with it.
    fn short(&self, bits: u32) -> impl Iterator<Item = (u8, u32, std::ops::Range<usize>)> {
        let mut start = 0;
        let lengths = (1..=bits).zip(self.counts);
        let lengths = lengths.flat_map(|(length, count)| std::iter::repeat_n(length, count.into()));
        lengths.zip(&self.symbols).map(move |(length, symbol)| {
            let entries = start..start + (1 << (bits - length));
            start = entries.end;
            (*symbol, length, entries)
        })
    }

    fn check(&self) -> Result<(), Error> {
        if self.sound {
            Ok(())
        } else {
            Err(Error::Damaged("codes overlap"))
        }
    }

    /// Fills a table of values of DC, whose symbols are their sizes.
    pub(crate) fn fill_dcs(&self, dcs: &mut Dcs) -> Result<(), Error> {
        self.check()?;
        if self.symbols.iter().any(|size| *size > 15) {
            return Err(Error::Damaged("a symbol of DC"));
        }
        for (size, length, entries) in self.short(DC_BITS) {
            let size = u32::from(size);
            if let Some(rest) = DC_BITS.checked_sub(length + size) {
                for (number, entry) in dcs[entries].iter_mut().enumerate() {
                    let value = extend((number >> rest) as i32, size);
                    *entry = Dc((value << 16) as u32 | (length + size));
                }
            }
        }
        Ok(())
    }

    /// Values of AC by so many bits.
    fn singles(&self, bits: u32) -> Result<Vec<Single>, Error> {
        self.check()?;
        let mut singles = vec![Single::default(); 1 << bits];
        for (symbol, length, entries) in self.short(bits) {
            let Some((size, advance)) = size_and_advance(symbol) else {
                continue;
            };
            if let Some(rest) = bits.checked_sub(length + size) {
                for (number, entry) in singles[entries].iter_mut().enumerate() {
                    *entry = Single {
                        length: length + size,
                        advance,
                        value: extend((number >> rest) as i32, size),
                    };
                }
            }
        }
        Ok(singles)
    }

    /// Fills a table of two values of AC.
    pub(crate) fn fill_pairs(&self, pairs: &mut Pairs) -> Result<(), Error> {
        let singles = self.singles(PAIR_BITS)?;
        for (bits, pair) in pairs.iter_mut().enumerate() {
            let first = singles[bits];
            let second = singles[(bits << first.length) % singles.len()];
            let length = first.length + second.length;
            *pair = if first.length == 0 {
                Pair::UNKNOWN
            } else if first.advance < END && second.length > 0 && length <= PAIR_BITS {
                let advances = [first.advance, first.advance + second.advance];
                Pair::new(length, advances, [first.value, second.value])
            } else {
                Pair::new(first.length, [first.advance; 2], [first.value; 2])
            };
        }
        Ok(())
    }

    /// Fills a table of steps through a progressive scan.
    pub(crate) fn fill_steps(&self, steps: &mut Steps) -> Result<(), Error> {
        self.check()?;
        for (symbol, length, entries) in self.short(STEP_BITS) {
            let Some((size, _)) = step_size(symbol) else {
                continue;
            };
            if let Some(rest) = STEP_BITS.checked_sub(length + size) {
                for (number, entry) in steps[entries].iter_mut().enumerate() {
                    if let Some(step) = Step::of(symbol, (number >> rest) as i32) {
                        *entry = Step(step.0 | (length + size));
                    }
                }
            }
        }
        Ok(())
    }

    /// Fills a table of values of AC which do not matter.
    pub(crate) fn fill_runs(&self, runs: &mut Runs) -> Result<(), Error> {
        let singles = self.singles(RUN_BITS)?;
        for (bits, run) in runs.iter_mut().enumerate() {
            let (mut length, mut advance) = (0, 0);
            // Behind the end of a block, or certainly behind it, comes another.
            while advance < 63 {
                let next = singles[(bits << length) % singles.len()];
                if next.length == 0 || length + next.length > RUN_BITS {
                    break;
                }
                length += next.length;
                advance += next.advance;
            }
            *run = match length {
                0 => Run::UNKNOWN,
                _ => Run(length as u16 | (advance as u16) << 8),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value of AC as the standard reads it, bit by bit: its length, advance and value.
    fn read(codes: &Codes, bits: u32) -> Option<(u32, usize, i32)> {
        let (symbol, length) = codes.find(bits >> 16)?;
        let (size, advance) = size_and_advance(symbol)?;
        let value = (u64::from(bits) << length >> (32 - size) & ((1 << size) - 1)) as i32;
        Some((length + size, advance, extend(value, size)))
    }

    /// Codes without gaps, of as many lengths as the numbers make.
    fn codes() -> impl Strategy<Value = Codes> {
        let counts = prop::array::uniform16(0_u32..6);
        let symbols = prop::collection::vec(any::<u8>(), 256);
        (counts, symbols).prop_map(|(wanted, symbols)| {
            let (mut left, mut counts) = (1_u32, [0_u8; 16]);
            for (count, wanted) in counts.iter_mut().zip(wanted) {
                left *= 2;
                // One is left over, so that longer ones can follow.
                let taken = wanted.min(left - 1);
                left -= taken;
                *count = taken as u8;
            }
            let count: usize = counts.iter().map(|count| usize::from(*count)).sum();
            Codes::new(counts, &symbols[..count])
        })
    }

    proptest! {
        #[test]
        fn tables_say_what_single_codes_say(codes in codes(), bits in prop::collection::vec(any::<u32>(), 50)) {
            let mut pairs = [Pair::UNKNOWN; 1 << PAIR_BITS];
            codes.fill_pairs(&mut pairs).unwrap();
            let mut runs = Box::new([Run::UNKNOWN; 1 << RUN_BITS]);
            codes.fill_runs(&mut runs).unwrap();
            for bits in bits {
                let pair = pairs[(bits >> (32 - PAIR_BITS)) as usize];
                let first = read(&codes, bits);
                if pair.length() > 0 {
                    let (length, advance, value) = first.unwrap();
                    prop_assert_eq!(pair.advances()[0], advance);
                    prop_assert_eq!(i32::from(pair.values()[0]), value);
                    if pair.length() > length {
                        let (more, further, value) = read(&codes, bits << length).unwrap();
                        prop_assert_eq!(pair.length(), length + more);
                        prop_assert_eq!(pair.advances()[1], advance + further);
                        prop_assert_eq!(i32::from(pair.values()[1]), value);
                    } else {
                        prop_assert_eq!(pair.advances()[1], advance);
                    }
                } else {
                    prop_assert!(first.is_none_or(|(length, ..)| length > PAIR_BITS));
                }
                let run = runs[(bits >> (32 - RUN_BITS)) as usize];
                let (mut length, mut advance) = (0, 0);
                while length < run.length() {
                    let (more, further, _) = read(&codes, bits << length).unwrap();
                    length += more;
                    advance += further;
                }
                prop_assert_eq!(length, run.length());
                prop_assert_eq!(if length == 0 { UNKNOWN } else { advance }, run.advance());
            }
        }
    }

    #[test]
    fn more_codes_than_bits_can_tell_apart_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        let codes = Codes::new(counts, &[0, 1, 2]);
        assert!(codes.fill_dcs(&mut [Dc::default(); 1 << DC_BITS]).is_err());
        assert!(
            codes
                .fill_pairs(&mut [Pair::UNKNOWN; 1 << PAIR_BITS])
                .is_err()
        );
    }
}
