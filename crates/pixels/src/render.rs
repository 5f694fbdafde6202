use std::sync::Arc;

use model::transform::{Exif, Format, Quality, Upscale};
use model::{GammaDirection, Limits, MediaType, Policy, ResizeLight, Transform};

use crate::colour::{Gamut, Gamuts};
use crate::decode::{self, Animation};
use crate::encode::Target;
use crate::look::Look;
use crate::metadata::{self, Metadata};
use crate::overlay::{self, Assets};
use crate::plan::Plan;
use crate::raster::Raster;
use crate::steps::{Step, apply};
use crate::{
    Cancel, Engine, Error, Header, Rendition, RenditionFormat, Request, Warning, cost, describe,
    encode, negotiate, perceptual, planes, sanitise_svg, svg,
};

pub(crate) fn render(
    engine: &Engine,
    request: &Request<'_>,
    assets: &Assets<'_>,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    cancel.check()?;
    let Request {
        source, transform, ..
    } = *request;
    let limits = engine.limits();
    let header = engine.inspect_for(source, transform)?;
    if header.format == MediaType::Svg && header.width == 0 {
        return sanitised(source, transform, limits);
    }
    let animated = header.is_animated() && negotiate::keeps_animation(transform);
    cost::judge(cost::of_rendering(&header, transform, engine), limits)?;
    if animated
        && header.area() > limits.animation_transform_pixels_max
        && transform.format != Format::Json
    {
        return Ok(Rendition {
            bytes: match transform.exif {
                Exif::Keep => source.to_vec(),
                Exif::Copyright | Exif::None => {
                    metadata::undescribed(source, header.format, header.orientation)
                }
            },
            format: RenditionFormat::Image(header.format),
            width: header.width,
            height: header.height,
            warnings: vec![Warning::AnimationUntouched],
        });
    }
    let image = Image {
        source,
        header: &header,
        animated,
        gamuts: gamuts(engine, transform, animated),
        decoded: None,
    };
    let planned = plan(engine, image, transform, assets, cancel)?;
    let request = Request {
        transform: &planned.transform,
        ..*request
    };
    if transform.format == Format::Json {
        return describe::describe(engine, source, &header, planned, cancel);
    }
    written(
        engine,
        &request,
        &header,
        planned.plan,
        planned.decoded,
        animated,
        cancel,
    )
}

/// An image before it is planned what to do with it.
pub(crate) struct Image<'a> {
    pub source: &'a [u8],
    pub header: &'a Header,
    pub animated: bool,
    /// Whether it may keep a space wider than sRGB.
    pub gamuts: Gamuts,
    /// The first picture, if it was decoded, and to how many eighths of its size.
    pub decoded: Option<(u32, Raster)>,
}

/// A still picture may keep its space where its format can say so.
fn gamuts(engine: &Engine, transform: &Transform, animated: bool) -> Gamuts {
    let says_so = match transform.format {
        Format::Gif | Format::Rgb | Format::Rgba | Format::Json | Format::Svg => false,
        Format::Standard
        | Format::Auto
        | Format::Avif
        | Format::Webp
        | Format::Jpeg
        | Format::BaselineJpeg
        | Format::Png
        | Format::PngForce => true,
    };
    if engine.policy().wide_gamut && says_so && !animated {
        Gamuts::Kept
    } else {
        Gamuts::Srgb
    }
}

/// What is to be done with an image, and what had to be decoded to know that.
pub(crate) struct Planned {
    pub transform: Transform,
    pub plan: Plan,
    pub decoded: Option<(u32, Raster)>,
}

