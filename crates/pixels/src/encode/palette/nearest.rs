//! The nearest colour of a palette.

use super::choice::channels;
use super::{AXIS, Colour, Point, SCALE, colour, distance, point};
use crate::raster::Raster;

/// Pixels of a picture which are looked at to know how well a palette fits it.
const SAMPLES: usize = 1 << 14;

/// Finds the nearest colour exactly: space is cut into cells, and a cell which is met for the first
/// time notes which colours can be nearest to anything in it, mostly a handful.
pub(in crate::encode) struct Nearest {
    /// In the order of their brightness, so that a search can stop where that alone is too far away.
    points: Vec<Point>,
    /// The number of each point in the palette.
    numbers: Vec<u8>,
    bits: [u32; 4],
    /// Where the points of a cell are among the candidates; nothing where it was not met.
    cells: Vec<Span>,
    candidates: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    length: u16,
}

impl Nearest {
    /// Of 1 to 256 colours.
    pub(in crate::encode) fn new(colours: &[Colour]) -> Self {
        let opaque = colours.iter().all(|colour| colour[3] == 255);
        let bits = if opaque { [5, 6, 5, 0] } else { [5, 5, 5, 3] };
        let mut sorted: Vec<(Point, u8)> = colours
            .iter()
            .zip(0..=255)
            .map(|(colour, number)| (point(*colour), number))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| a[AXIS].total_cmp(&b[AXIS]));
        let (points, numbers) = sorted.into_iter().unzip();
        Self {
            points,
            numbers,
            bits,
            cells: vec![Span::default(); 1 << bits.iter().sum::<u32>()],
            candidates: Vec::new(),
        }
    }

    /// The mean squared error of a channel, in 8-bit levels, if every pixel for which `counts` is true
    /// got its nearest colour. Estimated from some of them.
    pub(in crate::encode) fn error(&mut self, raster: &Raster, counts: Option<&[bool]>) -> f32 {
        let pixels = raster.data.len() / raster.channels;
        let (mut sum, mut seen) = (0.0_f32, 0.0_f32);
        // An odd step, so that columns of a picture are not looked at over and over.
        for index in (0..pixels).step_by((pixels / SAMPLES) | 1) {
            if counts.is_some_and(|counts| counts.get(index) == Some(&false)) {
                continue;
            }
            let at = index * raster.channels;
            let wanted = point(colour(&raster.data[at..at + raster.channels]));
            sum += distance(wanted, self.of(wanted).1);
            seen += 1.0;
        }
        sum / seen.max(1.0) / channels()
    }

    /// The number of the colour, and where it is. Values of the wanted point are in range.
    #[inline]
    pub(super) fn of(&mut self, wanted: Point) -> (u8, Point) {
        let mut index = 0;
        for channel in 0..4 {
            // Truncation floors, and 255 is the last value of the last cell.
            let value = (wanted[channel] * (1.0 / SCALE[channel])) as u32;
            index = (index << self.bits[channel]) | (value.min(255) >> (8 - self.bits[channel]));
        }
        let mut span = self.cells[index as usize];
        if span.length == 0 {
            span = self.fill(index);
            self.cells[index as usize] = span;
        }
        let start = span.start as usize;
        let candidates = &self.candidates[start..start + usize::from(span.length)];
        let mut best = usize::from(candidates[0]);
        let mut least = distance(wanted, self.points[best]);
        for index in &candidates[1..] {
            let index = usize::from(*index);
            let distance = distance(wanted, self.points[index]);
            if distance < least {
                (best, least) = (index, distance);
            }
        }
        (self.numbers[best], self.points[best])
    }

    fn fill(&mut self, index: u32) -> Span {
        let (mut middle, mut radius, mut rest) = ([0.0; 4], 0.0, index);
        for channel in (0..4).rev() {
            let bits = self.bits[channel];
            let value = rest & ((1 << bits) - 1);
            rest >>= bits;
            // Points a little beyond 255 fall into the last cell.
            let side = (1 << (8 - bits)) as f32;
            middle[channel] = (value as f32 + 0.5) * side * SCALE[channel];
            // Where alpha has one cell, all points have the same alpha.
            if bits == 0 {
                middle[channel] = 255.0 * SCALE[channel];
            } else {
                radius += (side * 0.5 * SCALE[channel]).powi(2);
            }
        }
        let (_, least) = nearest(&self.points, middle, 0);
        // By the triangle inequality no colour further away can be nearest to a point of the cell.
        let reach = least.sqrt() + 2.0 * f32::sqrt(radius) + 0.01;
        let start = self.candidates.len();
        let first = self
            .points
            .partition_point(|point| point[AXIS] < middle[AXIS] - reach);
        for (index, point) in self.points.iter().enumerate().skip(first) {
            if point[AXIS] > middle[AXIS] + reach {
                break;
            }
            if distance(middle, *point) <= reach * reach {
                self.candidates.push(index as u8);
            }
        }
        Span {
            start: start as u32,
            length: (self.candidates.len() - start) as u16,
        }
    }
}

/// The nearest of some points, which are in the order of [`AXIS`], and the square of its distance.
/// `guess` is one of them: the better it is, the sooner the search ends.
pub(super) fn nearest(points: &[Point], wanted: Point, guess: usize) -> (usize, f32) {
    let (mut nearest, mut least) = (guess, distance(wanted, points[guess]));
    let middle = points.partition_point(|point| point[AXIS] < wanted[AXIS]);
    let mut look = |index: usize| -> bool {
        let along = points[index][AXIS] - wanted[AXIS];
        if along * along >= least {
            return false;
        }
        let distance = distance(wanted, points[index]);
        if distance < least {
            (nearest, least) = (index, distance);
        }
        true
    };
    // Upwards and downwards, as far as can matter.
    (middle..points.len()).all(&mut look);
    (0..middle).rev().all(&mut look);
    (nearest, least)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_colour_is_nearer(
            colours in proptest::collection::vec(any::<[u8; 4]>(), 1..200),
            wanted in proptest::collection::vec(any::<[u8; 4]>(), 50),
            opaque in any::<bool>(),
        ) {
            let solid = |colour: &Colour| {
                let alpha = if opaque { 255 } else { colour[3] };
                [colour[0], colour[1], colour[2], alpha]
            };
            let colours: Vec<Colour> = colours.iter().map(solid).collect();
            let mut nearest = Nearest::new(&colours);
            for wanted in wanted.iter().map(solid) {
                let wanted = point(wanted);
                let (_, found) = nearest.of(wanted);
                let least = colours
                    .iter()
                    .map(|colour| distance(wanted, point(*colour)))
                    .fold(f32::INFINITY, f32::min);
                prop_assert!(distance(wanted, found) <= least + 0.01);
            }
        }
    }
}
