use resample::{Filter, Region, Samples};

use crate::Error;
use crate::raster::Raster;

/// Resamples a region to a size: Lanczos with three lobes to shrink, Catmull-Rom to enlarge
/// (transformations.md, section 2.12). Colours count as much as their alpha.
pub(crate) fn resize(
    raster: &Raster,
    region: Region,
    width: u32,
    height: u32,
) -> Result<Raster, Error> {
    let samples = Samples {
        width: raster.width,
        height: raster.height,
        channels: raster.channels,
        data: &raster.data,
    };
    let size = (width, height);
    let data = resample::resize(samples, region, size, Filter::between(region, size))
        .map_err(Error::encode)?;
    Ok(Raster::new(width, height, raster.channels, data))
}
