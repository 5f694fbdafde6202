//! Spaces wider than sRGB which pictures may keep, each with a profile of our own: half a kilobyte,
//! where those of cameras have up to a megabyte.

use std::sync::LazyLock;

use model::transform::Colour;
use moxcms::{ColorProfile, DataColorSpace, Layout, ToneReprCurve, TransformOptions, Xyzd};

use crate::raster::Raster;

/// Whether a picture keeps a space which is wider than sRGB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gamuts {
    #[default]
    Srgb,
    Kept,
}

/// What the numbers of a picture mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gamut {
    #[default]
    Srgb,
    /// The curve of sRGB, and primaries of SMPTE EG 432-1.
    DisplayP3,
    /// Adobe RGB (1998).
    AdobeRgb,
    /// The curve of sRGB, and primaries of BT.2020.
    Rec2020,
}

const WIDE: [Gamut; 3] = [Gamut::DisplayP3, Gamut::AdobeRgb, Gamut::Rec2020];

/// Primaries which differ by less are the same.
const SAME_PRIMARY: f64 = 0.012;
/// Light which differs by less is the same.
const SAME_LIGHT: f64 = 0.002;
/// So much larger than that of sRGB is the triangle of a space which is worth keeping.
const WORTHWHILE: f64 = 1.1;

impl Gamut {
    /// The space which a picture of this profile keeps.
    pub(super) fn of(profile: &ColorProfile) -> Self {
        let own = primaries(profile);
        if profile.color_space != DataColorSpace::Rgb || profile.red_trc.is_none() {
            return Self::Srgb;
        }
        if let Some(gamut) = Self::of_primaries(own) {
            return gamut;
        }
        let srgb = area(primaries(&ColorProfile::new_srgb()));
        if area(own) > srgb * WORTHWHILE {
            Self::Rec2020
        } else {
            Self::Srgb
        }
    }

    fn of_primaries(own: [[f64; 3]; 3]) -> Option<Self> {
        let same = |gamut: &Self| {
            gamut.colorants().is_some_and(|known| {
                let pairs = known.iter().flatten().zip(own.iter().flatten());
                pairs.fold(0.0, |most: f64, (a, b)| most.max((a - b).abs())) < SAME_PRIMARY
            })
        };
        WIDE.into_iter().find(same)
    }

    /// Whether a profile, which is of this space, also has its curve, so that its numbers can stay.
    pub(super) fn is(self, profile: &ColorProfile) -> bool {
        let own = self.profile();
        let curves = [&profile.red_trc, &profile.green_trc, &profile.blue_trc];
        WIDE.contains(&self)
            && Self::of_primaries(primaries(profile)) == Some(self)
            && curves.into_iter().all(|curve| {
                let (Some(curve), Some(own)) = (curve, &own.red_trc) else {
                    return false;
                };
                (0..=32_u8).all(|step| {
                    let value = f64::from(step) / 32.0;
                    match (light(curve, value), light(own, value)) {
                        (Some(a), Some(b)) => (a - b).abs() < SAME_LIGHT,
                        _ => false,
                    }
                })
            })
    }

    /// Red, green and blue under the light of D50, in XYZ.
    fn colorants(self) -> Option<[[f64; 3]; 3]> {
        match self {
            Self::Srgb => None,
            Self::DisplayP3 => Some([
                [0.515_12, 0.241_2, -0.001_05],
                [0.291_98, 0.692_25, 0.041_89],
                [0.157_1, 0.066_57, 0.784_07],
            ]),
            Self::AdobeRgb => Some([
                [0.609_74, 0.311_11, 0.019_47],
                [0.205_28, 0.625_67, 0.060_87],
                [0.149_19, 0.063_22, 0.744_57],
            ]),
            Self::Rec2020 => Some([
                [0.673_49, 0.279_04, -0.001_94],
                [0.165_66, 0.675_35, 0.029_98],
                [0.125_05, 0.045_61, 0.796_86],
            ]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Srgb => "sRGB",
            Self::DisplayP3 => "Display P3",
            Self::AdobeRgb => "Compatible with Adobe RGB (1998)",
            Self::Rec2020 => "Rec. 2020",
        }
    }

    /// The profile which is written into files.
    pub(crate) fn icc(self) -> Option<&'static [u8]> {
        static PROFILES: LazyLock<[Vec<u8>; 3]> = LazyLock::new(|| WIDE.map(written));
        let place = WIDE.iter().position(|gamut| *gamut == self)?;
        Some(&PROFILES[place])
    }

    /// What the numbers mean, as it is read from that profile.
    pub(super) fn profile(self) -> ColorProfile {
        let own = self.icc().map(ColorProfile::new_from_slice);
        match own {
            Some(Ok(profile)) => profile,
            _ => ColorProfile::new_srgb(),
        }
    }

