//! Reads what is drawn and how: entries of `draw` in `cf.image`, and the same members in the forms of
//! the Images binding (transformations.md, section 7).

use serde_json::{Map, Value};

use super::super::overlay::{Composite, Draw, Offset, Overlay, OverlayContent, Repeat, Text};
use super::super::{Amount, Colour, value_of};
use super::{Form, InvalidOptions, invalid, printable, read};

/// Entries of one list, those within entries included.
pub(crate) const OVERLAYS_MAX: usize = 20;

/// How deep overlays may have overlays.
const DEPTH_MAX: usize = 5;

/// Reads a list of overlays, `depth` lists within others.
pub(super) fn overlays(value: &Value, depth: usize) -> Result<Vec<Overlay>, InvalidOptions> {
    let entries = value.as_array().ok_or_else(|| invalid("draw", value))?;
    let too_many = InvalidOptions::TooLarge {
        name: "the number of overlays",
        maximum: OVERLAYS_MAX as u32,
    };
    if depth >= DEPTH_MAX && !entries.is_empty() {
        return Err(InvalidOptions::TooLarge {
            name: "the depth of overlays",
            maximum: DEPTH_MAX as u32,
        });
    }
    if entries.len() > OVERLAYS_MAX {
        return Err(too_many);
    }
    let overlays = entries
        .iter()
        .map(|entry| match entry {
            Value::Object(entry) => overlay(entry, depth),
            _ => Err(invalid("draw", entry)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if count(&overlays) > OVERLAYS_MAX {
        return Err(too_many);
    }
    Ok(overlays)
}

fn count(overlays: &[Overlay]) -> usize {
    let inner = overlays.iter().map(|overlay| match &overlay.content {
        OverlayContent::Image { transform, .. } => count(&transform.draw),
        OverlayContent::Text(_) => 0,
    });
    overlays.len() + inner.sum::<usize>()
}

fn overlay(entry: &Map<String, Value>, depth: usize) -> Result<Overlay, InvalidOptions> {
    let member = |name: &str| entry.get(name).filter(|value| !value.is_null());
    let content = match (member("url"), member("text")) {
        (Some(Value::String(url)), None) => {
            let mut options = entry.clone();
            for own in ["width", "height"] {
                options.remove(own);
            }
            let transform = read(&options, Form::Overlay { depth: depth + 1 })?;
            OverlayContent::Image {
                url: url.clone(),
                width: length(entry, "width")?,
                height: length(entry, "height")?,
                transform: Box::new(transform.unwrap_or_default()),
            }
        }
        (None, Some(_)) => OverlayContent::Text(text(entry)?),
        (Some(url), None) => return Err(invalid("draw.url", url)),
        (Some(_), Some(_)) | (None, None) => {
            return Err(InvalidOptions::Overlay("one of 'url' and 'text' is needed"));
        }
    };
    Ok(Overlay {
        content,
        draw: draw(entry)?,
    })
}

/// Pixels, or a fraction of what is drawn on.
fn length(entry: &Map<String, Value>, name: &str) -> Result<Option<Amount>, InvalidOptions> {
    let Some(value) = entry.get(name).filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    value
        .as_f64()
        .and_then(Amount::of_number)
        .filter(|amount| *amount != Amount::Pixels(0))
        .map(Some)
        .ok_or_else(|| invalid(name, value))
}

/// Reads `{text, font: {url}, size, color}`.
pub(in super::super) fn text(object: &Map<String, Value>) -> Result<Text, InvalidOptions> {
    let member = |name: &str| object.get(name).filter(|value| !value.is_null());
    let content = match member("text") {
        Some(Value::String(content)) => content.clone(),
        other => return Err(invalid("text", other.unwrap_or(&Value::Null))),
    };
    if content.chars().count() > Text::CHARACTERS_MAX {
        return Err(InvalidOptions::TooLarge {
            name: "the number of characters of a text",
            maximum: Text::CHARACTERS_MAX as u32,
        });
    }
    let font = match member("font") {
        None => None,
        Some(Value::Object(font)) => match font.get("url") {
            Some(Value::String(url)) => Some(url.clone()),
            other => return Err(invalid("font.url", other.unwrap_or(&Value::Null))),
        },
        Some(other) => return Err(invalid("font", other)),
    };
    let size = match member("size") {
        None => Text::SIZE,
        Some(value) => value
            .as_f64()
            .filter(|size| *size > 0.0 && *size <= Text::SIZE_MAX)
            .ok_or_else(|| invalid("size", value))?,
    };
    let colour = match member("color") {
        None => Colour::BLACK,
        Some(value) => value
            .as_str()
            .and_then(Colour::parse)
            .ok_or_else(|| invalid("color", value))?,
    };
    Ok(Text {
        content,
        font,
        size,
        colour,
    })
}

/// Reads position, `repeat`, `opacity` and `composite`.
pub(in super::super) fn draw(object: &Map<String, Value>) -> Result<Draw, InvalidOptions> {
    let member = |name: &str| object.get(name).filter(|value| !value.is_null());
    let pixels = |name: &str| match member(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            .map(|pixels| (pixels + 0.5).floor())
            .filter(|pixels| pixels.abs() <= f64::from(i32::MAX))
            .map(|pixels| Some(pixels as i32))
            .ok_or_else(|| invalid(name, value)),
    };
    let offset = |start: &str, end: &str, both| match (pixels(start)?, pixels(end)?) {
        (Some(_), Some(_)) => Err(InvalidOptions::Overlay(both)),
        (Some(start), None) => Ok(Offset::Start(start)),
        (None, Some(end)) => Ok(Offset::End(end)),
        (None, None) => Ok(Offset::Center),
    };
    let repeat = match member("repeat") {
        None | Some(Value::Bool(false)) => Repeat::None,
        Some(Value::Bool(true)) => Repeat::Both,
        Some(Value::String(axis)) if axis == "x" => Repeat::Across,
        Some(Value::String(axis)) if axis == "y" => Repeat::Down,
        Some(other) => return Err(invalid("repeat", other)),
    };
    let opacity = match member("opacity") {
        None => 1.0,
        Some(value) => value
            .as_f64()
            .filter(|opacity| (0.0..=1.0).contains(opacity))
            .map(|opacity| opacity + 0.0)
            .ok_or_else(|| invalid("opacity", value))?,
    };
    let composite = match member("composite") {
        None => Composite::default(),
        Some(value) => value
            .as_str()
            .and_then(|word| value_of(&Composite::WORDS, word))
            .ok_or_else(|| InvalidOptions::Member {
                name: "composite".to_owned(),
                value: printable(&value.to_string()),
            })?,
    };
    Ok(Draw {
        across: offset("left", "right", "'left' and 'right' exclude each other")?,
        down: offset("top", "bottom", "'top' and 'bottom' exclude each other")?,
        repeat,
        opacity,
        composite,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(entries: &str) -> Result<Vec<Overlay>, InvalidOptions> {
        overlays(&serde_json::from_str(entries).unwrap(), 0)
    }

    fn one(entry: &str) -> Result<Overlay, InvalidOptions> {
        drawn(&format!("[{entry}]")).map(|mut all| all.remove(0))
    }

    #[test]
    fn an_entry_says_what_and_how() {
        let overlay = one(
            r#"{"url":"https://a.test/b.png","width":0.25,"height":100,"rotate":90,
            "fit":"cover","left":-5,"bottom":2.5,"opacity":0.5,"repeat":"x","composite":"atop"}"#,
        );
        let expected = Overlay {
            content: OverlayContent::Image {
                url: "https://a.test/b.png".to_owned(),
                width: Some(Amount::Fraction(0.25)),
                height: Some(Amount::Pixels(100)),
                transform: Box::new("rotate=90,fit=cover".parse().unwrap()),
            },
            draw: Draw {
                across: Offset::Start(-5),
                down: Offset::End(3),
                repeat: Repeat::Across,
                opacity: 0.5,
                composite: Composite::Atop,
            },
        };
        assert_eq!(overlay, Ok(expected));
        let text = one(
            r#"{"text":"Grüße\n","font":{"url":"https://a.test/f.woff2"},"size":20,
            "color":"rgb(255 0 0 / 50%)","width":5}"#,
        )
        .unwrap();
        let expected = Text {
            content: "Grüße\n".to_owned(),
            font: Some("https://a.test/f.woff2".to_owned()),
            size: 20.0,
            colour: Colour::parse("#ff000080").unwrap(),
        };
        assert_eq!(text.content, OverlayContent::Text(expected));
        assert_eq!(text.draw, Draw::default());
    }

    #[test]
    fn wrong_entries_are_refused() {
        let long = format!(r#"{{"text":"{}"}}"#, "ä".repeat(1_001));
        for entry in [
            "{}",
            "3",
            r#"{"url":3}"#,
            r#"{"url":"a","text":"b"}"#,
            r#"{"url":"a","left":1,"right":0}"#,
            r#"{"url":"a","top":1,"bottom":1}"#,
            r#"{"url":"a","top":"1"}"#,
            r#"{"url":"a","top":1e300}"#,
            r#"{"url":"a","opacity":1.1}"#,
            r#"{"url":"a","opacity":-0.1}"#,
            r#"{"url":"a","repeat":"z"}"#,
            r#"{"url":"a","composite":"multiply"}"#,
            r#"{"url":"a","width":0}"#,
            r#"{"url":"a","width":"auto"}"#,
            r#"{"url":"a","fit":"fill"}"#,
            r#"{"text":3}"#,
            r#"{"text":"a","size":0}"#,
            r#"{"text":"a","size":5000}"#,
            r#"{"text":"a","color":"nothing"}"#,
            r#"{"text":"a","font":"Arial"}"#,
            r#"{"text":"a","font":{}}"#,
            &long,
        ] {
            assert!(one(entry).is_err(), "{entry}");
        }
    }

    #[test]
    fn overlays_have_overlays_up_to_a_depth_and_a_number() {
        let nested = |depth: usize| {
            (1..depth).fold(r#"{"url":"a"}"#.to_owned(), |inner, _| {
                format!(r#"{{"url":"a","draw":[{inner}]}}"#)
            })
        };
        assert!(one(&nested(5)).is_ok());
        assert!(one(&nested(6)).is_err());
        let many = |count: usize| vec![r#"{"url":"a"}"#; count].join(",");
        assert!(drawn(&format!("[{}]", many(20))).is_ok());
        assert!(drawn(&format!("[{}]", many(21))).is_err());
        let inside = format!(r#"[{{"url":"a","draw":[{}]}}]"#, many(20));
        assert!(drawn(&inside).is_err());
    }

    #[test]
    fn what_is_needed_is_named_once_and_children_first() {
        use super::super::super::{Asset, Transform};
        let object = r#"{"draw":[
            {"url":"a","draw":[{"url":"b"},{"text":"t","font":{"url":"f"}}]},
            {"url":"b"},{"text":"t"},{"text":"t","font":{"url":"f"}}]}"#;
        let transform = Transform::from_json(&serde_json::from_str(object).unwrap());
        let transform = transform.unwrap().unwrap();
        let assets = transform.assets();
        assert_eq!(
            assets,
            [Asset::Image("b"), Asset::Font("f"), Asset::Image("a")]
        );
    }

    #[test]
    fn different_overlays_print_differently() {
        let texts = [
            r#"{"url":"a"}"#,
            r#"{"text":"a"}"#,
            r#"{"text":"a","size":13}"#,
            r#"{"text":"a","font":{"url":"f"}}"#,
            r#"{"url":"a","left":1}"#,
            r#"{"url":"a","right":1}"#,
            r#"{"url":"a","right":-1}"#,
            r#"{"url":"a","top":1}"#,
            r#"{"url":"a","repeat":true}"#,
            r#"{"url":"a","composite":"in"}"#,
            r#"{"url":"a","width":2}"#,
            r#"{"url":"a","height":2}"#,
            r#"{"url":"a","rotate":90}"#,
            r#"{"url":"a\",\"b"}"#,
        ];
        let mut printed: Vec<String> = texts
            .iter()
            .map(|text| one(text).unwrap().canonical())
            .collect();
        printed.sort();
        printed.dedup();
        assert_eq!(printed.len(), texts.len());
    }
}
