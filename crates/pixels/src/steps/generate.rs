//! Enlarging by a model, which invents what was never there (transformations.md, section 2.11): one
//! pass at a factor which the model has, and the rest is interpolated.

use model::ResizeLight;
use resample::Region;

use super::{cut, resize, turn};
use crate::orientation::Orientation;
use crate::plan::Rect;
use crate::raster::Raster;
use crate::vision::{Factor, Picture, Upscaler};
use crate::{Cancel, Error};

/// Pixels around what is enlarged which the model sees as well, so that edges are like the middle.
const MARGIN: f64 = 8.0;

/// The region at the size which is wanted, which is larger in one direction at least. `upright` is how
/// the picture will be turned afterwards.
pub(crate) fn generate(
    upscaler: &dyn Upscaler,
    raster: &Raster,
    region: Region,
    (width, height): (u32, u32),
    upright: Orientation,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let wanted = (f64::from(width) / region.width).max(f64::from(height) / region.height);
    let factor = if wanted < 3.0 {
        Factor::Two
    } else {
        Factor::Four
    };
    let rect = around(region, raster.size());
    let part = turned(&cut::cut(raster, rect), upright);
    let mut made = enlarged(upscaler, &part, factor, cancel)?;
    if !upright.is_none() {
        made = turn(&made, upright.inverse());
    }
    let times = f64::from(factor.times());
    let region = Region {
        left: (region.left - f64::from(rect.left)) * times,
        top: (region.top - f64::from(rect.top)) * times,
        width: region.width * times,
        height: region.height * times,
    };
    cancel.check()?;
    resize(&made, region, (width, height), ResizeLight::Gamma)
}

/// All of a picture so many times as large. What shines through is interpolated, as models know only
/// colours.
fn enlarged(
    upscaler: &dyn Upscaler,
    raster: &Raster,
    factor: Factor,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let times = factor.times();
    let (width, height) = (raster.width * times, raster.height * times);
    let pixels = raster.data.chunks_exact(raster.channels);
    let rgb: Vec<u8> = pixels
        .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]])
        .collect();
    let picture = Picture {
        width: raster.width,
        height: raster.height,
        rgb: &rgb,
    };
    let bytes = width as usize * height as usize * 3;
    let made = upscaler
        .enlarged(picture, factor, cancel)
        .filter(|made| made.len() == bytes);
    cancel.check()?;
    let made = made.ok_or(Error::Unavailable("upscale=generate"))?;
    let made = Raster::new(width, height, 3, made);
    if !raster.has_alpha() {
        return Ok(made);
    }
    let whole = Rect {
        left: 0,
        top: 0,
        width: raster.width,
        height: raster.height,
    };
    let interpolated = resize(raster, whole.region(), (width, height), ResizeLight::Gamma)?;
    let mut made = made.with_alpha();
    let below = interpolated.data.chunks_exact(4);
    for (pixel, below) in made.data.chunks_exact_mut(4).zip(below) {
        pixel[3] = below[3];
    }
    Ok(made)
}

/// The whole pixels of a region and some around it.
fn around(region: Region, (width, height): (u32, u32)) -> Rect {
    let range = |start: f64, length: f64, most: u32| {
        let from = (start - MARGIN).floor().clamp(0.0, f64::from(most)) as u32;
        let to = (start + length + MARGIN).ceil().clamp(0.0, f64::from(most)) as u32;
        (from.min(most.saturating_sub(1)), to)
    };
    let (left, right) = range(region.left, region.width, width);
    let (top, bottom) = range(region.top, region.height, height);
    Rect {
        left,
        top,
        width: right.saturating_sub(left).max(1),
        height: bottom.saturating_sub(top).max(1),
    }
}

fn turned(raster: &Raster, orientation: Orientation) -> Raster {
    if orientation.is_none() {
        raster.clone()
    } else {
        turn(raster, orientation)
    }
}
