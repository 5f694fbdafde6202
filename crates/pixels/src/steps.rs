//! What can be done to pixels: one file per step.

mod blur;
pub(crate) mod border;
pub(crate) mod cut;
mod draw;
mod flatten;
mod generate;
mod pad;
mod resize;
mod sharpen;
mod tone;
mod turn;
mod underlay;

use std::sync::Arc;

use model::ResizeLight;
use model::transform::{Colour, Draw};
use resample::Region;

use crate::colour::Gamut;
use crate::look::foreground;
use crate::orientation::Orientation;
use crate::plan::Rect;
use crate::raster::Raster;
use crate::vision::{Segmenter, Upscaler};
use crate::{Cancel, Error};

pub(crate) use flatten::flatten;
pub(crate) use resize::resize;
pub(crate) use tone::Tone;
pub(crate) use turn::turn;

/// One change of a picture.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Make everything but the subject transparent.
    Foreground {
        segmenter: Arc<dyn Segmenter>,
        /// How the picture has to be turned to stand upright.
        upright: Orientation,
    },
    /// Keep only a part.
    Cut(Rect),
    /// Bring a part to a size.
    Resize {
        region: Region,
        width: u32,
        height: u32,
        light: ResizeLight,
    },
    /// Bring a part to a larger size by a model.
    Generate {
        upscaler: Arc<dyn Upscaler>,
        region: Region,
        width: u32,
        height: u32,
        /// How the picture has to be turned to stand upright.
        upright: Orientation,
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
    /// Draw another picture on it.
    Draw { picture: Arc<Raster>, draw: Draw },
}

impl Step {
    /// Makes what it adds to a picture mean the same in another space; all of it is of sRGB before.
    pub(crate) fn bring_into(&mut self, gamut: Gamut) {
        match self {
            Self::Underlay(colour) | Self::Pad { colour, .. } => *colour = gamut.colour(*colour),
            Self::Draw { picture, .. } => *picture = Arc::new(gamut.brought(picture)),
            Self::Foreground { .. }
            | Self::Cut(_)
            | Self::Resize { .. }
            | Self::Generate { .. }
            | Self::Turn(_)
            | Self::Tone(_)
            | Self::Blur { .. }
            | Self::Sharpen { .. } => {}
        }
    }

    pub(crate) fn apply(&self, raster: Raster, cancel: &Cancel) -> Result<Raster, Error> {
        Ok(match *self {
            Self::Foreground {
                ref segmenter,
                upright,
            } => foreground(&**segmenter, raster, upright, cancel)?,
            Self::Cut(rect) => cut::cut(&raster, rect),
            Self::Resize {
                region,
                width,
                height,
                light,
            } => resize(&raster, region, (width, height), light)?,
            Self::Generate {
                ref upscaler,
                region,
                width,
                height,
                upright,
            } => {
                let size = (width, height);
                generate::generate(&**upscaler, &raster, region, size, upright, cancel)?
            }
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
            Self::Draw { ref picture, draw } => draw::draw(raster, picture, &draw, cancel)?,
        })
    }
}

/// Applies one step after the other.
pub(crate) fn apply(steps: &[Step], raster: Raster, cancel: &Cancel) -> Result<Raster, Error> {
    steps.iter().try_fold(raster, |raster, step| {
        cancel.check()?;
        step.apply(raster, cancel)
    })
}
