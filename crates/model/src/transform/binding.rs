//! The form of the Images binding: a program of commands over numbered pictures, and what is written
//! in the end (transformations.md, sections 1.7 and 7.5).

use serde_json::{Map, Value};

use super::json::{Form, invalid, overlay, printable, read};
use super::{Colour, Draw, Format, InvalidOptions, Quality, Text, Transform};

/// Pictures of one program: the canvas, and one for each draw.
pub const PICTURES_MAX: usize = overlay::OVERLAYS_MAX + 1;

/// Commands of one program.
const COMMANDS_MAX: usize = 200;

/// One step of a program. Pictures are named by their index; 0 is the canvas, which is written in
/// the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A complete stage of options on a picture.
    Transform {
        /// Which picture.
        picture: usize,
        /// The options.
        transform: Box<Transform>,
    },
    /// Draws a picture, as it is by then, on another.
    Draw {
        /// Which picture.
        picture: usize,
        /// On which.
        target: usize,
        /// How.
        draw: Draw,
    },
}

/// Reads the JSON array of commands over so many pictures.
pub fn commands(json: &str, pictures: usize) -> Result<Vec<Command>, InvalidOptions> {
    let not_json = |_| InvalidOptions::Member {
        name: "transforms".to_owned(),
        value: printable(json),
    };
    let commands: Vec<Map<String, Value>> = serde_json::from_str(json).map_err(not_json)?;
    if commands.len() > COMMANDS_MAX {
        return Err(InvalidOptions::TooLarge {
            name: "the number of transforms",
            maximum: COMMANDS_MAX as u32,
        });
    }
    let index = |command: &Map<String, Value>, name: &str| {
        let value = command.get(name).unwrap_or(&Value::Null);
        value
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .filter(|index| *index < pictures)
            .ok_or_else(|| invalid(name, value))
    };
    let read = |command: &Map<String, Value>| {
        if command.contains_key("imageIndex") {
            return Ok(Command::Transform {
                picture: index(command, "imageIndex")?,
                transform: Box::new(read(command, Form::Binding)?.unwrap_or_default()),
            });
        }
        let (picture, target) = (
            index(command, "drawImageIndex")?,
            index(command, "targetImageIndex")?,
        );
        if picture == target {
            return Err(InvalidOptions::Overlay("a picture is drawn on itself"));
        }
        Ok(Command::Draw {
            picture,
            target,
            draw: overlay::draw(command)?,
        })
    };
    let commands = commands.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let draws = |command: &&Command| matches!(command, Command::Draw { .. });
    if commands.iter().filter(draws).count() > overlay::OVERLAYS_MAX {
        return Err(InvalidOptions::TooLarge {
            name: "the number of overlays",
            maximum: overlay::OVERLAYS_MAX as u32,
        });
    }
    Ok(commands)
}

/// Reads the JSON object of a text.
pub fn text(json: &str) -> Result<Text, InvalidOptions> {
    let not_json = |_| InvalidOptions::Member {
        name: "text".to_owned(),
        value: printable(json),
    };
    overlay::text(&serde_json::from_str(json).map_err(not_json)?)
}

/// What is written in the end, as it stands in a form: `None` where a part is absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output<'a> {
    /// `output_format`: a media type, or `rgb` or `rgba`.
    pub format: Option<&'a str>,
    /// `output_quality`: a number from 1 to 100.
    pub quality: Option<&'a str>,
    /// `background`
    pub background: Option<&'a str>,
    /// `anim`: `true` or `false`.
    pub anim: Option<&'a str>,
}

