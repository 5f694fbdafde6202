//! How much work the letters of a text may be. Parsers bound how deep a letter may be made of others,
//! and not how often: thirty letters of two parts each are a thousand million.

use std::collections::HashMap;

use skrifa::outline::{OutlineGlyphCollection, OutlineGlyphFormat};
use skrifa::raw::TableProvider;
use skrifa::raw::tables::glyf::{Glyf, Glyph};
use skrifa::raw::tables::loca::Loca;
use skrifa::{FontRef, GlyphId};

use crate::Error;

/// Points of all letters of a text, and parts of which they are made.
const WORK_MAX: u64 = 1_000_000;

/// Letters within letters.
const DEPTH_MAX: usize = 16;

/// An error if drawing these letters is more work than any honest font makes of it.
///
/// Outlines of `CFF` are programs, whose work cannot be told without running them: they are drawn
/// only of the font which is built in.
pub(super) fn judge(
    font: &FontRef<'_>,
    outlines: &OutlineGlyphCollection<'_>,
    glyphs: impl Iterator<Item = GlyphId>,
    built_in: bool,
) -> Result<(), Error> {
    match outlines.format() {
        _ if built_in => return Ok(()),
        None => return Ok(()),
        Some(OutlineGlyphFormat::Glyf) => {}
        Some(_) => return Err(Error::Font),
    }
    let glyf = font.glyf().map_err(|_| Error::Font)?;
    let loca = font.loca(None).map_err(|_| Error::Font)?;
    let mut scales = Scales {
        glyf,
        loca,
        known: HashMap::new(),
    };
    let mut work = 0_u64;
    for glyph in glyphs {
        work = work.saturating_add(scales.weigh(glyph, 0)?);
        if work > WORK_MAX {
            return Err(Error::Font);
        }
    }
    Ok(())
}

struct Scales<'a> {
    glyf: Glyf<'a>,
    loca: Loca<'a>,
    known: HashMap<GlyphId, u64>,
}

impl Scales<'_> {
    fn weigh(&mut self, id: GlyphId, depth: usize) -> Result<u64, Error> {
        if depth > DEPTH_MAX {
            return Err(Error::Font);
        }
        if let Some(known) = self.known.get(&id) {
            return Ok(*known);
        }
        let weight = match self.loca.get_glyf(id, &self.glyf) {
            Ok(Some(Glyph::Composite(composite))) => {
                let mut weight = 1_u64;
                for part in composite.components() {
                    let part = self.weigh(GlyphId::from(part.glyph), depth + 1)?;
                    weight = weight.saturating_add(part);
                }
                weight
            }
            Ok(Some(Glyph::Simple(simple))) => 1 + simple.num_points() as u64,
            // Nothing to draw, or an error to come.
            Ok(None) | Err(_) => 1,
        };
        self.known.insert(id, weight);
        Ok(weight)
    }
}
