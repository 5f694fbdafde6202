use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::Error;
use crate::orientation::Region;
use crate::raster::Raster;

/// Resamples a region to a size: Lanczos with three lobes to shrink, Catmull-Rom to enlarge
/// (transformations.md, section 2.12). Colours count as much as their alpha.
pub(super) fn resize(
    raster: &Raster,
    region: Region,
    width: u32,
    height: u32,
) -> Result<Raster, Error> {
    let kind = if raster.has_alpha() {
        PixelType::U8x4
    } else {
        PixelType::U8x3
    };
    let filter = if f64::from(width) * f64::from(height) > region.width * region.height {
        FilterType::CatmullRom
    } else {
        FilterType::Lanczos3
    };
    // Arithmetic may have gone a hair beyond the edge, which the resizer would refuse.
    let left = region.left.clamp(0.0, f64::from(raster.width));
    let top = region.top.clamp(0.0, f64::from(raster.height));
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(raster.has_alpha())
        .crop(
            left,
            top,
            region.width.min(f64::from(raster.width) - left),
            region.height.min(f64::from(raster.height) - top),
        );
    let source = ImageRef::new(raster.width, raster.height, &raster.data, kind)
        .map_err(|error| Error::encode(format!("resizing: {error}")))?;
    let mut target = Image::new(width, height, kind);
    Resizer::new()
        .resize(&source, &mut target, &options)
        .map_err(|error| Error::encode(format!("resizing: {error}")))?;
    Ok(Raster::new(
        width,
        height,
        raster.channels,
        target.into_vec(),
    ))
}
