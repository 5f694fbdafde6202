//! What a URL or a variant asks for: the option grammar of transformations.md, section 1.

pub mod binding;
mod colour;
pub mod fastly;
mod json;
mod overlay;
mod parse;
mod placeholders;
mod print;
mod trim;

pub use colour::Colour;
pub use overlay::{Asset, Composite, Draw, Offset, Overlay, OverlayContent, Repeat, Text};
pub use parse::{Formats, InvalidOptions, Warning};
pub use placeholders::Placeholders;
pub use trim::{Amount, Border, Trim};

/// What a rendition is to be. Equal requests are equal values, and `Display` prints one spelling of
/// each, hence one cache key.
///
/// `FromStr` reads a list of options as it stands in a URL, percent-encoded or not;
/// [`Transform::parse_list`] also says which options were ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Transform {
    /// Pixels of the box, at least 1, before `dpr`; `None` is unconstrained.
    pub width: Option<u32>,
    /// Pixels of the box, at least 1, before `dpr`; `None` is unconstrained.
    pub height: Option<u32>,
    /// `width=auto`: the width follows from the client, see [`Transform::resolve_width`].
    pub auto_width: Option<AutoWidth>,
    /// Multiplies `width`, `height` and pixels of `trim`. Above 0; the renderer has a ceiling.
    pub dpr: f64,
    /// The width as a part of the image's own, above 0, instead of `width`. Only the parameters of Fastly
    /// have it.
    pub width_share: Option<f64>,
    /// The height likewise.
    pub height_share: Option<f64>,
    /// How the image meets its box.
    pub fit: Fit,
    /// What a crop keeps.
    pub gravity: Gravity,
    /// How closely `gravity=face` frames the faces, 0 to 1.
    pub zoom: f64,
    /// What is cut off first.
    pub trim: Trim,
    /// Mirrored first.
    pub flip: Flip,
    /// Then turned clockwise.
    pub rotate: Rotate,
    /// What lies beneath the picture; `None` is transparent, or white where something is needed.
    pub background: Option<Colour>,
    /// Factor, above 0 to 255; 1 is neutral.
    pub brightness: f64,
    /// Factor, above 0 to 255; 1 is neutral.
    pub contrast: f64,
    /// Exponent of values between 0 and 1, above 0; 1 is neutral.
    pub gamma: f64,
    /// Factor, 0 (grey) and more; 1 is neutral.
    pub saturation: f64,
    /// Radius in output pixels, 0 to 250; below 1 is none.
    pub blur: f64,
    /// Strength, 0 to 10; 0 is none.
    pub sharpen: f64,
    /// Cut the subject out of its surroundings.
    pub segment: bool,
    /// How to enlarge.
    pub upscale: Upscale,
    /// Quality of lossy formats; `None` is the default, 85.
    pub quality: Option<Quality>,
    /// Drawn around the result, which grows by it.
    pub border: Option<Frame>,
    /// Drawn on the result, the first lowest. Lists do not have it.
    pub draw: Vec<Overlay>,
    /// `slow-connection-quality`: used instead of `quality` where the client is slow, see
    /// [`Transform::for_slow_connection`].
    pub slow_quality: Option<Quality>,
    /// `metadata`: what is kept of the source's EXIF.
    pub exif: Exif,
    /// What to encode.
    pub format: Format,
    /// What a description says besides sizes.
    pub placeholders: Placeholders,
    /// Whether animations stay animated.
    pub anim: bool,
    /// `compression=fast`: the quickest encoder.
    pub fast: bool,
    /// `onerror=redirect`: on failure send the client to the source. Only remote images heed it.
    pub redirect_on_error: bool,
}

impl Default for Transform {
    /// No change at all, in a standard format: what remote images start from.
    fn default() -> Self {
        Self {
            width: None,
            height: None,
            auto_width: None,
            dpr: 1.0,
            width_share: None,
            height_share: None,
            fit: Fit::default(),
            gravity: Gravity::default(),
            zoom: 0.0,
            trim: Trim::default(),
            flip: Flip::default(),
            rotate: Rotate::default(),
            background: None,
            brightness: 1.0,
            contrast: 1.0,
            gamma: 1.0,
            saturation: 1.0,
            blur: 0.0,
            sharpen: 0.0,
            segment: false,
            upscale: Upscale::default(),
            quality: None,
            border: None,
            draw: Vec::new(),
            slow_quality: None,
            exif: Exif::default(),
            format: Format::default(),
            placeholders: Placeholders::default(),
            anim: true,
            fast: false,
            redirect_on_error: false,
        }
    }
}

