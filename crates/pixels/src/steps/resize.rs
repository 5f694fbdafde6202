use model::ResizeLight;
use resample::{Filter, Region, Samples};

use crate::Error;
use crate::raster::Raster;

/// Resamples a region to a size: Lanczos with three lobes to shrink, Catmull-Rom to enlarge
/// (transformations.md, section 2.12). Colours count as much as their alpha.
pub(crate) fn resize(
    raster: &Raster,
    region: Region,
    (width, height): (u32, u32),
    light: ResizeLight,
) -> Result<Raster, Error> {
    let samples = Samples {
        width: raster.width,
        height: raster.height,
        channels: raster.channels,
        data: &raster.data,
    };
    let size = (width, height);
    let resample = match light {
        ResizeLight::Linear => resample::resize_light,
        ResizeLight::Gamma => resample::resize,
    };
    let data =
        resample(samples, region, size, Filter::between(region, size)).map_err(Error::encode)?;
    Ok(Raster::new(width, height, raster.channels, data))
}
