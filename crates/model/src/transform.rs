//! What a URL or a variant asks for: the option grammar of transformations.md, section 1.

/// What a rendition is to be. Equal requests are equal values, and `Display` prints one spelling of
/// each, hence one cache key.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Pixels of the box; `None` is unconstrained.
    pub width: Option<u32>,
    /// Pixels of the box; `None` is unconstrained.
    pub height: Option<u32>,
    /// How the image meets its box.
    pub fit: Fit,
    /// `metadata`: what is kept of the source's EXIF.
    pub exif: Exif,
    /// Radius in output pixels, 0 to 250; 0 is none.
    pub blur: f64,
    /// What to encode.
    pub format: Format,
}

impl Transform {
    /// No change at all but the format, which is negotiated: where hosted delivery starts from.
    pub fn negotiated() -> Self {
        Self {
            width: None,
            height: None,
            fit: Fit::default(),
            exif: Exif::default(),
            blur: 0.0,
            format: Format::Auto,
        }
    }
}

/// How an image meets the box of `width` and `height` (transformations.md, section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Shrink to fit inside, never enlarge.
    #[default]
    ScaleDown,
    /// Shrink or enlarge to the largest size inside.
    Contain,
    /// Enlarge to the largest size inside, never shrink.
    ScaleUp,
    /// Fill the box exactly, cropping.
    Cover,
    /// Like `Cover` when larger than the box, like `ScaleDown` when smaller.
    Crop,
    /// Crop to the ratio of the box, never enlarge.
    AspectCrop,
    /// Like `Contain`, then fill the rest with the background.
    Pad,
    /// Exactly the box, the ratio not kept.
    Squeeze,
}

impl Fit {
    const WORDS: [(Self, &str); 8] = [
        (Self::ScaleDown, "scale-down"),
        (Self::Contain, "contain"),
        (Self::ScaleUp, "scale-up"),
        (Self::Cover, "cover"),
        (Self::Crop, "crop"),
        (Self::AspectCrop, "aspect-crop"),
        (Self::Pad, "pad"),
        (Self::Squeeze, "squeeze"),
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }

    /// Reads the word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        value_of(&Self::WORDS, word)
    }
}

/// What is kept of the source's EXIF: the API's `metadata` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Exif {
    /// Most of it.
    Keep,
    /// The copyright notice alone.
    #[default]
    Copyright,
    /// Nothing.
    None,
}

impl Exif {
    const WORDS: [(Self, &str); 3] = [
        (Self::Keep, "keep"),
        (Self::Copyright, "copyright"),
        (Self::None, "none"),
    ];

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        word_of(&Self::WORDS, self)
    }

    /// Reads the word of the API.
    pub fn parse(word: &str) -> Option<Self> {
        value_of(&Self::WORDS, word)
    }
}

/// What to encode (transformations.md, section 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG, PNG or GIF, whichever the pixels need.
    #[default]
    Standard,
    /// The best which the client accepts.
    Auto,
}

fn word_of<T: Copy + PartialEq>(words: &[(T, &'static str)], value: T) -> &'static str {
    words
        .iter()
        .find(|(known, _)| *known == value)
        .map_or("", |(_, word)| word)
}

fn value_of<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words
        .iter()
        .find(|(_, known)| *known == word)
        .map(|(value, _)| *value)
}
