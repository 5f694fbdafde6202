//! What is cut off before anything else (transformations.md, section 2.6).

use super::Colour;

/// What `trim` cuts off, in the orientation of the displayed image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Trim {
    /// Cut off above.
    pub top: Amount,
    /// Cut off at the right.
    pub right: Amount,
    /// Cut off below.
    pub bottom: Amount,
    /// Cut off at the left.
    pub left: Amount,
    /// Kept, counted from the left edge which remains.
    pub width: Option<Amount>,
    /// Kept, counted from the upper edge which remains.
    pub height: Option<Amount>,
    /// Whether uniform margins are cut off too, and which.
    pub border: Option<Border>,
}

/// A length along one axis of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many pixels, multiplied by `dpr`.
    Pixels(u32),
    /// A part of the image's own length, between 0 and 1, both excluded.
    Fraction(f64),
}

impl Default for Amount {
    fn default() -> Self {
        Self::Pixels(0)
    }
}

impl Amount {
    /// Reads a pixel count or a fraction.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(pixels) = text.parse::<u32>() {
            return Some(Self::Pixels(pixels));
        }
        Self::of_number(text.parse().ok()?)
    }

    /// A number of pixels, rounded half up, or a fraction.
    pub(super) fn of_number(value: f64) -> Option<Self> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        if value > 0.0 && value < 1.0 {
            return Some(Self::Fraction(value));
        }
        Some(Self::Pixels((value + 0.5).floor() as u32))
    }

    /// Pixels of an axis of `length` pixels, never more than it has.
    pub fn of(self, length: u32, dpr: f64) -> u32 {
        let pixels = match self {
            Self::Pixels(pixels) => f64::from(pixels) * dpr,
            Self::Fraction(part) => f64::from(length) * part,
        };
        ((pixels + 0.5).floor() as u32).min(length)
    }
}

impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Fraction(part) => write!(f, "{part}"),
        }
    }
}

/// Which margins count as a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border {
    /// Its colour; `None` detects it from the corners.
    pub colour: Option<Colour>,
    /// How far a channel may differ from the colour; 0 is an exact match.
    pub tolerance: u8,
    /// Pixels of the border which are left standing, multiplied by `dpr`.
    pub keep: u32,
}

impl Default for Border {
    fn default() -> Self {
        Self {
            colour: None,
            tolerance: 10,
            keep: 0,
        }
    }
}
