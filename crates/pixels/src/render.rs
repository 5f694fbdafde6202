use model::transform::{Border, Format};
use model::{GammaDirection, Limits, MediaType, Policy, Transform};

use crate::decode::{self, Animation};
use crate::orientation::Orientation;
use crate::plan::{Plan, Rect, trimmed};
use crate::raster::Raster;
use crate::steps::{Step, border};
use crate::{
    Accepts, Cancel, Engine, Error, Header, Rendition, RenditionFormat, Request, Warning, encode,
    exif, inspect, negotiate, sanitise_svg,
};

pub(crate) fn render(
    engine: &Engine,
    request: &Request<'_>,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    cancel.check()?;
    let Request {
        source,
        transform,
        accepts,
    } = *request;
    let limits = engine.limits();
    let header = engine.inspect(source)?;
    if header.format == MediaType::Svg {
        return svg(source, transform, limits);
    }
    let mut warnings = Vec::new();
    let transform = &settled(transform, engine.policy(), &mut warnings);
    if transform.segment {
        return Err(Error::Unavailable("segment=foreground"));
    }
    let animated = header.is_animated() && negotiate::keeps_animation(transform);
    if animated
        && header.area() > limits.animation_transform_pixels_max
        && transform.format != Format::Json
    {
        return Ok(Rendition {
            bytes: source.to_vec(),
            format: RenditionFormat::Image(header.format),
            width: header.width,
            height: header.height,
            warnings: vec![Warning::AnimationUntouched],
        });
    }
    let kept = match transform.trim.border {
        Some(border) => Some(without_border(
            source, &header, transform, border, animated, limits, cancel,
        )?),
        None => None,
    };
    let mut plan = Plan::new(&header, transform, kept, limits)?;
    plan.warnings.splice(0..0, warnings);
    if transform.format == Format::Json {
        return Ok(describe(source, &header, transform, plan));
    }
    if animated {
        animation(engine, source, &header, transform, accepts, plan, cancel)
    } else {
        still(engine, source, &header, transform, accepts, plan, cancel)
    }
}

/// With the preferences of the operator applied.
fn settled(transform: &Transform, policy: &Policy, warnings: &mut Vec<Warning>) -> Transform {
    let mut transform = transform.clone().resolve_width(None, false);
    if transform.dpr > policy.dpr_max {
        warnings.push(Warning::DprTooLarge);
        transform.dpr = policy.dpr_max;
    }
    if policy.gamma == GammaDirection::Legacy {
        transform.gamma = 1.0 / transform.gamma;
    }
    transform
}

fn svg(source: &[u8], transform: &Transform, limits: &Limits) -> Result<Rendition, Error> {
    let (bytes, format) = match transform.format {
        Format::Json => (
            br#"{"original":{"format":"image/svg+xml"}}"#.to_vec(),
            RenditionFormat::Json,
        ),
        _ => (
            sanitise_svg(source, limits)?,
            RenditionFormat::Image(MediaType::Svg),
        ),
    };
    Ok(Rendition {
        bytes,
        format,
        width: 0,
        height: 0,
        warnings: Vec::new(),
    })
}

fn still(
    engine: &Engine,
    source: &[u8],
    header: &Header,
    transform: &Transform,
    accepts: Accepts,
    plan: Plan,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let limits = engine.limits();
    let raster = decode::first_picture(source, header, plan.eighths, limits, cancel)?;
    let raster = apply(&plan.steps, raster, cancel)?.without_idle_alpha();
    let mut warnings = plan.warnings;
    let target = negotiate::target(
        transform,
        engine.policy(),
        accepts,
        false,
        raster.has_alpha(),
        raster.size(),
        &mut warnings,
    )?;
    let (width, height) = raster.size();
    let exif = source_exif(source, header.format)
        .and_then(|exif| exif::kept(exif, transform.exif, (width, height)));
    let background = transform.background;
    let bytes = encode::picture(
        raster,
        target,
        background,
        exif.as_deref(),
        engine.avif(),
        cancel,
    )?;
    Ok(Rendition {
        bytes,
        format: RenditionFormat::Image(target.format()),
        width,
        height,
        warnings,
    })
}

fn animation(
    engine: &Engine,
    source: &[u8],
    header: &Header,
    transform: &Transform,
    accepts: Accepts,
    plan: Plan,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let mut frames = Animation::new(source, header)?;
    let mut warnings = plan.warnings;
    let (width, height) = plan.size;
    let target = negotiate::target(
        transform,
        engine.policy(),
        accepts,
        true,
        false,
        plan.size,
        &mut warnings,
    )?;
    let mut encoded = encode::Animation::new(target, plan.size, frames.plays(), cancel)?;
    while let Some(mut frame) = frames.next(cancel)? {
        frame.raster = apply(&plan.steps, frame.raster.without_idle_alpha(), cancel)?;
        encoded.add(frame)?;
    }
    Ok(Rendition {
        bytes: encoded.finish()?,
        format: RenditionFormat::Image(target.format()),
        width,
        height,
        warnings,
    })
}

fn apply(steps: &[Step], raster: Raster, cancel: &Cancel) -> Result<Raster, Error> {
    steps.iter().try_fold(raster, |raster, step| {
        cancel.check()?;
        step.apply(raster)
    })
}

/// What border trimming leaves of the displayed image: of all frames together.
fn without_border(
    source: &[u8],
    header: &Header,
    transform: &Transform,
    border: Border,
    animated: bool,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Rect, Error> {
    let within = trimmed(header, transform)?;
    let keep = (f64::from(border.keep) * transform.dpr).round() as u32;
    let inside = |raster: Raster| -> Result<Rect, Error> {
        let turn: Orientation = header.turn();
        let raster = if turn.is_none() {
            raster
        } else {
            Step::Turn(turn).apply(raster)?
        };
        Ok(border::inside(&raster, within, border, keep))
    };
    if !animated {
        return inside(decode::first_picture(source, header, 8, limits, cancel)?);
    }
    let mut frames = Animation::new(source, header)?;
    let mut whole: Option<Rect> = None;
    while let Some(frame) = frames.next(cancel)? {
        let rect = inside(frame.raster)?;
        whole = Some(whole.map_or(rect, |whole| border::union(whole, rect)));
    }
    Ok(whole.unwrap_or(within))
}

/// The description of transformations.md, section 3.7.
fn describe(source: &[u8], header: &Header, transform: &Transform, plan: Plan) -> Rendition {
    let (width, height) = plan.size;
    let frames = if header.is_animated() && transform.anim {
        format!(r#","frames":{}"#, header.frames)
    } else {
        String::new()
    };
    let text = format!(
        r#"{{"width":{width},"height":{height},"original":{{"file_size":{},"width":{},"height":{},"format":"{}"{frames}}}}}"#,
        source.len(),
        header.width,
        header.height,
        header.format,
    );
    Rendition {
        bytes: text.into_bytes(),
        format: RenditionFormat::Json,
        width,
        height,
        warnings: plan.warnings,
    }
}

fn source_exif(source: &[u8], format: MediaType) -> Option<&[u8]> {
    match format {
        MediaType::Jpeg => inspect::jpeg::exif(source),
        MediaType::Png => inspect::png::exif(source),
        MediaType::Webp => inspect::webp::exif(source),
        _ => None,
    }
}
