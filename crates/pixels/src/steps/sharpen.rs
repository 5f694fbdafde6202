use crate::raster::Raster;

/// Differences of brightness below this are noise and stay as they are.
const THRESHOLD: f32 = 1.5;

/// Adds to each pixel how much brighter it is than its surroundings, about a pixel around
/// (transformations.md, section 2.10). Colour and alpha stay as they are.
pub(super) fn sharpen(mut raster: Raster, amount: f64) -> Raster {
    let amount = amount as f32;
    let channels = raster.channels;
    let (width, height) = (raster.width as usize, raster.height as usize);
    let luma: Vec<f32> = raster
        .data
        .chunks_exact(channels)
        .map(|pixel| {
            0.2126 * f32::from(pixel[0])
                + 0.7152 * f32::from(pixel[1])
                + 0.0722 * f32::from(pixel[2])
        })
        .collect();
    // The binomial of five: a Gaussian with a standard deviation of one pixel.
    let kernel = [1.0, 4.0, 6.0, 4.0, 1.0].map(|weight: f32| weight / 16.0);
    let blurred_across: Vec<f32> = luma
        .chunks_exact(width.max(1))
        .flat_map(|row| {
            (0..width).map(move |x| {
                (0..5)
                    .map(|tap| kernel[tap] * row[(x + tap).saturating_sub(2).min(width - 1)])
                    .sum::<f32>()
            })
        })
        .collect();
    for y in 0..height {
        let rows = [0, 1, 2, 3, 4].map(|tap: usize| {
            let row = (y + tap).saturating_sub(2).min(height - 1);
            &blurred_across[row * width..(row + 1) * width]
        });
        let pixels = raster.data[y * width * channels..].chunks_exact_mut(channels);
        for (x, pixel) in pixels.take(width).enumerate() {
            let around: f32 = (0..5).map(|tap| kernel[tap] * rows[tap][x]).sum();
            let difference = luma[y * width + x] - around;
            if difference.abs() < THRESHOLD {
                continue;
            }
            for channel in &mut pixel[..3] {
                let value = f32::from(*channel) + amount * difference;
                *channel = (value + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
    raster
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_gain_and_plain_areas_stay() {
        let row: Vec<u8> = [100; 24].into_iter().chain([150; 24]).collect();
        let sharp = sharpen(Raster::new(16, 4, 3, row.repeat(4)), 1.0);
        let first_row: Vec<u8> = sharp.data[..48].iter().step_by(3).copied().collect();
        assert_eq!(first_row[0], 100);
        assert_eq!(first_row[15], 150);
        assert!(first_row[7] < 100 && first_row[8] > 150, "{first_row:?}");
    }
}
