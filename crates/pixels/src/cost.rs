//! How much memory and work a job takes, told from its header before anything is decoded. Of memory it
//! is an estimate from above for pictures of some size; what small ones need besides is in
//! `SPARE_BYTES`. Of work it is a rough one, which tells quick jobs from giants.

use model::transform::{Format, Quality, Upscale};
use model::{Fit, Limits, MediaType, Transform};

use crate::plan::Plan;
use crate::{Accepts, Engine, Error, Header, describe, look, negotiate, perceptual, svg};

/// Tables of codecs and of profiles, and what else does not grow with the picture.
const SPARE_BYTES: u64 = 4 * 1024 * 1024;
/// The small picture which is searched for what is salient, and the sums over it.
const LOOK_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes for each pixel which is made: the picture between two steps, before and after, and what its
/// encoder keeps.
const MADE_BYTES: u64 = 16;

/// Bytes for each pixel which is compared with what an encoder made of it: planes of floats of both, at
/// six sizes.
const SCORED_BYTES: u64 = 128;

/// Bytes for each pixel which is decoded: what the decoder keeps, and the picture before and after its
/// colours are converted.
fn decoded_bytes(format: MediaType) -> u64 {
    match format {
        MediaType::Jpeg | MediaType::Bmp | MediaType::Ico => 8,
        // The canvas and the frame on it; four samples of 16 bits where their rows are interlaced.
        MediaType::Gif | MediaType::Webp | MediaType::Png => 12,
        // Planes of 16 bits, also as they were before their edges were smoothed.
        MediaType::Avif | MediaType::Heic => 26,
        // Up to four samples of 32 bits.
        MediaType::Tiff => 24,
        // Floats, of which some layers are blended.
        MediaType::Jxl => 44,
        MediaType::Svg => svg::BYTES_PER_PIXEL,
    }
}

/// Bytes which decoding takes, JPEG at so many `eighths` of its size. A progressive one is held as
/// coefficients of its full size.
pub(crate) fn of_decoding(header: &Header, eighths: u32) -> u64 {
    let area = u64::from(header.width) * u64::from(header.height);
    let eighths = u64::from(eighths);
    let spare = match header.format {
        // Without a size it is not drawn.
        MediaType::Svg if area > 0 => SPARE_BYTES + svg::BYTES,
        _ => SPARE_BYTES,
    };
    let (decoded, coefficients) = match header.format {
        MediaType::Jpeg => (area * eighths * eighths / 64, area * 6),
        _ => (area, 0),
    };
    decoded * decoded_bytes(header.format) + coefficients + spare
}

/// Bytes which a rendering takes besides its source.
pub(crate) fn of_rendering(header: &Header, transform: &Transform, engine: &Engine) -> u64 {
    if transform.format == Format::Json
        && transform.trim.border.is_none()
        && !describe::needs_pixels(transform)
    {
        return SPARE_BYTES;
    }
    // Without a plan there is an error to come, which is cheap.
    let (limits, light) = (engine.limits(), engine.policy().resize_light);
    let plan = Plan::new(header, transform, None, 0, limits, light).ok();
    let looks_closer = look::is_needed(transform);
    let eighths = plan
        .as_ref()
        .filter(|_| !looks_closer)
        .map_or(8, |plan| plan.eighths);
    let size = plan.map_or((0, 0), |plan| plan.size);
    let made = u64::from(size.0) * u64::from(size.1);
    let look = if looks_closer { LOOK_BYTES } else { 0 };
    // What a model makes has at most twice the sides which are wanted, unless one of them shrinks.
    let generated = match &engine.models().upscaler {
        Some(_) if transform.upscale == Upscale::Generate => match transform.fit {
            Fit::Squeeze => header.area() * 16 * MADE_BYTES,
            _ => made * 4 * MADE_BYTES,
        },
        _ => 0,
    };
    let drawn;
    let header = if header.format == MediaType::Svg && !looks_closer && !transform.segment {
        // It is drawn at the size at which it is needed.
        drawn = Header {
            width: made.min(u32::MAX.into()) as u32,
            height: u32::from(header.width > 0),
            ..header.clone()
        };
        &drawn
    } else {
        header
    };
    let scored = if perceptual::is_needed(transform) {
        perceptual::scored_area(size) * SCORED_BYTES
    } else {
        0
    };
    of_decoding(header, eighths) + made * MADE_BYTES + generated + look + scored
}

/// Work of drawing a pixel of an SVG, on which several shapes may lie.
const DRAWING_WORK: u64 = 20;
/// Work of a pixel which a model makes.
const GENERATING_WORK: u64 = 1_000;

