//! `BlurHash`: a few frequencies of linear light in digits of base 83 (github.com/woltapp/blurhash).

use super::waves;
use crate::raster::Raster;

const DIGITS: &[u8; 83] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

/// Frequencies of the longer side, and of the shorter.
const FREQUENCIES: (u32, u32) = (4, 3);

/// Of a picture without alpha.
pub(super) fn hash(raster: &Raster) -> String {
    let (width, height) = raster.size();
    let (across, down) = if width >= height {
        FREQUENCIES
    } else {
        (FREQUENCIES.1, FREQUENCIES.0)
    };
    let light: Vec<[f32; 3]> = raster
        .data
        .chunks_exact(3)
        .map(|pixel| [0, 1, 2].map(|channel| to_light(pixel[channel])))
        .collect();
    let (columns, rows) = (waves(width, across, 0.0), waves(height, down, 0.0));
    let mut factors = Vec::new();
    for row in &rows {
        for column in &columns {
            let mut sums = [0.0_f32; 3];
            for (line, factor) in light.chunks_exact(width as usize).zip(row) {
                for (pixel, wave) in line.iter().zip(column) {
                    for (sum, light) in sums.iter_mut().zip(pixel) {
                        *sum += light * wave * factor;
                    }
                }
            }
            let weight = if factors.is_empty() { 1.0 } else { 2.0 };
            factors.push(sums.map(|sum| sum * weight / (width as f32 * height as f32)));
        }
    }
    let Some((constant, varying)) = factors.split_first() else {
        return String::new();
    };
    let most = varying
        .iter()
        .flatten()
        .fold(0.0_f32, |most, factor| most.max(factor.abs()));
    let step = (most * 166.0 - 0.5).floor().clamp(0.0, 82.0);
    let scale = (step + 1.0) / 166.0;

    let mut hash = String::new();
    push(&mut hash, across - 1 + (down - 1) * 9, 1);
    push(&mut hash, step as u32, 1);
    let [red, green, blue] = constant.map(to_sample);
    push(&mut hash, red << 16 | green << 8 | blue, 4);
    for factor in varying {
        let digit = |value: f32| {
            let value = (value / scale).abs().sqrt().copysign(value);
            (value * 9.0 + 9.5).floor().clamp(0.0, 18.0) as u32
        };
        let [red, green, blue] = factor.map(digit);
        push(&mut hash, (red * 19 + green) * 19 + blue, 2);
    }
    hash
}

fn push(hash: &mut String, number: u32, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 83_u32.pow(place) % 83;
        hash.push(DIGITS[digit as usize].into());
    }
}

fn to_light(sample: u8) -> f32 {
    let value = f32::from(sample) / 255.0;
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

fn to_sample(light: f32) -> u32 {
    let light = light.clamp(0.0, 1.0);
    let value = if light <= 0.003_130_8 {
        light * 12.92
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    };
    (value * 255.0 + 0.5) as u32
}

#[cfg(test)]
mod tests {
    use super::super::tests::slopes;
    use super::*;

    /// Hashes which the published formulas give in double precision.
    #[test]
    fn hashes_are_those_of_the_reference() {
        let landscape = hash(&slopes(60, 40, false));
        assert_eq!(landscape, "L$HVC*2Y$4Sgl}ayjsf4gbfjfPfi");
        let portrait = hash(&slopes(30, 50, false));
        assert_eq!(portrait, "T$HetW2owvl|afjugdfgfOnSa{ju");
    }

    #[test]
    fn extremes_have_hashes() {
        for value in [0, 255] {
            assert_eq!(hash(&Raster::new(1, 1, 3, vec![value; 3])).len(), 28);
        }
        // Size, step and a black constant.
        let black = hash(&Raster::new(5, 3, 3, vec![0; 45]));
        assert!(black.starts_with("L00000"), "{black}");
    }
}
