//! BMP and ICO through `image`.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::ico::IcoDecoder;
use image::{ColorType, ImageDecoder};

use crate::colour::{self, Gamuts, Samples};
use crate::inspect::{bmp, ico};
use crate::raster::Raster;
use crate::{Cancel, Error};

use super::{png, without_panic};

pub(super) fn decode(source: &[u8], size: (u32, u32), gamuts: Gamuts) -> Result<Raster, Error> {
    without_panic(|| {
        let decoder = BmpDecoder::new(Cursor::new(source)).map_err(Error::corrupt)?;
        read(decoder, size, bmp::icc(source), gamuts)
    })
}

/// The largest picture of the list.
pub(super) fn decode_ico(
    source: &[u8],
    size: (u32, u32),
    gamuts: Gamuts,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let entry = ico::largest(source).ok_or_else(|| Error::corrupt("no picture"))?;
    if entry.is_png() {
        return png::decode(entry.body, gamuts, cancel);
    }
    // The decoder chooses by depth, so that it gets a list of one. The size is that of the picture
    // itself, as the list has no room for large ones.
    let mut alone = vec![0, 0, 1, 0, 1, 0];
    let side = |length: u32| u8::try_from(length).unwrap_or(0);
    alone.extend([side(size.0), side(size.1), 0, 0, 1, 0, 32, 0]);
    alone.extend((entry.body.len() as u32).to_le_bytes());
    alone.extend(22_u32.to_le_bytes());
    alone.extend(entry.body);
    without_panic(|| {
        let decoder = IcoDecoder::new(Cursor::new(alone)).map_err(Error::corrupt)?;
        read(decoder, size, None, gamuts)
    })
}

fn read(
    decoder: impl ImageDecoder,
    size: (u32, u32),
    icc: Option<&[u8]>,
    gamuts: Gamuts,
) -> Result<Raster, Error> {
    if decoder.dimensions() != size {
        return Err(Error::corrupt("the picture has another size than it says"));
    }
    let colour_type = decoder.color_type();
    let channels = match colour_type {
        ColorType::Rgb8 => 3,
        ColorType::Rgba8 => 4,
        _ => return Err(Error::Unsupported("such BMP")),
    };
    let mut samples = vec![0; size.0 as usize * size.1 as usize * channels];
    decoder.read_image(&mut samples).map_err(Error::corrupt)?;
    let samples = if channels == 3 {
        Samples::Rgb(samples)
    } else {
        Samples::Rgba(samples)
    };
    Ok(colour::to_rgb(size.0, size.1, samples, icc, gamuts))
}
