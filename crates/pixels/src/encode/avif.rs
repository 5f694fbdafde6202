//! AVIF: AV1 by SVT-AV1 where its library is found, else by libaom, which is always there.

mod aom;
mod svt;

use std::path::Path;

use avif_serialize::Aviffy;
use avif_serialize::constants::{ColorPrimaries, MatrixCoefficients, TransferCharacteristics};

use crate::colour::Gamut;
use crate::raster::Raster;
use crate::{Cancel, Error, planes};

/// The encoders of this process.
#[derive(Debug)]
pub(crate) struct Encoders {
    svt: Option<svt::Library>,
}

impl Encoders {
    /// Looks for SVT-AV1 at `path`, or at the places where libraries lie.
    pub(crate) fn find(path: Option<&Path>) -> Self {
        Self {
            svt: svt::Library::find(path),
        }
    }

    /// Name and version of the one which is used first.
    pub(crate) fn name(&self) -> String {
        match &self.svt {
            Some(svt) => format!("SVT-AV1 {}", svt.version()),
            None => format!("libaom {}", aom::version()),
        }
    }

    /// What its renditions depend on.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.svt {
            Some(_) => "svt",
            None => "aom",
        }
    }

    /// Encodes a still image in 4:2:0 and full range, with the matrix of JPEG; alpha without loss of
    /// its edges in a picture of its own.
    pub(super) fn encode(
        &self,
        raster: &Raster,
        quality: u8,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Error> {
        let quantizer = quantizer(quality);
        let colour = self.colour(&Planes::of(raster), quantizer)?;
        cancel.check()?;
        let alpha = if raster.has_alpha() {
            let alpha = Planes::of_alpha(raster);
            Some(aom::encode(&alpha, quantizer / 2)?)
        } else {
            None
        };
        contained(raster.size(), raster.gamut, &colour, alpha.as_deref())
    }

    /// The same from planes in which four pixels share a sample of colour.
    pub(super) fn encode_planes(
        &self,
        planes: planes::Planes,
        quality: u8,
    ) -> Result<Vec<u8>, Error> {
        let planes = Planes::from(planes);
        let colour = self.colour(&planes, quantizer(quality))?;
        contained((planes.width, planes.height), Gamut::Srgb, &colour, None)
    }

    fn colour(&self, planes: &Planes, quantizer: u8) -> Result<Vec<u8>, Error> {
        match &self.svt {
            Some(svt) if planes.width.min(planes.height) >= svt::SIDE_MIN => {
                svt.encode(planes, quantizer)
            }
            _ => aom::encode(planes, quantizer),
        }
    }
}

fn contained(
    (width, height): (u32, u32),
    gamut: Gamut,
    colour: &[u8],
    alpha: Option<&[u8]>,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(colour.len() + 1_024);
    let primaries = match gamut {
        Gamut::Srgb => ColorPrimaries::Bt709,
        Gamut::DisplayP3 => ColorPrimaries::DisplayP3,
        // Adobe RGB was brought into it.
        Gamut::AdobeRgb | Gamut::Rec2020 => ColorPrimaries::Bt2020,
    };
    Aviffy::new()
        .set_color_primaries(primaries)
        .set_transfer_characteristics(TransferCharacteristics::Srgb)
        .set_width(width)
        .set_height(height)
        .set_bit_depth(8)
        .set_seq_profile(0)
        .set_chroma_subsampling((true, true))
        .set_matrix_coefficients(MatrixCoefficients::Bt601)
        .set_full_color_range(true)
        .write_slice(&mut bytes, colour, alpha)
        .map_err(Error::encode)?;
    Ok(bytes)
}

/// Brightness, and colour at half the resolution, rows without gaps.
struct Planes {
    width: u32,
    height: u32,
    brightness: Vec<u8>,
    /// Empty if there is brightness alone.
    blue: Vec<u8>,
    red: Vec<u8>,
}

/// Shares of red, green and blue in the three planes (BT.601), in 1/65,536.
const BRIGHTNESS: [i32; 3] = [19_595, 38_470, 7_471];
const BLUE: [i32; 3] = [-11_059, -21_709, 32_768];
const RED: [i32; 3] = [32_768, -27_439, -5_329];

impl From<planes::Planes> for Planes {
    fn from(planes: planes::Planes) -> Self {
        let (width, height) = planes.size();
        let [blue, red] = if let Some(chroma) = planes.chroma {
            chroma.map(|plane| plane.data)
        } else {
            let samples = width.div_ceil(2) as usize * height.div_ceil(2) as usize;
            [vec![128; samples], vec![128; samples]]
        };
        Self {
            width,
            height,
            brightness: planes.luma.data,
            blue,
            red,
        }
    }
}

