//! Bytes to pixels: one file per format.

mod apng;
mod av1;
mod avif;
mod bmp;
mod gif;
mod heic;
pub(crate) mod jpeg;
mod jxl;
pub(crate) mod png;
mod tiff;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use model::{Limits, MediaType};

use crate::colour::Gamuts;
use crate::raster::Raster;
use crate::{Cancel, Error, Header, svg};

/// How often an animation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plays {
    Forever,
    /// So many times in all, at least once.
    Times(u32),
}

/// One picture of an animation, whole: what lies beneath is in it already.
pub(crate) struct Frame {
    pub raster: Raster,
    /// Milliseconds it is shown.
    pub delay: u32,
}

/// The only picture of a still image, or the first of an animation, as it is stored. JPEG comes
/// scaled to `eighths` of its size; 8 is full size.
pub(crate) fn first_picture(
    source: &[u8],
    header: &Header,
    eighths: u32,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    first_picture_in(source, header, eighths, Gamuts::Srgb, limits, cancel)
}

/// The same, which may keep a space wider than sRGB.
pub(crate) fn first_picture_in(
    source: &[u8],
    header: &Header,
    eighths: u32,
    gamuts: Gamuts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    cancel.check()?;
    let stored = header.stored_size();
    let raster = match header.format {
        MediaType::Jpeg => jpeg::decode(source, eighths, gamuts, limits)?,
        MediaType::Png => png::decode(source, gamuts, cancel)?,
        MediaType::Webp if header.frames == 1 => webp::decode(source, gamuts)?,
        MediaType::Gif | MediaType::Webp => {
            let mut animation = Animation::new(source, header)?;
            let first = animation.next(cancel)?;
            first.ok_or_else(|| Error::corrupt("no picture"))?.raster
        }
        MediaType::Avif => avif::decode(source, header, gamuts, limits, cancel)?,
        MediaType::Heic => heic::decode(source, gamuts, limits, cancel)?,
        MediaType::Jxl => jxl::decode(source, stored, gamuts, cancel)?,
        MediaType::Tiff => tiff::decode(source, stored, gamuts, cancel)?,
        MediaType::Bmp => bmp::decode(source, stored, gamuts)?,
        MediaType::Ico => bmp::decode_ico(source, stored, gamuts, cancel)?,
        MediaType::Svg => svg::draw_whole(source, header, limits, cancel)?.raster,
    };
    let gamut = raster.gamut;
    Ok(raster.without_idle_alpha().in_gamut(gamut))
}

/// Runs a decoder which is known to panic on damaged images; that is the image's fault then.
pub(crate) fn without_panic<T>(decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What the decoder had in its hands is dropped with the panic.
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(Error::corrupt("the decoder gave up")))
}

/// The pictures of a GIF, WebP, APNG or AVIF, one after another.
pub(crate) enum Animation<'a> {
    Apng(Box<apng::Frames<'a>>),
    Avif(Box<avif::Frames<'a>>),
    Gif(Box<gif::Frames<'a>>),
    Webp(webp::Frames<'a>),
}

impl<'a> Animation<'a> {
    pub(crate) fn new(source: &'a [u8], header: &Header) -> Result<Self, Error> {
        match header.format {
            MediaType::Gif => {
                gif::Frames::new(source, header).map(|frames| Self::Gif(Box::new(frames)))
            }
            MediaType::Webp => webp::Frames::new(source, header).map(Self::Webp),
            MediaType::Png => {
                apng::Frames::new(source, header).map(|frames| Self::Apng(Box::new(frames)))
            }
            MediaType::Avif => {
                avif::Frames::new(source, header).map(|frames| Self::Avif(Box::new(frames)))
            }
            format => Err(Error::NoDecoder(format)),
        }
    }

    pub(crate) fn plays(&self) -> Plays {
        match self {
            Self::Apng(frames) => frames.plays(),
            Self::Avif(frames) => frames.plays(),
            Self::Gif(frames) => frames.plays(),
            Self::Webp(frames) => frames.plays(),
        }
    }

    /// The next picture; `None` after the last.
    pub(crate) fn next(&mut self, cancel: &Cancel) -> Result<Option<Frame>, Error> {
        cancel.check()?;
        match self {
            Self::Apng(frames) => frames.next(),
            Self::Avif(frames) => frames.next(cancel),
            Self::Gif(frames) => frames.next(),
            Self::Webp(frames) => frames.next(),
        }
    }
}
