//! Reads a list of options as it stands in a URL (transformations.md, section 1.3).

use std::str::FromStr;

use percent_encoding::percent_decode_str;

use super::{
    Amount, AutoWidth, Colour, Exif, Fit, Flip, Format, Gravity, Placeholders, Quality, Rotate,
    Transform, Upscale, value_of,
};

/// Why a list of options is refused. Each sentence is for the client, under code 9401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// The list names no option which exists.
    #[error("Missing or invalid resizing parameters")]
    NoOption,
    /// A percent-encoding is broken or is not UTF-8.
    #[error("Invalid resizing parameters: the options are not valid percent-encoded UTF-8")]
    BadEncoding,
    /// A piece of the list has no `=`, or no name before it.
    #[error("Invalid resizing parameters: '{0}' is not of the form name=value")]
    NotAnOption(String),
    /// A number is so far out of range that the result would not be what anybody meant.
    #[error("Invalid resizing parameters: {name} must be at most {maximum}")]
    TooLarge {
        /// The option.
        name: &'static str,
        /// The largest value allowed.
        maximum: u32,
    },
    /// A member of a JSON object makes no sense.
    #[error("Invalid resizing parameters: {name} cannot be {value}")]
    Member {
        /// The option.
        name: String,
        /// Its value, printable characters only.
        value: String,
    },
    /// No format which the Images binding can write.
    #[error("Bad request: invalid output format")]
    OutputFormat,
    /// An overlay contradicts itself.
    #[error("Could not resize the image: settings error: {0}")]
    Overlay(&'static str),
    /// The word after `format=` is unknown.
    #[error("'{0}' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'")]
    UnknownFormat(String),
}

/// An option whose value made no sense and which was ignored. The sentence is for the `Warning`
/// header and for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ignored {name}={value}")]
pub struct Warning {
    /// The option as it was written.
    pub name: String,
    /// Its value as it was written, printable characters only.
    pub value: String,
}

impl FromStr for Transform {
    type Err = InvalidOptions;

    fn from_str(list: &str) -> Result<Self, InvalidOptions> {
        Self::parse_list(list).map(|(transform, _)| transform)
    }
}

impl Transform {
    /// Reads a list of options, percent-encoded or not, and says which of them were ignored.
    /// Names which do not exist are ignored silently; a list of nothing else is an error.
    pub fn parse_list(list: &str) -> Result<(Self, Vec<Warning>), InvalidOptions> {
        Self::parse_list_of(list, Formats::Documented)
    }

    /// The same with formats in other words as well.
    pub fn parse_list_of(
        list: &str,
        formats: Formats,
    ) -> Result<(Self, Vec<Warning>), InvalidOptions> {
        let list = decoded(list)?;
        let mut reading = Reading {
            formats,
            ..Reading::default()
        };
        for piece in pieces(&list) {
            let (name, value) = piece
                .split_once('=')
                .map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| InvalidOptions::NotAnOption(printable(piece)))?;
            match reading.option(name, value)? {
                Outcome::Taken => reading.known = true,
                Outcome::Unknown => {}
                Outcome::Ignored => {
                    reading.known = true;
                    // An empty value is a template left blank, which nobody needs to hear about.
                    if !value.is_empty() {
                        reading.warnings.push(Warning {
                            name: printable(name),
                            value: printable(value),
                        });
                    }
                }
            }
        }
        reading.finish()
    }
}

/// Which words `format` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Formats {
    /// Those of the API.
    #[default]
    Documented,
    /// `jpg` as well, for `jpeg`.
    Lenient,
}

pub(super) enum Outcome {
    Taken,
    Ignored,
    Unknown,
}

impl Outcome {
    /// Whether the value of an option which exists made sense.
    fn of(taken: Option<()>) -> Self {
        match taken {
            Some(()) => Self::Taken,
            None => Self::Ignored,
        }
    }
}

#[derive(Default)]
pub(super) struct Reading {
    pub(super) transform: Transform,
    /// Kept apart because it only matters with `width=auto`, which may come later.
    auto_width: AutoWidth,
    warnings: Vec<Warning>,
    formats: Formats,
    pub(super) known: bool,
}

