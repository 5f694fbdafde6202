//! Text to a picture (transformations.md, section 7.3): bidi and shaping, then outlines filled with
//! the colour on transparent ground. Fonts with pictures for letters show their outlines, if any.

mod budget;
mod font;
mod layout;

use std::ops::Range;

use model::transform::Text;
use skrifa::instance::{LocationRef, Size};
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, MetadataProvider};
use tiny_skia::{FillRule, Mask, PathBuilder, Transform};

use crate::decode::without_panic;
use crate::raster::Raster;
use crate::{Cancel, Error};
use layout::{Glyph, Layout};

/// Pixels of a side of a picture of text (section 4.1).
const SIDE_MAX: f32 = 4_096.0;

/// The font which is there in any case.
pub(crate) fn built_in_font() -> &'static [u8] {
    font::BUILT_IN
}

/// A picture of the text in this font, or in the one which is built in. Its size is that of the
/// letters and of the lines in which they stand, rounded up; at least one pixel.
pub(crate) fn picture(text: &Text, font: Option<&[u8]>, cancel: &Cancel) -> Result<Raster, Error> {
    // Parsers of fonts are asked to read what a stranger wrote.
    let drawn = without_panic(|| {
        let bytes = font::unpacked(font)?;
        let face = FontRef::from_index(&bytes, 0).map_err(|_| Error::Font)?;
        draw(text, &face, cancel)
    });
    drawn.map_err(|error| match error {
        Error::Corrupt(_) => Error::Font,
        other => other,
    })
}

/// Pixels which the picture has at most, told from the text alone: no letter is far wider than high.
pub(crate) fn size_at_most(text: &Text) -> (u32, u32) {
    let pixels = |ems: usize| {
        (2.0 * text.size * ems as f64)
            .min(f64::from(SIDE_MAX))
            .ceil() as u32
    };
    let lines = text.content.split('\n');
    let longest = lines.clone().map(|line| line.chars().count()).max();
    (pixels(longest.unwrap_or(0) + 1), pixels(lines.count()))
}

fn draw(text: &Text, font: &FontRef<'_>, cancel: &Cancel) -> Result<Raster, Error> {
    let layout = Layout::of(text, font, cancel)?;
    let mut pen = Pen {
        path: PathBuilder::new(),
        left: 0.0,
        baseline: 0.0,
    };
    let outlines = font.outline_glyphs();
    let letters = layout.glyphs.iter().map(|glyph| glyph.id);
    budget::judge(font, &outlines, letters)?;
    let size = Size::new(text.size as f32);
    for Glyph { id, left, baseline } in layout.glyphs {
        cancel.check()?;
        (pen.left, pen.baseline) = (left, baseline);
        if let Some(outline) = outlines.get(id) {
            let settings = DrawSettings::unhinted(size, LocationRef::default());
            outline.draw(settings, &mut pen).map_err(|_| Error::Font)?;
        }
    }
    let path = pen.path.finish();
    // The lines as they are set, and whatever letter reaches beyond them.
    let ink = path.as_ref().map(tiny_skia::Path::bounds);
    let across = around(0.0..layout.width, ink.map(|ink| ink.left()..ink.right()))?;
    let down = around(0.0..layout.height, ink.map(|ink| ink.top()..ink.bottom()))?;
    let (width, height) = (length(&across), length(&down));
    let mut mask = Mask::new(width, height).ok_or(Error::TextTooLarge)?;
    if let Some(path) = path {
        let move_in = Transform::from_translate(-across.start, -down.start);
        mask.fill_path(&path, FillRule::Winding, true, move_in);
    }
    let colour = text.colour;
    let mut pixels = Vec::with_capacity(mask.data().len() * 4);
    for coverage in mask.data() {
        let alpha = (u16::from(*coverage) * u16::from(colour.alpha) + 127) / 255;
        pixels.extend([colour.red, colour.green, colour.blue, alpha as u8]);
    }
    Ok(Raster::new(width, height, 4, pixels))
}

/// The smallest range of whole pixels around both.
fn around(box_: Range<f32>, ink: Option<Range<f32>>) -> Result<Range<f32>, Error> {
    let ink = ink.unwrap_or_else(|| box_.clone());
    let start = box_.start.min(ink.start).floor();
    let end = box_.end.max(ink.end).ceil().max(start + 1.0);
    // Not so if it is no number, either.
    if end - start <= SIDE_MAX {
        Ok(start..end)
    } else {
        Err(Error::TextTooLarge)
    }
}

fn length(range: &Range<f32>) -> u32 {
    (range.end - range.start) as u32
}

/// Collects outlines. Fonts count upwards, pictures downwards.
struct Pen {
    path: PathBuilder,
    left: f32,
    baseline: f32,
}

impl Pen {
    fn place(&self, x: f32, y: f32) -> (f32, f32) {
        (self.left + x, self.baseline - y)
    }
}

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.place(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        let ((cx, cy), (x, y)) = (self.place(cx, cy), self.place(x, y));
        self.path.quad_to(cx, cy, x, y);
    }

    fn curve_to(&mut self, cx0: f32, cy0: f32, cx1: f32, cy1: f32, x: f32, y: f32) {
        let ((cx0, cy0), (cx1, cy1)) = (self.place(cx0, cy0), self.place(cx1, cy1));
        let (x, y) = self.place(x, y);
        self.path.cubic_to(cx0, cy0, cx1, cy1, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
