//! PNG, of every colour type and depth; of APNG the default image.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

use crate::colour::{self, Converter, Gamuts, Kind, Power, Profile, Samples};
use crate::raster::Raster;
use crate::{Cancel, Error};

/// Bytes the decoder may use besides the rows: profiles, palettes, text. Its limit does not count
/// the picture, whose size was judged before. A profile which needs more is left out.
const MEMORY_MAX: usize = 2 * 1024 * 1024;

pub(super) fn decode(source: &[u8], gamuts: Gamuts, cancel: &Cancel) -> Result<Raster, Error> {
    let mut reader = full_reader(source, Transformations::EXPAND)?;
    let (width, height) = reader.info().size();
    let (colour_type, depth) = reader.output_color_type();
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| Error::corrupt("a size without meaning"))?;
    let row_bytes = (length / height.max(1) as usize).max(1);
    if depth == BitDepth::Sixteen {
        let rows = (length, row_bytes);
        return decode_deep(reader, colour_type, rows, gamuts, cancel);
    }
    let mut samples = vec![0; length];
    if reader.info().interlaced {
        reader.next_frame(&mut samples).map_err(Error::corrupt)?;
    } else {
        for row in samples.chunks_exact_mut(row_bytes) {
            cancel.check()?;
            read_row(&mut reader, row)?;
        }
    }
    let samples = match colour_type {
        ColorType::Grayscale => Samples::Gray(samples),
        ColorType::GrayscaleAlpha => Samples::GrayAlpha(samples),
        ColorType::Rgba => Samples::Rgba(samples),
        ColorType::Rgb | ColorType::Indexed => Samples::Rgb(samples),
    };
    let grey = matches!(samples, Samples::Gray(_) | Samples::GrayAlpha(_));
    let profile = profile(reader.info(), grey);
    Ok(colour::to_rgb_from(width, height, samples, profile, gamuts))
}

/// The same of 16 bits, of which no more than a row is there at a time if the file allows it.
fn decode_deep(
    mut reader: png::Reader<Cursor<&[u8]>>,
    colour_type: ColorType,
    (length, row_bytes): (usize, usize),
    gamuts: Gamuts,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let (width, height) = reader.info().size();
    let kind = match colour_type {
        ColorType::Grayscale => Kind::Gray,
        ColorType::GrayscaleAlpha => Kind::GrayAlpha,
        ColorType::Rgba => Kind::Rgba,
        ColorType::Rgb | ColorType::Indexed => Kind::Rgb,
    };
    let grey = matches!(kind, Kind::Gray | Kind::GrayAlpha);
    let converter = Converter::<u16>::new(kind, profile(reader.info(), grey), gamuts);
    let area = width as usize * height as usize;
    let mut made = Vec::with_capacity(area * kind.made());
    let mut words = Vec::new();
    let mut convert = |row: &[u8]| {
        words.clear();
        words.extend(
            row.as_chunks()
                .0
                .iter()
                .map(|word| u16::from_be_bytes(*word)),
        );
        converter.convert(&words, &mut made);
    };
    if reader.info().interlaced {
        let mut samples = vec![0; length];
        reader.next_frame(&mut samples).map_err(Error::corrupt)?;
        for row in samples.chunks_exact(row_bytes) {
            cancel.check()?;
            convert(row);
        }
    } else {
        let mut row = vec![0; row_bytes];
        for _ in 0..height {
            cancel.check()?;
            read_row(&mut reader, &mut row)?;
            convert(&row);
        }
    }
    let gamut = converter.gamut();
    Ok(Raster::new(width, height, kind.made(), made).in_gamut(gamut))
}

fn read_row(reader: &mut png::Reader<Cursor<&[u8]>>, row: &mut [u8]) -> Result<(), Error> {
    reader
        .read_row(row)
        .map_err(Error::corrupt)?
        .ok_or_else(|| Error::corrupt("rows are missing"))?;
    Ok(())
}

/// What the chunks say about colours, in the order in which they count (PNG, section 4.3).
pub(super) fn profile<'a>(info: &'a png::Info<'_>, grey: bool) -> Option<Profile<'a>> {
    if let Some(points) = info.coding_independent_code_points
        && points.is_video_full_range_image
        && !grey
    {
        return Some(Profile::Cicp {
            primaries: points.color_primaries.into(),
            transfer: points.transfer_function.into(),
        });
    }
    if info.srgb.is_some() {
        return None;
    }
    if let Some(icc) = info.icc_profile.as_deref() {
        return Some(Profile::Icc(icc));
    }
    let gamma = info.gama_chunk?.into_value();
    let places = info.chrm_chunk.map(|places| {
        [places.white, places.red, places.green, places.blue]
            .map(|(x, y)| (x.into_value(), y.into_value()))
    });
    Some(Profile::Power(Power {
        gamma,
        places,
        grey,
    }))
}

/// Reads every row and throws it away.
pub(crate) fn verify(source: &[u8], cancel: &Cancel) -> Result<(), Error> {
    let mut reader = reader(source, Transformations::EXPAND)?;
    loop {
        cancel.check()?;
        if reader.next_row().map_err(Error::corrupt)?.is_none() {
            break;
        }
    }
    Ok(())
}

/// With samples of 8 bits, and what else is asked for.
pub(super) fn reader(
    source: &[u8],
    asked: Transformations,
) -> Result<png::Reader<Cursor<&[u8]>>, Error> {
    full_reader(
        source,
        asked | Transformations::EXPAND | Transformations::STRIP_16,
    )
}

/// With samples as they are stored, but for what is asked.
fn full_reader(source: &[u8], asked: Transformations) -> Result<png::Reader<Cursor<&[u8]>>, Error> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(source), Limits { bytes: MEMORY_MAX });
    decoder.set_transformations(asked);
    decoder.set_ignore_text_chunk(true);
    decoder.read_info().map_err(Error::corrupt)
}
