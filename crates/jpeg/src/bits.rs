//! The bits of a scan.

use crate::Error;
use crate::huffman::Codes;

/// More bytes than an MCU can have: six blocks of 64 symbols, each of at most 16 bits and a value of
/// at most 15. Reading them needs no further look at where the bytes end.
const MCU_BYTES_MAX: usize = 6 * 64 * 31 / 8;

/// Read beyond the end at most: what a cursor holds, and loads in advance.
const SLACK: usize = MCU_BYTES_MAX + 64;

/// Small enough to stay in the innermost cache beside the tables.
const WINDOW: usize = 8 * 1024;

/// With room for a load at its last place.
pub(crate) type Window = [u8; WINDOW + 8];

/// Some bytes of a scan without what is stuffed between them, up to the next marker.
pub(crate) struct Bits<'a> {
    source: &'a [u8],
    /// Of `source`, from where on it has not been copied.
    position: usize,
    window: Box<Window>,
    /// Bytes of the window which are the scan's; zeros follow.
    filled: usize,
    /// Whether a marker or the end of `source` comes next.
    ended: bool,
}

/// A place in a [`Bits`].
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    /// Bytes of the window which were loaded.
    at: usize,
    /// The next bits, the first of them uppermost.
    bits: u64,
    /// How many bits of that count.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(source: &'a [u8]) -> (Self, Cursor) {
        let mut bits = Self {
            source,
            position: 0,
            window: Box::new([0; WINDOW + 8]),
            filled: 0,
            ended: false,
        };
        let cursor = bits.restart();
        (bits, cursor)
    }

    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    fn restart(&mut self) -> Cursor {
        self.filled = 0;
        self.ended = false;
        let mut cursor = Cursor {
            at: 0,
            bits: 0,
            count: 0,
        };
        self.fill(&mut cursor);
        cursor
    }

    /// Makes sure that an MCU can be read; an error where the bits before were not there.
    #[inline(always)]
    pub(crate) fn reserve(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        if cursor.at + SLACK > self.filled {
            if self.ended {
                if self.left(*cursor) < 0 {
                    return Err(TOO_FEW);
                }
            } else {
                self.fill(cursor);
            }
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, cursor: &mut Cursor) {
        let start = cursor.at.min(self.filled);
        self.window.copy_within(start..self.filled, 0);
        self.filled -= start;
        cursor.at -= start;
        while !self.ended && self.filled + 32 + SLACK <= WINDOW {
            self.copy_some();
        }
        // The bytes before were zeros or shorter ones.
        let end = (self.filled + SLACK).min(WINDOW);
        self.window[self.filled..end].fill(0);
    }

    /// Copies up to 32 bytes.
    fn copy_some(&mut self) {
        let rest = &self.source[self.position..];
        let Some(block) = rest.first_chunk::<32>() else {
            return self.copy_last();
        };
        self.window[self.filled..self.filled + 32].copy_from_slice(block);
        let marked = block
            .iter()
            .fold(0, |found, byte| found | u8::from(*byte == 0xff));
        if marked == 0 {
            self.filled += 32;
            self.position += 32;
            return;
        }
        let before = block.iter().take_while(|byte| **byte != 0xff).count();
        self.filled += before;
        self.position += before;
        self.copy_marked();
    }

    fn copy_last(&mut self) {
        let rest = &self.source[self.position..];
        let before = rest.iter().take_while(|byte| **byte != 0xff).count();
        self.window[self.filled..self.filled + before].copy_from_slice(&rest[..before]);
        self.filled += before;
        self.position += before;
        if self.position == self.source.len() {
            self.ended = true;
        } else {
            self.copy_marked();
        }
    }

    /// A byte of all ones is one where zero follows, and else begins a marker.
    fn copy_marked(&mut self) {
        if self.source.get(self.position + 1) == Some(&0) {
            self.window[self.filled] = 0xff;
            self.filled += 1;
            self.position += 2;
        } else {
            self.ended = true;
        }
    }

    /// Bits which have not been read; below 0 if there were too few.
    fn left(&self, cursor: Cursor) -> i64 {
        let read = cursor.at as i64 * 8 - i64::from(cursor.count);
        self.filled as i64 * 8 - read
    }

    /// Makes sure that all bits have been read but those which fill the last byte.
    pub(crate) fn finish(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        if !self.ended {
            self.fill(cursor);
        }
        match self.left(*cursor) {
            0..8 if self.ended => Ok(()),
            ..0 => Err(TOO_FEW),
            _ => Err(Error::Damaged("more codes than blocks")),
        }
    }

    /// Goes on behind the marker of restart of a number.
    pub(crate) fn pass_restart(&mut self, number: usize, cursor: &mut Cursor) -> Result<(), Error> {
        self.finish(cursor)?;
        let marker = self.source.get(self.position..self.position + 2);
        if marker != Some(&[0xff, 0xd0 | (number & 7) as u8]) {
            return Err(Error::Damaged("restart"));
        }
        self.position += 2;
        *cursor = self.restart();
        Ok(())
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&mut self, cursor: &mut Cursor) -> Result<(), Error> {
        self.finish(cursor)?;
        if self.position < self.source.len() {
            return Err(Error::Damaged("a restart too much"));
        }
        Ok(())
    }
}

const TOO_FEW: Error = Error::Damaged("premature end of a scan");

impl Cursor {
    /// Brings the count to 56 at least. The bits which are there already do not change, so that they
    /// can be looked at before.
    #[inline(always)]
    pub(crate) fn refill(&mut self, window: &Window) {
        let at = self.at % WINDOW;
        let mut eight = [0; 8];
        eight.copy_from_slice(&window[at..at + 8]);
        self.bits |= u64::from_be_bytes(eight) >> (self.count & 63);
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 0x38;
    }

    /// The next bits as an index.
    #[inline(always)]
    pub(crate) fn peek(&self, bits: u32) -> usize {
        (self.bits >> (64 - bits)) as usize
    }

    #[inline(always)]
    pub(crate) fn skip(&mut self, bits: u32) {
        self.bits <<= bits & 63;
        self.count -= bits;
    }

    /// The value of so many bits, 1 to 16, as T.81 F.12 extends it.
    #[inline(always)]
    pub(crate) fn value(&mut self, bits: u32) -> i32 {
        let value = (self.bits >> (64 - bits)) as i32;
        self.skip(bits);
        extend(value, bits)
    }

    /// So many bits, up to 32.
    #[inline(always)]
    pub(crate) fn take(&mut self, bits: u32) -> u32 {
        let value = (self.bits >> 32) as u32;
        self.skip(bits);
        (u64::from(value) >> (32 - bits)) as u32
    }

    /// A symbol by looking at one length after the other.
    pub(crate) fn long_symbol(&mut self, codes: &Codes) -> Option<u8> {
        let (symbol, length) = codes.find(self.peek(16) as u32)?;
        self.skip(length);
        Some(symbol)
    }
}

/// A value of so many bits, up to 16; those with a leading 0 are negative (T.81, F.12).
#[inline(always)]
pub(crate) fn extend(value: i32, bits: u32) -> i32 {
    let below = i32::from(value < 1 << bits >> 1);
    value - below * ((1 << bits) - 1)
}
