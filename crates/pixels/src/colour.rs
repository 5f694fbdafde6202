//! Any colour space to sRGB, or to a wider one which is kept (transformations.md, section 2.12).

mod converter;
mod gamut;
mod hdr;
mod power;

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, MatrixCoefficients,
    TransferCharacteristics,
};

use crate::raster::Raster;
use hdr::{ToneMapping, Transfer};

pub(crate) use converter::{Converter, Kind, Sample};
pub(crate) use gamut::{Gamut, Gamuts};
pub(crate) use power::Power;

/// Samples as a decoder gives them, of 8 or 16 bits each.
pub(crate) enum Samples<T = u8> {
    Gray(Vec<T>),
    GrayAlpha(Vec<T>),
    Rgb(Vec<T>),
    Rgba(Vec<T>),
    /// Amounts of ink.
    Cmyk(Vec<T>),
}

impl<T> Samples<T> {
    fn into_parts(self) -> (Kind, Vec<T>) {
        match self {
            Self::Gray(data) => (Kind::Gray, data),
            Self::GrayAlpha(data) => (Kind::GrayAlpha, data),
            Self::Rgb(data) => (Kind::Rgb, data),
            Self::Rgba(data) => (Kind::Rgba, data),
            Self::Cmyk(data) => (Kind::Cmyk, data),
        }
    }
}

/// How an image says which colours its samples are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Profile<'a> {
    /// An ICC profile.
    Icc(&'a [u8]),
    /// Numbers of H.273, tables 2 and 3.
    Cicp {
        /// Of the colour primaries.
        primaries: u16,
        /// Of the transfer characteristics.
        transfer: u16,
    },
    /// A power of the values, and the places of the primaries if they are said.
    Power(Power),
}

impl Profile<'_> {
    /// What a picture of high dynamic range needs.
    fn tone_mapping(self) -> Option<ToneMapping> {
        match self {
            Self::Icc(_) | Self::Power(_) => None,
            Self::Cicp {
                primaries,
                transfer,
            } => Transfer::of(transfer).map(|transfer| ToneMapping::new(transfer, primaries)),
        }
    }

    /// `None` if it is broken, or says what is assumed anyway.
    fn read(self) -> Option<ColorProfile> {
        let profile = match self {
            Self::Icc(bytes) => ColorProfile::new_from_slice(bytes).ok()?,
            Self::Power(power) => power.profile()?,
            // Those of sRGB and of video for screens like it, or not said.
            Self::Cicp {
                primaries: 1 | 2,
                transfer: 1 | 2 | 6 | 13 | 14 | 15,
            } => return None,
            Self::Cicp {
                primaries,
                transfer,
            } => {
                let primaries = u8::try_from(primaries).ok()?;
                // Where only one is known, the other is that of sRGB.
                let primaries =
                    CicpColorPrimaries::try_from(primaries).unwrap_or(CicpColorPrimaries::Bt709);
                let transfer = u8::try_from(transfer).ok()?;
                let transfer = TransferCharacteristics::try_from(transfer)
                    .ok()
                    .filter(|transfer| *transfer != TransferCharacteristics::Unspecified)
                    .unwrap_or(TransferCharacteristics::Srgb);
                ColorProfile::new_from_cicp(CicpProfile {
                    color_primaries: primaries,
                    transfer_characteristics: transfer,
                    matrix_coefficients: MatrixCoefficients::Bt709,
                    full_range: true,
                })
            }
        };
        Some(profile).filter(|profile| !is_srgb(profile))
    }
}

/// Converts through the embedded ICC profile. A profile which is broken, or which is of another kind
/// of image, is ignored, as browsers do.
pub(crate) fn to_rgb<T: Sample>(
    width: u32,
    height: u32,
    samples: Samples<T>,
    profile: Option<&[u8]>,
    gamuts: Gamuts,
) -> Raster {
    to_rgb_from(width, height, samples, profile.map(Profile::Icc), gamuts)
}

/// The same from a profile of any kind.
pub(crate) fn to_rgb_from<T: Sample>(
    width: u32,
    height: u32,
    samples: Samples<T>,
    profile: Option<Profile<'_>>,
    gamuts: Gamuts,
) -> Raster {
    let (kind, data) = samples.into_parts();
    let converter = Converter::new(kind, profile, gamuts);
    let data = converter.whole(data);
    Raster::new(width, height, kind.made(), data).in_gamut(converter.gamut())
}

/// Whether an ICC profile says other colours than what is assumed anyway.
pub(crate) fn changes(icc: &[u8]) -> bool {
    Profile::Icc(icc).read().is_some()
}

/// Divides colours by the alpha with which they were multiplied.
pub(crate) fn undo_alpha<T: Sample>(rgba: &mut [T]) {
    let most = T::MAX.whole();
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = pixel[3].whole();
        for value in &mut pixel[..3] {
            let divided = (value.whole() * most + alpha / 2).checked_div(alpha);
            *value = T::from_whole(divided.unwrap_or_default().min(most));
        }
    }
}

/// Whether the profile only says what is assumed anyway. Profiles are told by their names, which
/// costs nothing; a nameless one goes the long way and comes out the same.
fn is_srgb(profile: &ColorProfile) -> bool {
    use moxcms::ProfileText;
    let named = |text: &str| text.contains("sRGB");
    profile.color_space == DataColorSpace::Rgb
        && match &profile.description {
            Some(ProfileText::PlainString(text)) => named(text),
            Some(ProfileText::Localizable(texts)) => texts.iter().any(|text| named(&text.value)),
            Some(ProfileText::Description(text)) => named(&text.ascii_string),
            None => false,
        }
}
