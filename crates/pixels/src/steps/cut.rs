use crate::plan::Rect;
use crate::raster::Raster;

/// The pixels of a rectangle, which lies inside of the picture.
pub(crate) fn cut(raster: &Raster, rect: Rect) -> Raster {
    let start = rect.left as usize * raster.channels;
    let length = rect.width as usize * raster.channels;
    let mut data = Vec::with_capacity(length * rect.height as usize);
    let rows = raster.rows().skip(rect.top as usize);
    for row in rows.take(rect.height as usize) {
        data.extend_from_slice(&row[start..start + length]);
    }
    Raster::new(rect.width, rect.height, raster.channels, data)
}
