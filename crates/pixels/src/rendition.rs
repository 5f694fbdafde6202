use std::fmt;

use model::MediaType;

/// What was made of a source.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// The encoded image, or a description of it.
    pub bytes: Vec<u8>,
    /// What the bytes are.
    pub format: RenditionFormat,
    /// Pixels; 0 for SVG, which is never measured.
    pub width: u32,
    /// Pixels; 0 for SVG.
    pub height: u32,
    /// What was asked for and not done, for the `Warning` header.
    pub warnings: Vec<Warning>,
}

/// The kind of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenditionFormat {
    /// An image.
    Image(MediaType),
    /// A description of an image (transformations.md, section 3.7).
    Json,
    /// Pixels row by row without gaps: red, green and blue, 8 bits each.
    Rgb,
    /// The same with alpha, not premultiplied.
    Rgba,
}

impl RenditionFormat {
    /// The media type as HTTP spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Image(format) => format.as_str(),
            Self::Json => "application/json",
            Self::Rgb | Self::Rgba => "application/octet-stream",
        }
    }
}

impl fmt::Display for RenditionFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something which was asked for and done otherwise. The sentences are those of the `Warning`
/// header where it has one (transformations.md, section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// `fit=cover` with one dimension.
    #[error("cover fit mode needs both width and height")]
    CoverNeedsBoth,
    /// `fit=pad` with one dimension.
    #[error("pad fit mode needs both width and height")]
    PadNeedsBoth,
    /// `dpr` was lowered to its ceiling.
    #[error("dpr is above the maximum and was lowered")]
    DprTooLarge,
    /// AVIF was asked for by name, and another format is sent.
    #[error("image too large for AVIF")]
    TooLargeForAvif,
    /// `format=png` gave a JPEG.
    #[error("JPEG vs PNG selection is automatic")]
    JpegInsteadOfPng,
    /// `gravity=face` needs a detector, which this server lacks.
    #[error("face detection is not available, gravity=auto is used")]
    NoDetector,
    /// `upscale=generate` needs a model which this build lacks.
    #[error("upscale=generate is not available, the image is interpolated")]
    NoUpscaler,
    /// A drawing holds pictures, which are not drawn.
    #[error("pictures inside of the SVG are left out")]
    PicturesLeftOut,
    /// The animation is too large to be transformed and is sent as it is, less its metadata.
    #[error("animation too large to be transformed")]
    AnimationUntouched,
}
