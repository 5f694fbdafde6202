//! The first picture of a TIFF, through `tiff`.

use std::borrow::Cow;
use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};

use crate::colour::{self, Gamuts, Sample, Samples};
use crate::inspect::tiff::{COLOUR_MAP, Directory, EXTRA_SAMPLES, ICC, PHOTOMETRIC};
use crate::raster::Raster;
use crate::{Cancel, Error};

use super::without_panic;

const BLACK_IS_ZERO: u8 = 1;
const RED_GREEN_BLUE: u8 = 2;
const PALETTE: u64 = 3;
const CIE_LAB: u64 = 8;
const ICC_LAB: u64 = 9;
/// Alpha with which the colours were multiplied already.
const ASSOCIATED_ALPHA: u64 = 1;
/// Bytes of a pixel which are decoded: four samples of 32 bits.
const PIXEL_BYTES_MAX: usize = 16;
/// Bytes for small pictures, whose strips and tiles stand out.
const SPARE_BYTES: usize = 16 * 1024 * 1024;

/// The entries which the decoder reads as soon as it is made, before limits can be set: what describes
/// samples, strips and tiles. It makes room for as many values as they claim to have.
const READ_AT_ONCE: [u16; 20] = [
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339, 347,
    530,
];
/// Bytes of tables which strips of JPEG share, the longest value of a picture in one part.
const TABLE_BYTES_MAX: u64 = 64 * 1024;
/// Planes of their own, each of which has strips or tiles.
const PLANES_MAX: u64 = 5;
/// The least side of a tile (TIFF 6.0, section 15).
const TILE_SIDE_MIN: u64 = 16;

/// `(width, height)` is what the header said, and is within the limits.
pub(super) fn decode(
    source: &[u8],
    size: (u32, u32),
    gamuts: Gamuts,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    cancel.check()?;
    let directory = Directory::read(source).ok_or_else(|| Error::corrupt("no picture"))?;
    if !directory.has_at_most(values_max(size), &READ_AT_ONCE) {
        return Err(Error::corrupt(
            "more values than there can be strips or tiles",
        ));
    }
    without_panic(|| read(source, &directory, size, gamuts))
}

/// Values of an entry: strips of a row each, or the smallest tiles.
fn values_max((width, height): (u32, u32)) -> u64 {
    let tiles = |side: u32| u64::from(side).div_ceil(TILE_SIDE_MIN);
    let parts = u64::from(height).max(tiles(width) * tiles(height));
    TABLE_BYTES_MAX + PLANES_MAX * parts
}

fn read(
    source: &[u8],
    directory: &Directory<'_>,
    (width, height): (u32, u32),
    gamuts: Gamuts,
) -> Result<Raster, Error> {
    let meaning = directory.number(PHOTOMETRIC);
    let (palette, lab) = (
        meaning == Some(PALETTE),
        meaning.filter(|meaning| matches!(*meaning, CIE_LAB | ICC_LAB)),
    );
    // The decoder refuses some meanings of samples which it can read under another name.
    let other_name = match (palette, lab) {
        (true, _) => Some(BLACK_IS_ZERO),
        (_, Some(_)) => Some(RED_GREEN_BLUE),
        _ => None,
    };
    let source = match other_name {
        Some(name) => {
            let changed = directory.with(PHOTOMETRIC, name);
            Cow::Owned(changed.ok_or_else(|| Error::corrupt("no picture"))?)
        }
        None => Cow::Borrowed(source),
    };
    let area = width as usize * height as usize;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = area.saturating_mul(PIXEL_BYTES_MAX) + SPARE_BYTES;
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    let mut decoder = Decoder::new(Cursor::new(source.as_ref()))
        .map_err(refused)?
        .with_limits(limits);
    if decoder.dimensions().map_err(refused)? != (width, height) {
        return Err(Error::corrupt("the picture has another size than it says"));
    }
    let colour_type = decoder.colortype().map_err(refused)?;
    let mut decoded = DecodingResult::U8(Vec::new());
    let layout = decoder
        .read_image_to_buffer(&mut decoded)
        .map_err(refused)?;
    let bits = usize::from(colour_type.bit_depth());
    let channels = usize::from(colour_type.num_samples());
    let in_row = if layout.planes > 1 { 1 } else { channels };
    let icc = directory.bytes(ICC);
    let associated = directory.number(EXTRA_SAMPLES) == Some(ASSOCIATED_ALPHA);
    let alpha_last = directory.number(EXTRA_SAMPLES) == Some(2);
    if !palette && lab.is_none() {
        match to_words(decoded) {
            Ok(words) => {
                let words = in_pixels(words, layout.planes, channels, area)?;
                if matches!(colour_type, ColorType::YCbCr(_)) && channels == 3 {
                    let bytes = words.into_iter().map(Sample::byte).collect();
                    let samples = Samples::Rgb(without_luma(bytes));
                    return Ok(colour::to_rgb(width, height, samples, icc, gamuts));
                }
                let samples = named(words, colour_type, channels, associated, alpha_last)?;
                return Ok(colour::to_rgb(width, height, samples, icc, gamuts));
            }
            Err(bytes) => decoded = bytes,
        }
    }
    let bytes = to_bytes(decoded, bits, width as usize * in_row, !palette)?;
    let bytes = in_pixels(bytes, layout.planes, channels, area)?;
    if palette {
        let map = directory.words(COLOUR_MAP);
        let map = map.ok_or_else(|| Error::corrupt("no palette"))?;
        return Ok(colour::to_rgb(
            width,
            height,
            Samples::Rgb(through_palette(&bytes, &map)),
            icc,
            gamuts,
        ));
    }
    if let Some(lab) = lab {
        return match (bits, channels) {
            // What is said by a profile would be another Lab.
            (8, 3) => Ok(Raster::new(width, height, 3, without_lab(bytes, lab))),
            _ => Err(unsupported()),
        };
    }
    let samples = match (colour_type, channels) {
        (ColorType::YCbCr(_), 3) => Samples::Rgb(without_luma(bytes)),
        _ => named(bytes, colour_type, channels, associated, alpha_last)?,
    };
    Ok(colour::to_rgb(width, height, samples, icc, gamuts))
}

