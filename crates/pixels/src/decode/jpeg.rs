//! JPEG through `TurboJPEG`, which returns errors instead of leaving through `longjmp`.

mod turbojpeg;

use model::Limits;

use crate::colour::{self, Samples};
use crate::planes::Planes;
use crate::raster::Raster;
use crate::{Error, inspect};
use turbojpeg::Decompressor;

#[cfg(test)]
pub(crate) use turbojpeg::compress;

/// The scales at which the inverse transform is fast (codecs.md, section 4).
pub(crate) const SCALES: [u32; 5] = [1, 2, 3, 4, 8];

/// A side of `length` pixels at a scale.
pub(crate) fn scaled(length: u32, eighths: u32) -> u32 {
    (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32
}

pub(super) fn decode(source: &[u8], eighths: u32, limits: &Limits) -> Result<Raster, Error> {
    let mut decompressor = Decompressor::new(source, limits)?;
    let (width, height) = decompressor.scale(eighths)?;
    let mut samples = decompressor.decode()?;
    // Adobe's CMYK says how much light is left, not how much ink there is.
    if let Samples::Cmyk(ink) = &mut samples
        && inspect::jpeg::is_adobe(source)
    {
        for value in ink {
            *value = 255 - *value;
        }
    }
    let profile = inspect::jpeg::icc(source);
    Ok(colour::to_srgb(width, height, samples, profile.as_deref()))
}

/// Brightness and colour as they are stored. `None` where the way leads through RGB: other colour
/// spaces and depths, and profiles to apply.
pub(crate) fn planes(
    source: &[u8],
    eighths: u32,
    limits: &Limits,
) -> Result<Option<Planes>, Error> {
    if inspect::jpeg::icc(source).is_some_and(|profile| colour::changes(&profile)) {
        return Ok(None);
    }
    let mut decompressor = Decompressor::new(source, limits)?;
    decompressor.scale(eighths)?;
    decompressor.planes()
}

/// Reads the whole image at an eighth of its size and throws it away.
pub(crate) fn verify(source: &[u8], limits: &Limits) -> Result<(), Error> {
    let mut decompressor = Decompressor::new(source, limits)?;
    decompressor.scale(1)?;
    decompressor.decode().map(drop)
}
