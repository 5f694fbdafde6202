//! Planes of AV1, of any depth, subsampling and range, to plain samples.

use crate::colour::Samples;
use crate::{Cancel, Error};

use super::super::av1::{Coding, Picture, Row};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Colour,
    /// The brightness alone.
    Alpha,
}

/// The samples of an item, brought to 16 bits each.
pub(super) struct Plain {
    /// 1 or 3.
    pub channels: usize,
    pub samples: Vec<u16>,
    pub coding: Coding,
}

/// Colour and alpha together.
pub(super) fn with_alpha(
    colour: &[u16],
    channels: usize,
    alpha: &[u16],
    premultiplied: bool,
) -> Samples<u16> {
    let undo = |value: u16, alpha: u16| match alpha {
        65_535 => value,
        0 => 0,
        _ => {
            let divided = (u64::from(value) * 65_535 + u64::from(alpha) / 2) / u64::from(alpha);
            divided.min(65_535) as u16
        }
    };
    let mut samples = Vec::with_capacity(alpha.len() * (channels + 1));
    for (pixel, alpha) in colour.chunks_exact(channels).zip(alpha) {
        samples.extend(pixel.iter().map(|value| {
            if premultiplied {
                undo(*value, *alpha)
            } else {
                *value
            }
        }));
        samples.push(*alpha);
    }
    if channels == 1 {
        Samples::GrayAlpha(samples)
    } else {
        Samples::Rgba(samples)
    }
}

/// Brightness and colour to red, green and blue (AV1 specification, section 6.4.2, and H.273).
pub(super) fn convert(
    picture: &Picture,
    coding: Coding,
    wanted: Wanted,
    cancel: &Cancel,
) -> Result<Plain, Error> {
    let (width, height) = picture.size();
    let (width, height) = (width as usize, height as usize);
    let monochrome = picture.is_monochrome() || wanted == Wanted::Alpha;
    let channels = if monochrome { 1 } else { 3 };
    let range = Range::new(picture.bits(), coding.full_range);
    let mixing = Mixing::of(coding.matrix);
    let mut samples = vec![0; width * height * channels];
    let mut brightness = vec![0.0; width];
    let mut colours = [Upsampled::new(picture), Upsampled::new(picture)];
    for (y, row) in samples.chunks_exact_mut(width * channels).enumerate() {
        if y % 64 == 0 {
            cancel.check()?;
        }
        read_row(&picture.row(0, y), &mut brightness);
        if monochrome {
            for (to, value) in row.iter_mut().zip(&brightness) {
                *to = word(range.brightness(*value));
            }
            continue;
        }
        for (number, colour) in colours.iter_mut().enumerate() {
            colour.read(picture, number + 1, y);
        }
        let pixels = row.chunks_exact_mut(3).zip(&brightness);
        let pairs = colours[0].row.iter().zip(&colours[1].row);
        for ((pixel, value), (blue, red)) in pixels.zip(pairs) {
            let rgb = match mixing {
                // Green, blue and red as they are.
                Mixing::Identity => [
                    range.brightness(*red),
                    range.brightness(*value),
                    range.brightness(*blue),
                ],
                Mixing::Linear(mix) => {
                    let (blue, red) = (range.colour(*blue), range.colour(*red));
                    mix.rgb(range.brightness(*value), blue, red)
                }
                Mixing::Ycgco => {
                    let (green, orange) = (range.colour(*blue), range.colour(*red));
                    let rest = range.brightness(*value) - green;
                    [
                        rest + orange,
                        range.brightness(*value) + green,
                        rest - orange,
                    ]
                }
            };
            pixel.copy_from_slice(&rgb.map(word));
        }
    }
    Ok(Plain {
        channels,
        samples,
        coding,
    })
}

fn word(value: f32) -> u16 {
    (value * 65_535.0 + 0.5) as u16
}

fn read_row(row: &Row<'_>, to: &mut [f32]) {
    match row {
        Row::Bytes(bytes) => {
            for (to, value) in to.iter_mut().zip(*bytes) {
                *to = f32::from(*value);
            }
        }
        Row::Words(words) => {
            for (to, value) in to.iter_mut().zip(*words) {
                *to = f32::from(*value);
            }
        }
    }
}

