//! PNG: a palette where the picture has few colours or a quality was asked for, else full colour.

use png::{BitDepth, ColorType, Compression, Encoder};

use super::palette::{self, Indexed};
use crate::Error;
use crate::raster::Raster;

pub(super) fn encode(raster: &Raster, quality: Option<u8>) -> Result<Vec<u8>, Error> {
    if let Some(indexed) = palette::exact(raster, 256) {
        return encode_indexed(raster.size(), &indexed);
    }
    // Translucent pixels would need a palette with alpha, which the quantiser does not make.
    if quality.is_some_and(|quality| quality < 100) && !raster.has_alpha() {
        return encode_indexed(raster.size(), &palette::nearest(raster, 256)?);
    }
    let colour_type = if raster.has_alpha() {
        ColorType::Rgba
    } else {
        ColorType::Rgb
    };
    // Photographs gain next to nothing from more effort (codecs.md, section 5).
    write(
        raster.size(),
        colour_type,
        Compression::Fast,
        &raster.data,
        |_| {},
    )
}

fn encode_indexed(size: (u32, u32), indexed: &Indexed) -> Result<Vec<u8>, Error> {
    let colours: Vec<u8> = indexed
        .colours
        .iter()
        .flat_map(|colour| [colour[0], colour[1], colour[2]])
        .collect();
    let alphas: Vec<u8> = indexed.colours.iter().map(|colour| colour[3]).collect();
    write(
        size,
        ColorType::Indexed,
        Compression::Balanced,
        &indexed.pixels,
        |encoder| {
            encoder.set_palette(colours);
            if alphas.iter().any(|alpha| *alpha < 255) {
                encoder.set_trns(alphas);
            }
        },
    )
}

fn write(
    (width, height): (u32, u32),
    colour_type: ColorType,
    compression: Compression,
    data: &[u8],
    set: impl FnOnce(&mut Encoder<'_, &mut Vec<u8>>),
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour_type);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(compression);
    set(&mut encoder);
    let mut writer = encoder.write_header().map_err(Error::encode)?;
    writer.write_image_data(data).map_err(Error::encode)?;
    writer.finish().map_err(Error::encode)?;
    Ok(bytes)
}
