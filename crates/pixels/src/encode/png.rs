//! PNG: a palette where the picture has few colours or a quality was asked for, gray where it has no
//! colour, else full colour. What there is in 16 bits was brought to 8 when it was decoded.

use png::{BitDepth, ColorType, Compression, DeflateCompression, Encoder, Filter};

use super::palette::{self, Dither, Histogram, Indexed, Nearest};
use crate::Error;
use crate::raster::Raster;

/// Effort for palettes and for flat art, of 9. More costs much time and gains 2 to 4 %.
const PALETTE_LEVEL: u8 = 3;
const FLAT_LEVEL: u8 = 2;

/// Stronger scores lower and compresses worse.
const DITHER: Dither = Dither { strength: 0.5 };

/// From this part of pixels which are like their left neighbours on, a picture is flat art. Interfaces
/// and drawings have 0.6 to 0.8, photographs 0.02 to 0.3.
const FLAT_MIN: f64 = 0.5;

/// `quality`, 1 to 100, allows a palette for pictures of many colours.
pub(crate) fn encode(raster: &Raster, quality: Option<u8>) -> Result<Vec<u8>, Error> {
    let exact = palette::exact(raster, 256, None);
    let is_gray = is_gray(raster);
    if let Some(indexed) = exact
        // Filters work on shades of gray and not on numbers.
        && (!is_gray || indexed.colours.len() <= 16)
    {
        return encode_indexed(raster.size(), indexed);
    }
    if let Some(quality) = quality
        && !is_gray
        && let Some(indexed) = quantised(raster, quality)
    {
        return encode_indexed(raster.size(), indexed);
    }
    let encoding = if is_flat(raster) {
        Encoding::Flat
    } else {
        Encoding::Photo
    };
    match (is_gray, raster.has_alpha()) {
        (false, false) => write(raster.size(), ColorType::Rgb, encoding, &raster.data),
        (false, true) => write(raster.size(), ColorType::Rgba, encoding, &raster.data),
        (true, false) => {
            let gray: Vec<u8> = raster.data.iter().step_by(3).copied().collect();
            write(raster.size(), ColorType::Grayscale, encoding, &gray)
        }
        (true, true) => {
            let pixels = raster.data.chunks_exact(4);
            let gray: Vec<u8> = pixels.flat_map(|pixel| [pixel[0], pixel[3]]).collect();
            write(raster.size(), ColorType::GrayscaleAlpha, encoding, &gray)
        }
    }
}

fn is_gray(raster: &Raster) -> bool {
    let mut pixels = raster.data.chunks_exact(raster.channels);
    pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
}

/// Judged by what can be seen, of every fourth row.
fn is_flat(raster: &Raster) -> bool {
    let (mut alike, mut seen) = (0_u32, 0_u32);
    for row in raster.rows().step_by(4) {
        let pixels = || row.chunks_exact(raster.channels).map(palette::colour);
        for (left, pixel) in pixels().zip(pixels().skip(1)) {
            if pixel != palette::CLEAR {
                seen += 1;
                alike += u32::from(left == pixel);
            }
        }
    }
    f64::from(alike) >= FLAT_MIN * f64::from(seen.max(1))
}

/// With no more colours than a quality needs, unless it needs more than 256.
///
/// Quality says how large the mean squared error of a channel may be: 100 less the quality, in squared
/// 8-bit levels; 80 is 35 dB. A quarter of it is aimed at, as dithering adds the rest.
fn quantised(raster: &Raster, quality: u8) -> Option<Indexed> {
    let error_max = f32::from(100_u8.saturating_sub(quality));
    let histogram = Histogram::of(raster, raster.has_alpha(), None);
    let (colours, error) = histogram.choose(256, error_max / 4.0);
    if error > error_max {
        return None;
    }
    let pixels = DITHER.apply(raster, &mut Nearest::new(&colours), None, 0);
    Some(Indexed { colours, pixels })
}

/// How samples are filtered and compressed.
#[derive(Clone, Copy)]
enum Encoding {
    /// Each row by the filter which suits it. More effort gains next to nothing (codecs.md, section 5).
    Photo,
    /// As they are, so that what repeats is found.
    Flat,
}