impl Output<'_> {
    /// The options which it stands for.
    pub fn transform(self) -> Result<Transform, InvalidOptions> {
        let format = match self.format {
            Some("image/jpeg") => Format::Jpeg,
            Some("image/png") => Format::PngForce,
            Some("image/gif") => Format::Gif,
            Some("image/webp") => Format::Webp,
            Some("image/avif") => Format::Avif,
            Some("rgb") => Format::Rgb,
            Some("rgba") => Format::Rgba,
            _ => return Err(InvalidOptions::OutputFormat),
        };
        let wrong = |name: &str, value: &str| InvalidOptions::Member {
            name: name.to_owned(),
            value: printable(value),
        };
        let quality = |text: &str| {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number
                .map(|number| Quality::Number(number.round().clamp(1.0, 100.0) as u8))
                .ok_or_else(|| wrong("output_quality", text))
        };
        let background = |text: &str| Colour::parse(text).ok_or_else(|| wrong("background", text));
        let anim = match self.anim {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(wrong("anim", other)),
        };
        Ok(Transform {
            format,
            quality: self.quality.map(quality).transpose()?,
            background: self.background.map(background).transpose()?,
            anim,
            ..Transform::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Offset;
    use super::*;

    #[test]
    fn the_example_of_the_specification() {
        let json = r#"[{"imageIndex":0,"rotate":90},{"imageIndex":1,"rotate":180},
            {"drawImageIndex":1,"targetImageIndex":0},{"drawImageIndex":3,"targetImageIndex":2},
            {"imageIndex":2,"rotate":90,"dpr":3,"format":"webp"},
            {"drawImageIndex":2,"targetImageIndex":0,"top":4,"opacity":1},
            {"drawImageIndex":4,"targetImageIndex":0}]"#;
        let transform = |picture, list: &str| Command::Transform {
            picture,
            transform: Box::new(list.parse().unwrap()),
        };
        let draw = |picture, target| Command::Draw {
            picture,
            target,
            draw: Draw::default(),
        };
        let down = Offset::Start(4);
        let expected = [
            transform(0, "rotate=90"),
            transform(1, "rotate=180"),
            draw(1, 0),
            draw(3, 2),
            transform(2, "rotate=90"),
            Command::Draw {
                picture: 2,
                target: 0,
                draw: Draw {
                    down,
                    ..Draw::default()
                },
            },
            draw(4, 0),
        ];
        assert_eq!(commands(json, 5), Ok(expected.to_vec()));
        assert!(commands(json, 4).is_err());
    }

    #[test]
    fn wrong_programs_are_refused() {
        for json in [
            "",
            "{}",
            "[3]",
            "[{}]",
            r#"[{"imageIndex":1}]"#,
            r#"[{"imageIndex":-1}]"#,
            r#"[{"imageIndex":"0"}]"#,
            r#"[{"imageIndex":0,"width":"10"}]"#,
            r#"[{"drawImageIndex":0}]"#,
            r#"[{"drawImageIndex":0,"targetImageIndex":0}]"#,
        ] {
            assert!(commands(json, 1).is_err(), "{json}");
        }
        let draw = r#"{"drawImageIndex":1,"targetImageIndex":0}"#;
        let draws = |count| format!("[{}]", vec![draw; count].join(","));
        assert!(commands(&draws(20), 2).is_ok());
        assert!(commands(&draws(21), 2).is_err());
        let stages = vec![r#"{"imageIndex":0}"#; 201].join(",");
        assert!(commands(&format!("[{stages}]"), 1).is_err());
    }

    #[test]
    fn the_output_is_a_media_type() {
        let output = Output {
            format: Some("image/webp"),
            quality: Some("80"),
            background: Some("#fff"),
            anim: Some("false"),
        };
        let expected = "format=webp,quality=80,background=white,anim=false";
        assert_eq!(output.transform(), Ok(expected.parse().unwrap()));
        for (name, format) in [("rgb", Format::Rgb), ("rgba", Format::Rgba)] {
            let output = Output {
                format: Some(name),
                ..Output::default()
            };
            let transform = output.transform().unwrap();
            assert_eq!(transform.format, format);
            assert_eq!(transform.to_string(), format!("format={name}"));
        }
        for format in [None, Some("webp"), Some("image/svg+xml"), Some("IMAGE/PNG")] {
            let output = Output {
                format,
                ..Output::default()
            };
            let error = output.transform().unwrap_err();
            assert_eq!(error.to_string(), "Bad request: invalid output format");
        }
        for (quality, background, anim) in [
            (Some("high"), None, None),
            (None, Some("nothing"), None),
            (None, None, Some("1")),
        ] {
            let output = Output {
                format: Some("image/png"),
                quality,
                background,
                anim,
            };
            assert!(output.transform().is_err());
        }
    }
}
