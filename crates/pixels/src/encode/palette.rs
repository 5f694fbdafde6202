//! At most 256 colours in place of all that a picture has.

use std::collections::HashMap;

use quantette::deps::palette::Srgb;
use quantette::{ImageRef, PaletteSize, Pipeline};

use crate::Error;
use crate::raster::Raster;

/// A picture of numbered colours.
pub(super) struct Indexed {
    /// At most 256.
    pub colours: Vec<[u8; 4]>,
    /// A number for each pixel.
    pub pixels: Vec<u8>,
}

/// The picture as it is, if it has no more than `most` colours.
pub(super) fn exact(raster: &Raster, most: usize) -> Option<Indexed> {
    let mut numbers: HashMap<[u8; 4], u8> = HashMap::new();
    let mut colours = Vec::new();
    let mut pixels = Vec::with_capacity(raster.width as usize * raster.height as usize);
    let mut last = None;
    for pixel in raster.data.chunks_exact(raster.channels) {
        let colour = match pixel {
            // What cannot be seen is all the same.
            [_, _, _, 0] => [0; 4],
            [red, green, blue, alpha] => [*red, *green, *blue, *alpha],
            _ => [pixel[0], pixel[1], pixel[2], 255],
        };
        if let Some((known, number)) = last
            && known == colour
        {
            pixels.push(number);
            continue;
        }
        let number = match numbers.get(&colour) {
            Some(number) => *number,
            None if colours.len() == most => return None,
            None => {
                let number = colours.len() as u8;
                colours.push(colour);
                numbers.insert(colour, number);
                number
            }
        };
        last = Some((colour, number));
        pixels.push(number);
    }
    Some(Indexed { colours, pixels })
}

/// The nearest that `most` opaque colours can come, dithered. Alpha is left out of account.
pub(super) fn nearest(raster: &Raster, most: u16) -> Result<Indexed, Error> {
    let colours: Vec<Srgb<u8>> = raster
        .data
        .chunks_exact(raster.channels)
        .map(|pixel| Srgb::new(pixel[0], pixel[1], pixel[2]))
        .collect();
    let image = ImageRef::new(raster.width, raster.height, &colours).map_err(Error::encode)?;
    let size = PaletteSize::try_from(most).map_err(Error::encode)?;
    let (colours, pixels) = Pipeline::new()
        .palette_size(size)
        .input_image(image)
        .output_srgb8_indexed_image()
        .into_parts();
    let colours = colours
        .into_iter()
        .map(|colour| [colour.red, colour.green, colour.blue, 255])
        .collect();
    Ok(Indexed { colours, pixels })
}