    /// The raster of another space in this one.
    pub(crate) fn brought(self, raster: &Raster) -> Raster {
        let mut brought = raster.clone();
        if self == raster.gamut {
            return brought;
        }
        let layout = if raster.has_alpha() {
            Layout::Rgba
        } else {
            Layout::Rgb
        };
        let options = TransformOptions::default();
        let from = raster.gamut.profile();
        let transform = from.create_transform_8bit(layout, &self.profile(), layout, options);
        if transform
            .and_then(|transform| transform.transform(&raster.data, &mut brought.data))
            .is_ok()
        {
            brought.gamut = self;
        }
        brought
    }

    /// A colour of sRGB in this space.
    pub(crate) fn colour(self, colour: Colour) -> Colour {
        let rgb = vec![colour.red, colour.green, colour.blue];
        let brought = self.brought(&Raster::new(1, 1, 3, rgb));
        match brought.data[..] {
            [red, green, blue] => Colour {
                red,
                green,
                blue,
                ..colour
            },
            _ => colour,
        }
    }
}

fn primaries(profile: &ColorProfile) -> [[f64; 3]; 3] {
    let place = |xyz: Xyzd| [xyz.x, xyz.y, xyz.z];
    [
        place(profile.red_colorant),
        place(profile.green_colorant),
        place(profile.blue_colorant),
    ]
}

/// The light of a value, both 0 to 1 (ICC.1:2022, sections 10.6 and 10.18).
fn light(curve: &ToneReprCurve, value: f64) -> Option<f64> {
    match curve {
        ToneReprCurve::Parametric(numbers) => {
            let numbers: Vec<f64> = numbers.iter().copied().map(f64::from).collect();
            match numbers[..] {
                [gamma] => Some(value.powf(gamma)),
                [gamma, a, b, _, d] if value >= d => Some((a * value + b).powf(gamma)),
                [_, _, _, c, _] => Some(c * value),
                _ => None,
            }
        }
        ToneReprCurve::Lut(table) => match table[..] {
            [] => Some(value),
            [gamma] => Some(value.powf(f64::from(gamma) / 256.0)),
            _ => {
                let place = value * (table.len() - 1) as f64;
                let below = (place as usize).min(table.len() - 2);
                let (from, to) = (f64::from(table[below]), f64::from(table[below + 1]));
                Some((from + (to - from) * (place - below as f64)) / 65_535.0)
            }
        },
    }
}

/// The area of the triangle in the diagram of x and y; no number for senseless ones.
fn area(primaries: [[f64; 3]; 3]) -> f64 {
    let [a, b, c] = primaries.map(|[x, y, z]| {
        let sum = x + y + z;
        (x / sum, y / sum)
    });
    (((b.0 - a.0) * (c.1 - a.1) - (c.0 - a.0) * (b.1 - a.1)) / 2.0).abs()
}

