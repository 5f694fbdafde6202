use std::fmt;

use serde_json::{Map, Value};

use crate::AccountConfig;
use crate::transform::{Exif, Fit, Transform};

/// A named preset which delivery addresses end in (management-api.md, section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name in the account.
    pub name: VariantName,
    /// What it asks for.
    pub options: VariantOptions,
    /// Whether it is served without signature even for images that require one.
    pub never_require_signed_urls: bool,
}

impl Variant {
    /// The variant which every account starts with.
    pub fn public() -> Self {
        Self {
            name: VariantName::public(),
            options: VariantOptions {
                fit: Fit::ScaleDown,
                width: Some(1366),
                height: Some(768),
                exif: Exif::None,
                blur: None,
                browser_ttl: None,
            },
            never_require_signed_urls: false,
        }
    }
}

/// 1 to 99 ASCII letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VariantName(String);

impl VariantName {
    /// The name of the variant which every account has and none can delete.
    pub const PUBLIC: &str = "public";

    /// The name `public`.
    pub fn public() -> Self {
        Self(Self::PUBLIC.to_owned())
    }

    /// Reads a name; `None` if it breaks the rule.
    pub fn parse(text: &str) -> Option<Self> {
        let valid =
            (1..=99).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a variant asks for. The defaults are `fit=scale-down` and `metadata=copyright`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VariantOptions {
    /// How the image meets its box.
    pub fit: Fit,
    /// Pixels, at least 1; `None` is unconstrained.
    pub width: Option<u32>,
    /// Pixels, at least 1; `None` is unconstrained.
    pub height: Option<u32>,
    /// `metadata`: what is kept of the source's EXIF.
    pub exif: Exif,
    /// Radius in output pixels, 1 to 250.
    pub blur: Option<u32>,
    /// Seconds a browser may keep the rendition; overrides the account's.
    pub browser_ttl: Option<u32>,
}

/// Why a JSON value is not a set of variant options. The sentence is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidVariant(pub String);

impl VariantOptions {
    /// Reads a whole set of options.
    pub fn from_json(options: &Map<String, Value>) -> Result<Self, InvalidVariant> {
        Self::default().merged(options)
    }

    /// These options with those of `changes` instead, where it has them; `null` takes one away.
    pub fn merged(mut self, changes: &Map<String, Value>) -> Result<Self, InvalidVariant> {
        for (name, value) in changes {
            let word = value.as_str();
            let invalid =
                |range: &str| Err(InvalidVariant(format!("options.{name} must be {range}")));
            let integer = |range: std::ops::RangeInclusive<u32>| {
                let number = whole(value).filter(|number| range.contains(number));
                if number.is_some() || value.is_null() {
                    return Ok(number);
                }
                let (low, high) = range.into_inner();
                let text = format!("options.{name} must be a whole number from {low} to {high}");
                Err(InvalidVariant(text))
            };
            match name.as_str() {
                "fit" if value.is_null() => self.fit = Fit::default(),
                "fit" => match word.and_then(Fit::parse) {
                    Some(
                        fit @ (Fit::ScaleDown | Fit::Contain | Fit::Cover | Fit::Crop | Fit::Pad),
                    ) => {
                        self.fit = fit;
                    }
                    _ => return invalid("scale-down, contain, cover, crop or pad"),
                },
                "metadata" if value.is_null() => self.exif = Exif::default(),
                "metadata" => match word.and_then(Exif::parse) {
                    Some(exif) => self.exif = exif,
                    None => return invalid("keep, copyright or none"),
                },
                "width" => self.width = integer(1..=1_000_000)?,
                "height" => self.height = integer(1..=1_000_000)?,
                "blur" => self.blur = integer(1..=250)?,
                "browser_ttl" => self.browser_ttl = integer(AccountConfig::BROWSER_TTL)?,
                _ => {
                    return Err(InvalidVariant(format!(
                        "options.{name} is not an option of variants"
                    )));
                }
            }
        }
        Ok(self)
    }

    /// The options as JSON: `fit` and `metadata` always, the others where they are set.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut options = Map::new();
        options.insert("fit".to_owned(), self.fit.as_str().into());
        options.insert("metadata".to_owned(), self.exif.as_str().into());
        let numbers = [
            ("width", self.width),
            ("height", self.height),
            ("blur", self.blur),
            ("browser_ttl", self.browser_ttl),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                options.insert(name.to_owned(), number.into());
            }
        }
        options
    }

    /// What the renderer is asked for: the options, with the format left to negotiation.
    pub fn to_transform(&self) -> Transform {
        Transform {
            width: self.width,
            height: self.height,
            fit: self.fit,
            exif: self.exif,
            blur: self.blur.map_or(0.0, f64::from),
            ..Transform::negotiated()
        }
    }
}

/// A JSON number without fraction; Go clients may send `100.0`.
fn whole(value: &Value) -> Option<u32> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(value: &Value) -> Result<String, String> {
        let map = value.as_object().unwrap();
        VariantOptions::from_json(map)
            .map(|options| Value::Object(options.to_json()).to_string())
            .map_err(|error| error.0)
    }

    #[test]
    fn options_are_read_with_defaults() {
        assert_eq!(
            options(&json!({"width": 100, "browser_ttl": 86400})).as_deref(),
            Ok(r#"{"fit":"scale-down","metadata":"copyright","width":100,"browser_ttl":86400}"#)
        );
        assert_eq!(
            options(&json!({"fit": "pad", "height": 2.0, "metadata": "keep", "blur": 250}))
                .as_deref(),
            Ok(r#"{"fit":"pad","metadata":"keep","height":2,"blur":250}"#)
        );
    }

    #[test]
    fn other_options_and_values_are_refused() {
        for value in [
            json!({"fit": "squeeze"}),
            json!({"fit": 1}),
            json!({"width": 0}),
            json!({"width": 1.5}),
            json!({"width": "100"}),
            json!({"width": -1}),
            json!({"blur": 251}),
            json!({"browser_ttl": 60}),
            json!({"metadata": "all"}),
            json!({"quality": 80}),
        ] {
            assert!(options(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_change_merges_and_null_takes_away() {
        let before = VariantOptions::from_json(
            json!({"fit": "pad", "width": 5, "blur": 9})
                .as_object()
                .unwrap(),
        );
        let after = before
            .unwrap()
            .merged(json!({"width": 7, "blur": null}).as_object().unwrap())
            .unwrap();
        assert_eq!(
            (after.fit, after.width, after.blur),
            (Fit::Pad, Some(7), None)
        );
    }

    #[test]
    fn names_are_letters_and_digits() {
        assert!(VariantName::parse("Hero2").is_some());
        for bad in ["", "a-b", "a b", "é", &"a".repeat(100)] {
            assert_eq!(VariantName::parse(bad), None, "{bad}");
        }
    }
}
