//! How large a drawing is: what `width`, `height` and `viewBox` of its outermost element say
//! (SVG 2, section 8.2), read from its first tag so that it costs nothing.

use model::Limits;

use super::text;
use crate::Error;
use crate::inspect::svg::outermost;

/// What an image without any size gets (CSS 2.1, section 10.3.2), in units of the drawing.
pub(super) const DEFAULT: (f32, f32) = (300.0, 150.0);
/// Units of the drawing to the height of a letter, as browsers assume it.
pub(super) const EM: f32 = 16.0;

/// Names of units, and how many units of the drawing they are.
const UNITS: [(&str, f32); 9] = [
    ("px", 1.0),
    ("in", 96.0),
    ("cm", 96.0 / 2.54),
    ("mm", 96.0 / 25.4),
    ("pt", 96.0 / 72.0),
    ("pc", 16.0),
    ("em", EM),
    ("ex", EM / 2.0),
    ("", 1.0),
];

/// The size of a drawing, in its own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Extent {
    pub width: f32,
    pub height: f32,
    /// Whether it is given by nothing but the coordinates in use, which may be of any scale.
    pub free: bool,
    /// Whether a length is a part of surroundings which are not there.
    pub assumed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Units(f32),
    Percent(f32),
}

impl Extent {
    pub(super) fn of(source: &[u8]) -> Result<Self, Error> {
        let text = text::decode(source).ok_or(Error::NotAnImage)?;
        let tag = outermost(text.as_bytes()).and_then(|tag| str::from_utf8(tag).ok());
        Self::of_tag(tag.ok_or(Error::NotAnImage)?)
    }

    fn of_tag(tag: &str) -> Result<Self, Error> {
        let [width, height, view] = ["width", "height", "viewBox"].map(|name| attribute(tag, name));
        // The sanitiser would put in what an entity stands for; nobody writes sizes like that.
        let entity = |value: Option<&str>| value.is_some_and(|value| value.contains('&'));
        if entity(width) || entity(height) || entity(view) {
            return Err(Error::corrupt("the size of the SVG is no number"));
        }
        let (width, height) = (width.and_then(Length::read), height.and_then(Length::read));
        let view = view.and_then(view_box);
        let whole = view.unwrap_or(DEFAULT);
        let across = width.map_or(whole.0, |width| width.of(whole.0));
        let down = height.map_or(whole.1, |height| height.of(whole.1));
        let size = match (width, height, view) {
            (Some(_), None, Some(view)) => (across, view.1 * across / view.0),
            (None, Some(_), Some(view)) => (view.0 * down / view.1, down),
            _ => (across, down),
        };
        let valid = |length: f32| length.is_finite() && length > 0.0;
        if !valid(size.0) || !valid(size.1) {
            return Err(Error::corrupt("the SVG has no size"));
        }
        let relative = |length: Option<Length>| !matches!(length, Some(Length::Units(_)));
        Ok(Self {
            width: size.0,
            height: size.1,
            free: relative(width) && relative(height),
            assumed: view.is_none() && (relative(width) || relative(height)),
        })
    }

    /// The size as a picture: a unit is a pixel, unless the drawing leaves its scale open and would
    /// be over a limit.
    pub(super) fn pixels(self, limits: &Limits) -> (u32, u32) {
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        let most = (f64::from(limits.side_max) / width.max(height))
            .min((limits.pixels_max as f64 / (width * height)).sqrt());
        let scale = if self.free { most.min(1.0) } else { 1.0 };
        let length = |length: f64| {
            let pixels = length * scale;
            // Rounding up might be over the limit again.
            let pixels = if scale < 1.0 {
                (pixels + 1e-6).floor()
            } else {
                (pixels + 0.5).floor()
            };
            (pixels as u32).max(1)
        };
        (length(width), length(height))
    }
}

impl Length {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        if let Some(number) = text.strip_suffix('%') {
            return number_of(number).map(|number| Self::Percent(number / 100.0));
        }
        UNITS.iter().find_map(|(unit, units)| {
            let number = number_of(text.strip_suffix(unit)?)?;
            Some(Self::Units(number * units))
        })
    }

    fn of(self, whole: f32) -> f32 {
        match self {
            Self::Units(units) => units,
            Self::Percent(part) => whole * part,
        }
    }
}

fn number_of(text: &str) -> Option<f32> {
    let number: f32 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Width and height of a `viewBox`.
fn view_box(text: &str) -> Option<(f32, f32)> {
    let mut numbers = text
        .split(|c: char| c == ',' || c.is_ascii_whitespace())
        .filter(|number| !number.is_empty())
        .map(number_of);
    let mut next = || numbers.next().flatten();
    let (_, _, width, height) = (next()?, next()?, next()?, next()?);
    (width > 0.0 && height > 0.0).then_some((width, height))
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(|c: char| c.is_ascii_whitespace())?;
    let mut rest = &tag[start..];
    while let Some((key, after)) = rest.split_once('=') {
        let after = after.trim_ascii_start();
        let quote = after
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        if key.trim_ascii() == name {
            return Some(value);
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixels(attributes: &str) -> Result<(u32, u32), Error> {
        let source = format!(
            "<?xml version='1.0'?><!-- <svg width='7'> --><svg {attributes}><g width='9'/></svg>"
        );
        Extent::of(source.as_bytes()).map(|extent| extent.pixels(&Limits::default()))
    }

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (attributes, expected) in [
            ("", (300, 150)),
            ("width='40' height=\"30\"", (40, 30)),
            ("height = '30'\n\twidth = '40'", (40, 30)),
            ("width='40.5px' height='30.49'", (41, 30)),
            ("width='1in' height='2.54cm'", (96, 96)),
            ("width='25.4mm' height='72pt'", (96, 96)),
            ("width='2em' height='2ex'", (32, 16)),
            ("width='1e2' height='1e1px'", (100, 10)),
            ("width='10pc' height='0.2'", (160, 1)),
            ("viewBox='0 0 64 32'", (64, 32)),
            ("viewBox='-5,-5,64,32' width='128'", (128, 64)),
            ("viewBox='0 0 64 32' height='16'", (32, 16)),
            ("viewBox='0 0 64 32' width='50%' height='200%'", (32, 64)),
            ("viewBox='0 0 64 32' width='100%'", (64, 32)),
            ("width='50%' height='10'", (150, 10)),
            ("viewBox='0 0 0 32' width='9' height='8'", (9, 8)),
            ("width='auto' height='inf'", (300, 150)),
            ("x:width='5' data-width='6' width='7' height='8'", (7, 8)),
            // Its scale is open, so that it fits.
            ("viewBox='0 0 120000 60000'", (12_000, 6_000)),
            ("viewBox='0 0 1e9 1'", (12_000, 1)),
            ("viewBox='0 0 90000 90000'", (10_000, 10_000)),
        ] {
            assert_eq!(pixels(attributes), Ok(expected), "{attributes}");
        }
        assert_eq!(pixels("width='1e9' height='1'"), Ok((1_000_000_000, 1)));
    }

    #[test]
    fn what_has_no_size_is_refused() {
        for attributes in [
            "width='0' height='3'",
            "width='-4' height='3'",
            "width='0%'",
            "width='&w;' height='3'",
            "viewBox='&v;'",
        ] {
            assert!(
                matches!(pixels(attributes), Err(Error::Corrupt(_))),
                "{attributes}"
            );
        }
    }
}