impl Reading {
    pub(super) fn option(&mut self, name: &str, value: &str) -> Result<Outcome, InvalidOptions> {
        let to = &mut self.transform;
        let taken = match name {
            "width" | "w" if value == "auto" => {
                to.width = None;
                to.auto_width = Some(AutoWidth::default());
                Some(())
            }
            "width" | "w" => length(value).map(|width| {
                to.width = Some(width);
                to.auto_width = None;
            }),
            "height" | "h" => set_some(&mut to.height, length(value)),
            "wbreakpoints" => set(&mut self.auto_width.breakpoints, breakpoints(value)),
            "wmobile" => set(&mut self.auto_width.phone, length(value)),
            "wdesktop" => set(&mut self.auto_width.desktop, length(value)),
            // Nothing and less than nothing are taken for 1, as the local emulation does.
            "dpr" => set(
                &mut to.dpr,
                finite(value).map(|dpr| if dpr > 0.0 { dpr } else { 1.0 }),
            ),
            "fit" => set(&mut to.fit, Fit::parse(value)),
            "gravity" | "g" => set(&mut to.gravity, Gravity::parse(value)),
            "zoom" | "face-zoom" => set(
                &mut to.zoom,
                finite(value).map(|zoom| zoom.clamp(0.0, 1.0) + 0.0),
            ),
            "flip" => set(&mut to.flip, value_of(&Flip::WORDS, value)),
            "rotate" => set(&mut to.rotate, value_of(&Rotate::WORDS, value)),
            "background" => set_some(&mut to.background, Colour::parse(value)),
            "brightness" => set(&mut to.brightness, factor("brightness", value)?),
            "contrast" => set(&mut to.contrast, factor("contrast", value)?),
            "gamma" => set(
                &mut to.gamma,
                finite(value).filter(|gamma| *gamma >= 0.0).map(neutral),
            ),
            "saturation" => set(
                &mut to.saturation,
                finite(value)
                    .filter(|factor| *factor >= 0.0)
                    .map(|factor| factor + 0.0),
            ),
            "blur" => set(&mut to.blur, up_to("blur", value, 250)?),
            "sharpen" => set(&mut to.sharpen, up_to("sharpen", value, 10)?),
            "segment" => set(&mut to.segment, (value == "foreground").then_some(true)),
            "upscale" => set(&mut to.upscale, value_of(&Upscale::WORDS, value)),
            "quality" | "q" => set_some(&mut to.quality, quality(value)),
            "slow-connection-quality" | "scq" => set_some(&mut to.slow_quality, quality(value)),
            "metadata" => set(&mut to.exif, Exif::parse(value)),
            "format" | "f" if value.is_empty() => None,
            "format" | "f" if value == "jpg" && self.formats == Formats::Lenient => {
                set(&mut to.format, Some(Format::Jpeg))
            }
            "format" | "f" => match value_of(&Format::WORDS, value) {
                Some(format) => set(&mut to.format, Some(format)),
                None => return Err(InvalidOptions::UnknownFormat(printable(value))),
            },
            "placeholder" => set(&mut to.placeholders, Placeholders::parse(value)),
            "anim" => set(&mut to.anim, boolean(value)),
            "compression" => set(&mut to.fast, (value == "fast").then_some(true)),
            "onerror" => set(
                &mut to.redirect_on_error,
                (value == "redirect").then_some(true),
            ),
            _ => {
                return Ok(match name.strip_prefix("trim") {
                    Some(part) => self.trim(part, value),
                    None => Outcome::Unknown,
                });
            }
        };
        Ok(Outcome::of(taken))
    }

