use model::{Limits, MediaType};

use crate::decode::{self, Animation};
use crate::{Cancel, Error, Header, inspect, sanitise_svg};

/// Whether the picture is really there: JPEG is decoded at an eighth of its size, PNG row by row,
/// every frame of GIF, WebP, AVIF and, where it counts as one, APNG, and the others as a whole. SVG has
/// to survive sanitising.
pub(crate) fn verify(
    source: &[u8],
    header: &Header,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<(), Error> {
    match header.format {
        MediaType::Jpeg if !inspect::jpeg::is_whole(source) => return Err(cut_off()),
        MediaType::Jpeg => decode::jpeg::verify(source, limits, cancel)?,
        MediaType::Png if !inspect::png::is_whole(source) => return Err(cut_off()),
        MediaType::Webp if !inspect::webp::is_whole(source) => return Err(cut_off()),
        MediaType::Png if !header.is_animated() => decode::png::verify(source, cancel)?,
        MediaType::Gif | MediaType::Webp | MediaType::Png | MediaType::Avif
            if header.is_animated() =>
        {
            let mut frames = Animation::new(source, header)?;
            while frames.next(cancel)?.is_some() {}
        }
        MediaType::Gif
        | MediaType::Webp
        | MediaType::Png
        | MediaType::Avif
        | MediaType::Heic
        | MediaType::Jxl
        | MediaType::Tiff
        | MediaType::Bmp
        | MediaType::Ico => {
            decode::first_picture(source, header, 8, limits, cancel).map(drop)?;
        }
        MediaType::Svg => sanitise_svg(source, limits).map(drop)?,
    }
    Ok(())
}

fn cut_off() -> Error {
    Error::corrupt("it is cut off")
}