impl Planes {
    fn of(raster: &Raster) -> Self {
        let (width, channels) = (raster.width as usize, raster.channels);
        let mix = |shares: [i32; 3], rgb: [i32; 3]| {
            shares
                .iter()
                .zip(rgb)
                .map(|(share, value)| share * value)
                .sum::<i32>()
        };
        let brightness = raster
            .data
            .chunks_exact(channels)
            .map(|pixel| {
                let rgb = [pixel[0], pixel[1], pixel[2]].map(i32::from);
                ((mix(BRIGHTNESS, rgb) + 32_768) >> 16) as u8
            })
            .collect();
        let half = width.div_ceil(2) * (raster.height as usize).div_ceil(2);
        let (mut blue, mut red) = (Vec::with_capacity(half), Vec::with_capacity(half));
        for rows in raster.data.chunks(2 * raster.row_bytes()) {
            let (upper, lower) = rows.split_at(raster.row_bytes());
            // The last of an odd number of rows is its own neighbour.
            let lower = if lower.is_empty() { upper } else { lower };
            let blocks = upper.chunks(2 * channels).zip(lower.chunks(2 * channels));
            for (upper, lower) in blocks {
                let last = upper.len() - channels;
                // Four times the mean.
                let rgb = [0, 1, 2].map(|channel| {
                    i32::from(upper[channel])
                        + i32::from(upper[last + channel])
                        + i32::from(lower[channel])
                        + i32::from(lower[last + channel])
                });
                let centred = |shares| {
                    let value = (mix(shares, rgb) + (128 << 18) + (1 << 17)) >> 18;
                    value.clamp(0, 255) as u8
                };
                blue.push(centred(BLUE));
                red.push(centred(RED));
            }
        }
        Self {
            width: raster.width,
            height: raster.height,
            brightness,
            blue,
            red,
        }
    }

    fn of_alpha(raster: &Raster) -> Self {
        let pixels = raster.data.chunks_exact(raster.channels);
        Self {
            width: raster.width,
            height: raster.height,
            brightness: pixels.map(|pixel| pixel[raster.channels - 1]).collect(),
            blue: Vec::new(),
            red: Vec::new(),
        }
    }

    fn is_monochrome(&self) -> bool {
        self.blue.is_empty()
    }

    /// Samples in a row of colour.
    fn half_width(&self) -> u32 {
        self.width.div_ceil(2)
    }
}

/// Qualities on the scale of JPEG, and quantizers, 0 to 63, which come to the same SSIMULACRA2 score with
/// either encoder up to 85 (docs/benchmarks.md). Above, JPEG keeps all of the colour, which would cost
/// more bytes than it is worth here.
const QUANTIZERS: [(u8, u8); 13] = [
    (1, 60),
    (20, 34),
    (30, 32),
    (40, 30),
    (50, 28),
    (60, 25),
    (70, 21),
    (75, 18),
    (80, 16),
    (85, 12),
    (90, 8),
    (95, 5),
    (100, 1),
];

fn quantizer(quality: u8) -> u8 {
    let above = QUANTIZERS.iter().position(|(known, _)| *known >= quality);
    let above = above.unwrap_or(QUANTIZERS.len() - 1);
    let (low, high) = (QUANTIZERS[above.saturating_sub(1)], QUANTIZERS[above]);
    let way = f64::from(quality.saturating_sub(low.0)) / f64::from((high.0 - low.0).max(1));
    (f64::from(low.1) + (f64::from(high.1) - f64::from(low.1)) * way).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_quality_is_a_smaller_quantizer() {
        for (quality, expected) in [(1, 60), (20, 34), (83, 14), (85, 12), (100, 1)] {
            assert_eq!(quantizer(quality), expected, "{quality}");
        }
        for quality in 1..100 {
            assert!(quantizer(quality) >= quantizer(quality + 1));
        }
    }

    #[test]
    fn planes_of_plain_colours_are_those_of_the_standard() {
        for (rgb, expected) in [
            ([255, 255, 255], [255, 128, 128]),
            ([0, 0, 0], [0, 128, 128]),
            ([255, 0, 0], [76, 85, 255]),
            ([0, 255, 0], [150, 44, 21]),
            ([0, 0, 255], [29, 255, 107]),
        ] {
            let planes = Planes::of(&Raster::new(3, 3, 3, rgb.repeat(9)));
            assert_eq!(planes.brightness, [expected[0]; 9]);
            assert_eq!(planes.blue, [expected[1]; 4]);
            assert_eq!(planes.red, [expected[2]; 4]);
        }
    }
}