    /// Reads `trim` and its parts.
    fn trim(&mut self, part: &str, value: &str) -> Outcome {
        let trim = &mut self.transform.trim;
        Outcome::of(match part {
            "" | ".border" if matches!(value, "border" | "true") => {
                trim.border.get_or_insert_default();
                Some(())
            }
            ".border" if value == "false" => {
                trim.border = None;
                Some(())
            }
            "" => {
                let amounts: Option<Vec<Amount>> = value
                    .split(';')
                    .map(|side| Amount::parse(side.trim_ascii()))
                    .collect();
                match amounts.as_deref() {
                    Some(&[top, right, bottom, left]) => {
                        (trim.top, trim.right, trim.bottom, trim.left) = (top, right, bottom, left);
                        Some(())
                    }
                    _ => None,
                }
            }
            ".top" => set(&mut trim.top, Amount::parse(value)),
            ".right" => set(&mut trim.right, Amount::parse(value)),
            ".bottom" => set(&mut trim.bottom, Amount::parse(value)),
            ".left" => set(&mut trim.left, Amount::parse(value)),
            ".width" => set_some(&mut trim.width, Amount::parse(value)),
            ".height" => set_some(&mut trim.height, Amount::parse(value)),
            ".border.color" => Colour::parse(value).map(|colour| {
                trim.border.get_or_insert_default().colour = Some(colour);
            }),
            ".border.tolerance" => finite(value).filter(|number| *number >= 0.0).map(|number| {
                trim.border.get_or_insert_default().tolerance = number.round().min(255.0) as u8;
            }),
            ".border.keep" => finite(value).filter(|number| *number >= 0.0).map(|number| {
                trim.border.get_or_insert_default().keep = (number + 0.5).floor() as u32;
            }),
            _ => return Outcome::Unknown,
        })
    }

    pub(super) fn finish(mut self) -> Result<(Transform, Vec<Warning>), InvalidOptions> {
        if !self.known {
            return Err(InvalidOptions::NoOption);
        }
        if let Some(auto) = &mut self.transform.auto_width {
            *auto = self.auto_width;
        }
        // The default quality, said aloud, still lets PNG become a palette: it stays explicit.
        Ok((self.transform, self.warnings))
    }
}

