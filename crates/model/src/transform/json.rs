//! Reads the options of `cf.image`, a JSON object (transformations.md, section 1.6). Each value is
//! brought to the spelling which it has in a list, so that both forms mean the same; what a list would
//! ignore is an error here, for it is a mistake in a program.

pub(super) mod overlay;

use serde_json::{Map, Value};

pub(super) use super::parse::printable;
use super::parse::{InvalidOptions, Outcome, Reading};
use super::{Colour, Frame, Gravity, Quality, Transform, value_of};

/// Options which are numbers.
const NUMBERS: [&str; 11] = [
    "height",
    "zoom",
    "rotate",
    "brightness",
    "contrast",
    "gamma",
    "saturation",
    "blur",
    "sharpen",
    "wmobile",
    "wdesktop",
];

/// Options which are texts.
const TEXTS: [&str; 10] = [
    "placeholder",
    "fit",
    "flip",
    "background",
    "segment",
    "upscale",
    "metadata",
    "format",
    "compression",
    "wbreakpoints",
];

/// Parts of `trim` which are numbers.
const TRIM_SIDES: [&str; 6] = ["top", "right", "bottom", "left", "width", "height"];

/// Where an object of options stands; the forms have different options (section 1.8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `cf.image`.
    Fetch,
    /// An entry of `draw`, in so many lists within each other.
    Overlay { depth: usize },
    /// A command of the Images binding.
    Binding,
}

impl Form {
    fn has(self, option: &str) -> bool {
        match self {
            Self::Fetch => true,
            Self::Overlay { .. } => !matches!(
                option,
                "anim" | "compression" | "format" | "metadata" | "placeholder" | "quality"
            ),
            Self::Binding => !matches!(
                option,
                "anim"
                    | "compression"
                    | "dpr"
                    | "draw"
                    | "format"
                    | "metadata"
                    | "placeholder"
                    | "quality"
            ),
        }
    }
}

impl Transform {
    /// Reads the options of `cf.image`. `None` if none of them is there: such a fetch is not
    /// transformed at all. Unknown members and those which are `null` are ignored, as are options
    /// which this form does not have.
    pub fn from_json(object: &Map<String, Value>) -> Result<Option<Self>, InvalidOptions> {
        read(object, Form::Fetch)
    }
}

/// `None` if no option is there.
pub(super) fn read(
    object: &Map<String, Value>,
    form: Form,
) -> Result<Option<Transform>, InvalidOptions> {
    let mut reading = Reading::default();
    let depth = match form {
        Form::Overlay { depth } => depth,
        Form::Fetch | Form::Binding => 0,
    };
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        if !form.has(name) {
            continue;
        }
        match (name.as_str(), value) {
            ("width", Value::String(text)) if text == "auto" => {
                take(&mut reading, name, text)?;
            }
            ("dpr", _) => {
                let text = number(name, value)?;
                if value.as_f64().is_some_and(|dpr| dpr <= 0.0) {
                    return Err(invalid(name, value));
                }
                take(&mut reading, name, &text)?;
            }
            ("quality", Value::String(text)) => {
                value_of(&Quality::WORDS, text).ok_or_else(|| invalid(name, value))?;
                take(&mut reading, name, text)?;
            }
            ("width" | "quality", _) => take(&mut reading, name, &number(name, value)?)?,
            ("anim", Value::Bool(anim)) => take(&mut reading, name, &anim.to_string())?,
            ("gravity", Value::Object(point)) => {
                reading.transform.gravity = gravity(point)?;
                reading.known = true;
            }
            ("gravity", Value::String(text)) => take(&mut reading, name, text)?,
            ("trim", Value::String(text)) if text == "border" => {
                take(&mut reading, name, text)?;
            }
            ("trim", Value::Object(trim)) => read_trim(&mut reading, trim)?,
            ("border", Value::Object(border)) => {
                reading.transform.border = Some(frame(border)?);
                reading.known = true;
            }
            ("draw", _) => {
                reading.transform.draw = overlay::overlays(value, depth)?;
                reading.known = true;
            }
            (number_name, _) if NUMBERS.contains(&number_name) => {
                take(&mut reading, name, &number(name, value)?)?;
            }
            (text_name, Value::String(text)) if TEXTS.contains(&text_name) => {
                take(&mut reading, name, text)?;
            }
            (other, _) if TEXTS.contains(&other) => return Err(invalid(name, value)),
            ("anim" | "gravity" | "trim" | "border", _) => return Err(invalid(name, value)),
            // Not known, or not of this form.
            _ => {}
        }
    }
    if !reading.known {
        return Ok(None);
    }
    reading.finish().map(|(transform, _)| Some(transform))
}

