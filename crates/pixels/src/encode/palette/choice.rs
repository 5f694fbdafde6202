//! Which colours a palette has: boxes around all colours are cut where they spread most, and the
//! means of the boxes are then moved to the middle of what is nearest to them.
//!
//! The cut is the variance-based one of Wan, Prusinkiewicz and Wong (1990), at the mean of the widest
//! axis; the second part is Lloyd's algorithm (k-means).

use super::histogram::{Entry, Histogram};
use super::nearest::nearest;
use super::{AXIS, CLEAR, Colour, Point, SCALE, colour_at};

/// How often the colours are moved. The first time gains most, the fourth next to nothing.
const MOVES: usize = 3;

/// Alpha from which a chosen colour is opaque: a pixel which hides what is behind it must go on
/// doing so.
const OPAQUE_MIN: u8 = 252;

/// A part of the histogram.
struct Part {
    start: usize,
    end: usize,
    mean: Point,
    /// Squared distances from the mean, summed over pixels.
    spread: f32,
    /// The channel which spreads most.
    widest: usize,
}

impl Histogram {
    /// Chooses at most `most` colours, and no more than are needed for a mean squared error of
    /// `error_max` in squared 8-bit levels, as far as the histogram tells colours apart. `most` is at
    /// least 2; the colours are at least 1.
    ///
    /// Also says what the mean squared error of a channel is.
    pub(in crate::encode) fn choose(mut self, most: usize, error_max: f32) -> (Vec<Colour>, f32) {
        let most = most.min(256) - usize::from(self.has_clear);
        let pixels: f32 = self.entries.iter().map(|entry| entry.weight).sum();
        let enough = error_max * pixels * channels();
        let mut parts = Vec::with_capacity(most);
        if !self.entries.is_empty() {
            parts.push(part(&self.entries, 0, self.entries.len()));
        }
        let mut spread: f32 = parts.iter().map(|part| part.spread).sum();
        while parts.len() < most && spread > enough {
            let Some((index, widest)) = parts
                .iter()
                .enumerate()
                .max_by(|(_, a), (_, b)| a.spread.total_cmp(&b.spread))
            else {
                break;
            };
            if widest.spread <= 0.0 {
                break;
            }
            let (start, end) = (widest.start, widest.end);
            let (axis, threshold) = (widest.widest, widest.mean[widest.widest]);
            let middle = start + partition(&mut self.entries[start..end], axis, threshold);
            if middle == start || middle == end {
                // Rounding left all on one side; there is nothing more to be gained here.
                parts[index].spread = 0.0;
                continue;
            }
            parts[index] = part(&self.entries, start, middle);
            parts.push(part(&self.entries, middle, end));
            spread = parts.iter().map(|part| part.spread).sum();
        }
        let mut points: Vec<Point> = parts.iter().map(|part| part.mean).collect();
        let mut error = spread;
        for _ in 0..MOVES {
            if points.len() < 2 {
                break;
            }
            error = settle(&self.entries, &mut points);
        }
        let mut colours: Vec<Colour> = Vec::with_capacity(points.len() + 1);
        if self.has_clear || points.is_empty() {
            colours.push(CLEAR);
        }
        colours.extend(points.into_iter().map(|point| {
            let mut colour = colour_at(point);
            if colour[3] >= OPAQUE_MIN {
                colour[3] = 255;
            }
            colour
        }));
        (colours, error / pixels.max(1.0) / channels())
    }
}

/// What squared levels of a channel are multiplied by when they are summed over all channels.
pub(super) fn channels() -> f32 {
    SCALE[..3].iter().map(|scale| scale * scale).sum()
}

