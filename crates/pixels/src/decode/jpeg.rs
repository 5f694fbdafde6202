//! JPEG: the common kinds through a decoder of our own where less than the whole size is wanted
//! (docs/decisions/0010); all others, and whatever is damaged, through `TurboJPEG`, which returns
//! errors instead of leaving through `longjmp`.

#[cfg(test)]
mod tests;
mod turbojpeg;

use model::Limits;

use crate::colour::{self, Gamuts, Samples};
use crate::planes::{Plane, Planes};
use crate::raster::Raster;
use crate::{Cancel, Error, inspect};
use turbojpeg::{Decompressor, SCANS_MAX};

#[cfg(test)]
pub(crate) use turbojpeg::compress;

/// The scales at which the inverse transform is fast (codecs.md, section 4).
pub(crate) const SCALES: [u32; 5] = [1, 2, 3, 4, 8];

/// A side of `length` pixels at a scale.
pub(crate) fn scaled(length: u32, eighths: u32) -> u32 {
    (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32
}

pub(super) fn decode(
    source: &[u8],
    eighths: u32,
    gamuts: Gamuts,
    limits: &Limits,
) -> Result<Raster, Error> {
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
    let profile = profile.as_deref();
    Ok(colour::to_rgb(width, height, samples, profile, gamuts))
}

/// Brightness and colour as they are stored. `None` where the way leads through RGB: other colour
/// spaces and depths, and profiles to apply.
pub(crate) fn planes(
    source: &[u8],
    eighths: u32,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Option<Planes>, Error> {
    if inspect::jpeg::icc(source).is_some_and(|profile| colour::changes(&profile)) {
        return Ok(None);
    }
    // At full size the transform takes most of the time, and the other one's is in assembly.
    if eighths < 8
        && let Some(planes) = own(cancel, |goes_on| {
            ::jpeg::decode(source, eighths, &own_limits(limits), goes_on)
        })?
    {
        return Ok(Some(planes.into()));
    }
    let mut decompressor = Decompressor::new(source, limits)?;
    decompressor.scale(eighths)?;
    decompressor.planes()
}

/// Reads the whole image at an eighth of its size and throws it away.
pub(crate) fn verify(source: &[u8], limits: &Limits, cancel: &Cancel) -> Result<(), Error> {
    if own(cancel, |goes_on| {
        ::jpeg::check(source, &own_limits(limits), goes_on)
    })?
    .is_some()
    {
        return Ok(());
    }
    let mut decompressor = Decompressor::new(source, limits)?;
    decompressor.scale(1)?;
    decompressor.decode().map(drop)
}

/// What our own decoder makes of a file; `None` if it leaves that to the other one, which has the last
/// word about everything unusual.
fn own<T>(
    cancel: &Cancel,
    decode: impl FnOnce(&mut dyn FnMut() -> bool) -> Result<T, ::jpeg::Error>,
) -> Result<Option<T>, Error> {
    let mut stopped = Ok(());
    let decoded = decode(&mut || {
        stopped = cancel.check();
        stopped.is_ok()
    });
    stopped.map(|()| decoded.ok())
}

fn own_limits(limits: &Limits) -> ::jpeg::Limits {
    ::jpeg::Limits {
        pixels_max: limits.pixels_max,
        // As the costs say, which are judged before (`cost.rs`).
        coefficient_bytes_max: limits.pixels_max.saturating_mul(6),
        scans_max: SCANS_MAX.into(),
    }
}

impl From<::jpeg::Picture> for Planes {
    fn from(picture: ::jpeg::Picture) -> Self {
        let plane = |plane: ::jpeg::Plane| Plane::new(plane.width, plane.height, plane.data);
        Self {
            width: picture.width,
            height: picture.height,
            luma: plane(picture.luma),
            chroma: picture.chroma.map(|chroma| chroma.map(plane)),
            subsampling: picture.subsampling,
        }
    }
}
