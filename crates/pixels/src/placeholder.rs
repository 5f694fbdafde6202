//! What a page can show until the picture is there: a few bytes which stand for it.

mod blurhash;
mod dominant;
mod thumbhash;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::ResizeLight;
use model::transform::Placeholders;
use resample::Region;

use crate::Error;
use crate::raster::Raster;
use crate::steps::{flatten, resize};

/// Pixels of the longest side of what is looked at, as `ThumbHash` wants it.
const SIDE: u32 = 100;

/// The members of a JSON object, those which are asked for.
pub(crate) fn describe(raster: &Raster, asked: Placeholders) -> Result<String, Error> {
    let small = shrunk(raster)?;
    let mut members = Vec::new();
    if asked.thumbhash {
        let hash = BASE64_STANDARD.encode(thumbhash::hash(&small));
        members.push(format!(r#""thumbhash":"{hash}""#));
    }
    if asked.blurhash {
        // Of its 83 characters none has to be escaped.
        let hash = blurhash::hash(&flatten(small.clone(), None));
        members.push(format!(r#""blurhash":"{hash}""#));
    }
    if asked.colour {
        members.push(match dominant::colour(&small) {
            Some([red, green, blue]) => format!(r##""color":"#{red:02x}{green:02x}{blue:02x}""##),
            None => r#""color":null"#.to_owned(),
        });
    }
    Ok(members.join(","))
}

fn shrunk(raster: &Raster) -> Result<Raster, Error> {
    let longest = raster.width.max(raster.height);
    if longest <= SIDE {
        return Ok(raster.clone());
    }
    let side = |length: u32| (length * SIDE + longest / 2).div_euclid(longest).max(1);
    let size = (side(raster.width), side(raster.height));
    let whole = Region {
        left: 0.0,
        top: 0.0,
        width: raster.width.into(),
        height: raster.height.into(),
    };
    resize(raster, whole, size, ResizeLight::Gamma)
}

/// `count` cosines over a side of `length` samples; the first is constant. `shift` is where in a
/// sample it is measured.
fn waves(length: u32, count: u32, shift: f32) -> Vec<Vec<f32>> {
    let wave = |number: u32| {
        let angle = std::f32::consts::PI / length as f32 * number as f32;
        let value = move |place: u32| (angle * (place as f32 + shift)).cos();
        (0..length).map(value).collect()
    };
    (0..count).map(wave).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Slopes of red and green, stripes of blue, and alpha which falls to the right where wanted.
    pub(crate) fn slopes(width: u32, height: u32, clear: bool) -> Raster {
        let slope = |at: u32, length: u32, most: u32| at * most / (length - 1);
        let data = (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| {
                let alpha = if clear {
                    255 - slope(x, width, 200)
                } else {
                    255
                };
                [
                    slope(x, width, 255),
                    slope(y, height, 255),
                    (x * 7 + y * 13) % 256,
                    alpha,
                ]
            })
            .map(|value| value as u8)
            .collect();
        Raster::new(width, height, 4, data).without_idle_alpha()
    }

    #[test]
    fn what_is_asked_for_is_said() {
        let raster = Raster::new(500, 20, 3, [10, 20, 30].repeat(10_000));
        let all = Placeholders {
            thumbhash: true,
            blurhash: true,
            colour: true,
        };
        let text = describe(&raster, all).unwrap();
        assert!(text.starts_with(r#""thumbhash":""#), "{text}");
        assert!(text.contains(r#"","blurhash":"L"#), "{text}");
        assert!(text.ends_with(r##"","color":"#0a141e""##), "{text}");
        let colour = Placeholders {
            colour: true,
            ..Placeholders::default()
        };
        let clear = Raster::new(1, 1, 4, vec![0; 4]);
        assert_eq!(describe(&clear, colour).unwrap(), r#""color":null"#);
    }
}
