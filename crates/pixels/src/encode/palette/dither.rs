//! Error diffusion after Floyd and Steinberg (1976), in serpentines: what a pixel is off is made up
//! for by its neighbours.

use super::{Nearest, Point, SCALE, colour, point};
use crate::raster::Raster;

/// How a picture is brought to a palette.
#[derive(Clone, Copy, Debug)]
pub(in crate::encode) struct Dither {
    /// How much of an error is passed on, 0 to 1. Less is calmer and compresses better.
    pub strength: f32,
}

impl Dither {
    /// Numbers for the pixels. Pixels for which `counts` is false get `skipped`, and pass no error
    /// on.
    pub(in crate::encode) fn apply(
        self,
        raster: &Raster,
        nearest: &mut Nearest,
        counts: Option<&[bool]>,
        skipped: u8,
    ) -> Vec<u8> {
        let width = (raster.width as usize).max(1);
        let mut pixels = vec![skipped; width * raster.height as usize];
        // A pixel more at either end, so that edges need no case of their own.
        let mut here: Vec<Point> = vec![[0.0; 4]; width + 2];
        let mut below = here.clone();
        let rows = raster.rows().zip(pixels.chunks_exact_mut(width));
        for (y, (row, numbers)) in rows.enumerate() {
            let counts = counts.and_then(|counts| counts.get(y * width..(y + 1) * width));
            let leftwards = y % 2 == 1;
            for place in 0..width {
                let x = if leftwards { width - 1 - place } else { place };
                if counts.is_some_and(|counts| !counts[x]) {
                    continue;
                }
                let at = x * raster.channels;
                let colour = colour(&row[at..at + raster.channels]);
                let exact = point(colour);
                let wanted = if colour[3] == 0 {
                    exact
                } else {
                    within(add(exact, here[x + 1], 1.0))
                };
                let (number, got) = nearest.of(wanted);
                numbers[x] = number;
                let error = scaled(subtract(wanted, got), self.strength / 16.0);
                let (ahead, behind) = if leftwards { (x, x + 2) } else { (x + 2, x) };
                here[ahead] = add(here[ahead], error, 7.0);
                below[behind] = add(below[behind], error, 3.0);
                below[x + 1] = add(below[x + 1], error, 5.0);
                below[ahead] = add(below[ahead], error, 1.0);
            }
            std::mem::swap(&mut here, &mut below);
            below.fill([0.0; 4]);
        }
        pixels
    }
}

// Written out, as `array::map` is not always inlined, which costs a quarter of the time.

#[inline]
fn add(a: Point, b: Point, times: f32) -> Point {
    [
        a[0] + b[0] * times,
        a[1] + b[1] * times,
        a[2] + b[2] * times,
        a[3] + b[3] * times,
    ]
}

#[inline]
fn subtract(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
}

#[inline]
fn scaled(a: Point, times: f32) -> Point {
    [a[0] * times, a[1] * times, a[2] * times, a[3] * times]
}

#[inline]
fn within(point: Point) -> Point {
    let alpha = point[3].clamp(0.0, 255.0 * SCALE[3]);
    let most = alpha / SCALE[3];
    [
        point[0].clamp(0.0, most * SCALE[0]),
        point[1].clamp(0.0, most * SCALE[1]),
        point[2].clamp(0.0, most * SCALE[2]),
        alpha,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Colour;
    use super::*;

    const BLACK_AND_WHITE: [Colour; 2] = [[0, 0, 0, 255], [255, 255, 255, 255]];

    #[test]
    fn a_gray_becomes_as_many_white_pixels_as_it_is_bright() {
        for gray in [32_u8, 128, 220] {
            let raster = Raster::new(64, 64, 3, vec![gray; 64 * 64 * 3]);
            let mut nearest = Nearest::new(&BLACK_AND_WHITE);
            let pixels = Dither { strength: 1.0 }.apply(&raster, &mut nearest, None, 0);
            let white: usize = pixels.iter().map(|number| usize::from(*number)).sum();
            let expected = 64 * 64 * usize::from(gray) / 255;
            assert!(white.abs_diff(expected) < 64, "{gray}: {white}, {expected}");
        }
    }

    #[test]
    fn what_is_not_to_be_written_is_left_alone() {
        let raster = Raster::new(8, 2, 3, vec![100; 48]);
        let counts: Vec<bool> = (0..16).map(|index| index % 3 == 0).collect();
        let mut nearest = Nearest::new(&BLACK_AND_WHITE);
        let pixels = Dither { strength: 1.0 }.apply(&raster, &mut nearest, Some(&counts), 7);
        for (number, counts) in pixels.iter().zip(&counts) {
            assert_eq!(*number < 7, *counts);
        }
    }
}
