//! What an image is, from its first bytes: judged before a pixel is allocated.

pub(crate) mod bmp;
pub(crate) mod gif;
pub(crate) mod heif;
pub(crate) mod ico;
pub(crate) mod jpeg;
mod jxl;
pub(crate) mod png;
pub(crate) mod svg;
pub(crate) mod tiff;
pub(crate) mod webp;

use model::{Limits, MediaType};

use crate::Error;
use crate::orientation::Orientation;

/// What the header of an image says. It is within the limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the bytes are, whatever the file is called.
    pub format: MediaType,
    /// Pixels as displayed, after EXIF orientation; 0 for SVG, which is not measured.
    pub width: u32,
    /// Pixels as displayed, after EXIF orientation; 0 for SVG.
    pub height: u32,
    /// Pictures of the animation, 1 for stills. Of APNG only the default image counts, unless
    /// `Policy::animate_png` is set.
    pub frames: u32,
    /// How the stored pixels are turned for display, 1 to 8 as EXIF numbers it; 1 where the format
    /// has another way, which `width` and `height` then include already.
    pub orientation: u8,
}

impl Header {
    /// Pixels of all frames together.
    pub fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * u64::from(self.frames)
    }

    /// Whether there is more than one frame.
    pub fn is_animated(&self) -> bool {
        self.frames > 1
    }

    pub(crate) fn turn(&self) -> Orientation {
        Orientation::from_exif(self.orientation)
    }

    /// Pixels as they are stored.
    pub(crate) fn stored_size(&self) -> (u32, u32) {
        if self.turn().swaps_axes() {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        }
    }
}

/// Pixels as stored, frames, and EXIF orientation: what every format's reader finds.
pub(crate) struct Found {
    pub width: u32,
    pub height: u32,
    pub frames: u32,
    pub orientation: u8,
    /// Pixels which are decoded, where some of them are cut off afterwards.
    pub coded: Option<(u32, u32)>,
}

impl Found {
    pub(crate) fn still(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            frames: 1,
            orientation: 1,
            coded: None,
        }
    }
}

/// A frame counts as at least this many pixels, because even an empty one costs something. Hence
/// the number of frames has a limit too.
const FRAME_AREA_MIN: u64 = 64 * 64;

/// Reads the header of an image, whose type follows from its bytes. What is no accepted image or
/// over `limits` is an error; nothing is allocated on the word of the header.
pub fn inspect(source: &[u8], limits: &Limits) -> Result<Header, Error> {
    with_apng(source, limits, false)
}

/// [`inspect`], which counts the frames of APNG if `apng` says so.
pub(crate) fn with_apng(source: &[u8], limits: &Limits, apng: bool) -> Result<Header, Error> {
    let format = recognise(source)?;
    let found = match format {
        MediaType::Jpeg => jpeg::find(source),
        MediaType::Png if apng => png::find_animation(source),
        MediaType::Png => png::find(source),
        MediaType::Gif => gif::find(source),
        MediaType::Webp => webp::find(source),
        MediaType::Avif | MediaType::Heic => heif::find(source),
        MediaType::Jxl => jxl::find(source),
        MediaType::Tiff => tiff::find(source),
        MediaType::Bmp => bmp::find(source),
        MediaType::Ico => ico::find(source),
        MediaType::Svg => {
            return Ok(Header {
                format,
                width: 0,
                height: 0,
                frames: 1,
                orientation: 1,
            });
        }
    }?;
    if found.width == 0 || found.height == 0 || found.frames == 0 {
        return Err(Error::corrupt("it has no pixels"));
    }
    let (width, height) = if Orientation::from_exif(found.orientation).swaps_axes() {
        (found.height, found.width)
    } else {
        (found.width, found.height)
    };
    let header = Header {
        format,
        width,
        height,
        frames: found.frames,
        orientation: found.orientation,
    };
    judge(&header, limits)?;
    if let Some((width, height)) = found.coded {
        let coded = Header {
            width,
            height,
            ..header.clone()
        };
        judge(&coded, limits)?;
    }
    Ok(header)
}

pub(crate) fn judge(header: &Header, limits: &Limits) -> Result<(), Error> {
    let (limit, side_max) = match header.format {
        MediaType::Avif => ("avif_side_max", limits.avif_side_max),
        // Its own format allows no more.
        MediaType::Webp => ("side_max", 16_383),
        _ => ("side_max", limits.side_max),
    };
    let side = header.width.max(header.height);
    if side > side_max {
        return Err(Error::TooLarge {
            limit,
            value: side.into(),
            maximum: side_max.into(),
        });
    }
    let frame = u64::from(header.width) * u64::from(header.height);
    let area = match header.frames {
        1 => frame,
        frames => frame.max(FRAME_AREA_MIN) * u64::from(frames),
    };
    if area > limits.pixels_max {
        return Err(Error::TooLarge {
            limit: "pixels_max",
            value: area,
            maximum: limits.pixels_max,
        });
    }
    Ok(())
}

/// The format by the first bytes.
pub(crate) fn recognise(source: &[u8]) -> Result<MediaType, Error> {
    match source {
        [0xff, 0xd8, 0xff, ..] => Ok(MediaType::Jpeg),
        [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Ok(MediaType::Png),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(MediaType::Gif),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Ok(MediaType::Webp),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => heif::recognise(source),
        [b'I', b'I', 0x2a | 0x2b, 0, ..] | [b'M', b'M', 0, 0x2a | 0x2b, ..] => Ok(MediaType::Tiff),
        [b'B', b'M', _, _, _, _, _, _, _, _, ..] => Ok(MediaType::Bmp),
        [0, 0, 1 | 2, 0, _, _, ..] => Ok(MediaType::Ico),
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => Ok(MediaType::Jxl),
        [0, 0, 0, 0x0c, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Err(Error::Unsupported("JPEG 2000"))
        }
        [b'8', b'B', b'P', b'S', ..] => Err(Error::Unsupported("PSD")),
        _ if svg::starts_as_svg(source) => Ok(MediaType::Svg),
        _ => Err(Error::NotAnImage),
    }
}

/// Big-endian numbers at a place which may not exist.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// See [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
