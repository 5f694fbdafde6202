//! A description instead of a picture (transformations.md, section 3.7).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::Transform;

use crate::raster::Raster;
use crate::render::Planned;
use crate::steps::apply;
use crate::{
    Cancel, Engine, Error, Header, Rendition, RenditionFormat, decode, encode, look, placeholder,
};

/// Whether the description of an image needs its pixels, besides for its size.
pub(crate) fn needs_pixels(transform: &Transform) -> bool {
    transform.placeholders.any() || transform.segment
}

pub(crate) fn describe(
    engine: &Engine,
    source: &[u8],
    header: &Header,
    planned: Planned,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let Planned {
        transform,
        plan,
        decoded,
    } = planned;
    let (width, height) = plan.size;
    let frames = if header.is_animated() && transform.anim {
        format!(r#","frames":{}"#, header.frames)
    } else {
        String::new()
    };
    let mut text = format!(
        r#"{{"width":{width},"height":{height},"original":{{"file_size":{},"width":{},"height":{},"format":"{}"{frames}}}"#,
        source.len(),
        header.width,
        header.height,
        header.format,
    );
    if needs_pixels(&transform) {
        let raster = match decoded {
            Some((eighths, raster)) if eighths == plan.eighths => raster,
            _ => decode::first_picture(source, header, plan.eighths, engine.limits(), cancel)?,
        };
        if let Some(segmenter) = &engine.models().segmenter
            && transform.segment
        {
            let (size, mask) = look::mask(&**segmenter, &raster, plan.turn, cancel)?;
            text.push_str(&segment(size, mask)?);
        }
        if transform.placeholders.any() {
            let raster = apply(&plan.steps, raster, cancel)?;
            let members = placeholder::describe(&raster, transform.placeholders)?;
            let _ = write!(text, r#","placeholder":{{{members}}}"#);
        }
    }
    text.push('}');
    Ok(Rendition {
        bytes: text.into_bytes(),
        format: RenditionFormat::Json,
        width,
        height,
        warnings: plan.warnings,
    })
}

/// The subject of the picture as a grey PNG, upright and before it is cut or resized.
fn segment((width, height): (u32, u32), mask: Vec<u8>) -> Result<String, Error> {
    let grey = mask.into_iter().flat_map(|value| [value; 3]).collect();
    let png = encode::png::encode(&Raster::new(width, height, 3, grey), None)?;
    let mask = BASE64_STANDARD.encode(png);
    Ok(format!(
        r#","segment":{{"mask":"{mask}","width":{width},"height":{height},"upscale_filter":"catrom"}}"#
    ))
}
