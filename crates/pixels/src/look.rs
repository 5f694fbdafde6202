//! What has to be looked at before it can be planned: borders, faces, and what is salient. The
//! picture is decoded for it once, and what was decoded is used again for the rendition.

use model::transform::{Border, Format, Gravity};
use model::{Fit, ResizeLight, Transform};
use resample::{Filter, Region, Samples};

use crate::attention::{self, Part};
use crate::colour::Gamuts;
use crate::decode::{self, Animation};
use crate::orientation::Orientation;
use crate::plan::{Plan, Rect, trimmed};
use crate::raster::Raster;
use crate::steps::{border, flatten, resize, turn};
use crate::vision::{Picture, Segmenter};
use crate::{Cancel, Engine, Error, Header, Warning};

/// Pixels of the longest side of what a segmenter looks at.
const SEGMENT_SIDE: u32 = 1_024;

/// Whether pixels decide on what is done.
pub(crate) fn is_needed(transform: &Transform) -> bool {
    transform.trim.border.is_some()
        || matches!(
            transform.gravity,
            Gravity::Auto | Gravity::Entropy | Gravity::Face
        )
}

/// An image which is looked at.
pub(crate) struct Look<'a> {
    pub engine: &'a Engine,
    pub source: &'a [u8],
    pub header: &'a Header,
    pub animated: bool,
    pub gamuts: Gamuts,
    pub cancel: &'a Cancel,
    /// The first picture, if it was decoded, and to how many eighths of its size.
    pub decoded: Option<(u32, Raster)>,
}

impl Look<'_> {
    /// The transform with a gravity which arithmetic can follow, and the part of the displayed image
    /// which is used, if pixels decide on it.
    pub(crate) fn settle(
        &mut self,
        transform: &Transform,
        warnings: &mut Vec<Warning>,
    ) -> Result<(Transform, Option<Rect>), Error> {
        let part = match transform.trim.border {
            Some(border) => Some(self.without_border(transform, border)?),
            None => None,
        };
        let mut transform = transform.clone();
        let asked = transform.gravity;
        if !matches!(asked, Gravity::Auto | Gravity::Entropy | Gravity::Face) {
            return Ok((transform, part));
        }
        transform.gravity = Gravity::CENTER;
        let detector = self.engine.models().faces.clone();
        // Of an image which is only described, the size alone matters.
        let zooms = asked == Gravity::Face && detector.is_some() && may_zoom(&transform);
        let plan = self.plan(&transform, part)?;
        if !zooms && (!plan.crops() || transform.format == Format::Json) {
            return Ok((transform, part));
        }
        let (image, window) = (plan.image, plan.window);
        let share = (window.0 / f64::from(image.0), window.1 / f64::from(image.1));
        match (asked, detector) {
            (Gravity::Entropy, _) => {
                let picture = self.thumbnail(&plan, &transform, attention::THUMBNAIL_SIDE)?;
                transform.gravity = attention::most_entropic(&picture, share);
            }
            (Gravity::Face, Some(detector)) => {
                let picture = self.thumbnail(&plan, &transform, attention::FACES_SIDE)?;
                let faces = detector.faces(as_picture(&picture), self.cancel);
                self.cancel.check()?;
                if let Some(faces) = attention::around(&faces, picture.size()) {
                    if zooms {
                        let zoom = transform.zoom;
                        let kept = attention::around_faces(faces, zoom, window, image);
                        let kept = self.zoomed(&transform, part, kept)?;
                        return Ok((transform, Some(kept)));
                    }
                    transform.gravity = Gravity::BoxCenter {
                        x: faces.left + faces.width / 2.0,
                        y: faces.top + faces.height / 2.0,
                    };
                }
            }
            (asked, _) => {
                if asked == Gravity::Face {
                    warnings.push(Warning::NoDetector);
                }
                let picture = self.thumbnail(&plan, &transform, attention::THUMBNAIL_SIDE)?;
                transform.gravity = attention::most_salient(&picture, share);
            }
        }
        Ok((transform, part))
    }

    fn plan(&self, transform: &Transform, part: Option<Rect>) -> Result<Plan, Error> {
        let eighths = self.decoded.as_ref().map_or(0, |(eighths, _)| *eighths);
        let limits = self.engine.limits();
        let light = self.engine.policy().resize_light;
        Plan::new(self.header, transform, part, eighths, limits, light)
    }

    /// What is left of `trim`, turned as it will be shown, small and without alpha.
    fn thumbnail(
        &mut self,
        plan: &Plan,
        transform: &Transform,
        side: u32,
    ) -> Result<Raster, Error> {
        let size = plan.turn.turn_size(within(plan.image, side));
        let seen = plan.seen;
        let upright = plan.turn;
        let raster = self.first_picture(plan.eighths)?;
        let small = resize(raster, seen, size, ResizeLight::Gamma)?;
        let small = flatten(small, transform.background);
        self.cancel.check()?;
        Ok(turned(small, upright))
    }

    /// The first picture as it is stored, at so many eighths of its size.
    fn first_picture(&mut self, eighths: u32) -> Result<&Raster, Error> {
        let raster = match self.decoded.take() {
            Some((known, raster)) if known == eighths => raster,
            _ if self.animated => {
                let mut frames = Animation::new(self.source, self.header)?;
                let first = frames.next(self.cancel)?;
                first.ok_or_else(|| Error::corrupt("no picture"))?.raster
            }
            _ => {
                let limits = self.engine.limits();
                decode::first_picture_in(
                    self.source,
                    self.header,
                    eighths,
                    self.gamuts,
                    limits,
                    self.cancel,
                )?
            }
        };
        Ok(&self.decoded.insert((eighths, raster)).1)
    }

    /// A part of the turned image as a part of the displayed one, in whole pixels.
    fn zoomed(&self, transform: &Transform, part: Option<Rect>, kept: Part) -> Result<Rect, Error> {
        let whole = match part {
            Some(part) => part,
            None => trimmed(self.header, transform)?,
        };
        let asked = Orientation::from_options(transform.flip, transform.rotate);
        let region = Region {
            left: kept.left.round(),
            top: kept.top.round(),
            width: kept.width.round().max(1.0),
            height: kept.height.round().max(1.0),
        };
        let turned = asked.turn_size((whole.width, whole.height));
        let region = asked.inverse().turn_region(region, turned);
        let side = |start: f64, length: f64, whole: u32| {
            let start = (start.max(0.0) as u32).min(whole - 1);
            (start, (length as u32).clamp(1, whole - start))
        };
        let (left, width) = side(region.left, region.width, whole.width);
        let (top, height) = side(region.top, region.height, whole.height);
        Ok(Rect {
            left: whole.left + left,
            top: whole.top + top,
            width,
            height,
        })
    }

    /// What border trimming leaves of the displayed image: of all frames together.
    fn without_border(&mut self, transform: &Transform, border: Border) -> Result<Rect, Error> {
        let within = trimmed(self.header, transform)?;
        let keep = (f64::from(border.keep) * transform.dpr).round() as u32;
        let upright = self.header.turn();
        if !self.animated {
            let raster = self.first_picture(8)?;
            if upright.is_none() {
                return Ok(border::inside(raster, within, border, keep));
            }
            return Ok(border::inside(&turn(raster, upright), within, border, keep));
        }
        let mut frames = Animation::new(self.source, self.header)?;
        let mut whole: Option<Rect> = None;
        while let Some(frame) = frames.next(self.cancel)? {
            let raster = turned(frame.raster, upright);
            let rect = border::inside(&raster, within, border, keep);
            whole = Some(whole.map_or(rect, |whole| border::union(whole, rect)));
        }
        Ok(whole.unwrap_or(within))
    }
}