fn take(reading: &mut Reading, name: &str, text: &str) -> Result<(), InvalidOptions> {
    match reading.option(name, text)? {
        Outcome::Taken => {
            reading.known = true;
            Ok(())
        }
        Outcome::Unknown | Outcome::Ignored => Err(InvalidOptions::Member {
            name: printable(name),
            value: printable(text),
        }),
    }
}

pub(super) fn invalid(name: &str, value: &Value) -> InvalidOptions {
    InvalidOptions::Member {
        name: printable(name),
        value: printable(&value.to_string()),
    }
}

/// A number as it stands in a list.
fn number(name: &str, value: &Value) -> Result<String, InvalidOptions> {
    let number = value.as_f64().ok_or_else(|| invalid(name, value))?;
    Ok(number.to_string())
}

/// `{x, y, mode}`: what is missing is the middle.
fn gravity(point: &Map<String, Value>) -> Result<Gravity, InvalidOptions> {
    let coordinate = |name: &str| match point.get(name) {
        None | Some(Value::Null) => Ok(0.5),
        Some(value) => value
            .as_f64()
            .map(|value| value.clamp(0.0, 1.0) + 0.0)
            .ok_or_else(|| invalid("gravity", value)),
    };
    let (x, y) = (coordinate("x")?, coordinate("y")?);
    match point.get("mode") {
        None | Some(Value::Null) => Ok(Gravity::Point { x, y }),
        Some(Value::String(mode)) if mode == "remainder" => Ok(Gravity::Point { x, y }),
        Some(Value::String(mode)) if mode == "box-center" => Ok(Gravity::BoxCenter { x, y }),
        Some(mode) => Err(invalid("gravity", mode)),
    }
}

