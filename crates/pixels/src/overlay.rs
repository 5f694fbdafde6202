//! Pictures which are drawn on others (transformations.md, section 7.1).

use std::collections::HashMap;
use std::sync::Arc;

use model::transform::{Amount, Overlay, OverlayContent};
use model::{MediaType, Transform};

use crate::colour::Gamuts;
use crate::raster::Raster;
use crate::render::{Image, first_picture, plan};
use crate::steps::{Step, apply};
use crate::{Cancel, Engine, Error, Warning, cost, text};

/// What overlays are made of: bytes of images and fonts by their address.
#[derive(Clone, Debug, Default)]
pub struct Assets<'a>(HashMap<&'a str, &'a [u8]>);

impl<'a> Assets<'a> {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes which an address stands for.
    pub fn insert(&mut self, address: &'a str, bytes: &'a [u8]) {
        self.0.insert(address, bytes);
    }

    /// The bytes of an address.
    pub(crate) fn get(&self, address: &str) -> Result<&'a [u8], Error> {
        let bytes = self.0.get(address).copied();
        bytes.ok_or_else(|| Error::NoAsset(address.to_owned()))
    }
}

/// What overlays come to.
#[derive(Default)]
pub(crate) struct Draws {
    pub steps: Vec<Step>,
    pub warnings: Vec<Warning>,
}

/// The steps which draw the overlays on a picture of this size.
pub(crate) fn steps(
    engine: &Engine,
    overlays: &[Overlay],
    assets: &Assets<'_>,
    size: (u32, u32),
    cancel: &Cancel,
) -> Result<Draws, Error> {
    let mut draws = Draws::default();
    let mut held = 0;
    for Overlay { content, draw } in overlays {
        let picture = match content {
            OverlayContent::Image {
                url,
                width,
                height,
                transform,
            } => {
                let transform = Transform {
                    width: width.map(|width| pixels(width, size.0)),
                    height: height.map(|height| pixels(height, size.1)),
                    ..Transform::clone(transform)
                };
                let source = assets.get(url)?;
                picture(
                    engine,
                    source,
                    &transform,
                    assets,
                    &mut draws.warnings,
                    cancel,
                )?
            }
            OverlayContent::Text(text) => {
                let font = text.font.as_deref().map(|font| assets.get(font));
                text::picture(text, font.transpose()?, cancel)?
            }
        };
        held += cost::of_holding(picture.size());
        cost::judge(held, engine.limits())?;
        draws.steps.push(Step::Draw {
            picture: Arc::new(picture),
            draw: *draw,
        });
    }
    Ok(draws)
}

/// The first picture of an image after one stage.
pub(crate) fn picture(
    engine: &Engine,
    source: &[u8],
    transform: &Transform,
    assets: &Assets<'_>,
    warnings: &mut Vec<Warning>,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let header = engine.inspect_pixels(source)?;
    let limits = engine.limits();
    cost::judge(cost::of_rendering(&header, transform, engine), limits)?;
    let image = Image {
        source,
        header: &header,
        animated: false,
        gamuts: Gamuts::Srgb,
        decoded: None,
    };
    let planned = plan(engine, image, transform, assets, cancel)?;
    let (mut plan, decoded) = (planned.plan, planned.decoded);
    let raster = match decoded {
        Some((eighths, raster)) if eighths == plan.eighths && header.format != MediaType::Svg => {
            raster
        }
        _ => first_picture(engine, source, &header, &mut plan, cancel)?,
    };
    warnings.extend(plan.warnings);
    apply(&plan.steps, raster, cancel)
}

/// A length as a fraction of what is drawn on, rounded half up; at least one pixel.
fn pixels(amount: Amount, whole: u32) -> u32 {
    match amount {
        Amount::Pixels(pixels) => pixels,
        Amount::Fraction(part) => ((f64::from(whole) * part + 0.5).floor() as u32).max(1),
    }
}
