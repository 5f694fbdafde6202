//! How much work the letters of a text may be. Parsers bound how deep a letter may be made of others,
//! and not how often: thirty letters of two parts each are a thousand million.

use std::collections::HashMap;

use skrifa::outline::{OutlineGlyphCollection, OutlineGlyphFormat};
use skrifa::raw::TableProvider;
use skrifa::raw::tables::glyf::{Glyf, Glyph};
use skrifa::raw::tables::loca::Loca;
use skrifa::{FontRef, GlyphId};

use crate::Error;

mod programs;

use programs::Programs;

/// Points of all letters of a text, and parts of which they are made.
const POINTS_MAX: u64 = 1_000_000;

/// Bytes of the programs which draw all letters of a text.
const PROGRAMS_MAX: u64 = 4_000_000;

/// Letters within letters.
const DEPTH_MAX: usize = 16;

/// An error if drawing these letters is more work than any honest font makes of it.
pub(super) fn judge(
    font: &FontRef<'_>,
    outlines: &OutlineGlyphCollection<'_>,
    glyphs: impl Iterator<Item = GlyphId>,
) -> Result<(), Error> {
    let (mut scales, mut left) = match outlines.format() {
        None => return Ok(()),
        Some(OutlineGlyphFormat::Glyf) => {
            let parts = Parts {
                glyf: font.glyf().map_err(|_| Error::Font)?,
                loca: font.loca(None).map_err(|_| Error::Font)?,
                known: HashMap::new(),
            };
            (Scales::Glyf(parts), POINTS_MAX)
        }
        Some(OutlineGlyphFormat::Cff | OutlineGlyphFormat::Cff2) => {
            (Scales::Cff(Programs::of(font)?), PROGRAMS_MAX)
        }
        Some(_) => return Err(Error::Font),
    };
    for glyph in glyphs {
        let weight = match &mut scales {
            Scales::Glyf(parts) => parts.weigh(glyph, 0)?,
            Scales::Cff(programs) => programs.weigh(glyph, left)?,
        };
        left = left.checked_sub(weight).ok_or(Error::Font)?;
    }
    Ok(())
}

enum Scales<'a> {
    Glyf(Parts<'a>),
    Cff(Programs<'a>),
}

/// Letters which are made of others.
struct Parts<'a> {
    glyf: Glyf<'a>,
    loca: Loca<'a>,
    known: HashMap<GlyphId, u64>,
}

impl Parts<'_> {
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
