//! Letters of `CFF` and `CFF2`, which are programs: how long one runs is found by running it, drawing
//! nothing and counting what it calls (Adobe Technical Note 5177).

use std::cell::Cell;

use skrifa::raw::TableProvider;
use skrifa::raw::ps::cff::CffFontRef;
use skrifa::raw::ps::cff::blend::BlendState;
use skrifa::raw::ps::cff::index::Index;
use skrifa::raw::ps::cs::{self, CharstringContext, CharstringKind, CommandSink};
use skrifa::raw::ps::error::Error as ProgramError;
use skrifa::raw::types::Fixed;
use skrifa::{FontRef, GlyphId};

use crate::Error;

/// The programs of a font.
pub(super) struct Programs<'a> {
    font: CffFontRef<'a>,
}

impl<'a> Programs<'a> {
    pub(super) fn of(font: &FontRef<'a>) -> Result<Self, Error> {
        let table = match (font.cff(), font.cff2()) {
            (Ok(table), _) => table.offset_data(),
            (Err(_), Ok(table)) => table.offset_data(),
            _ => return Err(Error::Font),
        };
        let font = CffFontRef::new(table.as_bytes(), 0, None).map_err(|_| Error::Font)?;
        Ok(Self { font })
    }

    /// Bytes which are run for a letter; an error as soon as they are more than `most`.
    pub(super) fn weigh(&self, glyph: GlyphId, most: u64) -> Result<u64, Error> {
        self.run(glyph, most).map_err(|_| Error::Font)
    }

    fn run(&self, glyph: GlyphId, most: u64) -> Result<u64, ProgramError> {
        let number = self.font.subfont_index(glyph).unwrap_or(0);
        let part = self.font.subfont(number, &[])?;
        let data = self.font.data();
        let subroutines = match part.subrs_offset() {
            0 => Index::Empty,
            offset => {
                let data = data.get(offset as usize..).unwrap_or_default();
                Index::new(data, self.font.version() == 2)?
            }
        };
        let letters = self.font.charstrings();
        let counted = Counted {
            inner: (data, letters, self.font.global_subrs(), &subroutines),
            left: Cell::new(most),
        };
        let program = counted.count(letters.get(glyph.to_u32() as usize)?)?;
        let store = self.font.var_store().cloned();
        let blend = store.and_then(|store| BlendState::new(store, &[], part.vs_index()).ok());
        cs::evaluate(&counted, blend, program, &mut Nothing)?;
        Ok(most - counted.left.get())
    }
}

/// Everything there is to call, counted.
struct Counted<'a> {
    inner: (&'a [u8], &'a Index<'a>, &'a Index<'a>, &'a Index<'a>),
    /// Bytes which may still be run.
    left: Cell<u64>,
}

impl Counted<'_> {
    /// A call itself counts as well, so that empty ones end too.
    fn count<'b>(&self, program: &'b [u8]) -> Result<&'b [u8], ProgramError> {
        let left = self.left.get().checked_sub(program.len() as u64 + 1);
        self.left.set(left.ok_or(ProgramError::InvalidFontFormat)?);
        Ok(program)
    }
}

impl CharstringContext for Counted<'_> {
    fn kind(&self) -> CharstringKind {
        self.inner.kind()
    }

    fn seac_components(&self, base: i32, accent: i32) -> Result<[&[u8]; 2], ProgramError> {
        let [base, accent] = self.inner.seac_components(base, accent)?;
        Ok([self.count(base)?, self.count(accent)?])
    }

    fn global_subr(&self, index: i32) -> Result<&[u8], ProgramError> {
        self.count(self.inner.global_subr(index)?)
    }

    fn subr(&self, index: i32) -> Result<&[u8], ProgramError> {
        self.count(self.inner.subr(index)?)
    }
}

struct Nothing;

impl CommandSink for Nothing {
    fn move_to(&mut self, _: Fixed, _: Fixed) {}
    fn line_to(&mut self, _: Fixed, _: Fixed) {}
    fn curve_to(&mut self, _: Fixed, _: Fixed, _: Fixed, _: Fixed, _: Fixed, _: Fixed) {}
    fn close(&mut self) {}
}
