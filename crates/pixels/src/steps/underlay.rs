use model::transform::Colour;

use crate::raster::Raster;

/// Puts a colour beneath the picture. Under an opaque picture nothing is to be seen of it.
pub(super) fn underlay(mut raster: Raster, colour: Colour) -> Raster {
    if !raster.has_alpha() || colour.alpha == 0 {
        return raster;
    }
    let below = [colour.red, colour.green, colour.blue].map(u32::from);
    let below_alpha = u32::from(colour.alpha);
    let (pixels, _) = raster.data.as_chunks_mut::<4>();
    for pixel in pixels {
        let alpha = u32::from(pixel[3]);
        // What shows of the colour, in 255ths of 255ths.
        let shows = below_alpha * (255 - alpha);
        let total = alpha * 255 + shows;
        if total == 0 {
            continue;
        }
        for (channel, below) in pixel.iter_mut().zip(below) {
            let sum = u32::from(*channel) * alpha * 255 + below * shows;
            *channel = ((sum + total / 2) / total) as u8;
        }
        pixel[3] = ((total + 127) / 255) as u8;
    }
    raster.without_idle_alpha()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colour_shows_where_the_picture_is_transparent() {
        let raster = Raster::new(3, 1, 4, vec![255, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 128]);
        let blue = Colour::parse("#0000ff").unwrap();
        let below = underlay(raster.clone(), blue);
        assert_eq!(below.data, [255, 0, 0, 0, 0, 255, 128, 0, 127]);
        let half = underlay(raster, Colour::parse("#0000ff80").unwrap());
        assert_eq!(half.data[4..8], [0, 0, 255, 128]);
    }
}
