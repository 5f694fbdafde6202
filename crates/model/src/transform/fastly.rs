//! The query parameters of Fastly's Image Optimizer, read as what they mean here (transformations.md,
//! section 9.1). What has no counterpart is ignored: crops, canvases, overlays.

use percent_encoding::percent_decode_str;

use super::parse::{InvalidOptions, Warning, printable};
use super::{Amount, Colour, Fit, Flip, Format, Gravity, Quality, Rotate, Transform, Trim};

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

/// Whether a query has a parameter which is understood.
pub fn is_spoken(query: &str) -> bool {
    pairs(query).any(|(name, _)| NAMES.contains(&name))
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

impl Transform {
    /// Reads a query, and says which values made no sense. Only a query with none of the parameters is an
    /// error: that service ignores what it does not understand.
    pub fn parse_fastly(query: &str) -> Result<(Self, Vec<Warning>), InvalidOptions> {
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
        Ok((reading.finish(), warnings))
    }
}

#[derive(Default)]
struct Reading {
    transform: Transform,
    fit: Option<Fit>,
    /// `disable=upscale` and `enable=upscale`.
    enlarges: Option<bool>,
}

impl Reading {
    /// `None` if the value makes no sense.
    fn parameter(&mut self, name: &str, value: &str) -> Option<()> {
        let to = &mut self.transform;
        match name {
            "width" => to.width = Some(length(value)?),
            "height" => to.height = Some(length(value)?),
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
            "format" => to.format = format(value.split(',').next()?)?,
            "auto" => {
                let mut wanted = value.split(',');
                if !wanted.all(|format| matches!(format, "webp" | "avif")) {
                    return None;
                }
                // What is named wins.
                if to.format == Format::Standard {
                    to.format = Format::Auto;
                }
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

    fn finish(self) -> Transform {
        let fit = match (self.fit, self.enlarges) {
            (Some(Fit::Contain), Some(false)) => Fit::ScaleDown,
            (Some(Fit::Cover), Some(false)) => Fit::Crop,
            (Some(fit), _) => fit,
            (None, Some(true)) => Fit::Contain,
            (None, _) => Fit::ScaleDown,
        };
        Transform {
            fit,
            gravity: Gravity::CENTER,
            ..self.transform
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// Whole pixels. Parts of the image's own size (`0.5`, `50p`) are not understood.
fn length(text: &str) -> Option<u32> {
    let pixels = number(text).filter(|pixels| *pixels >= 1.0)?;
    let pixels = pixels.round();
    (pixels <= f64::from(u32::MAX)).then_some(pixels as u32)
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
            ("width=3&fit=crop&disable=upscale", "fit=crop,width=3"),
            ("fit=bounds&disable=upscale&width=3", "width=3"),
            ("width=3&enable=upscale", "fit=contain,width=3"),
            ("width=3&dpr=2&quality=70,60", "dpr=2,quality=70,width=3"),
            ("format=pjpg&auto=webp", "format=jpeg"),
            ("auto=webp,avif", "format=auto"),
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
            let (transform, ignored) = Transform::parse_fastly(query).unwrap();
            assert_eq!(transform.to_string(), printed, "{query}");
            assert_eq!(ignored, [], "{query}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_ignored_and_told() {
        for query in [
            "width=0.5",
            "width=50p",
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
            let (transform, ignored) = Transform::parse_fastly(query).unwrap();
            assert_eq!(transform, Transform::default(), "{query}");
            assert_eq!(ignored.len(), 1, "{query}");
        }
    }

    #[test]
    fn the_origin_is_told_the_rest() {
        assert_eq!(without("width=1&v=2&crop=1:1&w"), Some("v=2&w".to_owned()));
        assert_eq!(without("width=1&fit=crop"), None);
        assert!(is_spoken("v=1&frame=1"));
        assert!(!is_spoken("widths=1&crop=1:1"));
        let nothing = Transform::parse_fastly("v=1");
        assert_eq!(nothing, Err(InvalidOptions::NoOption));
    }
}
