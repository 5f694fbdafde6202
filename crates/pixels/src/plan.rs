//! Everything that can be decided by arithmetic before a pixel exists.

use std::sync::Arc;

use model::transform::{Amount, Colour};
use model::{Fit, Limits, MediaType, ResizeLight, Transform};

use resample::{Filter, Region};

use crate::colour::Gamuts;
use crate::geometry::{self, Canvas};
use crate::orientation::Orientation;
use crate::steps::{Step, Tone};
use crate::vision::Upscaler;
use crate::{Error, Header, Warning, decode};

/// Shrinking while decoding stops at this multiple of the size wanted (docs/decisions/0015).
const SHRINK_MARGIN: f64 = 1.24;

/// The same where each block becomes one sample, its mean: that shows earlier.
const SHRINK_MARGIN_OF_MEANS: f64 = 2.0;

/// The same where light is weighed, which a decoder never does.
const SHRINK_MARGIN_OF_LIGHT: f64 = 1.8;

/// What is done to an image.
#[derive(Debug)]
pub(crate) struct Plan {
    /// JPEG is decoded to so many eighths of its size.
    pub eighths: u32,
    /// What is done to each picture, in this order.
    pub steps: Vec<Step>,
    /// Pixels of the result.
    pub size: (u32, u32),
    /// What of the decoded picture is left of `trim`.
    pub seen: Region,
    /// How the decoded picture is turned.
    pub turn: Orientation,
    /// Pixels of what is left of `trim`, turned.
    pub image: (u32, u32),
    /// Whether the fit enlarges it.
    pub enlarges: bool,
    /// Width and height of what the fit takes of that.
    pub window: (f64, f64),
    pub warnings: Vec<Warning>,
    /// Whether the picture may keep a space wider than sRGB.
    pub gamuts: Gamuts,
}

/// A region in whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rect {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Rect {
    pub(crate) fn region(self) -> Region {
        Region {
            left: self.left.into(),
            top: self.top.into(),
            width: self.width.into(),
            height: self.height.into(),
        }
    }
}

impl Plan {
    /// `part` is what of the displayed image is used, where that depends on pixels. JPEG is decoded
    /// to `eighths_min` of its size at least, which is how far it was decoded already.
    pub(crate) fn new(
        header: &Header,
        transform: &Transform,
        part: Option<Rect>,
        eighths_min: u32,
        limits: &Limits,
        light: ResizeLight,
    ) -> Result<Self, Error> {
        let light = if transform.fast {
            ResizeLight::Gamma
        } else {
            light
        };
        let mut warnings = Vec::new();
        let kept = match part {
            Some(kept) => kept,
            None => trimmed(header, transform)?,
        };
        let turn = Orientation::from_options(transform.flip, transform.rotate);
        let image = turn.turn_size((kept.width, kept.height));
        let laid = lay(image, transform, &mut warnings);

        let inner = laid.size();
        let size = framed(transform, inner);
        let side_max = u64::from(limits.output_side_max);
        if size.0 > side_max || size.1 > side_max {
            return Err(Error::EnlargedTooMuch {
                width: size.0,
                height: size.1,
                maximum: side_max,
            });
        }
        if size.0 * size.1 > limits.pixels_max {
            return Err(Error::TooLarge {
                limit: "pixels_max",
                value: size.0 * size.1,
                maximum: limits.pixels_max,
            });
        }

        // The cut, from the scaled image back to the stored one.
        let across = f64::from(image.0) / laid.scaled.0 as f64;
        let down = f64::from(image.1) / laid.scaled.1 as f64;
        let cut = Region {
            left: laid.offset.0 as f64 * across,
            top: laid.offset.1 as f64 * down,
            width: laid.cut.0 as f64 * across,
            height: laid.cut.1 as f64 * down,
        };
        let mut region = turn.inverse().turn_region(cut, image);
        region.left += f64::from(kept.left);
        region.top += f64::from(kept.top);
        let display = header.turn();
        let region = display
            .inverse()
            .turn_region(region, (header.width, header.height));

        let whole_turn = display.then(turn);
        let cut_size = (laid.cut.0 as u32, laid.cut.1 as u32);
        let stored_target = whole_turn.turn_size(cut_size);
        let eighths = match header.format {
            MediaType::Jpeg => eighths(region, stored_target, light).max(eighths_min),
            _ => 8,
        };
        let region = in_decoded(region, eighths);
        let seen = stored(kept, header);
        let seen = in_decoded(seen, eighths);

        let mut steps = Vec::new();
        add_size(&mut steps, region, header, eighths, stored_target, light);
        if !whole_turn.is_none() {
            steps.push(Step::Turn(whole_turn));
        }
        add_background(&mut steps, transform, laid.canvas);
        add_filters(&mut steps, transform);
        if let Some(step) = frame_step(transform, inner, size) {
            steps.push(step);
        }
        Ok(Self {
            eighths,
            steps,
            size: (size.0 as u32, size.1 as u32),
            seen,
            turn: whole_turn,
            image,
            enlarges: laid.scaled.0 > u64::from(image.0) || laid.scaled.1 > u64::from(image.1),
            window: (cut.width, cut.height),
            warnings,
            gamuts: Gamuts::Srgb,
        })
    }