/// Samples pixel after pixel, if all of them are there.
fn in_pixels<T: Copy>(
    samples: Vec<T>,
    planes: usize,
    channels: usize,
    area: usize,
) -> Result<Vec<T>, Error> {
    let samples = if planes > 1 {
        interleaved(&samples, channels)
    } else {
        samples
    };
    if samples.len() != area * channels {
        return Err(Error::corrupt("samples are missing"));
    }
    Ok(samples)
}

/// Samples by what they mean.
fn named<T: Sample>(
    mut samples: Vec<T>,
    colour_type: ColorType,
    channels: usize,
    associated: bool,
    alpha_last: bool,
) -> Result<Samples<T>, Error> {
    Ok(match (colour_type, channels) {
        (ColorType::Gray(_), _) => Samples::Gray(samples),
        (ColorType::RGB(_), 3) => Samples::Rgb(samples),
        (ColorType::RGBA(_), 4) => {
            if associated {
                colour::undo_alpha(&mut samples);
            }
            Samples::Rgba(samples)
        }
        (ColorType::CMYK(_), 4) => Samples::Cmyk(samples),
        (ColorType::CMYKA(_), 5) => Samples::Cmyk(first_of(&samples, 5, 4)),
        (ColorType::GrayA(_), 2) => Samples::GrayAlpha(samples),
        (ColorType::Multiband { .. }, 2) if alpha_last => Samples::GrayAlpha(samples),
        (ColorType::Multiband { .. }, 1..) => Samples::Gray(first_of(&samples, channels, 1)),
        _ => return Err(unsupported()),
    })
}

fn unsupported() -> Error {
    Error::Unsupported("such TIFF")
}

fn refused(error: tiff::TiffError) -> Error {
    match error {
        tiff::TiffError::UnsupportedError(_) => unsupported(),
        error => Error::corrupt(error),
    }
}

/// 16 bits a sample of those which have more than 8; the others are given back.
fn to_words(decoded: DecodingResult) -> Result<Vec<u16>, DecodingResult> {
    // What is no number becomes black.
    let real = |value: f64| (value.clamp(0.0, 1.0) * 65_535.0).round() as u16;
    let signed = |value: f64, most: f64| real(value / most);
    Ok(match decoded {
        DecodingResult::U16(words) => words,
        DecodingResult::U32(values) => values
            .into_iter()
            .map(|value| (value >> 16) as u16)
            .collect(),
        DecodingResult::U64(values) => values
            .into_iter()
            .map(|value| (value >> 48) as u16)
            .collect(),
        DecodingResult::F16(values) => values
            .into_iter()
            .map(|value| real(value.to_f64()))
            .collect(),
        DecodingResult::F32(values) => values.into_iter().map(|value| real(value.into())).collect(),
        DecodingResult::F64(values) => values.into_iter().map(real).collect(),
        DecodingResult::I16(values) => values
            .into_iter()
            .map(|value| signed(value.into(), 32_767.0))
            .collect(),
        DecodingResult::I32(values) => values
            .into_iter()
            .map(|value| signed(value.into(), f64::from(i32::MAX)))
            .collect(),
        shallow => return Err(shallow),
    })
}

