use model::transform::Colour;

use crate::raster::Raster;

/// Lays the picture on a canvas of one colour. The canvas holds the picture whole.
pub(super) fn pad(
    raster: Raster,
    (width, height): (u32, u32),
    (left, top): (u32, u32),
    colour: Colour,
) -> Raster {
    let raster = if colour.alpha == 255 {
        raster
    } else {
        raster.with_alpha()
    };
    let channels = raster.channels;
    let pixel = [colour.red, colour.green, colour.blue, colour.alpha];
    let mut data = pixel[..channels].repeat(width as usize * height as usize);
    let stride = width as usize * channels;
    let start = left as usize * channels;
    let targets = data.chunks_exact_mut(stride.max(1)).skip(top as usize);
    for (target, row) in targets.zip(raster.rows()) {
        target[start..start + row.len()].copy_from_slice(row);
    }
    Raster::new(width, height, channels, data)
}
