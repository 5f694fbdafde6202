//! The query parameters of Fastly's Image Optimizer, read as what they mean here (transformations.md,
//! section 9.1). What has no counterpart is ignored: crops, canvases, overlays.

use percent_encoding::percent_decode_str;

use super::parse::{InvalidOptions, Warning, printable};
use super::{Amount, Colour, Fit, Flip, Format, Quality, Rotate, Transform, Trim};

/// The parameters which are understood.
const NAMES: [&str; 18] = [
    "auto",
    "bg-color",
    "blur",
    "brightness",
    "contrast",
    "disable",
    "dpr",
    "enable",
    "fit",
    "format",
    "frame",
    "height",
    "orient",
    "quality",
    "saturation",
    "sharpen",
    "trim",
    "width",
];

/// Parameters which only that service has, and which are not for the origin either.
const OTHER_NAMES: [&str; 10] = [
    "canvas",
    "crop",
    "level",
    "metadata",
    "optimize",
    "pad",
    "precrop",
    "profile",
    "resize-filter",
    "trim-color",
];

/// A factor of nothing at all would be one here, where 0 is "not said".
const LEAST_FACTOR: f64 = 0.001;

/// The largest part of an image which it can be asked to have.
const SHARE_MAX: f64 = 100.0;

/// Whether a query has a parameter which is understood.
pub fn is_spoken(query: &str) -> bool {
    pairs(query).any(|(name, _)| NAMES.contains(&name))
}

/// The parameters of a query which are understood.
pub fn understood(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| is_spoken(pair));
    pairs.collect::<Vec<_>>().join("&")
}

/// What the origin is told of a query: the parameters which are not of that service. `None` if none is
/// left.
pub fn without(query: &str) -> Option<String> {
    let left = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !NAMES.contains(&name) && !OTHER_NAMES.contains(&name)
    });
    let left: Vec<&str> = left.collect();
    (!left.is_empty()).then(|| left.join("&"))
}

/// The parameters of a query; the last of a name wins.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// What is to be made.
    pub transform: Transform,
    /// Which formats the client may get in place of the named or the standard one.
    pub offered: Offered,
    /// Parameters whose values made no sense.
    pub ignored: Vec<Warning>,
}

/// Formats which not every client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// AVIF.
    pub avif: bool,
    /// WebP.
    pub webp: bool,
}

impl Offered {
    const BOTH: Self = Self {
        avif: true,
        webp: true,
    };
}

impl Spoken {
    /// Reads a query from a client which takes these formats. Only a query with none of the parameters is
    /// an error: that service ignores what it does not understand.
    pub fn parse(query: &str, accepted: Offered) -> Result<Self, InvalidOptions> {
        if !is_spoken(query) {
            return Err(InvalidOptions::NoOption);
        }
        let mut reading = Reading::default();
        let mut warnings = Vec::new();
        for (name, value) in pairs(query).filter(|(name, _)| NAMES.contains(name)) {
            let value = percent_decode_str(value).decode_utf8_lossy();
            if reading.parameter(name, value.trim()).is_none() {
                warnings.push(Warning {
                    name: printable(name),
                    value: printable(&value),
                });
            }
        }
        Ok(reading.finish(accepted, warnings))
    }
}

#[derive(Default)]
struct Reading {
    transform: Transform,
    fit: Option<Fit>,
    /// `disable=upscale` and `enable=upscale`.
    enlarges: Option<bool>,
    /// `auto`.
    offered: Offered,
}

impl Reading {
    /// `None` if the value makes no sense.
    fn parameter(&mut self, name: &str, value: &str) -> Option<()> {
        let to = &mut self.transform;
        match name {
            "width" => (to.width, to.width_share) = length(value)?,
            "height" => (to.height, to.height_share) = length(value)?,
            "dpr" => to.dpr = number(value).filter(|dpr| *dpr > 0.0)?,
            "fit" => {
                self.fit = Some(match value {
                    "bounds" => Fit::Contain,
                    "cover" => Fit::Outside,
                    "crop" => Fit::Cover,
                    _ => return None,
                });
            }
            "disable" | "enable" if value == "upscale" => self.enlarges = Some(name == "enable"),
            "quality" => {
                // A second number is for WebP alone.
                let first = value.split(',').next()?;
                let quality = number(first)?.round().clamp(1.0, 100.0);
                to.quality = Some(Quality::Number(quality as u8));
            }
            "format" => {
                to.format = format(value.split(',').next()?)?;
                if value == "webpll" {
                    // Without loss.
                    to.quality = Some(Quality::Number(100));
                }
            }
            "auto" => {
                let mut wanted = value.split(',');
                if !wanted
                    .clone()
                    .all(|format| matches!(format, "webp" | "avif"))
                {
                    return None;
                }
                self.offered = Offered {
                    avif: wanted.clone().any(|format| format == "avif"),
                    webp: wanted.any(|format| format == "webp"),
                };
            }
            "bg-color" => to.background = Some(colour(value)?),
            "blur" => to.blur = number(value).filter(|blur| *blur >= 0.0)?.min(250.0),
            "sharpen" => {
                let amount = value.split(',').find_map(|part| part.strip_prefix('a'))?;
                to.sharpen = number(amount)?.clamp(0.0, 10.0);
            }
            "brightness" => to.brightness = factor(value)?,
            "contrast" => to.contrast = factor(value)?,
            "saturation" => to.saturation = factor(value)?,
            "trim" => to.trim = trim(value)?,
            "frame" if value == "1" => to.anim = false,
            "orient" => (to.flip, to.rotate) = orientation(value)?,
            _ => return None,
        }
        Some(())
    }