fn read_trim(reading: &mut Reading, trim: &Map<String, Value>) -> Result<(), InvalidOptions> {
    reading.known = true;
    for (name, value) in trim.iter().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value) {
            ("border", Value::Bool(border)) => {
                take(reading, "trim.border", &border.to_string())?;
            }
            ("border", Value::Object(border)) => {
                take(reading, "trim.border", "true")?;
                for (name, value) in border.iter().filter(|(_, value)| !value.is_null()) {
                    let text = match (name.as_str(), value) {
                        ("color", Value::String(colour)) => colour.clone(),
                        ("tolerance" | "keep", _) => number(name, value)?,
                        ("color", _) => return Err(invalid("trim.border.color", value)),
                        _ => continue,
                    };
                    take(reading, &format!("trim.border.{name}"), &text)?;
                }
            }
            ("border", _) => return Err(invalid("trim.border", value)),
            (side, _) if TRIM_SIDES.contains(&side) => {
                let text = number(name, value)?;
                take(reading, &format!("trim.{side}"), &text)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// `{color, width}`, or the sides one by one (section 2.9).
fn frame(border: &Map<String, Value>) -> Result<Frame, InvalidOptions> {
    let pixels = |name: &str| match border.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_f64()
            .map(|pixels| (pixels + 0.5).floor())
            .filter(|pixels| (0.0..=f64::from(u32::MAX)).contains(pixels))
            .map(|pixels| Some(pixels as u32))
            .ok_or_else(|| invalid("border", value)),
    };
    let all = pixels("width")?.unwrap_or(0);
    let colour = match border.get("color") {
        None | Some(Value::Null) => Colour::BLACK,
        Some(value) => value
            .as_str()
            .and_then(Colour::parse)
            .ok_or_else(|| invalid("border", value))?,
    };
    Ok(Frame {
        colour,
        top: pixels("top")?.unwrap_or(all),
        right: pixels("right")?.unwrap_or(all),
        bottom: pixels("bottom")?.unwrap_or(all),
        left: pixels("left")?.unwrap_or(all),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Result<Option<Transform>, InvalidOptions> {
        Transform::from_json(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn both_forms_mean_the_same() {
        for (json, list) in [
            (
                r#"{"width":400,"height":300.4,"fit":"cover"}"#,
                "width=400,height=300,fit=cover",
            ),
            (
                r#"{"width":"auto","wbreakpoints":"320;768","wmobile":5}"#,
                "width=auto,wbreakpoints=320;768,wmobile=5",
            ),
            (
                r#"{"quality":80,"format":"avif"}"#,
                "quality=80,format=avif",
            ),
            (
                r#"{"quality":"medium-high","format":"auto"}"#,
                "quality=medium-high,format=auto",
            ),
            (r#"{"quality":500}"#, "quality=100"),
            (r#"{"anim":false,"width":9}"#, "anim=false,width=9"),
            (r#"{"gravity":"face","zoom":0.5}"#, "gravity=face,zoom=0.5"),
            (r#"{"gravity":{"x":0.25,"y":7}}"#, "gravity=0.25x1"),
            (r#"{"gravity":{"y":0,"mode":"remainder"}}"#, "gravity=top"),
            (
                r#"{"gravity":{"x":0.5,"y":0.2,"mode":"box-center"}}"#,
                "gravity=box-center:0.5x0.2",
            ),
            (
                r#"{"trim":{"top":20,"left":0.25,"width":600}}"#,
                "trim=20;0;0;0.25,trim.width=600",
            ),
            (r#"{"trim":"border"}"#, "trim=border"),
            (r#"{"trim":{"border":true}}"#, "trim=border"),
            (
                r##"{"trim":{"border":{"color":"#000","tolerance":5,"keep":10}}}"##,
                "trim.border.color=#000,trim.border.tolerance=5,trim.border.keep=10",
            ),
            (
                r#"{"rotate":90,"flip":"hv","rotate":360}"#,
                "flip=hv,rotate=0",
            ),
            (
                r#"{"background":"rgb(240 40 145 / 50%)"}"#,
                "background=rgb(240 40 145 / 50%25)",
            ),
            (
                r#"{"blur":250,"sharpen":3,"brightness":1.5,"gamma":0}"#,
                "blur=250,sharpen=3,brightness=1.5",
            ),
            (
                r#"{"width":9,"onerror":"redirect","scq":50,"w":7,"else":[],"height":null}"#,
                "width=9",
            ),
            (
                r#"{"width":9,"origin-auth":"share-publicly","draw":[]}"#,
                "width=9",
            ),
        ] {
            let expected: Transform = list.parse().unwrap();
            assert_eq!(read(json), Ok(Some(expected)), "{json}");
        }
    }

    #[test]
    fn nothing_asked_is_nothing_done() {
        for json in [r"{}", r#"{"unknown":1}"#, r#"{"width":null,"w":400}"#] {
            assert_eq!(read(json), Ok(None), "{json}");
        }
    }

    #[test]
    fn what_a_list_would_ignore_is_an_error() {
        for json in [
            r#"{"width":"400"}"#,
            r#"{"width":0}"#,
            r#"{"height":-1}"#,
            r#"{"fit":"fill"}"#,
            r#"{"fit":3}"#,
            r#"{"quality":"80"}"#,
            r#"{"quality":"best"}"#,
            r#"{"anim":"false"}"#,
            r#"{"gravity":"side"}"#,
            r#"{"gravity":{"x":"0.5"}}"#,
            r#"{"gravity":{"x":0.5,"mode":"else"}}"#,
            r#"{"gravity":3}"#,
            r#"{"trim":"20;30;20;0"}"#,
            r#"{"trim":{"top":"20"}}"#,
            r#"{"trim":{"border":{"color":"nothing"}}}"#,
            r#"{"border":{"color":"nothing"}}"#,
            r#"{"border":{"width":-1}}"#,
            r#"{"border":5}"#,
            r#"{"rotate":45}"#,
            r#"{"dpr":0}"#,
            r#"{"blur":251}"#,
            r#"{"background":"nothing"}"#,
            r#"{"format":"mp4"}"#,
            r#"{"draw":[{"url":"https://example.com/a.png","left":1,"right":1}]}"#,
            r#"{"draw":{"url":"https://example.com/a.png"}}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_frame_has_sides_and_a_colour() {
        let sides = |json: &str| {
            let frame = read(json).unwrap().unwrap().border.unwrap();
            (
                frame.colour,
                [frame.top, frame.right, frame.bottom, frame.left],
            )
        };
        assert_eq!(sides(r#"{"border":{"width":5}}"#), (Colour::BLACK, [5; 4]));
        assert_eq!(
            sides(r#"{"border":{"color":"white","top":1,"left":2.6}}"#),
            (Colour::WHITE, [1, 0, 0, 3])
        );
        let framed = read(r##"{"border":{"color":"#f00","width":5,"top":9}}"##)
            .unwrap()
            .unwrap();
        assert_eq!(framed.to_string(), "border=#ff0000;9;5;5;5");
    }

    /// An option in both forms.
    fn options() -> impl Strategy<Value = (String, String, Value)> {
        let number = |name: &'static str, least: f64, most: f64| {
            (least..most).prop_map(move |number| {
                let json = serde_json::json!(number);
                (name.to_owned(), number.to_string(), json)
            })
        };
        let word = |name: &'static str, words: &'static [&'static str]| {
            proptest::sample::select(words)
                .prop_map(move |word| (name.to_owned(), word.to_owned(), Value::from(word)))
        };
        prop_oneof![
            number("width", 1.0, 5_000.0),
            number("height", 1.0, 5_000.0),
            number("dpr", 0.1, 4.0),
            number("quality", 1.0, 120.0),
            number("blur", 0.0, 250.0),
            number("sharpen", 0.0, 10.0),
            number("brightness", 0.0, 255.0),
            number("contrast", 0.0, 255.0),
            number("gamma", 0.0, 9.0),
            number("saturation", 0.0, 9.0),
            number("zoom", 0.0, 1.5),
            word("width", &["auto"]),
            word(
                "fit",
                &[
                    "scale-down",
                    "scale-up",
                    "contain",
                    "cover",
                    "crop",
                    "aspect-crop",
                    "pad",
                    "squeeze"
                ]
            ),
            word(
                "gravity",
                &["left", "bottom", "auto", "face", "entropy", "0.25x0.75"]
            ),
            word("flip", &["h", "v", "hv"]),
            word("metadata", &["keep", "copyright", "none"]),
            word(
                "format",
                &["auto", "avif", "webp", "jpeg", "baseline-jpeg", "json"]
            ),
            word("quality", &["low", "medium-low", "medium-high", "high"]),
            word(
                "background",
                &["red", "#1234", "rgb(1,2,3)", "hsl(9 9% 9%)"]
            ),
            word("segment", &["foreground"]),
            word("upscale", &["interpolate", "generate"]),
            word("compression", &["fast"]),
            word("trim", &["border"]),
            any::<bool>().prop_map(|anim| ("anim".into(), anim.to_string(), anim.into())),
            proptest::sample::select(vec![0, 90, 180, 270, 360]).prop_map(|turn| (
                "rotate".into(),
                turn.to_string(),
                turn.into()
            )),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_asked_means_the_same_in_both_forms(
            options in proptest::collection::vec(options(), 1..9),
        ) {
            let (mut list, mut object) = (Vec::new(), Map::new());
            for (name, text, value) in options {
                // In an object each name stands once; in a list the last one counts.
                object.insert(name.clone(), value);
                list.push(format!("{name}={}", text.replace('%', "%25")));
            }
            let by_list: Transform = list.join(",").parse().unwrap();
            prop_assert_eq!(Transform::from_json(&object), Ok(Some(by_list)), "{}", list.join(","));
        }

        #[test]
        fn no_object_is_a_panic(
            name in "[a-z.-]{1,12}",
            value in prop_oneof![
                any::<f64>().prop_map(|number| serde_json::json!(number)),
                ".{0,20}".prop_map(Value::from),
                any::<bool>().prop_map(Value::from),
            ],
        ) {
            for outer in ["trim", "border", "gravity", ""] {
                let mut object = Map::new();
                object.insert(name.clone(), value.clone());
                if !outer.is_empty() {
                    let inner = std::mem::take(&mut object);
                    object.insert(outer.to_owned(), inner.into());
                }
                let _ = Transform::from_json(&object);
            }
        }
    }
}
