//! What of a source's metadata goes into a JPEG (transformations.md, section 2.15): EXIF, XMP and the
//! records of IPTC, all of them or the notices of copyright alone.

mod iptc;
mod untouched;
mod xmp;

use std::borrow::Cow;

use model::MediaType;
use model::transform::Exif;

use crate::heif::{self, Heif};
use crate::{exif, inspect};

pub(crate) use untouched::undescribed;

/// Bytes of a segment of JPEG, less its name.
const SEGMENT_BYTES_MAX: usize = 65_000;

/// Written into a JPEG in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// A TIFF structure.
    pub exif: Option<Vec<u8>>,
    /// A packet of XML.
    pub xmp: Option<Vec<u8>>,
    /// Records of IPTC-IIM.
    pub iptc: Option<Vec<u8>>,
}

impl Metadata {
    /// What is kept in a JPEG of this size, whose pixels are upright.
    pub(crate) fn kept(source: &[u8], format: MediaType, keep: Exif, size: (u32, u32)) -> Self {
        if keep == Exif::None {
            return Self::default();
        }
        let found = Found::of(source, format);
        let exif = found.exif.as_deref();
        let exif = exif.and_then(|exif| match format {
            MediaType::Tiff => exif::kept_of_tiff(exif, keep, size),
            _ => exif::kept(exif, keep, size),
        });
        let xmp = found.xmp.and_then(|packet| match keep {
            Exif::Keep => Some(xmp::upright(&packet)),
            _ => xmp::copyright(&packet),
        });
        let iptc = found.iptc.and_then(|records| match keep {
            Exif::Keep => Some(records.to_vec()),
            _ => iptc::copyright(records),
        });
        let fits = |bytes: &Vec<u8>| bytes.len() <= SEGMENT_BYTES_MAX;
        Self {
            exif,
            xmp: xmp.filter(fits),
            iptc: iptc.filter(fits),
        }
    }

    /// The segments of a JPEG: number and body.
    pub(crate) fn segments(&self) -> Vec<(u8, Vec<u8>)> {
        let mut segments = Vec::new();
        if let Some(exif) = &self.exif {
            segments.push((0xe1, [b"Exif\0\0", exif.as_slice()].concat()));
        }
        if let Some(xmp) = &self.xmp {
            segments.push((0xe1, [inspect::jpeg::XMP, xmp.as_slice()].concat()));
        }
        if let Some(records) = &self.iptc {
            segments.push((0xed, iptc::segment(records)));
        }
        segments
    }
}

/// What a source has.
#[derive(Default)]
struct Found<'a> {
    exif: Option<Cow<'a, [u8]>>,
    xmp: Option<Cow<'a, [u8]>>,
    iptc: Option<&'a [u8]>,
}

impl<'a> Found<'a> {
    fn of(source: &'a [u8], format: MediaType) -> Self {
        match format {
            MediaType::Jpeg => Self {
                exif: inspect::jpeg::exif(source).map(Cow::Borrowed),
                xmp: inspect::jpeg::xmp(source).map(Cow::Borrowed),
                iptc: inspect::jpeg::photoshop(source).and_then(iptc::in_resources),
            },
            MediaType::Png => Self {
                exif: inspect::png::exif(source).map(Cow::Borrowed),
                xmp: inspect::png::xmp(source),
                iptc: None,
            },
            MediaType::Webp => Self {
                exif: inspect::webp::exif(source).map(Cow::Borrowed),
                xmp: inspect::webp::xmp(source).map(Cow::Borrowed),
                iptc: None,
            },
            MediaType::Tiff => {
                let tiff = inspect::tiff::Directory::read(source);
                let bytes = |tag| tiff.as_ref().and_then(|tiff| tiff.bytes(tag));
                Self {
                    xmp: bytes(700).map(Cow::Borrowed),
                    iptc: bytes(33_723),
                    exif: Some(Cow::Borrowed(source)),
                }
            }
            MediaType::Avif | MediaType::Heic => Self {
                exif: Heif::read(source).and_then(|heif| heif.exif()),
                ..Self::default()
            },
            MediaType::Jxl => Self {
                exif: heif::child(source, *b"Exif").and_then(|body| {
                    // Where the structure begins stands before it.
                    let start = inspect::u32_at(body, 0)? as usize;
                    body.get(4_usize.checked_add(start)?..).map(Cow::Borrowed)
                }),
                xmp: heif::child(source, *b"xml ").map(Cow::Borrowed),
                iptc: None,
            },
            MediaType::Gif | MediaType::Bmp | MediaType::Ico | MediaType::Svg => Self::default(),
        }
    }
}
