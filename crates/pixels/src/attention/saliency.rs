//! Saliency by maximum symmetric surround: how much the colour of a place differs from the mean of
//! the largest region which lies symmetrically around it (Achanta and Süsstrunk, "Saliency detection
//! using maximum symmetric surround", ICIP 2010). Whole numbers throughout, so that it is the same on
//! every machine, and what is symmetrical has ties and not noise.

use crate::raster::Raster;

use super::sums::Sums;

/// Steps of Lab to one of CIE's.
const STEPS: f64 = 64.0;

/// The saliency of each pixel of a picture without alpha: a squared distance in Lab.
pub(super) fn saliency(picture: &Raster) -> Vec<u64> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    let lab = lab(picture);
    let sums: [Sums; 3] =
        [0, 1, 2].map(|channel| Sums::new(width, lab.iter().map(|pixel| pixel[channel])));
    let mut saliency = Vec::with_capacity(lab.len());
    for y in 0..height {
        for x in 0..width {
            let (half_width, half_height) = (x.min(width - 1 - x), y.min(height - 1 - y));
            let (left, top) = (x - half_width, y - half_height);
            let size = (2 * half_width + 1, 2 * half_height + 1);
            let area = (size.0 * size.1) as i64;
            let blurred = blurred(&lab, (width, height), (x, y));
            let distance: i64 = (0..3)
                .map(|channel| {
                    let mean = sums[channel].within((left, top), size).div_euclid(area);
                    let difference = blurred[channel] - mean;
                    difference * difference
                })
                .sum();
            saliency.push(distance.unsigned_abs());
        }
    }
    saliency
}

/// Three by three pixels with weights 1, 2, 1 each way; the edge is repeated.
fn blurred(lab: &[[i64; 3]], (width, height): (usize, usize), (x, y): (usize, usize)) -> [i64; 3] {
    let columns = [
        (x.saturating_sub(1), 1),
        (x, 2),
        ((x + 1).min(width - 1), 1),
    ];
    let rows = [
        (y.saturating_sub(1), 1),
        (y, 2),
        ((y + 1).min(height - 1), 1),
    ];
    let mut sum = [0; 3];
    for (row, down) in rows {
        for (column, across) in columns {
            let pixel = lab[row * width + column];
            for channel in 0..3 {
                sum[channel] += pixel[channel] * down * across;
            }
        }
    }
    sum.map(|sum| sum.div_euclid(16))
}

/// CIE Lab under the white of sRGB, in steps of 1/64.
fn lab(picture: &Raster) -> Vec<[i64; 3]> {
    let linear: Vec<f64> = (0..=255_u8)
        .map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        })
        .collect();
    let (pixels, _) = picture.data.as_chunks::<3>();
    pixels
        .iter()
        .map(|pixel| {
            let [red, green, blue] = pixel.map(|value| linear[usize::from(value)]);
            // IEC 61966-2-1, each row over the white point.
            let x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505;
            let y = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            let z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089;
            let [x, y, z] = [x, y, z].map(|t| {
                if t > 216.0 / 24389.0 {
                    t.cbrt()
                } else {
                    (24389.0 / 27.0 * t + 16.0) / 116.0
                }
            });
            [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
                .map(|value| (value * STEPS).round() as i64)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_its_surroundings_is_salient_and_one_colour_is_not() {
        let picture = |spot: [u8; 3]| {
            let data = (0..30 * 20)
                .flat_map(|at| match (at % 30, at / 30) {
                    (20..24, 8..12) => spot,
                    _ => [40, 90, 60],
                })
                .collect();
            saliency(&Raster::new(30, 20, 3, data))
        };
        assert!(picture([40, 90, 60]).iter().all(|value| *value == 0));
        let saliency = picture([230, 40, 40]);
        let spot = saliency[9 * 30 + 21];
        let elsewhere = saliency[9 * 30 + 5];
        assert!(spot > 20 * elsewhere, "{spot} against {elsewhere}");
    }

    #[test]
    fn white_is_a_hundred_without_colour() {
        let white = lab(&Raster::new(1, 1, 3, vec![255; 3]))[0];
        assert_eq!(white[0], 6_400);
        assert!(white[1].abs() <= 1 && white[2].abs() <= 1, "{white:?}");
    }
}
