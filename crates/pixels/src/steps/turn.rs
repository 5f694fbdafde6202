use crate::orientation::Orientation;
use crate::raster::Raster;

/// Mirrors and turns.
pub(crate) fn turn(raster: &Raster, orientation: Orientation) -> Raster {
    match raster.channels {
        3 => turn_pixels::<3>(raster, orientation),
        _ => turn_pixels::<4>(raster, orientation),
    }
}

fn turn_pixels<const CHANNELS: usize>(raster: &Raster, orientation: Orientation) -> Raster {
    let size = (raster.width as usize, raster.height as usize);
    let (width, height) = orientation.turn_size(size);
    let (pixels, _) = raster.data.as_chunks::<CHANNELS>();
    let mut data = Vec::with_capacity(raster.data.len());
    for y in 0..height {
        for x in 0..width {
            let (from_x, from_y) = orientation.origin(x, y, size);
            data.extend_from_slice(&pixels[from_y * size.0 + from_x]);
        }
    }
    Raster::new(width as u32, height as u32, CHANNELS, data)
}