/// What numbers mean: 0 to 1 for brightness, -0.5 to 0.5 for colour.
#[derive(Clone, Copy)]
struct Range {
    black: f32,
    brightness: f32,
    middle: f32,
    colour: f32,
}

impl Range {
    fn new(bits: u32, full: bool) -> Self {
        let unit = (1 << (bits - 8)) as f32;
        let most = ((1 << bits) - 1) as f32;
        let (black, brightness, colour) = if full {
            (0.0, most, most)
        } else {
            (16.0 * unit, 219.0 * unit, 224.0 * unit)
        };
        Self {
            black,
            brightness: 1.0 / brightness,
            middle: 128.0 * unit,
            colour: 1.0 / colour,
        }
    }

    fn brightness(self, value: f32) -> f32 {
        (value - self.black) * self.brightness
    }

    fn colour(self, value: f32) -> f32 {
        (value - self.middle) * self.colour
    }
}

#[derive(Clone, Copy)]
enum Mixing {
    Identity,
    Linear(Mix),
    Ycgco,
}

/// The shares of red and blue in brightness, and what follows from them.
#[derive(Clone, Copy)]
struct Mix {
    red: f32,
    blue: f32,
}

impl Mixing {
    /// By the number of H.273, table 4. What is unknown is taken for the matrix of JPEG.
    fn of(matrix: u16) -> Self {
        let (red, blue) = match matrix {
            0 => return Self::Identity,
            8 => return Self::Ycgco,
            1 => (0.2126, 0.0722),
            4 => (0.30, 0.11),
            7 => (0.212, 0.087),
            9 => (0.2627, 0.0593),
            _ => (0.299, 0.114),
        };
        Self::Linear(Mix { red, blue })
    }
}

impl Mix {
    fn rgb(self, brightness: f32, blue: f32, red: f32) -> [f32; 3] {
        let r = brightness + 2.0 * (1.0 - self.red) * red;
        let b = brightness + 2.0 * (1.0 - self.blue) * blue;
        let g = (brightness - self.red * r - self.blue * b) / (1.0 - self.red - self.blue);
        [r, g, b]
    }
}

/// A row of colour at the resolution of brightness. Samples lie in the middle of those which share
/// them, as in JPEG, and in between is interpolated.
struct Upsampled {
    row: Vec<f32>,
    near: Vec<f32>,
    far: Vec<f32>,
}

impl Upsampled {
    fn new(picture: &Picture) -> Self {
        let width = picture.size().0 as usize;
        let stored = if picture.subsampling().0 {
            width.div_ceil(2)
        } else {
            width
        };
        Self {
            row: vec![0.0; width],
            near: vec![0.0; stored],
            far: vec![0.0; stored],
        }
    }

    fn read(&mut self, picture: &Picture, plane: usize, y: usize) {
        let (across, down) = picture.subsampling();
        if down {
            let near = y / 2;
            let far = if y.is_multiple_of(2) {
                near.saturating_sub(1)
            } else {
                near + 1
            };
            read_row(&picture.row(plane, near), &mut self.near);
            read_row(&picture.row(plane, far), &mut self.far);
            for (near, far) in self.near.iter_mut().zip(&self.far) {
                *near = 0.75 * *near + 0.25 * far;
            }
        } else {
            read_row(&picture.row(plane, y), &mut self.near);
        }
        if !across {
            self.row.copy_from_slice(&self.near);
            return;
        }
        let last = self.near.len().saturating_sub(1);
        for (x, pair) in self.row.chunks_mut(2).enumerate() {
            let here = self.near[x];
            let before = self.near[x.saturating_sub(1)];
            let after = self.near[(x + 1).min(last)];
            pair[0] = 0.75 * here + 0.25 * before;
            if let Some(second) = pair.get_mut(1) {
                *second = 0.75 * here + 0.25 * after;
            }
        }
    }
}