/// Work of a rendering, in pixels of a JPEG which is decoded: those of its stages, each by what a pixel
/// takes there.
pub(crate) fn of_work(
    header: &Header,
    transform: &Transform,
    accepts: Accepts,
    engine: &Engine,
) -> u64 {
    let (limits, light) = (engine.limits(), engine.policy().resize_light);
    let Ok(plan) = Plan::new(header, transform, None, 0, limits, light) else {
        return 0;
    };
    if transform.format == Format::Json
        && transform.trim.border.is_none()
        && !describe::needs_pixels(transform)
    {
        return 0;
    }
    let animated = header.is_animated() && negotiate::keeps_animation(transform);
    let frames = if animated {
        u64::from(header.frames)
    } else {
        1
    };
    let area = u64::from(header.width) * u64::from(header.height);
    let made = u64::from(plan.size.0) * u64::from(plan.size.1);
    let searches = match transform.quality {
        Some(Quality::Number(_)) | None => 1,
        // The number is searched by trying.
        Some(_) => 4,
    };
    let encoded = match transform.format {
        Format::Json | Format::Rgb | Format::Rgba | Format::Svg => 1,
        _ if animated => 30,
        Format::Avif => 50,
        Format::Auto if accepts.avif => 50,
        Format::Webp => 20,
        Format::Auto if accepts.webp => 20,
        Format::Png | Format::PngForce | Format::Gif => 30,
        Format::Jpeg | Format::BaselineJpeg => 5,
        Format::Standard | Format::Auto => match header.format {
            MediaType::Png | MediaType::Webp | MediaType::Gif | MediaType::Svg => 30,
            _ => 5,
        },
    };
    let steps = 2 * plan.steps.len() as u64;
    let drawn = if header.format == MediaType::Svg {
        DRAWING_WORK
    } else {
        0
    };
    let generated = match &engine.models().upscaler {
        Some(_) if transform.upscale == Upscale::Generate && plan.enlarges => GENERATING_WORK,
        _ => 0,
    };
    let each = area * decoding_work(header.format)
        + made * (drawn + generated + steps + encoded * searches);
    each.saturating_mul(frames)
}

/// Work of decoding a pixel.
fn decoding_work(format: MediaType) -> u64 {
    match format {
        MediaType::Jpeg => 1,
        MediaType::Tiff | MediaType::Bmp | MediaType::Ico => 2,
        MediaType::Png | MediaType::Gif | MediaType::Webp => 4,
        MediaType::Avif => 6,
        MediaType::Heic => 12,
        MediaType::Jxl => 20,
        // It is drawn at the size which is made.
        MediaType::Svg => 0,
    }
}

/// Bytes of a picture which waits to be drawn.
pub(crate) fn of_holding((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height) * 4
}

/// Bytes which making a picture of this size takes.
pub(crate) fn of_making((width, height): (u32, u32)) -> u64 {
    u64::from(width) * u64::from(height) * MADE_BYTES
}

/// Refuses what takes more than one job may.
pub(crate) fn judge(bytes: u64, limits: &Limits) -> Result<(), Error> {
    if bytes > limits.render_bytes_max {
        return Err(Error::TooLarge {
            limit: "render_bytes_max",
            value: bytes,
            maximum: limits.render_bytes_max,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(format: MediaType) -> Header {
        Header {
            format,
            width: 4000,
            height: 3000,
            frames: 1,
            orientation: 1,
        }
    }

    #[test]
    fn the_cost_follows_what_is_decoded_and_made() {
        let engine = Engine::default();
        let cost = |format, options: &str| {
            let transform: Transform = options.parse().unwrap();
            of_rendering(&header(format), &transform, &engine) - SPARE_BYTES
        };
        let (area, small) = (12_000_000, 400 * 300 * MADE_BYTES);
        assert_eq!(cost(MediaType::Png, "width=400"), area * 12 + small);
        assert_eq!(cost(MediaType::Tiff, "width=400"), area * 24 + small);
        let scored = cost(MediaType::Png, "width=400,quality=high");
        assert_eq!(scored, area * 12 + small + 400 * 300 * SCORED_BYTES);
        // Of a large one two parts of each side are compared.
        let scored = cost(MediaType::Png, "quality=low") - cost(MediaType::Png, "quality=60");
        assert_eq!(scored, 704 * 704 * SCORED_BYTES);
        // At two eighths of its sides, which is a sixteenth of its area.
        let jpeg = area / 16 * 8 + area * 6 + small;
        assert_eq!(cost(MediaType::Jpeg, "width=400"), jpeg);
        assert_eq!(cost(MediaType::Jpeg, "format=json"), 0);
        assert_eq!(cost(MediaType::Jpeg, "format=webp"), area * (8 + 6 + 16));
    }

    #[test]
    fn thumbnails_are_less_work_than_what_is_made_of_much_or_into_avif() {
        let engine = Engine::default();
        let work = |format, options: &str, avif| {
            let transform: Transform = options.parse().unwrap();
            let accepts = Accepts { avif, webp: false };
            of_work(&header(format), &transform, accepts, &engine)
        };
        let thumbnail = work(MediaType::Jpeg, "width=200,format=auto", false);
        assert!((12_000_000..13_000_000).contains(&thumbnail), "{thumbnail}");
        let avif = work(MediaType::Jpeg, "width=1200,format=auto", true);
        assert!(avif > 12_000_000 + 50 * 1_080_000 - 1, "{avif}");
        let tried = work(
            MediaType::Jpeg,
            "width=1200,format=avif,quality=high",
            false,
        );
        assert!(tried > 3 * avif, "{tried}");
        assert!(work(MediaType::Jxl, "width=20", false) > 240_000_000);
        assert_eq!(work(MediaType::Jxl, "format=json", false), 0);
        let animated = Header {
            frames: 10,
            ..header(MediaType::Gif)
        };
        let transform = "width=20".parse().unwrap();
        let animated = of_work(&animated, &transform, Accepts::default(), &engine);
        assert!(animated > 10 * 48_000_000, "{animated}");
    }

    #[test]
    fn one_job_may_take_so_much() {
        let limits = Limits {
            render_bytes_max: 10,
            ..Limits::default()
        };
        assert_eq!(judge(10, &limits), Ok(()));
        let refused = judge(11, &limits).map_err(|error| error.to_string());
        assert!(refused.unwrap_err().contains("render_bytes_max is 11"));
    }
}