/// A profile of a screen (ICC.1:2022, sections 7 to 10).
fn written(gamut: Gamut) -> Vec<u8> {
    const WHITE: [f64; 3] = [0.964_2, 1.0, 0.824_9];
    // From D65 to D50 by Bradford's adaptation.
    const ADAPTATION: [f64; 9] = [
        1.047_88, 0.022_92, -0.050_2, 0.029_59, 0.990_48, -0.017_06, -0.009_23, 0.015_08, 0.751_68,
    ];
    // IEC 61966-2-1, and Adobe RGB (1998), section 4.3.4.2.
    let curve = match gamut {
        Gamut::AdobeRgb => curve(0, &[2.199_218_75]),
        _ => curve(3, &[2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45]),
    };
    let xyz = |values: [f64; 3]| [b"XYZ \0\0\0\0", &fixed(&values)[..]].concat();
    let [red, green, blue] = gamut.colorants().unwrap_or_default();
    let shared: [(&[&[u8; 4]], Vec<u8>); 8] = [
        (&[b"desc"], text(gamut.name())),
        (&[b"cprt"], text("CC0")),
        (&[b"wtpt"], xyz(WHITE)),
        (
            &[b"chad"],
            [b"sf32\0\0\0\0", &fixed(&ADAPTATION)[..]].concat(),
        ),
        (&[b"rXYZ"], xyz(red)),
        (&[b"gXYZ"], xyz(green)),
        (&[b"bXYZ"], xyz(blue)),
        (&[b"rTRC", b"gTRC", b"bTRC"], curve),
    ];
    let tags: usize = shared.iter().map(|(names, _)| names.len()).sum();
    let mut table = (tags as u32).to_be_bytes().to_vec();
    let mut data = Vec::new();
    let start = 128 + 4 + 12 * tags;
    for (names, body) in &shared {
        for name in *names {
            table.extend(*name);
            table.extend(((start + data.len()) as u32).to_be_bytes());
            table.extend((body.len() as u32).to_be_bytes());
        }
        data.extend(body);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    let mut profile = Vec::with_capacity(start + data.len());
    profile.extend(((start + data.len()) as u32).to_be_bytes());
    profile.extend(b"\0\0\0\0\x04\x30\0\0mntrRGB XYZ ");
    // When it was made: a date there has to be.
    profile.extend([2026_u16, 1, 1, 0, 0, 0].map(u16::to_be_bytes).concat());
    profile.extend(b"acsp");
    profile.resize(68, 0);
    profile.extend(fixed(&WHITE));
    profile.resize(128, 0);
    profile.extend(table);
    profile.extend(data);
    profile
}

/// Numbers with sixteen bits behind the point.
fn fixed(values: &[f64]) -> Vec<u8> {
    let fixed = |value: &f64| ((value * 65_536.0).round() as i32).to_be_bytes();
    values.iter().flat_map(fixed).collect()
}

fn curve(kind: u16, parameters: &[f64]) -> Vec<u8> {
    let head = [&b"para\0\0\0\0"[..], &kind.to_be_bytes(), &[0, 0]].concat();
    [head, fixed(parameters)].concat()
}

/// A text in one language.
fn text(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let length = (units.len() as u32).to_be_bytes();
    [
        &b"mluc\0\0\0\0\0\0\0\x01\0\0\0\x0cenUS"[..],
        &length,
        &28_u32.to_be_bytes(),
        &units,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_profiles_say_what_those_of_others_say() {
        let others = [
            ColorProfile::new_display_p3(),
            ColorProfile::new_adobe_rgb(),
            ColorProfile::new_bt2020(),
        ];
        for (gamut, mut other) in WIDE.into_iter().zip(others) {
            let icc = gamut.icc().unwrap();
            assert!(icc.len() < 600, "{} bytes", icc.len());
            assert_eq!(
                u32::from_be_bytes(icc[..4].try_into().unwrap()),
                icc.len() as u32
            );
            let own = ColorProfile::new_from_slice(icc).unwrap();
            assert_eq!(Gamut::of(&own), gamut);
            assert_eq!(Gamut::of(&other), gamut);
            if gamut == Gamut::Rec2020 {
                let srgb = ColorProfile::new_srgb();
                other.red_trc = srgb.red_trc;
                other.green_trc = srgb.green_trc;
                other.blue_trc = srgb.blue_trc;
            }
            let options = TransformOptions::default();
            let (from, to) = (Layout::Rgb, Layout::Rgb);
            assert!(gamut.is(&own) && gamut.is(&other), "{gamut:?}");
            let same = own
                .create_transform_16bit(from, &other, to, options)
                .unwrap();
            // Power curves lose what is darker in sixteen bits of light.
            let colours: Vec<u16> = (8..=255)
                .flat_map(|value| [[value, 128, 30], [value; 3], [9, value, 200]])
                .flatten()
                .map(|value: u16| value * 257)
                .collect();
            let mut made = vec![0; colours.len()];
            same.transform(&colours, &mut made).unwrap();
            let off = made.iter().zip(&colours).map(|(a, b)| a.abs_diff(*b)).max();
            // One of 8 bits is 257.
            assert!(off <= Some(257), "{gamut:?}: {off:?}");
        }
    }

    #[test]
    fn what_is_not_wide_stays_srgb() {
        for profile in [
            ColorProfile::new_srgb(),
            ColorProfile::new_gray_with_gamma(2.2),
            ColorProfile::new_lab(),
        ] {
            assert_eq!(Gamut::of(&profile), Gamut::Srgb);
        }
        // Wider than all which are named.
        let profile = ColorProfile::new_pro_photo_rgb();
        assert_eq!(Gamut::of(&profile), Gamut::Rec2020);
    }

    #[test]
    fn colours_are_brought_from_srgb() {
        let red = Colour::parse("#ff000080").unwrap();
        let wide = Gamut::DisplayP3.colour(red);
        assert!(
            wide.red.abs_diff(234) <= 1 && wide.green.abs_diff(51) <= 1,
            "{wide:?}"
        );
        assert!(wide.blue.abs_diff(35) <= 1 && wide.alpha == 128, "{wide:?}");
        assert_eq!(Gamut::Rec2020.colour(Colour::WHITE), Colour::WHITE);
        assert_eq!(Gamut::Srgb.colour(red), red);
    }
}