impl Transform {
    /// No change at all but the format, which is negotiated: where hosted delivery starts from.
    pub fn negotiated() -> Self {
        Self {
            format: Format::Auto,
            ..Self::default()
        }
    }

    /// With `format=auto` where the options named no format: the default of hosted delivery
    /// (section 1.5).
    #[must_use]
    pub fn or_negotiated(self) -> Self {
        let format = match self.format {
            Format::Standard => Format::Auto,
            named => named,
        };
        Self { format, ..self }
    }

    /// With a number in place of `width=auto` (section 2.3): the smallest breakpoint which is not
    /// below `viewport_width`, a client hint in pixels, and without a hint the width for phones or
    /// for other clients. Without `width=auto` nothing changes.
    #[must_use]
    pub fn resolve_width(self, viewport_width: Option<f64>, phone: bool) -> Self {
        let Some(auto) = &self.auto_width else {
            return self;
        };
        let hint = viewport_width.filter(|width| width.is_finite() && *width > 0.0);
        let width = match hint {
            Some(hint) => auto
                .breakpoints
                .iter()
                .find(|width| f64::from(**width) >= hint)
                .or(auto.breakpoints.last())
                .copied(),
            None if phone => Some(auto.phone),
            None => Some(auto.desktop),
        };
        Self {
            width,
            auto_width: None,
            ..self
        }
    }

    /// With `slow_quality` where `slow` says that the client's hints ask for it (section 2.14).
    #[must_use]
    pub fn for_slow_connection(self, slow: bool) -> Self {
        Self {
            quality: self.slow_quality.filter(|_| slow).or(self.quality),
            slow_quality: None,
            ..self
        }
    }
}

/// A border of one colour around a picture (transformations.md, section 2.9). Lists do not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its colour.
    pub colour: Colour,
    /// Pixels, multiplied by `dpr`, as the others.
    pub top: u32,
    /// Pixels.
    pub right: u32,
    /// Pixels.
    pub bottom: u32,
    /// Pixels.
    pub left: u32,
}

/// The choices of `width=auto`, in pixels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AutoWidth {
    /// `wbreakpoints`: ascending and not empty.
    pub breakpoints: Vec<u32>,
    /// `wmobile`: without a hint, for phones.
    pub phone: u32,
    /// `wdesktop`: without a hint, for others.
    pub desktop: u32,
}

impl Default for AutoWidth {
    fn default() -> Self {
        Self {
            breakpoints: vec![320, 768, 960, 1200],
            phone: 768,
            desktop: 1200,
        }
    }
}

/// Which part a crop keeps (transformations.md, section 2.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gravity {
    /// The point at these fractions of the image comes to lie at the same fractions of the crop.
    Point {
        /// 0 is the left edge, 1 the right.
        x: f64,
        /// 0 is the upper edge, 1 the lower.
        y: f64,
    },
    /// The point at these fractions of the image comes to lie in the middle of the crop, as far as
    /// the edges allow.
    BoxCenter {
        /// 0 is the left edge, 1 the right.
        x: f64,
        /// 0 is the upper edge, 1 the lower.
        y: f64,
    },
    /// The most salient part.
    Auto,
    /// The part with the most information.
    Entropy,
    /// The faces.
    Face,
}

impl Gravity {
    const WORDS: [(Self, &str); 8] = [
        (Self::CENTER, "center"),
        (Self::Point { x: 0.0, y: 0.5 }, "left"),
        (Self::Point { x: 1.0, y: 0.5 }, "right"),
        (Self::Point { x: 0.5, y: 0.0 }, "top"),
        (Self::Point { x: 0.5, y: 1.0 }, "bottom"),
        (Self::Auto, "auto"),
        (Self::Entropy, "entropy"),
        (Self::Face, "face"),
    ];

    /// Only JSON has this mode; its spelling in a list is ours, for one cache key each.
    const BOX_CENTER: &str = "box-center:";

    /// The middle.
    pub const CENTER: Self = Self::Point { x: 0.5, y: 0.5 };

