//! `ThumbHash`: the lowest frequencies of brightness, two differences of colour, and alpha, in about 25
//! bytes which also say the proportions (evanw.github.io/thumbhash).

use super::waves;
use crate::raster::Raster;

pub(super) fn hash(raster: &Raster) -> Vec<u8> {
    let (width, height) = raster.size();
    let [light, yellow, red, alpha] = channels(raster);
    let has_alpha = alpha.iter().any(|alpha| *alpha < 1.0);
    let most = if has_alpha { 5.0 } else { 7.0 };
    let longest = f64::from(width.max(height));
    let along = |side: u32| ((most * f64::from(side) / longest).round() as u32).max(1);
    let (across, down) = (along(width), along(height));
    let measured = |channel: &[f32], across: u32, down: u32| {
        Frequencies::of(channel, (width, height), (across, down))
    };
    let light = measured(&light, across.max(3), down.max(3));
    let (yellow, red) = (measured(&yellow, 3, 3), measured(&red, 3, 3));
    let landscape = width > height;

    let head = rounded(63.0 * light.constant)
        | rounded(31.5 + 31.5 * yellow.constant) << 6
        | rounded(31.5 + 31.5 * red.constant) << 12
        | rounded(31.0 * light.scale) << 18
        | u32::from(has_alpha) << 23;
    let shape = if landscape { down } else { across }
        | rounded(63.0 * yellow.scale) << 3
        | rounded(63.0 * red.scale) << 9
        | u32::from(landscape) << 15;
    let mut hash = head.to_le_bytes()[..3].to_vec();
    hash.extend(&shape.to_le_bytes()[..2]);
    let mut varying = vec![light.varying, yellow.varying, red.varying];
    if has_alpha {
        let alpha = measured(&alpha, 5, 5);
        hash.push((rounded(15.0 * alpha.constant) | rounded(15.0 * alpha.scale) << 4) as u8);
        varying.push(alpha.varying);
    }
    // Four bits each, the lower ones first.
    let nibbles: Vec<u8> = varying
        .concat()
        .into_iter()
        .map(|value| rounded(15.0 * value) as u8)
        .collect();
    hash.extend(
        nibbles
            .chunks(2)
            .map(|pair| pair[0] | pair.get(1).copied().unwrap_or_default() << 4),
    );
    hash
}

fn rounded(value: f32) -> u32 {
    value.round().max(0.0) as u32
}

/// Brightness, yellow against blue, red against green, and alpha. What lies beneath translucent pixels
/// is the mean colour.
fn channels(raster: &Raster) -> [Vec<f32>; 4] {
    let pixels: Vec<[f32; 4]> = raster
        .data
        .chunks_exact(raster.channels)
        .map(|pixel| {
            let of = |channel: usize| f32::from(pixel[channel]) / 255.0;
            let alpha = if raster.has_alpha() { of(3) } else { 1.0 };
            [of(0), of(1), of(2), alpha]
        })
        .collect();
    let visible: f32 = pixels.iter().map(|pixel| pixel[3]).sum();
    let mean = [0, 1, 2].map(|channel| {
        let sum: f32 = pixels.iter().map(|pixel| pixel[channel] * pixel[3]).sum();
        if visible > 0.0 { sum / visible } else { 0.0 }
    });
    let mut found = [const { Vec::new() }; 4];
    for pixel in pixels {
        let alpha = pixel[3];
        let [red, green, blue] =
            [0, 1, 2].map(|channel| mean[channel] * (1.0 - alpha) + pixel[channel] * alpha);
        let values = [
            (red + green + blue) / 3.0,
            f32::midpoint(red, green) - blue,
            red - green,
            alpha,
        ];
        for (channel, value) in found.iter_mut().zip(values) {
            channel.push(value);
        }
    }
    found
}

struct Frequencies {
    constant: f32,
    /// The largest of the others.
    scale: f32,
    /// The others, from 0 to 1.
    varying: Vec<f32>,
}

impl Frequencies {
    /// The lowest ones, a triangle of them.
    fn of(channel: &[f32], (width, height): (u32, u32), (across, down): (u32, u32)) -> Self {
        let columns = waves(width, across, 0.5);
        let rows = waves(height, down, 0.5);
        let area = width as f32 * height as f32;
        let (mut constant, mut varying) = (0.0, Vec::new());
        for (number, row) in (0..down).zip(&rows) {
            for (other, column) in (0..across).zip(&columns) {
                if other * down >= across * (down - number) {
                    break;
                }
                let lines = channel.chunks_exact(width as usize).zip(row);
                let sum: f32 = lines
                    .map(|(line, factor)| {
                        let products = line.iter().zip(column).map(|(value, wave)| value * wave);
                        products.sum::<f32>() * factor
                    })
                    .sum();
                if number + other == 0 {
                    constant = sum / area;
                } else {
                    varying.push(sum / area);
                }
            }
        }
        let scale = varying
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        if scale > 0.0 {
            for value in &mut varying {
                *value = 0.5 + 0.5 / scale * *value;
            }
        }
        Self {
            constant,
            scale,
            varying,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::slopes;
    use super::*;

    /// Hashes which the reference implementation gives.
    #[test]
    fn hashes_are_those_of_the_reference() {
        for (width, height, clear, expected) in [
            (
                60,
                40,
                false,
                &[
                    223, 247, 9, 61, 154, 112, 135, 119, 112, 120, 135, 119, 119, 120, 135, 119,
                    128, 128, 8, 248, 120,
                ][..],
            ),
            (
                30,
                50,
                false,
                &[
                    224, 7, 10, 52, 26, 112, 23, 135, 135, 119, 119, 136, 118, 117, 145, 128, 7,
                    248, 120,
                ],
            ),
            (
                40,
                40,
                true,
                &[
                    157, 199, 133, 37, 16, 41, 81, 119, 80, 118, 119, 103, 103, 81, 96, 24, 245,
                    122, 127, 120, 136, 136, 136, 120, 135,
                ],
            ),
        ] {
            let found = hash(&slopes(width, height, clear));
            assert_eq!(found.len(), expected.len());
            let nibbles = |hash: &[u8]| -> Vec<u8> {
                hash.iter()
                    .flat_map(|byte| [byte & 15, byte >> 4])
                    .collect()
            };
            // Frequencies which are not there lie between two steps, on either side.
            let alike = |(a, b): (u8, u8)| a == b || matches!((a, b), (7, 8) | (8, 7));
            let alike = nibbles(&found)
                .into_iter()
                .zip(nibbles(expected))
                .all(alike);
            assert!(alike, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn extremes_have_hashes() {
        assert_eq!(hash(&Raster::new(8, 4, 4, vec![0; 128])).len(), 23);
        assert!(hash(&Raster::new(1, 1, 3, vec![255; 3])).len() > 5);
        assert!(hash(&Raster::new(100, 1, 3, vec![0; 300])).len() > 5);
    }
}