    /// Nothing but what makes the image stand upright.
    pub(crate) fn idle(header: &Header) -> Self {
        let (width, height) = header.stored_size();
        let turn = header.turn();
        let seen = Region {
            left: 0.0,
            top: 0.0,
            width: width.into(),
            height: height.into(),
        };
        let turns = (!turn.is_none()).then_some(Step::Turn(turn));
        Self {
            eighths: 8,
            steps: turns.into_iter().collect(),
            size: (header.width, header.height),
            seen,
            turn,
            image: (header.width, header.height),
            enlarges: false,
            window: (header.width.into(), header.height.into()),
            warnings: Vec::new(),
            gamuts: Gamuts::Srgb,
        }
    }

    /// Leaves enlarging to a model.
    pub(crate) fn generate(&mut self, upscaler: &Arc<dyn Upscaler>) {
        let upright = self.turn;
        for step in &mut self.steps {
            if let Step::Resize {
                region,
                width,
                height,
                ..
            } = *step
            {
                *step = Step::Generate {
                    upscaler: Arc::clone(upscaler),
                    region,
                    width,
                    height,
                    upright,
                };
            }
        }
    }

    /// Whether the fit cuts something off.
    pub(crate) fn crops(&self) -> bool {
        let (width, height) = (f64::from(self.image.0), f64::from(self.image.1));
        self.window.0 < width || self.window.1 < height
    }
}

/// A part of the displayed image in the stored one.
fn stored(part: Rect, header: &Header) -> Region {
    let size = (header.width, header.height);
    header.turn().inverse().turn_region(part.region(), size)
}

/// What `trim` by pixels and fractions leaves of the displayed image (section 2.6).
pub(crate) fn trimmed(header: &Header, transform: &Transform) -> Result<Rect, Error> {
    let trim = &transform.trim;
    let dpr = transform.dpr;
    let axis = |length: u32, before: Amount, after: Amount, kept: Option<Amount>| {
        let start = before.of(length, dpr);
        let mut end = length - after.of(length, dpr);
        if let Some(kept) = kept {
            end = end.min(start.saturating_add(kept.of(length, dpr)));
        }
        (start, end.saturating_sub(start))
    };
    let (left, width) = axis(header.width, trim.left, trim.right, trim.width);
    let (top, height) = axis(header.height, trim.top, trim.bottom, trim.height);
    if width == 0 || height == 0 {
        return Err(Error::Empty);
    }
    Ok(Rect {
        left,
        top,
        width,
        height,
    })
}

fn lay(
    image: (u32, u32),
    transform: &Transform,
    warnings: &mut Vec<Warning>,
) -> geometry::Geometry {
    let dpr = transform.dpr;
    let enlarged = |length: Option<u32>| {
        length.map(|length| ((f64::from(length) * dpr + 0.5).floor() as u64).max(1))
    };
    let side = |length, share: Option<f64>, own: u32| match share {
        Some(share) => Some(((f64::from(own) * share * dpr).round() as u64).max(1)),
        None => enlarged(length),
    };
    let target = (
        side(transform.width, transform.width_share, image.0),
        side(transform.height, transform.height_share, image.1),
    );
    if target.0.is_some() != target.1.is_some() {
        match transform.fit {
            Fit::Cover => warnings.push(Warning::CoverNeedsBoth),
            Fit::Pad => warnings.push(Warning::PadNeedsBoth),
            _ => {}
        }
    }
    let image = (u64::from(image.0), u64::from(image.1));
    geometry::fit(transform.fit, image, target, transform.gravity)
}

