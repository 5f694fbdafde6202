//! Pixels to bytes: one file per format.

pub(crate) mod avif;
mod gif;
mod jpeg;
mod palette;
pub(crate) mod png;
mod tag;
mod webp;

use model::MediaType;
use model::transform::Colour;

use crate::decode::{Frame, Plays};
use crate::metadata::Metadata;
use crate::planes::Planes;
use crate::raster::Raster;
use crate::steps::flatten;
use crate::{Cancel, Error, RenditionFormat};

pub(crate) use tag::tagged;

/// What is written, settled before the encoder begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Jpeg {
        progressive: bool,
        /// 1 to 100.
        quality: u8,
    },
    Png {
        /// 1 to 100 if it was said: then a palette is allowed.
        quality: Option<u8>,
    },
    Webp {
        /// 1 to 99; 100 is lossless.
        quality: u8,
    },
    Gif,
    Avif {
        /// 1 to 100.
        quality: u8,
    },
    /// Pixels as they are.
    Raw {
        alpha: bool,
    },
}

impl Target {
    pub(crate) fn format(self) -> RenditionFormat {
        RenditionFormat::Image(match self {
            Self::Jpeg { .. } => MediaType::Jpeg,
            Self::Png { .. } => MediaType::Png,
            Self::Webp { .. } => MediaType::Webp,
            Self::Gif => MediaType::Gif,
            Self::Avif { .. } => MediaType::Avif,
            Self::Raw { alpha: true } => return RenditionFormat::Rgba,
            Self::Raw { alpha: false } => return RenditionFormat::Rgb,
        })
    }

    /// How many pixels across and down share a sample of colour; `None` where pixels are not stored
    /// as brightness and colour apart.
    pub(crate) fn colour_share(self) -> Option<u32> {
        match self {
            Self::Jpeg { quality, .. } => Some(jpeg::colour_share(quality)),
            Self::Webp { quality: 100 } | Self::Png { .. } | Self::Gif | Self::Raw { .. } => None,
            Self::Webp { .. } | Self::Avif { .. } => Some(2),
        }
    }
}

/// Encodes planes whose colour is shared as the target wants it. `metadata` is written where the format
/// is JPEG.
pub(crate) fn planes(
    planes: Planes,
    target: Target,
    metadata: &Metadata,
    encoders: &avif::Encoders,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    cancel.check()?;
    match target {
        Target::Jpeg {
            progressive,
            quality,
        } => jpeg::encode_planes(&planes, quality, progressive, metadata, cancel),
        Target::Webp { quality } => webp::encode_planes(planes, quality, cancel),
        Target::Avif { quality } => encoders.encode_planes(planes, quality),
        Target::Png { .. } | Target::Gif | Target::Raw { .. } => {
            Err(Error::encode("the format has no planes"))
        }
    }
}

/// Encodes one picture. `metadata` is written where the format is JPEG.
pub(crate) fn picture(
    raster: Raster,
    target: Target,
    background: Option<Colour>,
    metadata: &Metadata,
    encoders: &avif::Encoders,
    cancel: &Cancel,
) -> Result<Vec<u8>, Error> {
    cancel.check()?;
    match target {
        Target::Jpeg {
            progressive,
            quality,
        } => jpeg::encode(
            &flatten(raster, background),
            quality,
            progressive,
            metadata,
            cancel,
        ),
        Target::Png { quality } => png::encode(&raster, quality),
        Target::Webp { quality } => webp::encode(&raster, quality, cancel),
        Target::Avif { quality } => encoders.encode(&raster, quality, cancel),
        Target::Raw { alpha: false } => Ok(flatten(raster, background).data),
        Target::Raw { alpha: true } => Ok(raster.with_alpha().data),
        Target::Gif => {
            let mut animation = gif::Animation::new(raster.size(), Plays::Times(1))?;
            animation.add(Frame { raster, delay: 0 })?;
            animation.finish()
        }
    }
}

/// Encodes an animation, picture by picture.
pub(crate) enum Animation<'a> {
    Gif(Box<gif::Animation>),
    Webp(webp::Animation<'a>),
}

impl<'a> Animation<'a> {
    /// An error if the format has no animation.
    pub(crate) fn new(
        target: Target,
        size: (u32, u32),
        plays: Plays,
        cancel: &'a Cancel,
    ) -> Result<Self, Error> {
        match target {
            Target::Gif => {
                gif::Animation::new(size, plays).map(|animation| Self::Gif(Box::new(animation)))
            }
            Target::Webp { quality } => {
                webp::Animation::new(size, plays, quality, cancel).map(Self::Webp)
            }
            Target::Jpeg { .. } | Target::Png { .. } | Target::Avif { .. } | Target::Raw { .. } => {
                Err(Error::encode("the format has no animation"))
            }
        }
    }

    pub(crate) fn add(&mut self, frame: Frame) -> Result<(), Error> {
        match self {
            Self::Gif(animation) => animation.add(frame),
            Self::Webp(animation) => animation.add(&frame),
        }
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Gif(animation) => animation.finish(),
            Self::Webp(animation) => animation.finish(),
        }
    }
}