/// One byte a sample. Rows of small samples begin with a byte of their own.
fn to_bytes(
    decoded: DecodingResult,
    bits: usize,
    row_samples: usize,
    scaled: bool,
) -> Result<Vec<u8>, Error> {
    let signed = |value: i8| (f64::from(value.max(0)) / 127.0 * 255.0).round() as u8;
    Ok(match decoded {
        DecodingResult::U8(bytes) if bits == 8 => bytes,
        DecodingResult::U8(bytes) if matches!(bits, 1 | 2 | 4) => {
            unpacked(&bytes, bits, row_samples, scaled)
        }
        // Numbers of colours in a palette.
        DecodingResult::U16(words) if !scaled => {
            words.into_iter().map(|word| word.min(255) as u8).collect()
        }
        DecodingResult::I8(values) => values.into_iter().map(signed).collect(),
        _ => return Err(unsupported()),
    })
}

fn unpacked(bytes: &[u8], bits: usize, row_samples: usize, scaled: bool) -> Vec<u8> {
    let most = (1_u32 << bits) - 1;
    let factor = if scaled { 255 / most } else { 1 };
    let row_bytes = (row_samples * bits).div_ceil(8).max(1);
    bytes
        .chunks_exact(row_bytes)
        .flat_map(|row| {
            (0..row_samples).map(move |sample| {
                let byte = row[sample * bits / 8];
                let shift = 8 - bits - sample * bits % 8;
                ((u32::from(byte) >> shift & most) * factor) as u8
            })
        })
        .collect()
}

/// From plane after plane to pixel after pixel.
fn interleaved<T: Copy>(planes: &[T], channels: usize) -> Vec<T> {
    let area = planes.len() / channels.max(1);
    (0..area * channels)
        .map(|index| planes[index % channels * area + index / channels])
        .collect()
}

fn first_of<T: Copy>(samples: &[T], channels: usize, kept: usize) -> Vec<T> {
    let pixels = samples.chunks_exact(channels);
    pixels.flat_map(|pixel| &pixel[..kept]).copied().collect()
}

/// The map has all reds, then all greens, then all blues, of 16 bits each (TIFF 6.0, section 5).
fn through_palette(indices: &[u8], map: &[u16]) -> Vec<u8> {
    let count = map.len() / 3;
    let colour = |index: usize| {
        [0, 1, 2].map(|channel| {
            let value = (index < count).then(|| map[channel * count + index]);
            (value.unwrap_or_default() >> 8) as u8
        })
    };
    let colours: Vec<[u8; 3]> = (0..256).map(colour).collect();
    indices
        .iter()
        .flat_map(|index| colours[usize::from(*index)])
        .collect()
}

/// L*a*b* under the light of D50 to sRGB (TIFF 6.0, section 23; CIE 15; IEC 61966-2-1).
fn without_lab(mut samples: Vec<u8>, meaning: u64) -> Vec<u8> {
    const WHITE: [f32; 3] = [0.9642, 1.0, 0.8249];
    // From XYZ of D50, by Bradford's adaptation.
    const MATRIX: [[f32; 3]; 3] = [
        [3.133_856, -1.616_867, -0.490_615],
        [-0.978_768, 1.916_142, 0.033_454],
        [0.071_945, -0.228_991, 1.405_243],
    ];
    let difference = |value: u8| match meaning {
        CIE_LAB => f32::from(value.cast_signed()),
        _ => f32::from(value) - 128.0,
    };
    let linear = |value: f32| {
        if value > 6.0 / 29.0 {
            value.powi(3)
        } else {
            (value - 4.0 / 29.0) * 108.0 / 841.0
        }
    };
    let encoded = |value: f32| {
        if value > 0.003_130_8 {
            1.055 * value.powf(1.0 / 2.4) - 0.055
        } else {
            value * 12.92
        }
    };
    for pixel in samples.chunks_exact_mut(3) {
        let middle = (f32::from(pixel[0]) * 100.0 / 255.0 + 16.0) / 116.0;
        let [a, b] = [difference(pixel[1]) / 500.0, difference(pixel[2]) / 200.0];
        let xyz = [middle + a, middle, middle - b].map(linear);
        for (to, row) in pixel.iter_mut().zip(MATRIX) {
            let light: f32 = (0..3).map(|axis| row[axis] * xyz[axis] * WHITE[axis]).sum();
            *to = (encoded(light) * 255.0).round() as u8;
        }
    }
    samples
}

