use model::MediaType;

/// Why an image cannot be read or rendered. The sentences are fit for clients.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are of no image format which is known here: HTML, text, nothing at all.
    #[error("the file is not an image")]
    NotAnImage,
    /// An image, but of a format which is not accepted, such as PSD.
    #[error("{0} images are not supported")]
    Unsupported(&'static str),
    /// An image of a format which this server was told not to accept.
    #[error("{0} is not accepted here")]
    NotAccepted(MediaType),
    /// An image which may be stored, and which this build cannot decode.
    #[error("this build cannot decode {0}")]
    NoDecoder(MediaType),
    /// The image is damaged or cut off.
    #[error("the image is damaged: {0}")]
    Corrupt(String),
    /// The source is over a limit; judged by its header.
    #[error("the image is too large: {limit} is {value}, and at most {maximum} is allowed")]
    TooLarge {
        /// The limit, as the setting is called.
        limit: &'static str,
        /// What the image has.
        value: u64,
        /// What the limit allows.
        maximum: u64,
    },
    /// The rendition would be over a limit (transformations.md, section 2.2).
    #[error(
        "Could not resize the image: The image enlarged too much: {width}×{height}, but maximum \
         dimension allowed is {maximum}"
    )]
    EnlargedTooMuch {
        /// Pixels it would have had.
        width: u64,
        /// Pixels it would have had.
        height: u64,
        /// Pixels a side may have.
        maximum: u64,
    },
    /// Nothing is left after `trim`.
    #[error("Could not resize the image: The image has width or height of size 0")]
    Empty,
    /// A raster format was asked of SVG, or SVG of a raster image.
    #[error("Conversion between SVG and raster formats is not supported")]
    SvgConversion,
    /// An SVG which would take too long or too much memory to draw.
    #[error("the SVG is too complex to be drawn: {what}: {value}, and at most {maximum} allowed")]
    TooComplex {
        /// What is counted.
        what: &'static str,
        /// What the drawing comes to.
        value: u64,
        /// How much is allowed.
        maximum: u64,
    },
    /// The bytes of an overlay or of a font were not supplied.
    #[error("Could not fetch the image: {0}")]
    NoAsset(String),
    /// A font which cannot be read.
    #[error("the font for text cannot be read")]
    Font,
    /// A text which would be wider or higher than 4,096 pixels.
    #[error("the text is too large: at most 4096×4096 pixels are allowed")]
    TextTooLarge,
    /// What is asked for needs a model or library which this build lacks.
    #[error("{0} is not available")]
    Unavailable(&'static str),
    /// The encoder failed, which is our fault and not the source's.
    #[error("encoding failed: {0}")]
    Encode(String),
    /// The deadline passed while the image was rendered.
    #[error("rendering took too long")]
    Deadline,
    /// Nobody waits for the rendition any more.
    #[error("rendering was cancelled")]
    Cancelled,
}

impl Error {
    /// The source is damaged; `reason` comes from a decoder.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`map_err` hands over what it has"
    )]
    pub(crate) fn corrupt(reason: impl ToString) -> Self {
        Self::Corrupt(reason.to_string())
    }

    /// The encoder failed; `reason` comes from it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`map_err` hands over what it has"
    )]
    pub(crate) fn encode(reason: impl ToString) -> Self {
        Self::Encode(reason.to_string())
    }
}
