//! At most 256 colours in place of all that a picture has.
//!
//! [`exact`] keeps a picture as it is. Otherwise colours are [counted](histogram), [chosen](choice)
//! and the picture is [dithered](dither) with them.

mod choice;
mod dither;
mod histogram;
mod nearest;

use crate::raster::Raster;

pub(super) use dither::Dither;
pub(super) use histogram::Histogram;
pub(super) use nearest::Nearest;

/// Red, green, blue and alpha, not premultiplied.
pub(super) type Colour = [u8; 4];

/// A colour which cannot be seen.
pub(super) const CLEAR: Colour = [0; 4];

/// A picture of numbered colours.
pub(super) struct Indexed {
    /// At most 256.
    pub colours: Vec<Colour>,
    /// A number for each pixel.
    pub pixels: Vec<u8>,
}

/// The colour of a pixel of 3 or 4 bytes; what cannot be seen is all the same.
#[inline]
pub(super) fn colour(pixel: &[u8]) -> Colour {
    match *pixel {
        [_, _, _, 0] => CLEAR,
        [red, green, blue, alpha] => [red, green, blue, alpha],
        [red, green, blue] => [red, green, blue, 255],
        _ => CLEAR,
    }
}

/// The picture as it is, if it has no more than `most` colours, which is at most 256. Pixels for which
/// `counts` is false have no colour; their number is one more than the last.
pub(super) fn exact(raster: &Raster, most: usize, counts: Option<&[bool]>) -> Option<Indexed> {
    let mut numbers = Numbers::new(most);
    let mut pixels = numbers.of_all(raster, counts)?;
    if let Some(counts) = counts {
        skip(&mut pixels, counts, numbers.colours.len() as u8);
    }
    Some(Indexed {
        colours: numbers.colours,
        pixels,
    })
}

/// The picture with the colours of a palette, if it has no others; `skipped` for pixels for which
/// `counts` is false.
pub(super) fn numbered(
    raster: &Raster,
    colours: &[Colour],
    counts: Option<&[bool]>,
    skipped: u8,
) -> Option<Vec<u8>> {
    let mut numbers = Numbers::new(colours.len());
    for colour in colours {
        numbers.of(*colour)?;
    }
    let mut pixels = numbers.of_all(raster, counts)?;
    if let Some(counts) = counts {
        skip(&mut pixels, counts, skipped);
    }
    Some(pixels)
}

fn skip(pixels: &mut [u8], counts: &[bool], skipped: u8) {
    for (number, counts) in pixels.iter_mut().zip(counts) {
        if !counts {
            *number = skipped;
        }
    }
}

/// Colours in the order in which they were met.
struct Numbers {
    most: usize,
    colours: Vec<Colour>,
    /// Open addressing: the number of a colour plus 1, or 0. Never more than a quarter full.
    slots: Vec<u16>,
}

impl Numbers {
    const SLOT_BITS: u32 = 10;

    fn new(most: usize) -> Self {
        Self {
            most: most.min(256),
            colours: Vec::with_capacity(256),
            slots: vec![0; 1 << Self::SLOT_BITS],
        }
    }

    /// A number for each pixel; 0 where `counts` is false.
    fn of_all(&mut self, raster: &Raster, counts: Option<&[bool]>) -> Option<Vec<u8>> {
        let mut pixels = vec![0; raster.width as usize * raster.height as usize];
        let (mut last, mut number) = (None, 0);
        let colours = raster.data.chunks_exact(raster.channels);
        for (index, (pixel, target)) in colours.zip(&mut pixels).enumerate() {
            if counts.is_some_and(|counts| counts.get(index) == Some(&false)) {
                continue;
            }
            let colour = colour(pixel);
            if last != Some(colour) {
                number = self.of(colour)?;
                last = Some(colour);
            }
            *target = number;
        }
        Some(pixels)
    }

