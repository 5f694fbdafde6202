//! JPEG to planes of brightness and colour, at a fraction of its size.
//!
//! What takes most of the time of such a decoder is to read Huffman codes, most of which say what a
//! small picture does not show. This one reads them several at a time, and keeps of each block what
//! the size asked for needs.
//!
//! The crate forbids `unsafe` code, does no I/O and no waiting, and allocates no more than the planes
//! it returns, tables of a fixed size and, of progressive pictures, what [`Limits`] allow. It decodes
//! what is common (Huffman codes, 8 bits, grey or `YCbCr`, the usual samplings) and sound; of
//! everything else it says so and leaves the verdict to a more patient decoder.

#![forbid(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "a loop over blocks is fast as long as its state stays in registers"
)]

mod bits;
mod frame;
mod huffman;
mod markers;
mod progressive;
mod rows;
mod sequential;
mod transform;

/// What decoding may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pixels of the picture in its full size.
    pub pixels_max: u64,
    /// Bytes of coefficients which are held of a progressive picture.
    pub coefficient_bytes_max: u64,
    /// Scans of a picture, each of which costs a pass over it.
    pub scans_max: usize,
}

/// Brightness and colour (BT.601 in the full range), 8 bits a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels at the size asked for.
    pub width: u32,
    /// Pixels at the size asked for.
    pub height: u32,
    /// One for each pixel.
    pub luma: Plane,
    /// Blue and red difference; `None` is grey.
    pub chroma: Option<[Plane; 2]>,
    /// Pixels across and down for one sample of colour.
    pub subsampling: (u32, u32),
}

/// One sample for each place, row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Samples across.
    pub width: u32,
    /// Samples down.
    pub height: u32,
    /// `width * height` samples.
    pub data: Vec<u8>,
}

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A kind of JPEG which this decoder leaves to others, or one over its limits.
    #[error("not decoded here: {0}")]
    Unsupported(&'static str),
    /// The file contradicts itself or breaks off; others may still see a picture in it.
    #[error("damaged: {0}")]
    Damaged(&'static str),
    /// The caller did not want to go on.
    #[error("stopped")]
    Stopped,
}

/// The eighths of its size to which a picture can be decoded.
pub const SCALES: [u32; 5] = [1, 2, 3, 4, 8];

/// A side of `length` samples at so many eighths.
pub fn scaled(length: u32, eighths: u32) -> u32 {
    (u64::from(length) * u64::from(eighths)).div_ceil(8) as u32
}

/// Decodes a file to `eighths` of its size, which is one of [`SCALES`]. `goes_on` is asked between
/// rows of blocks.
pub fn decode(
    source: &[u8],
    eighths: u32,
    limits: &Limits,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Picture, Error> {
    let file = markers::File::read(source, limits)?;
    let part = Extent::Needed;
    match eighths {
        1 => decode_to::<1>(&file, part, limits, goes_on),
        2 => decode_to::<2>(&file, part, limits, goes_on),
        3 => decode_to::<3>(&file, part, limits, goes_on),
        4 => decode_to::<4>(&file, part, limits, goes_on),
        8 => decode_to::<8>(&file, part, limits, goes_on),
        _ => Err(Error::Unsupported("scale")),
    }
}

/// How much of a file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What the size asked for needs.
    Needed,
    /// Also scans which tell nothing about it.
    All,
}

/// Reads all of a file, also what a picture of no size needs, and keeps nothing of it.
pub fn check(
    source: &[u8],
    limits: &Limits,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<(), Error> {
    let file = markers::File::read(source, limits)?;
    decode_to::<1>(&file, Extent::All, limits, goes_on).map(drop)
}

fn decode_to<const N: usize>(
    file: &markers::File<'_>,
    extent: Extent,
    limits: &Limits,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Picture, Error> {
    if file.frame.progressive {
        progressive::decode::<N>(file, extent, limits, goes_on)
    } else {
        sequential::decode::<N>(file, goes_on)
    }
}