fn encode_indexed(size: (u32, u32), mut indexed: Indexed) -> Result<Vec<u8>, Error> {
    opaque_last(&mut indexed);
    let bits = match indexed.colours.len() {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    };
    let width = (size.0 as usize).max(1);
    let packed = match bits {
        8 => indexed.pixels,
        bits => packed(&indexed.pixels, width, bits),
    };
    let depth = match bits {
        1 => BitDepth::One,
        2 => BitDepth::Two,
        4 => BitDepth::Four,
        _ => BitDepth::Eight,
    };
    let (colours, alphas) = (indexed.colours.iter(), indexed.colours.iter());
    let alphas: Vec<u8> = alphas
        .map(|colour| colour[3])
        .take_while(|alpha| *alpha < 255)
        .collect();
    let colours: Vec<u8> = colours
        .flat_map(|colour| [colour[0], colour[1], colour[2]])
        .collect();
    let mut bytes = Vec::new();
    let mut encoder = encoder(&mut bytes, size, ColorType::Indexed, Encoding::Flat);
    encoder.set_deflate_compression(DeflateCompression::Level(PALETTE_LEVEL));
    encoder.set_depth(depth);
    encoder.set_palette(colours);
    if !alphas.is_empty() {
        encoder.set_trns(alphas);
    }
    finish(encoder, &packed)?;
    Ok(bytes)
}

/// Puts translucent colours first: alpha is stored up to the last of them.
fn opaque_last(indexed: &mut Indexed) {
    let mut order: Vec<u8> = (0..=255).take(indexed.colours.len()).collect();
    order.sort_by_key(|number| indexed.colours[usize::from(*number)][3] == 255);
    if order.is_sorted() {
        return;
    }
    let mut places = [0_u8; 256];
    for (number, place) in order.iter().zip(0..=255) {
        places[usize::from(*number)] = place;
    }
    let reordered = order
        .iter()
        .map(|number| indexed.colours[usize::from(*number)]);
    indexed.colours = reordered.collect();
    for number in &mut indexed.pixels {
        *number = places[usize::from(*number)];
    }
}

/// Several numbers to a byte, the first one in the upper bits; rows begin with a byte.
fn packed(pixels: &[u8], width: usize, bits: usize) -> Vec<u8> {
    let each = 8 / bits;
    let bytes = |row: &[u8]| -> Vec<u8> {
        let byte = |numbers: &[u8]| {
            let places = numbers.iter().zip(1..);
            places.fold(0, |byte, (number, place)| {
                byte | number << (8 - bits * place)
            })
        };
        row.chunks(each).map(byte).collect()
    };
    pixels.chunks(width).flat_map(bytes).collect()
}

fn write(
    size: (u32, u32),
    colour_type: ColorType,
    encoding: Encoding,
    data: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    finish(encoder(&mut bytes, size, colour_type, encoding), data)?;
    Ok(bytes)
}

fn encoder(
    bytes: &mut Vec<u8>,
    (width, height): (u32, u32),
    colour_type: ColorType,
    encoding: Encoding,
) -> Encoder<'static, &mut Vec<u8>> {
    let mut encoder = Encoder::new(bytes, width, height);
    encoder.set_color(colour_type);
    encoder.set_depth(BitDepth::Eight);
    match encoding {
        Encoding::Photo => encoder.set_compression(Compression::Fast),
        Encoding::Flat => {
            encoder.set_deflate_compression(DeflateCompression::Level(FLAT_LEVEL));
            encoder.set_filter(Filter::NoFilter);
        }
    }
    encoder
}