    /// `None` where there are too many.
    fn of(&mut self, colour: Colour) -> Option<u8> {
        // Fibonacci hashing: the upper bits of a product with the golden ratio.
        let hash = u32::from_le_bytes(colour).wrapping_mul(0x9e37_79b1) >> (32 - Self::SLOT_BITS);
        let mut slot = hash as usize;
        loop {
            match self.slots[slot] {
                0 if self.colours.len() == self.most => return None,
                0 => {
                    self.colours.push(colour);
                    self.slots[slot] = self.colours.len() as u16;
                    return Some((self.colours.len() - 1) as u8);
                }
                number if self.colours[usize::from(number) - 1] == colour => {
                    return Some((number - 1) as u8);
                }
                _ => slot = (slot + 1) % self.slots.len(),
            }
        }
    }
}

/// A colour in the space in which distances are taken: premultiplied values from 0 to 255, each
/// scaled by how much a difference of it is seen.
type Point = [f32; 4];

/// How much differences of red, green, blue and alpha are seen. Green has most of the brightness; the
/// numbers are those with which photographs scored best.
const SCALE: Point = [0.65, 1.0, 0.5, 1.0];

/// The channel by which points are put in order: green, in which they differ most.
const AXIS: usize = 1;

#[inline]
fn point([red, green, blue, alpha]: Colour) -> Point {
    if alpha == 255 {
        let value = |value: u8, channel: usize| f32::from(value) * SCALE[channel];
        return [
            value(red, 0),
            value(green, 1),
            value(blue, 2),
            255.0 * SCALE[3],
        ];
    }
    let part = f32::from(alpha) / 255.0;
    let value = |value: u8, channel: usize| f32::from(value) * part * SCALE[channel];
    [
        value(red, 0),
        value(green, 1),
        value(blue, 2),
        f32::from(alpha) * SCALE[3],
    ]
}

fn colour_at(point: Point) -> Colour {
    let alpha = (point[3] / SCALE[3]).round().clamp(0.0, 255.0);
    if alpha == 0.0 {
        return CLEAR;
    }
    let byte = |channel: usize| {
        let value = point[channel] / SCALE[channel] * 255.0 / alpha;
        value.round().clamp(0.0, 255.0) as u8
    };
    [byte(0), byte(1), byte(2), alpha as u8]
}

/// The square of the distance.
#[inline]
fn distance(a: Point, b: Point) -> f32 {
    let square = |channel: usize| (a[channel] - b[channel]) * (a[channel] - b[channel]);
    (square(0) + square(1)) + (square(2) + square(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raster(channels: usize, pixels: &[Colour]) -> Raster {
        let data = pixels
            .iter()
            .flat_map(|pixel| pixel[..channels].to_vec())
            .collect();
        Raster::new(pixels.len() as u32, 1, channels, data)
    }

    #[test]
    fn a_picture_of_few_colours_is_kept_as_it_is() {
        let colours: Vec<Colour> = (0..=255_u8)
            .map(|value| [value, value.wrapping_mul(7), 255 - value, 255])
            .collect();
        let twice: Vec<Colour> = colours.iter().chain(&colours).copied().collect();
        let indexed = exact(&raster(4, &twice), 256, None).unwrap();
        assert_eq!(indexed.colours, colours);
        let back: Vec<Colour> = indexed
            .pixels
            .iter()
            .map(|number| indexed.colours[usize::from(*number)])
            .collect();
        assert_eq!(back, twice);
        assert!(exact(&raster(3, &twice), 255, None).is_none());
    }

    #[test]
    fn what_cannot_be_seen_is_one_colour() {
        let pixels = [[1, 2, 3, 0], [200, 100, 0, 0], [1, 2, 3, 255]];
        let indexed = exact(&raster(4, &pixels), 2, None).unwrap();
        assert_eq!(indexed.colours, [CLEAR, [1, 2, 3, 255]]);
        assert_eq!(indexed.pixels, [0, 0, 1]);
    }

    #[test]
    fn colours_come_back_from_points() {
        for alpha in [255, 200, 128, 40] {
            for value in (0..=255_u8).step_by(5) {
                let there = [value, 255 - value, value / 2, alpha];
                assert_eq!(colour_at(point(there)), there);
            }
        }
        assert_eq!(colour_at(point([9, 9, 9, 0])), CLEAR);
    }
}
