//! Which format a rendition has (transformations.md, sections 3.3 to 3.5).

use model::transform::{Format, Quality};
use model::{Policy, Transform};

use crate::encode::Target;
use crate::{Error, Warning};

/// Areas for which a JPEG is sequential in any case, in pixels: tiny ones gain nothing from
/// progression, and huge ones cost decoders too much memory.
const PROGRESSIVE_AREA_MIN: u64 = 50 * 50;
const PROGRESSIVE_AREA_MAX: u64 = 3000 * 3000;

/// The formats which the client accepts beyond those that everybody does. Only a media type which
/// `Accept` names counts; a wildcard does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Accepts {
    /// `image/avif`
    pub avif: bool,
    /// `image/webp`
    pub webp: bool,
}

/// What is written for a transform, once it is known whether the pixels need alpha.
pub(crate) fn target(
    transform: &Transform,
    policy: &Policy,
    accepts: Accepts,
    animated: bool,
    has_alpha: bool,
    (width, height): (u32, u32),
    warnings: &mut Vec<Warning>,
) -> Result<Target, Error> {
    let area = u64::from(width) * u64::from(height);
    let progressive =
        (PROGRESSIVE_AREA_MIN..=PROGRESSIVE_AREA_MAX).contains(&area) && !transform.fast;
    let quality = transform.quality.map_or(Quality::DEFAULT, Quality::number);
    let jpeg = Target::Jpeg {
        progressive,
        quality,
    };
    let png = Target::Png {
        quality: transform.quality.map(Quality::number),
    };
    let webp = Target::Webp { quality };
    let standard = match (animated, has_alpha) {
        (true, _) => Target::Gif,
        (false, true) => png,
        (false, false) => jpeg,
    };
    let avif = Target::Avif { quality };
    let fallback = if accepts.webp { webp } else { standard };
    let side = width.max(height);
    Ok(match transform.format {
        Format::Rgb => Target::Raw { alpha: false },
        Format::Rgba => Target::Raw { alpha: true },
        // The quickest encoder, whatever was asked for by name.
        _ if transform.fast && !animated && !has_alpha => jpeg,
        Format::Auto if accepts.avif && !animated && side <= policy.avif_side_auto => avif,
        Format::Auto if accepts.avif && !animated => {
            warnings.push(Warning::TooLargeForAvif);
            fallback
        }
        Format::Auto if accepts.webp => webp,
        // A description has no pixels, so for JSON this does not matter.
        Format::Standard | Format::Auto | Format::Json => standard,
        // Frames are kept, which AVIF has not here.
        Format::Avif if animated => fallback,
        Format::Avif if side <= policy.avif_side_explicit => avif,
        Format::Avif => {
            warnings.push(Warning::TooLargeForAvif);
            fallback
        }
        Format::Webp => webp,
        Format::Jpeg => jpeg,
        Format::BaselineJpeg => Target::Jpeg {
            progressive: false,
            quality,
        },
        Format::Png if has_alpha || policy.strict_png => png,
        Format::Png => {
            warnings.push(Warning::JpegInsteadOfPng);
            jpeg
        }
        Format::PngForce => png,
        Format::Gif => Target::Gif,
        Format::Svg => return Err(Error::SvgConversion),
    })
}

/// Whether a format of pixels is asked for by name.
pub(crate) fn names_pixels(transform: &Transform) -> bool {
    match transform.format {
        Format::Standard | Format::Auto | Format::Json | Format::Svg => false,
        Format::Avif
        | Format::Webp
        | Format::Jpeg
        | Format::BaselineJpeg
        | Format::Png
        | Format::PngForce
        | Format::Gif
        | Format::Rgb
        | Format::Rgba => true,
    }
}

/// Whether the frames of an animation are kept: only where the format which is asked for has them.
pub(crate) fn keeps_animation(transform: &Transform) -> bool {
    transform.anim
        && !matches!(
            transform.format,
            Format::Jpeg
                | Format::BaselineJpeg
                | Format::Png
                | Format::PngForce
                | Format::Rgb
                | Format::Rgba
        )
        // The mask would be made for the first frame alone.
        && !transform.segment
}
