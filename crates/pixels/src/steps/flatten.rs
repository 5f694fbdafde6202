use model::transform::Colour;

use super::underlay::underlay;
use crate::raster::Raster;

/// Without alpha: what is left of it lies on the background, and that on white.
pub(crate) fn flatten(raster: Raster, background: Option<Colour>) -> Raster {
    let beneath = background.unwrap_or(Colour::WHITE);
    let raster = underlay(raster, beneath);
    underlay(raster, Colour::WHITE)
}