fn part(entries: &[Entry], start: usize, end: usize) -> Part {
    let (mut sum, mut squares, mut weight) = ([0.0_f64; 4], [0.0_f64; 4], 0.0_f64);
    for entry in &entries[start..end] {
        let pixels = f64::from(entry.weight);
        weight += pixels;
        let sums = sum.iter_mut().zip(&mut squares);
        for ((sum, square), value) in sums.zip(entry.point.map(f64::from)) {
            *sum += pixels * value;
            *square += pixels * value * value;
        }
    }
    let weight = weight.max(f64::MIN_POSITIVE);
    let mean = sum.map(|sum| sum / weight);
    let spreads: [f64; 4] =
        [0, 1, 2, 3].map(|channel| (squares[channel] - sum[channel] * mean[channel]).max(0.0));
    let widest = (0..4).fold(0, |widest, channel| {
        if spreads[channel] > spreads[widest] {
            channel
        } else {
            widest
        }
    });
    Part {
        start,
        end,
        mean: mean.map(|value| value as f32),
        spread: spreads.iter().sum::<f64>() as f32,
        widest,
    }
}

/// Those up to the threshold come first; says how many they are.
fn partition(entries: &mut [Entry], axis: usize, threshold: f32) -> usize {
    let mut middle = 0;
    for index in 0..entries.len() {
        if entries[index].point[axis] <= threshold {
            entries.swap(index, middle);
            middle += 1;
        }
    }
    middle
}

/// Moves each point to the mean of the entries which are nearest to it; says how far all are away
/// from what they were nearest to, squared and summed over pixels.
fn settle(entries: &[Entry], points: &mut [Point]) -> f32 {
    points.sort_unstable_by(|a, b| a[AXIS].total_cmp(&b[AXIS]));
    let mut sums = vec![([0.0_f64; 4], 0.0_f64); points.len()];
    let mut error = 0.0_f64;
    // Neighbours in the histogram mostly have the same nearest point.
    let mut guess = 0;
    for entry in entries {
        let (index, least) = nearest(points, entry.point, guess);
        guess = index;
        let weight = f64::from(entry.weight);
        error += weight * f64::from(least);
        let (sum, total) = &mut sums[index];
        for (sum, value) in sum.iter_mut().zip(entry.point.map(f64::from)) {
            *sum += weight * value;
        }
        *total += weight;
    }
    for (point, (sum, total)) in points.iter_mut().zip(sums) {
        if total > 0.0 {
            *point = sum.map(|sum| (sum / total) as f32);
        }
    }
    error as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raster::Raster;

    fn of(colours: &[Colour]) -> Histogram {
        Histogram::of(
            &Raster::new(colours.len() as u32, 1, 4, colours.concat()),
            true,
            None,
        )
    }

    #[test]
    fn colours_far_apart_are_all_chosen() {
        let there = [
            [255, 0, 0, 255],
            [0, 255, 0, 255],
            [0, 0, 255, 255],
            [0, 0, 0, 128],
        ];
        let (mut chosen, error) = of(&there).choose(16, 0.0);
        chosen.sort_unstable();
        let mut expected = there.to_vec();
        expected.sort_unstable();
        assert_eq!(chosen, expected);
        assert!(error < 0.01, "{error}");
    }

    #[test]
    fn a_gradient_is_cut_into_even_parts() {
        let gray: Vec<Colour> = (0..=255).map(|value| [value, value, value, 255]).collect();
        let (mut chosen, _) = of(&gray).choose(8, 0.0);
        chosen.sort_unstable();
        assert_eq!(chosen.len(), 8);
        for pair in chosen.windows(2) {
            assert!((24..=40).contains(&(pair[1][0] - pair[0][0])), "{chosen:?}");
        }
    }

    #[test]
    fn no_more_colours_than_the_error_needs() {
        let gray: Vec<Colour> = (0..=255).map(|value| [value, value, value, 255]).collect();
        let (few, error) = of(&gray).choose(256, 90.0);
        assert!(few.len() < 16 && error <= 90.0, "{} {error}", few.len());
        let (many, error) = of(&gray).choose(256, 2.0);
        assert!(many.len() > 24 && error <= 2.0, "{} {error}", many.len());
    }

    #[test]
    fn nothing_has_one_colour() {
        assert_eq!(of(&[[7, 7, 7, 0]]).choose(256, 0.0).0, [CLEAR]);
        let empty = Histogram::of(
            &Raster::new(2, 1, 4, vec![9; 8]),
            true,
            Some(&[false, false]),
        );
        assert_eq!(empty.choose(256, 0.0).0, [CLEAR]);
    }
}
