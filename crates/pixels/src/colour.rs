//! Any colour space to sRGB (transformations.md, section 2.12).

mod hdr;
mod power;

use moxcms::{
    CicpColorPrimaries, CicpProfile, ColorProfile, DataColorSpace, Layout, MatrixCoefficients,
    TransferCharacteristics, TransformOptions,
};

use crate::raster::Raster;
use hdr::{ToneMapping, Transfer};

pub(crate) use power::Power;

/// Samples as a decoder gives them, 8 bits each.
pub(crate) enum Samples {
    Gray(Vec<u8>),
    GrayAlpha(Vec<u8>),
    Rgb(Vec<u8>),
    Rgba(Vec<u8>),
    /// Amounts of ink.
    Cmyk(Vec<u8>),
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
pub(crate) fn to_srgb(width: u32, height: u32, samples: Samples, profile: Option<&[u8]>) -> Raster {
    to_srgb_from(width, height, samples, profile.map(Profile::Icc))
}

/// The same from a profile of any kind.
pub(crate) fn to_srgb_from(
    width: u32,
    height: u32,
    samples: Samples,
    profile: Option<Profile<'_>>,
) -> Raster {
    let samples = match profile.and_then(Profile::tone_mapping) {
        Some(mapping) => match samples {
            Samples::Rgb(mut rgb) => {
                mapping.apply(&mut rgb, 3);
                return Raster::new(width, height, 3, rgb);
            }
            Samples::Rgba(mut rgba) => {
                mapping.apply(&mut rgba, 4);
                return Raster::new(width, height, 4, rgba);
            }
            other => other,
        },
        None => samples,
    };
    let profile = profile.and_then(Profile::read);
    let through = |from: &[u8], from_layout, to_layout, space| {
        let profile = profile
            .as_ref()
            .filter(|profile| profile.color_space == space)?;
        convert(profile, from, from_layout, to_layout)
    };
    let (channels, data) = match samples {
        Samples::Gray(gray) => (
            3,
            through(&gray, Layout::Gray, Layout::Rgb, DataColorSpace::Gray)
                .unwrap_or_else(|| gray.iter().flat_map(|value| [*value; 3]).collect()),
        ),
        Samples::GrayAlpha(gray) => (
            4,
            through(&gray, Layout::GrayAlpha, Layout::Rgba, DataColorSpace::Gray).unwrap_or_else(
                || {
                    gray.chunks_exact(2)
                        .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
                        .collect()
                },
            ),
        ),
        Samples::Rgb(rgb) => (
            3,
            through(&rgb, Layout::Rgb, Layout::Rgb, DataColorSpace::Rgb).unwrap_or(rgb),
        ),
        Samples::Rgba(rgba) => (
            4,
            through(&rgba, Layout::Rgba, Layout::Rgba, DataColorSpace::Rgb).unwrap_or(rgba),
        ),
        Samples::Cmyk(ink) => (
            3,
            through(&ink, Layout::Rgba, Layout::Rgb, DataColorSpace::Cmyk)
                .unwrap_or_else(|| ink.chunks_exact(4).flat_map(without_profile).collect()),
        ),
    };
    Raster::new(width, height, channels, data)
}

/// Whether an ICC profile says other colours than what is assumed anyway.
pub(crate) fn changes(icc: &[u8]) -> bool {
    Profile::Icc(icc).read().is_some()
}

/// Divides colours by the alpha with which they were multiplied.
pub(crate) fn undo_alpha(rgba: &mut [u8]) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        for value in &mut pixel[..3] {
            let divided = (u32::from(*value) * 255 + alpha / 2).checked_div(alpha);
            *value = divided.unwrap_or_default().min(255) as u8;
        }
    }
}

/// Ink as if it were ideal: what is left of the light, less what black takes.
fn without_profile(ink: &[u8]) -> [u8; 3] {
    [0, 1, 2].map(|channel| {
        let light = u32::from(255 - ink[channel]) * u32::from(255 - ink[3]);
        ((light + 127) / 255) as u8
    })
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

fn convert(
    profile: &ColorProfile,
    from: &[u8],
    from_layout: Layout,
    to_layout: Layout,
) -> Option<Vec<u8>> {
    let transform = profile
        .create_transform_8bit(
            from_layout,
            &ColorProfile::new_srgb(),
            to_layout,
            TransformOptions::default(),
        )
        .ok()?;
    let channels = |layout: Layout| match layout {
        Layout::Gray => 1,
        Layout::GrayAlpha => 2,
        Layout::Rgb => 3,
        _ => 4,
    };
    let pixels = from.len() / channels(from_layout);
    let mut to = vec![0; pixels * channels(to_layout)];
    transform.transform(from, &mut to).ok()?;
    Some(to)
}
