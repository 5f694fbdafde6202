//! Where the letters of a text stand.

use harfrust::{Direction, Script, ShapeOptions, ShaperData, Tag, UnicodeBuffer};
use model::transform::Text;
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use unicode_bidi::BidiInfo;
use unicode_script::UnicodeScript;

use super::SIDE_MAX;
use crate::{Cancel, Error};

/// A letter or a part of one.
pub(super) struct Glyph {
    pub id: GlyphId,
    /// Pixels from the left edge of the lines to its origin.
    pub left: f32,
    /// Pixels from the upper edge of the first line to its baseline.
    pub baseline: f32,
}

/// A text set in lines, flush left.
pub(super) struct Layout {
    pub glyphs: Vec<Glyph>,
    /// Pixels of the longest line.
    pub width: f32,
    /// Pixels of all lines.
    pub height: f32,
}

impl Layout {
    pub(super) fn of(text: &Text, font: &FontRef<'_>, cancel: &Cancel) -> Result<Self, Error> {
        let size = text.size as f32;
        let metrics = font.metrics(Size::new(size), LocationRef::default());
        if metrics.units_per_em == 0
            || ![metrics.ascent, metrics.descent]
                .iter()
                .all(|it| it.is_finite())
        {
            return Err(Error::Font);
        }
        let line_height = metrics.ascent - metrics.descent;
        let leading = metrics.leading.max(0.0);
        let data = ShaperData::new(font);
        let setter = Setter {
            shaper: data.shaper(font).build(),
            scale: size / f32::from(metrics.units_per_em),
        };
        let mut layout = Self {
            glyphs: Vec::new(),
            width: 0.0,
            height: 0.0,
        };
        for (number, line) in text.content.split('\n').enumerate() {
            cancel.check()?;
            let top = number as f32 * (line_height + leading);
            let end = setter.line(line, top + metrics.ascent, &mut layout.glyphs);
            layout.width = layout.width.max(end);
            layout.height = top + line_height;
            if !(layout.width <= SIDE_MAX && layout.height <= SIDE_MAX) {
                return Err(Error::TextTooLarge);
            }
        }
        Ok(layout)
    }
}

struct Setter<'a> {
    shaper: harfrust::Shaper<'a>,
    /// Pixels of a unit of the font.
    scale: f32,
}

impl Setter<'_> {
    /// Sets a line from left to right; the result is where it ends.
    fn line(&self, line: &str, baseline: f32, glyphs: &mut Vec<Glyph>) -> f32 {
        let line: String = line.chars().filter(|letter| !letter.is_control()).collect();
        let bidi = BidiInfo::new(&line, None);
        let mut left = 0.0;
        for paragraph in &bidi.paragraphs {
            let (levels, runs) = bidi.visual_runs(paragraph, paragraph.range.clone());
            for run in runs {
                let backwards = levels
                    .get(run.start)
                    .is_some_and(unicode_bidi::Level::is_rtl);
                let mut parts = of_one_script(&line[run]);
                if backwards {
                    parts.reverse();
                }
                for (part, script) in parts {
                    left = self.run(part, script, backwards, (left, baseline), glyphs);
                }
            }
        }
        left
    }

    fn run(
        &self,
        text: &str,
        script: unicode_script::Script,
        backwards: bool,
        (mut left, baseline): (f32, f32),
        glyphs: &mut Vec<Glyph>,
    ) -> f32 {
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(text);
        buffer.set_direction(if backwards {
            Direction::RightToLeft
        } else {
            Direction::LeftToRight
        });
        let tag = Tag::new_checked(script.short_name().as_bytes()).ok();
        if let Some(script) = tag.and_then(Script::from_iso15924_tag) {
            buffer.set_script(script);
        }
        let shaped = self.shaper.shape(buffer, ShapeOptions::new());
        for (info, position) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
            glyphs.push(Glyph {
                id: GlyphId::new(info.glyph_id),
                left: left + position.x_offset as f32 * self.scale,
                baseline: baseline - position.y_offset as f32 * self.scale,
            });
            left += position.x_advance as f32 * self.scale;
        }
        left
    }
}

/// The parts of a text in the order in which it is read, each with the letters of one script and the
/// signs which follow them.
fn of_one_script(text: &str) -> Vec<(&str, unicode_script::Script)> {
    use unicode_script::Script::{Common, Inherited};
    let mut parts: Vec<(&str, unicode_script::Script)> = Vec::new();
    let mut start = 0;
    let mut current = Common;
    for (at, letter) in text.char_indices() {
        let script = letter.script();
        if matches!(script, Common | Inherited) || script == current {
            continue;
        }
        if current != Common {
            parts.push((&text[start..at], current));
            start = at;
        }
        current = script;
    }
    if start < text.len() {
        parts.push((&text[start..], current));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_go_with_the_letters_before_them() {
        use unicode_script::Script::{Arabic, Common, Devanagari, Latin};
        let parts = of_one_script("(ab) नमस्ते, c");
        assert_eq!(
            parts,
            [("(ab) ", Latin), ("नमस्ते, ", Devanagari), ("c", Latin)]
        );
        assert_eq!(of_one_script("12"), [("12", Common)]);
        assert_eq!(of_one_script("سلام"), [("سلام", Arabic)]);
        assert_eq!(of_one_script(""), []);
    }
}
