//! What can be done to pixels: one file per step.

mod blur;
pub(crate) mod border;
pub(crate) mod cut;
mod flatten;
mod pad;
mod resize;
mod sharpen;
mod tone;
mod turn;
mod underlay;

use model::transform::Colour;
use resample::Region;

use crate::Error;
use crate::orientation::Orientation;
use crate::plan::Rect;
use crate::raster::Raster;

pub(crate) use flatten::flatten;
pub(crate) use resize::resize;
pub(crate) use tone::Tone;
pub(crate) use turn::turn;

/// One change of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// Keep only a part.
    Cut(Rect),
    /// Bring a part to a size.
    Resize {
        region: Region,
        width: u32,
        height: u32,
    },
    /// Mirror and turn.
    Turn(Orientation),
    /// Put a colour beneath the picture.
    Underlay(Colour),
    /// Put the picture on a larger canvas.
    Pad {
        width: u32,
        height: u32,
        left: u32,
        top: u32,
        colour: Colour,
    },
    /// Change brightness and colour.
    Tone(Tone),
    /// Soften.
    Blur {
        /// Standard deviation in pixels.
        sigma: f64,
    },
    /// Bring out edges.
    Sharpen {
        /// 0 is nothing, 1 is right after shrinking.
        amount: f64,
    },
}

impl Step {
    pub(crate) fn apply(&self, raster: Raster) -> Result<Raster, Error> {
        Ok(match *self {
            Self::Cut(rect) => cut::cut(&raster, rect),
            Self::Resize {
                region,
                width,
                height,
            } => resize(&raster, region, width, height)?,
            Self::Turn(orientation) => turn(&raster, orientation),
            Self::Underlay(colour) => underlay::underlay(raster, colour),
            Self::Pad {
                width,
                height,
                left,
                top,
                colour,
            } => pad::pad(raster, (width, height), (left, top), colour),
            Self::Tone(tone) => tone.apply(raster),
            Self::Blur { sigma } => blur::blur(raster, sigma),
            Self::Sharpen { amount } => sharpen::sharpen(raster, amount),
        })
    }
}