/// Brightness and colour differences to red, green and blue, with the usual coefficients
/// (TIFF 6.0, section 21).
fn without_luma(mut samples: Vec<u8>) -> Vec<u8> {
    for pixel in samples.chunks_exact_mut(3) {
        let [y, blue, red] = [0, 1, 2].map(|channel| f32::from(pixel[channel]));
        let (blue, red) = (blue - 128.0, red - 128.0);
        let rgb = [
            y + 1.402 * red,
            y - 0.344_136 * blue - 0.714_136 * red,
            y + 1.772 * blue,
        ];
        for (to, value) in pixel.iter_mut().zip(rgb) {
            *to = value.round() as u8;
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_is_what_it_looks_like() {
        let seen = |lab: [u8; 3], meaning| without_lab(lab.to_vec(), meaning);
        assert_eq!(seen([255, 0, 0], CIE_LAB), [255, 255, 255]);
        assert_eq!(seen([0, 0, 0], CIE_LAB), [0, 0, 0]);
        // The red of sRGB is (54.3, 80.8, 69.9) under D50.
        for (lab, meaning) in [([138, 81, 70], CIE_LAB), ([138, 209, 198], ICC_LAB)] {
            let [red, green, blue] = seen(lab, meaning)[..] else {
                unreachable!()
            };
            assert!(red > 250 && green < 12 && blue < 12, "{red} {green} {blue}");
        }
    }

    #[test]
    fn samples_of_every_depth_become_bytes() {
        let bytes = |decoded, bits| to_bytes(decoded, bits, 3, true).unwrap();
        assert_eq!(
            bytes(DecodingResult::U8(vec![0b1010_0000]), 1),
            [255, 0, 255]
        );
        assert_eq!(
            bytes(DecodingResult::U8(vec![0b0001_1000]), 2),
            [0, 85, 170]
        );
        assert_eq!(
            bytes(DecodingResult::U8(vec![0x0f, 0x80]), 4),
            [0, 255, 136]
        );
        assert_eq!(
            bytes(DecodingResult::I8(vec![-5, 64, 127]), 8),
            [0, 129, 255]
        );
        let words = |decoded| to_words(decoded).unwrap();
        let deep = vec![0, 32_896, 65_535];
        assert_eq!(words(DecodingResult::U16(deep.clone())), deep);
        let real = vec![f32::NAN, 0.5, 7.0];
        assert_eq!(words(DecodingResult::F32(real)), [0, 32_768, 65_535]);
        let signed = vec![-5, 16_384, 32_767];
        assert_eq!(words(DecodingResult::I16(signed)), [0, 32_769, 65_535]);
        let long = vec![u32::MAX, 1 << 31];
        assert_eq!(words(DecodingResult::U32(long)), [65_535, 32_768]);
        assert!(to_words(DecodingResult::U8(vec![0])).is_err());
        assert!(to_bytes(DecodingResult::U8(vec![0]), 7, 1, true).is_err());
        let indices = to_bytes(DecodingResult::U8(vec![0x12, 0x30]), 4, 3, false).unwrap();
        assert_eq!(indices, [1, 2, 3]);
        let map = [0, 0xff00, 0, 0, 0, 0xff00, 0x8000, 0, 0];
        assert_eq!(
            through_palette(&[1, 2, 0, 9], &map),
            [255, 0, 0, 0, 255, 0, 0, 0, 128, 0, 0, 0]
        );
    }

    #[test]
    fn planes_become_pixels() {
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6], 3), [1, 3, 5, 2, 4, 6]);
    }

    #[test]
    fn brightness_and_differences_become_colours() {
        let ycc = vec![255, 128, 128, 0, 128, 128, 76, 85, 255];
        assert_eq!(without_luma(ycc), [255, 255, 255, 0, 0, 0, 254, 0, 0]);
    }
}
