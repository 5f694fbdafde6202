//! How often each colour occurs.

use super::{CLEAR, Point, colour, point};
use crate::raster::Raster;

/// Pixels which are looked at. Of a larger picture only some rows are, which are enough to know its
/// colours.
const PIXELS_MAX: usize = 1 << 20;

/// Colours which are close to each other, taken together. Colours which cannot be seen are left out.
pub(in crate::encode) struct Histogram {
    pub(super) entries: Vec<Entry>,
    /// Whether some pixel cannot be seen.
    pub has_clear: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub point: Point,
    /// Pixels.
    pub weight: f32,
}

/// Sums of the colours which fall together.
#[derive(Clone, Copy, Default)]
struct Cell {
    sums: [u32; 4],
    count: u32,
}

impl Histogram {
    /// Of the pixels for which `counts` is true. Unless `translucent`, all which can be seen are
    /// opaque.
    pub(in crate::encode) fn of(
        raster: &Raster,
        translucent: bool,
        counts: Option<&[bool]>,
    ) -> Self {
        let bits = if translucent {
            [5, 5, 5, 3]
        } else {
            [5, 6, 5, 0]
        };
        let mut cells = vec![Cell::default(); 1 << bits.iter().sum::<u32>()];
        let mut has_clear = false;
        let width = (raster.width as usize).max(1);
        let pixels = width * raster.height as usize;
        let step = pixels.div_ceil(PIXELS_MAX).max(1);
        for (y, row) in raster.rows().enumerate().step_by(step) {
            let counts = counts.and_then(|counts| counts.get(y * width..(y + 1) * width));
            for (x, pixel) in row.chunks_exact(raster.channels).enumerate() {
                if counts.is_some_and(|counts| !counts[x]) {
                    continue;
                }
                let colour = colour(pixel);
                if colour == CLEAR {
                    has_clear = true;
                    continue;
                }
                let index = (0..4).fold(0, |index, channel| {
                    let value = u32::from(colour[channel]) >> (8 - bits[channel]);
                    (index << bits[channel]) | value as usize
                });
                let cell = &mut cells[index];
                for (sum, value) in cell.sums.iter_mut().zip(colour) {
                    *sum += u32::from(value);
                }
                cell.count += 1;
            }
        }
        let entries = cells
            .into_iter()
            .filter(|cell| cell.count > 0)
            .map(|cell| Entry {
                point: cell.point(),
                weight: cell.count as f32,
            })
            .collect();
        Self { entries, has_clear }
    }
}

impl Cell {
    /// The mean of its colours.
    fn point(&self) -> Point {
        let count = self.count as f32;
        let mean = self.sums.map(|sum| sum as f32 / count);
        let part = mean[3] / 255.0;
        let unscaled = point([255, 255, 255, 255]);
        [0, 1, 2, 3].map(|channel| {
            let part = if channel == 3 { 1.0 } else { part };
            mean[channel] / 255.0 * unscaled[channel] * part
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_counts_as_often_as_it_occurs() {
        let pixels = [
            [10, 20, 30, 255],
            [10, 20, 30, 255],
            [200, 0, 0, 128],
            [5, 5, 5, 0],
        ];
        let raster = Raster::new(4, 1, 4, pixels.concat());
        let histogram = Histogram::of(&raster, true, None);
        assert!(histogram.has_clear);
        let mut weights: Vec<f32> = histogram.entries.iter().map(|entry| entry.weight).collect();
        weights.sort_by(f32::total_cmp);
        assert_eq!(weights, [1.0, 2.0]);
        for entry in &histogram.entries {
            let known = [[10, 20, 30, 255], [200, 0, 0, 128]];
            assert!(known.contains(&super::super::colour_at(entry.point)));
        }
        let histogram = Histogram::of(&raster, true, Some(&[false, false, true, false]));
        assert_eq!(histogram.entries.len(), 1);
        assert!(!histogram.has_clear);
    }
}