/// Plans one stage: from the options of the transform to steps, overlays included.
pub(crate) fn plan(
    engine: &Engine,
    image: Image<'_>,
    transform: &Transform,
    assets: &Assets<'_>,
    cancel: &Cancel,
) -> Result<Planned, Error> {
    let Image {
        source,
        header,
        animated,
        gamuts,
        decoded,
    } = image;
    let mut warnings = Vec::new();
    let transform = &settled(transform, engine.policy(), &mut warnings);
    let segmenter = match &engine.models().segmenter {
        _ if !transform.segment => None,
        Some(segmenter) => Some(Arc::clone(segmenter)),
        None => return Err(Error::Unavailable("segment=foreground")),
    };
    let mut look = Look {
        engine,
        source,
        header,
        animated,
        gamuts,
        cancel,
        decoded,
    };
    let (transform, part) = look.settle(transform, &mut warnings)?;
    let decoded = look.decoded;
    let eighths = decoded.as_ref().map_or(0, |(eighths, _)| *eighths);
    let light = engine.policy().resize_light;
    let mut plan = Plan::new(header, &transform, part, eighths, engine.limits(), light)?;
    // A drawing is as sharp as can be anyway.
    if plan.enlarges && transform.upscale == Upscale::Generate && header.format != MediaType::Svg {
        match &engine.models().upscaler {
            Some(upscaler) => plan.generate(upscaler),
            None => plan.warnings.push(Warning::NoUpscaler),
        }
    }
    if let Some(segmenter) = segmenter {
        let upright = plan.turn;
        plan.steps
            .insert(0, Step::Foreground { segmenter, upright });
    }
    if transform.format != Format::Json || transform.placeholders.any() {
        let draws = overlay::steps(engine, &transform.draw, assets, plan.size, cancel)?;
        plan.steps.extend(draws.steps);
        warnings.extend(draws.warnings);
    }
    plan.warnings.splice(0..0, warnings);
    plan.gamuts = gamuts;
    Ok(Planned {
        transform,
        plan,
        decoded,
    })
}

/// Takes the steps of the plan and encodes the result.
pub(crate) fn written(
    engine: &Engine,
    request: &Request<'_>,
    header: &Header,
    mut plan: Plan,
    decoded: Option<(u32, Raster)>,
    animated: bool,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    if animated {
        return animation(engine, request, header, plan, cancel);
    }
    if decoded.is_none()
        && let Some(rendition) = by_planes(engine, request, header, &plan, cancel)?
    {
        return Ok(rendition);
    }
    let raster = match decoded {
        Some((eighths, raster)) if eighths == plan.eighths && header.format != MediaType::Svg => {
            raster
        }
        _ => {
            if let Some(raster) =
                shrunk_in_light(engine, request.source, header, &mut plan, cancel)?
            {
                raster
            } else {
                first_picture(engine, request.source, header, &mut plan, cancel)?
            }
        }
    };
    still(engine, request, header, plan, raster, cancel)
}

/// The picture before the steps of the plan. A drawing is drawn as large as it is needed, which
/// takes the first step.
pub(crate) fn first_picture(
    engine: &Engine,
    source: &[u8],
    header: &Header,
    plan: &mut Plan,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let limits = engine.limits();
    if header.format != MediaType::Svg {
        let (eighths, gamuts) = (plan.eighths, plan.gamuts);
        return decode::first_picture_in(source, header, eighths, gamuts, limits, cancel);
    }
    let sized = match plan.steps.first() {
        Some(Step::Resize {
            region,
            width,
            height,
            ..
        }) => Some((*region, (*width, *height))),
        Some(Step::Cut(rect)) => Some((rect.region(), (rect.width, rect.height))),
        _ => None,
    };
    let drawing = match sized {
        Some((region, size)) => {
            plan.steps.remove(0);
            svg::draw(source, region, size, limits, cancel)?
        }
        None => svg::draw_whole(source, header, limits, cancel)?,
    };
    if drawing.lacks_pictures {
        plan.warnings.push(Warning::PicturesLeftOut);
    }
    Ok(drawing.raster.without_idle_alpha())
}

