//! JPEG through jpegli, which needs 13 to 15 % fewer bytes than libjpeg-turbo for the same score
//! (codecs.md, section 5).

mod jpegli;

use crate::metadata::Metadata;
use crate::planes::Planes;
use crate::raster::Raster;
use crate::{Cancel, Error};

/// From this quality on colour is as fine as brightness; below, eyes do not see the difference.
const FULL_COLOUR_QUALITY: u8 = 90;

/// So many pixels across and down share a sample of colour.
pub(super) fn colour_share(quality: u8) -> u32 {
    if quality < FULL_COLOUR_QUALITY { 2 } else { 1 }
}

pub(super) fn encode(
    raster: &Raster,
    quality: u8,
    progressive: bool,
    metadata: &Metadata,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    // Grey stays grey: a third of the work, and no colour noise.
    let grey = raster
        .data
        .chunks_exact(3)
        .all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]);
    let grey_data: Vec<u8>;
    let pixels = if grey {
        grey_data = raster.data.chunks_exact(3).map(|pixel| pixel[0]).collect();
        jpegli::Pixels::Grey(&grey_data)
    } else {
        jpegli::Pixels::Rgb(&raster.data)
    };
    let settings = settings(raster.size(), quality, progressive, metadata);
    jpegli::encode(&pixels, &settings, cancel)
}

/// The same from planes whose colour is shared as [`colour_share`] says.
pub(super) fn encode_planes(
    planes: &Planes,
    quality: u8,
    progressive: bool,
    metadata: &Metadata,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    let pixels = match &planes.chroma {
        None => jpegli::Pixels::Grey(&planes.luma.data),
        Some([blue, red]) => jpegli::Pixels::YCbCr([&planes.luma, blue, red]),
    };
    let settings = settings(planes.size(), quality, progressive, metadata);
    jpegli::encode(&pixels, &settings, cancel)
}

fn settings(
    (width, height): (u32, u32),
    quality: u8,
    progressive: bool,
    metadata: &Metadata,
) -> jpegli::Settings {
    jpegli::Settings {
        width,
        height,
        quality: on_jpegli_scale(quality),
        progressive,
        half_colour: colour_share(quality) == 2,
        segments: metadata.segments(),
    }
}

/// jpegli's numbers give coarser pictures than libjpeg's, which is the scale that everybody knows;
/// by SSIMULACRA2 its 82 looks like libjpeg's 77 (codecs.md, section 5). The two meet at 100. Between
/// these points the scale is drawn with a ruler; it is not measured.
fn on_jpegli_scale(quality: u8) -> u8 {
    let quality = u32::from(quality.clamp(1, 100));
    let above = if quality <= 77 {
        5 * quality.min(20) / 20
    } else {
        5 * (100 - quality) / 23
    };
    (quality + above) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_rises_and_ends_where_it_should() {
        let scale: Vec<u8> = (1..=100).map(on_jpegli_scale).collect();
        assert!(scale.is_sorted());
        assert_eq!((scale[0], scale[76], scale[99]), (1, 82, 100));
    }
}
