//! The colour which most of a picture has.

use crate::raster::Raster;

/// Steps of each channel within which colours count as alike.
const STEPS: usize = 16;

/// The mean of the commonest colours; `None` if nothing can be seen.
pub(super) fn colour(raster: &Raster) -> Option<[u8; 3]> {
    // How much there is of each step, and the sums of its colours.
    let mut steps = vec![[0_u64; 4]; STEPS * STEPS * STEPS];
    for pixel in raster.data.chunks_exact(raster.channels) {
        let alpha = if raster.has_alpha() {
            u64::from(pixel[3])
        } else {
            255
        };
        let step = |channel: usize| usize::from(pixel[channel]) * STEPS / 256;
        let place = (step(0) * STEPS + step(1)) * STEPS + step(2);
        let [weight, sums @ ..] = &mut steps[place];
        *weight += alpha;
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += u64::from(*value) * alpha;
        }
    }
    // A colour near the edge of its step has its likes in the next.
    let around = |place: usize| {
        let channels = [
            place / (STEPS * STEPS),
            place / STEPS % STEPS,
            place % STEPS,
        ];
        let near = |channel: usize| {
            channels[channel].saturating_sub(1)..=(channels[channel] + 1).min(STEPS - 1)
        };
        let mut total = [0_u64; 4];
        for red in near(0) {
            for green in near(1) {
                for blue in near(2) {
                    let step = steps[(red * STEPS + green) * STEPS + blue];
                    for (total, value) in total.iter_mut().zip(step) {
                        *total += value;
                    }
                }
            }
        }
        total
    };
    let totals = (0..steps.len())
        .filter(|place| steps[*place][0] > 0)
        .map(around);
    let [weight, sums @ ..] =
        totals.reduce(|most, other| if other[0] > most[0] { other } else { most })?;
    Some(sums.map(|sum| ((sum + weight / 2) / weight) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_colour_is_found_and_not_the_mean() {
        let mut data = [250, 240, 10].repeat(60);
        data.extend([0, 0, 200].repeat(40));
        assert_eq!(colour(&Raster::new(10, 10, 3, data)), Some([250, 240, 10]));
    }

    #[test]
    fn likes_on_both_sides_of_an_edge_count_together() {
        let mut data = [127, 0, 0].repeat(30);
        data.extend([129, 0, 0].repeat(30));
        data.extend([0, 255, 0].repeat(40));
        assert_eq!(colour(&Raster::new(10, 10, 3, data)), Some([128, 0, 0]));
    }

    #[test]
    fn what_cannot_be_seen_does_not_count() {
        let mut data = [255, 0, 0, 10].repeat(9);
        data.extend([0, 0, 255, 255]);
        assert_eq!(colour(&Raster::new(10, 1, 4, data)), Some([0, 0, 255]));
        assert_eq!(colour(&Raster::new(2, 1, 4, vec![0; 8])), None);
    }
}