/// The picture after the first step of the plan, if that is to shrink a JPEG in linear light: from
/// its planes, so that it need never be there as a whole.
fn shrunk_in_light(
    engine: &Engine,
    source: &[u8],
    header: &Header,
    plan: &mut Plan,
    cancel: &Cancel,
) -> Result<Option<Raster>, Error> {
    let Some(Step::Resize {
        region,
        width,
        height,
        light: ResizeLight::Linear,
    }) = plan.steps.first()
    else {
        return Ok(None);
    };
    if header.format != MediaType::Jpeg {
        return Ok(None);
    }
    let Some(planes) = decode::jpeg::planes(source, plan.eighths, engine.limits(), cancel)? else {
        return Ok(None);
    };
    let raster = planes.resized_in_light(*region, (*width, *height));
    let raster = raster.transpose()?;
    if raster.is_some() {
        plan.steps.remove(0);
    }
    Ok(raster)
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

fn sanitised(source: &[u8], transform: &Transform, limits: &Limits) -> Result<Rendition, Error> {
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

/// From JPEG to a format which stores brightness and colour apart as well, with nothing done to
/// colours, no pixel need ever be RGB. `None` where that cannot be, and where a word for the quality
/// wants pixels to score.
fn by_planes(
    engine: &Engine,
    request: &Request<'_>,
    header: &Header,
    plan: &Plan,
    cancel: &Cancel,
) -> Result<Option<Rendition>, Error> {
    let Request {
        source,
        transform,
        accepts,
    } = *request;
    let scored = !matches!(transform.quality, None | Some(Quality::Number(_)));
    if header.format != MediaType::Jpeg || scored || !planes::can_take(&plan.steps) {
        return Ok(None);
    }
    let mut warnings = plan.warnings.clone();
    let (policy, size) = (engine.policy(), plan.size);
    let target = negotiate::target(
        transform,
        policy,
        accepts,
        false,
        false,
        size,
        &mut warnings,
    )?;
    let Some(share) = target.colour_share() else {
        return Ok(None);
    };
    let Some(planes) = decode::jpeg::planes(source, plan.eighths, engine.limits(), cancel)? else {
        return Ok(None);
    };
    cancel.check()?;
    let planes = planes.apply(&plan.steps, share)?;
    let (width, height) = planes.size();
    let metadata = metadata(source, header, transform, target, (width, height));
    let bytes = encode::planes(planes, target, &metadata, engine.avif(), cancel)?;
    Ok(Some(Rendition {
        bytes,
        format: target.format(),
        width,
        height,
        warnings,
    }))
}

fn still(
    engine: &Engine,
    request: &Request<'_>,
    header: &Header,
    plan: Plan,
    raster: Raster,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let Request {
        source,
        transform,
        accepts,
    } = *request;
    let mut gamut = raster.gamut;
    let mut steps = plan.steps;
    if gamut != Gamut::Srgb {
        for step in &mut steps {
            step.bring_into(gamut);
        }
    }
    let mut raster = apply(&steps, raster, cancel)?
        .without_idle_alpha()
        .in_gamut(gamut);
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
    let metadata = metadata(source, header, transform, target, (width, height));
    if gamut == Gamut::AdobeRgb && matches!(target, Target::Avif { .. }) {
        // Which has no number that AVIF could name.
        gamut = Gamut::Rec2020;
        raster = gamut.brought(&raster);
    }
    let settings = perceptual::Settings {
        background: transform.background.map(|colour| gamut.colour(colour)),
        metadata: &metadata,
        encoders: engine.avif(),
        limits: engine.limits(),
        cancel,
    };
    let bytes = perceptual::picture(raster, target, transform.quality, &settings)?;
    let bytes = encode::tagged(bytes, target, gamut)?;
    Ok(Rendition {
        bytes,
        format: target.format(),
        width,
        height,
        warnings,
    })
}

fn animation(
    engine: &Engine,
    request: &Request<'_>,
    header: &Header,
    plan: Plan,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let Request {
        source,
        transform,
        accepts,
    } = *request;
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
        format: target.format(),
        width,
        height,
        warnings,
    })
}

/// Only JPEG carries any (transformations.md, section 2.15).
fn metadata(
    source: &[u8],
    header: &Header,
    transform: &Transform,
    target: Target,
    size: (u32, u32),
) -> Metadata {
    match target {
        Target::Jpeg { .. } => Metadata::kept(source, header.format, transform.exif, size),
        _ => Metadata::default(),
    }
}