    /// Reads a side, `center`, `auto`, `entropy`, `face`, or `XxY`, whose numbers are clamped to 0 to 1.
    pub fn parse(text: &str) -> Option<Self> {
        let coordinate = |text: &str| match text {
            "" => Some(0.5),
            _ => text
                .parse::<f64>()
                .ok()
                .filter(|value| value.is_finite())
                .map(|value| value.clamp(0.0, 1.0) + 0.0),
        };
        let point = |text: &str| {
            let (x, y) = text.split_once('x').filter(|_| text.len() > 1)?;
            Some((coordinate(x)?, coordinate(y)?))
        };
        if let Some(text) = text.strip_prefix(Self::BOX_CENTER) {
            return point(text).map(|(x, y)| Self::BoxCenter { x, y });
        }
        value_of(&Self::WORDS, text).or_else(|| point(text).map(|(x, y)| Self::Point { x, y }))
    }
}

impl Default for Gravity {
    fn default() -> Self {
        Self::CENTER
    }
}

/// Mirroring, before any turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Flip {
    /// None.
    #[default]
    None,
    /// Left becomes right.
    Horizontal,
    /// Top becomes bottom.
    Vertical,
    /// Both.
    Both,
}

impl Flip {
    const WORDS: [(Self, &str); 3] = [
        (Self::Horizontal, "h"),
        (Self::Vertical, "v"),
        (Self::Both, "hv"),
    ];
}

/// A turn, clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotate {
    /// None.
    #[default]
    None,
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

impl Rotate {
    const WORDS: [(Self, &str); 5] = [
        (Self::None, "0"),
        (Self::Quarter, "90"),
        (Self::Half, "180"),
        (Self::ThreeQuarters, "270"),
        (Self::None, "360"),
    ];
}

/// How images are enlarged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Upscale {
    /// By interpolation.
    #[default]
    Interpolate,
    /// By a model which invents detail.
    Generate,
}

impl Upscale {
    const WORDS: [(Self, &str); 2] = [
        (Self::Interpolate, "interpolate"),
        (Self::Generate, "generate"),
    ];
}

/// Quality of lossy formats (transformations.md, section 2.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quality {
    /// 1 to 100 on the scale of JPEG.
    Number(u8),
    /// `low`.
    Low,
    /// `medium-low`.
    MediumLow,
    /// `medium-high`.
    MediumHigh,
    /// `high`.
    High,
}

impl Quality {
    /// What is used when nothing is said.
    pub const DEFAULT: u8 = 85;

    const WORDS: [(Self, &str); 4] = [
        (Self::Low, "low"),
        (Self::MediumLow, "medium-low"),
        (Self::MediumHigh, "medium-high"),
        (Self::High, "high"),
    ];

    /// The number on the scale of JPEG which a level starts from, 1 to 100.
    pub fn number(self) -> u8 {
        match self {
            Self::Number(number) => number.clamp(1, 100),
            Self::Low => 35,
            Self::MediumLow => 50,
            Self::MediumHigh => 70,
            Self::High => 90,
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
    /// Shrink or enlarge to the smallest size which covers the box, uncropped. Only the parameters of
    /// Fastly have this and the next; their words are ours.
    Outside,
    /// Like `Outside` when larger than the box, else unchanged.
    OutsideDown,
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
        match self {
            Self::Outside => "outside",
            Self::OutsideDown => "outside-down",
            other => word_of(&Self::WORDS, other),
        }
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
    /// JPEG, PNG or GIF, whichever the pixels need. It has no word: it is the absence of one.
    #[default]
    Standard,
    /// The best which the client accepts.
    Auto,
    /// AVIF.
    Avif,
    /// WebP.
    Webp,
    /// Progressive JPEG.
    Jpeg,
    /// Sequential JPEG.
    BaselineJpeg,
    /// PNG, or JPEG where the picture is opaque.
    Png,
    /// PNG in any case.
    PngForce,
    /// GIF.
    Gif,
    /// SVG, of sources which are SVG.
    Svg,
    /// A description instead of a picture.
    Json,
    /// Pixels of red, green and blue, without a header. Only the Images binding asks for it.
    Rgb,
    /// The same with alpha.
    Rgba,
}

impl Format {
    const WORDS: [(Self, &str); 10] = [
        (Self::Auto, "auto"),
        (Self::Avif, "avif"),
        (Self::Webp, "webp"),
        (Self::Jpeg, "jpeg"),
        (Self::BaselineJpeg, "baseline-jpeg"),
        (Self::Png, "png"),
        (Self::PngForce, "png-force"),
        (Self::Gif, "gif"),
        (Self::Svg, "svg"),
        (Self::Json, "json"),
    ];

    /// The word of the API, or of the Images binding where only that has it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Rgba => "rgba",
            other => word_of(&Self::WORDS, other),
        }
    }
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