/// The smallest scale at which the region still has some more pixels than are wanted.
fn eighths(region: Region, (width, height): (u32, u32), light: ResizeLight) -> u32 {
    let wanted = (f64::from(width) / region.width).max(f64::from(height) / region.height);
    decode::jpeg::SCALES
        .into_iter()
        .find(|eighths| {
            let margin = match (light, eighths) {
                (ResizeLight::Linear, _) => SHRINK_MARGIN_OF_LIGHT,
                (ResizeLight::Gamma, 1) => SHRINK_MARGIN_OF_MEANS,
                (ResizeLight::Gamma, _) => SHRINK_MARGIN,
            };
            f64::from(*eighths) / 8.0 >= wanted * margin
        })
        .unwrap_or(8)
}

/// The region in the pixels which the decoder delivers. Its last column and row may stand for less than
/// the others, so that the whole picture is a part of a pixel smaller than what is delivered.
fn in_decoded(region: Region, eighths: u32) -> Region {
    let share = f64::from(eighths) / 8.0;
    Region {
        left: region.left * share,
        top: region.top * share,
        width: region.width * share,
        height: region.height * share,
    }
}

/// Cutting and resizing are one step, unless whole pixels are only cut out or nothing is to do.
fn add_size(
    steps: &mut Vec<Step>,
    region: Region,
    header: &Header,
    eighths: u32,
    (width, height): (u32, u32),
    light: ResizeLight,
) {
    let whole = |value: f64| (value - value.round()).abs() < 1e-6;
    let same_size = (region.width - f64::from(width)).abs() < 1e-6
        && (region.height - f64::from(height)).abs() < 1e-6;
    if eighths == 8 && same_size && whole(region.left) && whole(region.top) {
        if (width, height) != header.stored_size() {
            steps.push(Step::Cut(Rect {
                left: region.left.round() as u32,
                top: region.top.round() as u32,
                width,
                height,
            }));
        }
    } else {
        // Enlarging in linear light makes rings around what is dark.
        let light = match Filter::between(region, (width, height)) {
            Filter::CatmullRom => ResizeLight::Gamma,
            Filter::Lanczos3 => light,
        };
        steps.push(Step::Resize {
            region,
            width,
            height,
            light,
        });
    }
}

fn add_background(steps: &mut Vec<Step>, transform: &Transform, canvas: Option<Canvas>) {
    if let Some(colour) = transform.background {
        steps.push(Step::Underlay(colour));
    }
    if let Some(canvas) = canvas {
        steps.push(Step::Pad {
            width: canvas.size.0 as u32,
            height: canvas.size.1 as u32,
            left: canvas.offset.0 as u32,
            top: canvas.offset.1 as u32,
            colour: transform.background.unwrap_or(Colour::WHITE),
        });
    }
}

/// The size with the border around it, which is given in pixels before `dpr`.
fn framed(transform: &Transform, (width, height): (u64, u64)) -> (u64, u64) {
    let Some(frame) = transform.border else {
        return (width, height);
    };
    let pixels = |pixels: u32| (f64::from(pixels) * transform.dpr).round() as u64;
    (
        width + pixels(frame.left) + pixels(frame.right),
        height + pixels(frame.top) + pixels(frame.bottom),
    )
}

fn frame_step(transform: &Transform, inner: (u64, u64), size: (u64, u64)) -> Option<Step> {
    let frame = transform.border.filter(|_| size != inner)?;
    let pixels = |pixels: u32| (f64::from(pixels) * transform.dpr).round() as u32;
    Some(Step::Pad {
        width: size.0 as u32,
        height: size.1 as u32,
        left: pixels(frame.left),
        top: pixels(frame.top),
        colour: frame.colour,
    })
}

fn add_filters(steps: &mut Vec<Step>, transform: &Transform) {
    let tone = Tone {
        gamma: transform.gamma,
        brightness: transform.brightness,
        contrast: transform.contrast,
        saturation: transform.saturation,
    };
    if tone != Tone::NEUTRAL {
        steps.push(Step::Tone(tone));
    }
    // A radius below one pixel has no effect.
    if transform.blur >= 1.0 {
        steps.push(Step::Blur {
            sigma: transform.blur / 2.0,
        });
    }
    if transform.sharpen > 0.0 {
        steps.push(Step::Sharpen {
            amount: transform.sharpen,
        });
    }
}