fn finish(encoder: Encoder<'_, &mut Vec<u8>>, data: &[u8]) -> Result<(), Error> {
    let mut writer = encoder.write_header().map_err(Error::encode)?;
    writer.write_image_data(data).map_err(Error::encode)?;
    writer.finish().map_err(Error::encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (ColorType, BitDepth, Vec<u8>) {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        let info = decoder.read_header_info().unwrap();
        let (colour_type, depth) = (info.color_type, info.bit_depth);
        decoder.set_transformations(png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let gray = matches!(reader.output_color_type().0, ColorType::GrayscaleAlpha);
        reader.next_frame(&mut pixels).unwrap();
        if gray {
            let spread = |pixel: &[u8]| [pixel[0], pixel[0], pixel[0], pixel[1]];
            pixels = pixels.chunks_exact(2).flat_map(spread).collect();
        }
        (colour_type, depth, pixels)
    }

    type Pixel = Box<dyn Fn(u32, u32) -> [u8; 4]>;

    #[test]
    fn the_smallest_type_which_has_all_colours_is_written() {
        let photo = |x: u32, y: u32| (x * 37 % 251 + y * 3) as u8;
        let cases: Vec<(Pixel, ColorType, BitDepth)> = vec![
            (
                Box::new(|x, _| {
                    if x % 2 == 0 {
                        [0, 0, 0, 255]
                    } else {
                        [255, 0, 0, 255]
                    }
                }),
                ColorType::Indexed,
                BitDepth::One,
            ),
            (
                Box::new(|x, y| [(x % 3) as u8 * 100, 7, 9, if y % 50 == 0 { 0 } else { 255 }]),
                ColorType::Indexed,
                BitDepth::Two,
            ),
            (
                Box::new(|x, _| [(x % 13) as u8, 0, 255, 200]),
                ColorType::Indexed,
                BitDepth::Four,
            ),
            (
                Box::new(|x, y| [(x * 2) as u8, (y / 60) as u8, 3, 255]),
                ColorType::Indexed,
                BitDepth::Eight,
            ),
            (
                Box::new(move |x, y| [photo(x, y), photo(x, y), photo(x, y), 255]),
                ColorType::Grayscale,
                BitDepth::Eight,
            ),
            (
                Box::new(move |x, y| [photo(x, y), photo(x, y), photo(x, y), 1 + (x % 200) as u8]),
                ColorType::GrayscaleAlpha,
                BitDepth::Eight,
            ),
            (
                Box::new(move |x, y| [photo(x, y), photo(y, x), 0, 255]),
                ColorType::Rgb,
                BitDepth::Eight,
            ),
            (
                Box::new(move |x, y| [photo(x, y), photo(y, x), 0, 1 + (x % 200) as u8]),
                ColorType::Rgba,
                BitDepth::Eight,
            ),
        ];
        let (width, height) = (101, 103);
        for (pixel, colour_type, depth) in cases {
            let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
            let data: Vec<u8> = places.flat_map(|(x, y)| pixel(x, y)).collect();
            let mut expected = data.clone();
            for pixel in expected.chunks_exact_mut(4).filter(|pixel| pixel[3] == 0) {
                pixel.fill(0);
            }
            let raster = Raster::new(width, height, 4, data).without_idle_alpha();
            let written = decoded(&encode(&raster, None).unwrap());
            assert_eq!((written.0, written.1), (colour_type, depth));
            assert!(written.2 == expected, "{colour_type:?} {depth:?}");
        }
    }

    #[test]
    fn quality_chooses_a_palette_which_reaches_it() {
        let mut state = 1_u32;
        let mut noise = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let smooth: Vec<u8> = (0..128 * 128)
            .flat_map(|index: u32| {
                let (x, y) = (index % 128, index / 128);
                [
                    (x * 2) as u8,
                    (y * 2) as u8,
                    (255 - x - y / 2) as u8,
                    128 + (y / 2) as u8,
                ]
            })
            .collect();
        let wild: Vec<u8> = (0..128 * 128 * 4_u32).map(&mut noise).collect();
        for (data, quality, palette) in [
            (&smooth, Some(60), true),
            (&smooth, Some(99), false),
            (&smooth, None, false),
            (&wild, Some(90), false),
        ] {
            let raster = Raster::new(128, 128, 4, data.clone());
            let (colour_type, _, pixels) = decoded(&encode(&raster, quality).unwrap());
            assert_eq!(colour_type == ColorType::Indexed, palette, "{quality:?}");
            let squares = pixels
                .iter()
                .zip(data)
                .map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
            let error = squares.sum::<f64>() / pixels.len() as f64;
            let most = quality
                .filter(|_| palette)
                .map_or(0.0, |quality| f64::from(100 - quality));
            assert!(error <= most, "{quality:?}: {error}");
        }
    }
}