    fn finish(self, accepted: Offered, ignored: Vec<Warning>) -> Spoken {
        let is = |length: Option<u32>, share: Option<f64>| length.is_some() || share.is_some();
        let mut transform = self.transform;
        let is_box = is(transform.width, transform.width_share)
            && is(transform.height, transform.height_share);
        // With one side there is nothing to fit.
        transform.fit = match (self.fit.filter(|_| is_box), self.enlarges) {
            (Some(Fit::Contain), Some(false)) => Fit::ScaleDown,
            (Some(Fit::Outside), Some(false)) => Fit::OutsideDown,
            (Some(Fit::Cover), Some(false)) => Fit::Crop,
            (Some(fit), _) => fit,
            (None, Some(true)) => Fit::Contain,
            (None, _) => Fit::ScaleDown,
        };
        // What `auto` names comes before `format` where the client takes it.
        let mut offered = if transform.format == Format::Auto {
            Offered::BOTH
        } else {
            self.offered
        };
        offered.avif &= accepted.avif;
        offered.webp &= accepted.webp;
        if offered != Offered::default() {
            transform.format = Format::Auto;
        }
        Spoken {
            transform,
            offered,
            ignored,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Pixels, or a part of the image's own length: `0.5`, or `50p` for so many hundredths.
fn length(text: &str) -> Option<(Option<u32>, Option<f64>)> {
    let share = |share: f64| (share > 0.0 && share <= SHARE_MAX).then_some((None, Some(share)));
    if let Some(percent) = text.strip_suffix('p') {
        return share(number(percent)? / 100.0);
    }
    let pixels = number(text)?;
    if pixels < 1.0 {
        return share(pixels);
    }
    let pixels = pixels.round();
    (pixels <= f64::from(u32::MAX)).then_some((Some(pixels as u32), None))
}

/// -100 to 100 as a factor, 0 being neutral.
fn factor(text: &str) -> Option<f64> {
    let percent = number(text)?.clamp(-100.0, 100.0);
    Some((1.0 + percent / 100.0).max(LEAST_FACTOR))
}

fn format(word: &str) -> Option<Format> {
    Some(match word {
        "auto" => Format::Auto,
        "avif" => Format::Avif,
        "webp" | "webply" | "webpll" => Format::Webp,
        "jpg" | "jpeg" | "pjpg" | "pjpeg" => Format::Jpeg,
        "bjpg" | "bjpeg" => Format::BaselineJpeg,
        "png" | "png8" => Format::PngForce,
        "gif" => Format::Gif,
        _ => return None,
    })
}

/// Three, four, six or eight hexadecimal digits, or `r,g,b` with an alpha or without.
fn colour(text: &str) -> Option<Colour> {
    if text.contains(',') {
        return Colour::parse(&format!("rgba({text})"));
    }
    Colour::parse(&format!("#{}", text.trim_start_matches('#')))
}

/// One to four sides in the order of CSS.
fn trim(text: &str) -> Option<Trim> {
    let sides = text.split(',').map(|side| Amount::parse(side.trim()));
    let sides = sides.collect::<Option<Vec<_>>>()?;
    let (top, right, bottom, left) = match sides[..] {
        [all] => (all, all, all, all),
        [ends, sides] => (ends, sides, ends, sides),
        [top, sides, bottom] => (top, sides, bottom, sides),
        [top, right, bottom, left] => (top, right, bottom, left),
        _ => return None,
    };
    Some(Trim {
        top,
        right,
        bottom,
        left,
        ..Trim::default()
    })
}

/// A side to which the top is turned, an axis which is mirrored, or the number of an EXIF orientation
/// (section 2.7).
fn orientation(text: &str) -> Option<(Flip, Rotate)> {
    Some(match text {
        "1" => (Flip::None, Rotate::None),
        "2" | "h" => (Flip::Horizontal, Rotate::None),
        "3" => (Flip::None, Rotate::Half),
        "4" | "v" => (Flip::Vertical, Rotate::None),
        "5" => (Flip::Horizontal, Rotate::ThreeQuarters),
        "6" | "r" => (Flip::None, Rotate::Quarter),
        "7" => (Flip::Horizontal, Rotate::Quarter),
        "8" | "l" => (Flip::None, Rotate::ThreeQuarters),
        "hv" | "vh" => (Flip::Both, Rotate::None),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_options() {
        for (query, printed) in [
            ("width=300", "width=300"),
            (
                "width=300&height=200&fit=bounds",
                "fit=contain,height=200,width=300",
            ),
            ("width=3&height=2&fit=cover", "fit=outside,height=2,width=3"),
            ("width=3&height=2&fit=crop", "fit=cover,height=2,width=3"),
            (
                "width=3&height=2&fit=crop&disable=upscale",
                "fit=crop,height=2,width=3",
            ),
            (
                "fit=bounds&disable=upscale&width=3&height=2",
                "height=2,width=3",
            ),
            (
                "width=3&height=2&fit=cover&disable=upscale",
                "fit=outside-down,height=2,width=3",
            ),
            ("width=3&fit=crop", "width=3"),
            ("width=0.5&height=250p", "height-share=2.5,width-share=0.5"),
            ("width=5&width=0.5", "width-share=0.5"),
            ("width=3&enable=upscale", "fit=contain,width=3"),
            ("width=3&dpr=2&quality=70,60", "dpr=2,quality=70,width=3"),
            ("format=pjpg", "format=jpeg"),
            ("format=webpll", "format=webp,quality=100"),
            ("bg-color=ff0000", "background=#ff0000"),
            ("bg-color=255,0,0", "background=#ff0000"),
            ("brightness=-50&contrast=100", "brightness=0.5,contrast=2"),
            ("brightness=-100", "brightness=0.001"),
            ("saturation=500", "saturation=2"),
            ("sharpen=a5,r2,t0&blur=900", "blur=250,sharpen=5"),
            ("trim=10,0.25", "trim=10;0.25;10;0.25"),
            ("frame=1&orient=l", "anim=false,rotate=270"),
            ("orient=5", "flip=h,rotate=270"),
            ("orient=vh", "flip=hv"),
            ("width=3&width=4", "width=4"),
            ("width=%34", "width=4"),
        ] {
            let spoken = Spoken::parse(query, Offered::BOTH).unwrap();
            assert_eq!(spoken.transform.to_string(), printed, "{query}");
            assert_eq!(spoken.ignored, [], "{query}");
        }
    }

    #[test]
    fn auto_offers_what_it_names_and_the_client_takes() {
        let (avif, webp) = (true, true);
        for (query, accepted, format, offered) in [
            (
                "auto=webp",
                Offered { avif, webp },
                Format::Auto,
                Offered { avif: false, webp },
            ),
            (
                "auto=webp",
                Offered { avif, webp: false },
                Format::Standard,
                Offered::default(),
            ),
            (
                "auto=avif",
                Offered { avif: false, webp },
                Format::Standard,
                Offered::default(),
            ),
            ("auto=webp,avif", Offered::BOTH, Format::Auto, Offered::BOTH),
            (
                "format=pjpg&auto=webp",
                Offered::BOTH,
                Format::Auto,
                Offered { avif: false, webp },
            ),
            (
                "format=pjpg&auto=webp",
                Offered::default(),
                Format::Jpeg,
                Offered::default(),
            ),
            (
                "format=auto&auto=webp",
                Offered::BOTH,
                Format::Auto,
                Offered::BOTH,
            ),
            (
                "format=auto",
                Offered::default(),
                Format::Auto,
                Offered::default(),
            ),
        ] {
            let spoken = Spoken::parse(query, accepted).unwrap();
            assert_eq!(
                (spoken.transform.format, spoken.offered),
                (format, offered),
                "{query}"
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_ignored_and_told() {
        for query in [
            "width=0",
            "width=0p",
            "width=1e9p",
            "width=1e99",
            "width=-1",
            "fit=fill",
            "format=mp4",
            "quality=high",
            "auto=jxl",
            "bg-color=red;",
            "orient=up",
            "trim=1,2,3,4,5",
            "frame=2",
            "sharpen=5",
            "disable=x",
            "dpr=0",
        ] {
            let spoken = Spoken::parse(query, Offered::BOTH).unwrap();
            assert_eq!(spoken.transform, Transform::default(), "{query}");
            assert_eq!(spoken.ignored.len(), 1, "{query}");
        }
    }

    #[test]
    fn the_origin_is_told_the_rest() {
        assert_eq!(without("width=1&v=2&crop=1:1&w"), Some("v=2&w".to_owned()));
        assert_eq!(without("width=1&fit=crop"), None);
        assert!(is_spoken("v=1&frame=1"));
        assert!(!is_spoken("widths=1&crop=1:1"));
        let nothing = Spoken::parse("v=1", Offered::BOTH);
        assert_eq!(nothing, Err(InvalidOptions::NoOption));
    }
}