/// Whether `zoom` changes what is cut: only where there is a box to cut to.
fn may_zoom(transform: &Transform) -> bool {
    transform.zoom > 0.0
        && transform.width.is_some()
        && transform.height.is_some()
        && matches!(transform.fit, Fit::Cover | Fit::Crop | Fit::AspectCrop)
}

/// Where the subject is, 255 for all of it, in the picture turned as it will be shown, which is how
/// models know the world; and the size of the mask.
pub(crate) fn mask(
    segmenter: &dyn Segmenter,
    raster: &Raster,
    upright: Orientation,
    cancel: &Cancel,
) -> Result<((u32, u32), Vec<u8>), Error> {
    let size = within(raster.size(), SEGMENT_SIDE);
    let small = resize(raster, whole(raster.size()), size, ResizeLight::Gamma)?;
    let small = turned(flatten(small, None), upright);
    let mask = segmenter
        .foreground(as_picture(&small), cancel)
        .filter(|mask| mask.len() == small.width as usize * small.height as usize)
        .ok_or(Error::Unavailable("segment=foreground"))?;
    cancel.check()?;
    Ok((small.size(), mask))
}

/// The picture with everything but its subject made transparent. `upright` turns it as it will be
/// shown.
pub(crate) fn foreground(
    segmenter: &dyn Segmenter,
    raster: Raster,
    upright: Orientation,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let (turned_size, mask) = mask(segmenter, &raster, upright, cancel)?;
    let turned_size = (turned_size.0 as usize, turned_size.1 as usize);
    let size = within(raster.size(), SEGMENT_SIDE);
    let (width, height) = (size.0 as usize, size.1 as usize);
    let back = upright.inverse();
    let mask: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).map(move |x| back.origin(x, y, turned_size)))
        .filter_map(|(x, y)| mask.get(y * turned_size.0 + x).copied())
        .collect();
    let samples = Samples {
        width: size.0,
        height: size.1,
        channels: 1,
        data: &mask,
    };
    let mask = resample::resize(samples, whole(size), raster.size(), Filter::CatmullRom)
        .map_err(Error::encode)?;
    let mut raster = raster.with_alpha();
    let (pixels, _) = raster.data.as_chunks_mut::<4>();
    for (pixel, mask) in pixels.iter_mut().zip(mask) {
        pixel[3] = ((u16::from(pixel[3]) * u16::from(mask) + 127) / 255) as u8;
    }
    Ok(raster)
}

fn as_picture(raster: &Raster) -> Picture<'_> {
    Picture {
        width: raster.width,
        height: raster.height,
        rgb: &raster.data,
    }
}

fn turned(raster: Raster, orientation: Orientation) -> Raster {
    if orientation.is_none() {
        return raster;
    }
    turn(&raster, orientation)
}

fn whole((width, height): (u32, u32)) -> Region {
    Region {
        left: 0.0,
        top: 0.0,
        width: f64::from(width),
        height: f64::from(height),
    }
}

/// The size shrunk so far that no side is longer.
fn within((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let length =
            (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        (length as u32).max(1)
    };
    (scaled(width), scaled(height))
}