/// The list without percent-encoding.
fn decoded(list: &str) -> Result<String, InvalidOptions> {
    let bytes = list.as_bytes();
    let sound = bytes.iter().enumerate().all(|(position, byte)| {
        *byte != b'%'
            || bytes
                .get(position + 1..position + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !sound {
        return Err(InvalidOptions::BadEncoding);
    }
    let text = percent_decode_str(list).decode_utf8();
    Ok(text.map_err(|_| InvalidOptions::BadEncoding)?.into_owned())
}

/// The pieces between commas outside of parentheses, without the empty ones.
fn pieces(list: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    list.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
    .map(str::trim_ascii)
    .filter(|piece| !piece.is_empty())
}

/// Short and printable, as it goes into a header.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| matches!(character, ' '..='~') && !matches!(character, '"' | '\\'))
        .take(60)
        .collect()
}

fn set<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn set_some<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    *place = Some(value?);
    Some(())
}

/// Only plain decimals: `inf`, `nan` and numbers which overflow are no numbers here.
fn finite(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Pixels of a box, rounded half up.
fn length(text: &str) -> Option<u32> {
    let rounded = (finite(text)? + 0.5).floor();
    (rounded >= 1.0 && rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
}

/// 0 is taken for "not said", as the documentation has it.
fn neutral(factor: f64) -> f64 {
    if factor == 0.0 { 1.0 } else { factor }
}

fn factor(name: &'static str, text: &str) -> Result<Option<f64>, InvalidOptions> {
    Ok(up_to(name, text, 255)?.map(neutral))
}

fn up_to(name: &'static str, text: &str, maximum: u32) -> Result<Option<f64>, InvalidOptions> {
    match finite(text) {
        Some(value) if value > f64::from(maximum) => {
            Err(InvalidOptions::TooLarge { name, maximum })
        }
        // Adding 0 makes -0 the 0 which it means.
        value => Ok(value.filter(|value| *value >= 0.0).map(|value| value + 0.0)),
    }
}

fn quality(text: &str) -> Option<Quality> {
    value_of(&Quality::WORDS, text).or_else(|| {
        let number = (finite(text)? + 0.5).floor().clamp(1.0, 100.0);
        Some(Quality::Number(number as u8))
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn breakpoints(text: &str) -> Option<Vec<u32>> {
    let mut widths: Vec<u32> = text
        .split(';')
        .map(|width| length(width.trim_ascii()))
        .collect::<Option<_>>()?;
    widths.sort_unstable();
    widths.dedup();
    Some(widths)
}

#[cfg(test)]
mod tests {
    use super::super::Border;
    use super::*;
    use proptest::prelude::*;

    fn canonical(list: &str) -> Result<String, InvalidOptions> {
        list.parse::<Transform>()
            .map(|transform| transform.to_string())
    }

    #[test]
    fn jpg_is_jpeg_where_that_is_wanted() {
        for list in ["format=jpg", "width=5,f=jpg"] {
            let lenient = Transform::parse_list_of(list, Formats::Lenient).unwrap();
            assert_eq!(lenient.0.format, Format::Jpeg);
            let refused = Transform::parse_list_of(list, Formats::Documented);
            assert_eq!(
                refused,
                Err(InvalidOptions::UnknownFormat("jpg".to_owned()))
            );
        }
        assert!(Transform::parse_list_of("format=JPG", Formats::Lenient).is_err());
    }

    #[test]
    fn lists_have_one_spelling() {
        for (list, printed) in [
            ("w=400,sharpen=3", "sharpen=3,width=400"),
            ("fit=cover,width=400", "fit=cover,width=400"),
            ("width=50,", "width=50"),
            (",width=50", "width=50"),
            (" width = 50 ,, h=9 ", "height=9,width=50"),
            ("width=50,foo=bar", "width=50"),
            ("width=50,width=60", "width=60"),
            ("width=50,w=60", "width=60"),
            ("width=100.6", "width=101"),
            ("width=auto", "width=auto"),
            (
                "wbreakpoints=960;320;320,width=auto,wmobile=5",
                "wbreakpoints=320;960,width=auto,wmobile=5",
            ),
            ("wmobile=5,width=7", "width=7"),
            ("width=auto,width=7", "width=7"),
            (
                "background=rgb%28240%2C40%2C145%29,width=50",
                "background=#f02891,width=50",
            ),
            (
                "background=rgb(240,40,145),width=50",
                "background=#f02891,width=50",
            ),
            ("background=%23f00", "background=#ff0000"),
            ("quality=500", "quality=100"),
            ("quality=0", "quality=1"),
            (
                "q=high,scq=medium-low",
                "quality=high,slow-connection-quality=medium-low",
            ),
            ("dpr=-1", ""),
            ("dpr=1.50", "dpr=1.5"),
            (
                "gamma=0,brightness=0,contrast=0,saturation=0",
                "saturation=0",
            ),
            ("blur=0", ""),
            ("g=0.33x0.5", "gravity=0.33x0.5"),
            ("g=0.5x0.5", ""),
            ("g=0x0.5", "gravity=left"),
            ("g=7x", "gravity=right"),
            ("zoom=2", "zoom=1"),
            ("trim=20;30;20;0", "trim=20;30;20;0"),
            ("trim=20;30;20;0,trim.left=0.25", "trim=20;30;20;0.25"),
            ("trim.width=678,trim.top=40", "trim=40;0;0;0,trim.width=678"),
            ("trim=border", "trim.border=true"),
            (
                "trim.border.color=%23000000,trim.border.keep=10,trim.border.tolerance=5",
                "trim.border=true,trim.border.color=#000000,trim.border.keep=10,\
                 trim.border.tolerance=5",
            ),
            ("rotate=360", ""),
            ("rotate=90,flip=hv", "flip=hv,rotate=90"),
            ("f=json,anim=false", "anim=false,format=json"),
            (
                "onerror=redirect,compression=fast",
                "compression=fast,onerror=redirect",
            ),
            ("metadata=copyright", ""),
            ("format=png-force", "format=png-force"),
        ] {
            assert_eq!(canonical(list).as_deref(), Ok(printed), "{list}");
        }
    }

    #[test]
    fn values_without_sense_are_ignored_with_a_warning() {
        for list in [
            "width=abc",
            "width=0",
            "width=-5",
            "height=auto",
            "fit=fill",
            "quality=mid",
            "g=side",
            "rotate=45",
            "flip=x",
            "background=blurple",
            "trim=1;2;3",
            "trim.top=-1",
            "anim=maybe",
            "metadata=all",
            "segment=sky",
            "upscale=x",
            "compression=slow",
            "onerror=retry",
            "width=nan",
            "width=1e99",
            "blur=-1",
            "blur=inf",
            "dpr=x",
            "trim.border.tolerance=x",
        ] {
            let (transform, warnings) = Transform::parse_list(list).unwrap();
            assert_eq!(transform, Transform::default(), "{list}");
            assert_eq!(warnings.len(), 1, "{list}");
        }
        let (_, warnings) = Transform::parse_list("fit=fi\"ll").unwrap();
        assert_eq!(warnings[0].to_string(), "ignored fit=fill");
    }

    #[test]
    fn an_empty_value_is_as_if_not_said() {
        for list in ["width=", "format=", "quality=", "trim="] {
            let (transform, warnings) = Transform::parse_list(list).unwrap();
            assert_eq!(
                (transform, warnings),
                (Transform::default(), Vec::new()),
                "{list}"
            );
        }
    }

    #[test]
    fn other_lists_are_refused() {
        for list in ["", ",", "foo=bar", "Width=5", "trimming=1"] {
            assert_eq!(canonical(list), Err(InvalidOptions::NoOption), "{list}");
        }
        for list in ["thumbnail", "=5", "width=5,x"] {
            assert!(
                matches!(canonical(list), Err(InvalidOptions::NotAnOption(_))),
                "{list}"
            );
        }
        for list in ["width=5%", "width=%4", "width=%zz", "width=%ff", "width=%é"] {
            assert_eq!(canonical(list), Err(InvalidOptions::BadEncoding), "{list}");
        }
        for list in ["blur=300", "sharpen=11", "brightness=256", "contrast=1e9"] {
            assert!(
                matches!(canonical(list), Err(InvalidOptions::TooLarge { .. })),
                "{list}"
            );
        }
        assert_eq!(
            canonical("format=jpg").unwrap_err().to_string(),
            "'jpg' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'"
        );
        assert!(canonical("format=mp4,width=5").is_err());
    }

    #[test]
    fn hosted_images_negotiate_unless_told() {
        let format = |list: &str| list.parse::<Transform>().unwrap().or_negotiated().format;
        assert_eq!(format("w=400"), Format::Auto);
        assert_eq!(format("w=400,f=png"), Format::Png);
    }

    #[test]
    fn an_automatic_width_snaps_up() {
        let width = |list: &str, hint, phone| {
            let transform: Transform = list.parse().unwrap();
            transform.resolve_width(hint, phone).width
        };
        for (hint, expected) in [(280.0, 320), (500.0, 768), (960.0, 960), (1500.0, 1200)] {
            assert_eq!(
                width("width=auto", Some(hint), false),
                Some(expected),
                "{hint}"
            );
        }
        assert_eq!(width("width=auto", None, true), Some(768));
        assert_eq!(width("width=auto", None, false), Some(1200));
        let wide = "width=auto,wbreakpoints=320;768;960;1920";
        assert_eq!(width(wide, Some(1500.0), false), Some(1920));
        assert_eq!(width("width=auto,wmobile=400", None, true), Some(400));
        assert_eq!(width("width=5", Some(1500.0), false), Some(5));
    }

    #[test]
    fn a_slow_connection_has_its_own_quality() {
        let transform: Transform = "quality=80,scq=40".parse().unwrap();
        assert_eq!(
            transform.clone().for_slow_connection(true),
            "q=40".parse().unwrap()
        );
        assert_eq!(
            transform.for_slow_connection(false),
            "q=80".parse().unwrap()
        );
    }

    fn amounts() -> impl Strategy<Value = Amount> {
        prop_oneof![
            any::<u32>().prop_map(Amount::Pixels),
            (0.0001..0.9999).prop_map(Amount::Fraction),
        ]
    }

    fn colours() -> impl Strategy<Value = Colour> {
        any::<[u8; 4]>().prop_map(|[red, green, blue, alpha]| Colour {
            red,
            green,
            blue,
            alpha,
        })
    }

    fn qualities() -> impl Strategy<Value = Quality> {
        prop_oneof![
            (1_u8..=100).prop_map(Quality::Number),
            Just(Quality::Low),
            Just(Quality::High)
        ]
    }

    prop_compose! {
        fn trims()(
            sides in any::<bool>().prop_flat_map(|some| prop::collection::vec(amounts(), if some { 4 } else { 0 })),
            width in prop::option::of(amounts()),
            height in prop::option::of(amounts()),
            border in prop::option::of(
                (prop::option::of(colours()), any::<u8>(), any::<u32>())
                    .prop_map(|(colour, tolerance, keep)| Border { colour, tolerance, keep })
            ),
        ) -> super::super::Trim {
            let side = |index: usize| sides.get(index).copied().unwrap_or_default();
            super::super::Trim { top: side(0), right: side(1), bottom: side(2), left: side(3), width, height, border }
        }
    }

    prop_compose! {
        fn transforms()(
            size in any::<(bool, u32, Option<u32>)>(),
            numbers in (0.01..4.0, 0.01..255.0, 0.01..255.0, 0.01..9.0, 0.0..9.0, 0.0..250.0, 0.0..10.0, 0.0..1.0),
            plain in any::<[bool; 6]>(),
            place in prop_oneof![Just(Gravity::Face), Just(Gravity::Auto), (0.0..1.0, 0.0..1.0).prop_map(|(x, y)| Gravity::Point { x, y }), (0.0..1.0, 0.0..1.0).prop_map(|(x, y)| Gravity::BoxCenter { x, y })],
            trim in trims(),
            choices in any::<[prop::sample::Index; 5]>(),
            background in prop::option::of(colours()),
            quality in prop::option::of(qualities()),
            slow_quality in prop::option::of(qualities()),
        ) -> Transform {
            let (dpr, brightness, contrast, gamma, saturation, blur, sharpen, zoom) = numbers;
            let (automatic, width, height) = size;
            Transform {
                width: (!automatic && width > 0).then_some(width),
                height: height.filter(|height| *height > 0),
                auto_width: automatic.then(AutoWidth::default),
                dpr, brightness, contrast, gamma, saturation, blur, sharpen, zoom,
                gravity: if plain[0] { Gravity::CENTER } else { place },
                trim, background, quality, slow_quality,
                // Lists do not have them.
                border: None,
                draw: Vec::new(),
                width_share: None,
                height_share: None,
                fit: *choices[0].get(&[Fit::ScaleDown, Fit::Cover, Fit::Squeeze, Fit::AspectCrop]),
                flip: *choices[1].get(&[Flip::None, Flip::Horizontal, Flip::Both]),
                rotate: *choices[2].get(&[Rotate::None, Rotate::Quarter, Rotate::ThreeQuarters]),
                exif: *choices[3].get(&[Exif::Keep, Exif::Copyright, Exif::None]),
                format: *choices[4].get(&[Format::Standard, Format::Auto, Format::BaselineJpeg, Format::Json]),
                placeholders: Placeholders::default(),
                anim: plain[1],
                fast: plain[2],
                redirect_on_error: plain[3],
                segment: plain[4],
                upscale: if plain[5] { Upscale::Generate } else { Upscale::Interpolate },
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_the_same(transform in transforms()) {
            let printed = transform.to_string();
            if !printed.is_empty() {
                prop_assert_eq!(printed.parse(), Ok(transform), "{}", printed);
            }
        }

        #[test]
        fn no_text_is_a_panic(text in ".{0,60}") {
            let _ = Transform::parse_list(&text);
        }
    }
}
