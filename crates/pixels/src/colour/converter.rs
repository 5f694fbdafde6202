//! Samples of any colour space and depth to bytes of sRGB. Those of 16 bits are converted before they
//! are rounded, as profiles of linear light spread what is dark over many bytes.

use std::sync::Arc;

use moxcms::{CmsError, ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

use super::hdr::ToneMapping;
use super::{Gamut, Gamuts, Profile};

/// Pixels which are converted at a time where their samples need room of their own.
const PIXELS_AT_A_TIME: usize = 2_048;

/// What the samples of a pixel are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
    Cmyk,
}

impl Kind {
    fn layout(self) -> Layout {
        match self {
            Self::Gray => Layout::Gray,
            Self::GrayAlpha => Layout::GrayAlpha,
            Self::Rgb => Layout::Rgb,
            Self::Rgba | Self::Cmyk => Layout::Rgba,
        }
    }

    fn space(self) -> DataColorSpace {
        match self {
            Self::Gray | Self::GrayAlpha => DataColorSpace::Gray,
            Self::Rgb | Self::Rgba => DataColorSpace::Rgb,
            Self::Cmyk => DataColorSpace::Cmyk,
        }
    }

    /// Samples of a pixel.
    fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba | Self::Cmyk => 4,
        }
    }

    fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }

    /// Samples of a pixel which is made of it.
    pub(crate) fn made(self) -> usize {
        if self.has_alpha() { 4 } else { 3 }
    }
}

/// A sample of 8 or 16 bits.
pub(crate) trait Sample: Copy + Default + Into<u64> + 'static {
    /// What stands for all of it.
    const MAX: Self;

    fn whole(self) -> u64 {
        self.into()
    }

    /// `value` is at most [`Self::MAX`].
    fn from_whole(value: u64) -> Self;

    /// Rounded to 8 bits.
    fn byte(self) -> u8;

    /// All of them rounded to 8 bits.
    fn bytes(samples: Vec<Self>) -> Vec<u8>;

    fn through(
        from: &ColorProfile,
        from_layout: Layout,
        to: &ColorProfile,
        to_layout: Layout,
    ) -> Result<Arc<dyn TransformExecutor<Self> + Send + Sync>, CmsError>;
}

impl Sample for u8 {
    const MAX: Self = Self::MAX;

    fn from_whole(value: u64) -> Self {
        value as Self
    }

    fn byte(self) -> u8 {
        self
    }

    fn bytes(samples: Vec<Self>) -> Vec<u8> {
        samples
    }

    fn through(
        from: &ColorProfile,
        from_layout: Layout,
        to: &ColorProfile,
        to_layout: Layout,
    ) -> Result<Arc<dyn TransformExecutor<Self> + Send + Sync>, CmsError> {
        from.create_transform_8bit(from_layout, to, to_layout, TransformOptions::default())
    }
}

impl Sample for u16 {
    const MAX: Self = Self::MAX;

    fn from_whole(value: u64) -> Self {
        value as Self
    }

    fn byte(self) -> u8 {
        ((u32::from(self) * 255 + 32_767) / 65_535) as u8
    }

    fn bytes(samples: Vec<Self>) -> Vec<u8> {
        samples.into_iter().map(Self::byte).collect()
    }

    fn through(
        from: &ColorProfile,
        from_layout: Layout,
        to: &ColorProfile,
        to_layout: Layout,
    ) -> Result<Arc<dyn TransformExecutor<Self> + Send + Sync>, CmsError> {
        from.create_transform_16bit(from_layout, to, to_layout, TransformOptions::default())
    }
}

/// Converts pixels, as many at a time as one likes.
pub(crate) struct Converter<T: Sample> {
    kind: Kind,
    way: Way<T>,
    gamut: Gamut,
}

enum Way<T: Sample> {
    /// The numbers mean what is assumed anyway.
    Plain,
    Mapped(Box<ToneMapping>),
    Through(Arc<dyn TransformExecutor<T> + Send + Sync>),
}

impl<T: Sample> Converter<T> {
    pub(crate) fn new(kind: Kind, profile: Option<Profile<'_>>, gamuts: Gamuts) -> Self {
        let way = Self::way(kind, profile, gamuts);
        let (way, gamut) = way.unwrap_or((Way::Plain, Gamut::Srgb));
        Self { kind, way, gamut }
    }

    /// What the numbers mean which it makes.
    pub(crate) fn gamut(&self) -> Gamut {
        self.gamut
    }

    fn way(kind: Kind, profile: Option<Profile<'_>>, gamuts: Gamuts) -> Option<(Way<T>, Gamut)> {
        let profile = profile?;
        if kind.space() == DataColorSpace::Rgb
            && let Some(mapping) = profile.tone_mapping()
        {
            return Some((Way::Mapped(Box::new(mapping)), Gamut::Srgb));
        }
        let profile = profile.read()?;
        if profile.color_space != kind.space() {
            return None;
        }
        let to_layout = if kind.has_alpha() {
            Layout::Rgba
        } else {
            Layout::Rgb
        };
        let gamut = match gamuts {
            Gamuts::Srgb => Gamut::Srgb,
            Gamuts::Kept => Gamut::of(&profile),
        };
        if gamut != Gamut::Srgb && gamut.is(&profile) {
            return Some((Way::Plain, gamut));
        }
        let through = T::through(&profile, kind.layout(), &gamut.profile(), to_layout).ok()?;
        Some((Way::Through(through), gamut))
    }

    /// All samples of a picture.
    pub(super) fn whole(&self, samples: Vec<T>) -> Vec<u8> {
        if let (Way::Plain, Kind::Rgb | Kind::Rgba) = (&self.way, self.kind) {
            return T::bytes(samples);
        }
        let pixels = samples.len() / self.kind.channels();
        let mut made = Vec::with_capacity(pixels * self.kind.made());
        self.convert(&samples, &mut made);
        made
    }

    /// Samples of whole pixels; what they become is put behind what is `made` already.
    pub(crate) fn convert(&self, samples: &[T], made: &mut Vec<u8>) {
        match &self.way {
            Way::Plain => self.plain(samples, made),
            Way::Mapped(mapping) => {
                for pixel in samples.chunks_exact(self.kind.channels()) {
                    let rgb = [pixel[0], pixel[1], pixel[2]].map(wide);
                    made.extend(mapping.apply(rgb));
                    made.extend(pixel.get(3).map(|alpha| alpha.byte()));
                }
            }
            Way::Through(transform) => {
                let mut room = [T::default()].repeat(PIXELS_AT_A_TIME * self.kind.made());
                for samples in samples.chunks(PIXELS_AT_A_TIME * self.kind.channels()) {
                    let pixels = samples.len() / self.kind.channels();
                    let room = &mut room[..pixels * self.kind.made()];
                    match transform.transform(samples, room) {
                        Ok(()) => made.extend(room.iter().map(|value| value.byte())),
                        Err(_) => self.plain(samples, made),
                    }
                }
            }
        }
    }

    fn plain(&self, samples: &[T], made: &mut Vec<u8>) {
        let pixels = samples.chunks_exact(self.kind.channels());
        match self.kind {
            Kind::Gray => made.extend(samples.iter().flat_map(|value| [value.byte(); 3])),
            Kind::GrayAlpha => made.extend(pixels.flat_map(|pixel| {
                let grey = pixel[0].byte();
                [grey, grey, grey, pixel[1].byte()]
            })),
            Kind::Rgb | Kind::Rgba => made.extend(samples.iter().map(|value| value.byte())),
            Kind::Cmyk => made.extend(pixels.flat_map(without_profile)),
        }
    }
}

/// The same in 16 bits.
fn wide<T: Sample>(value: T) -> u16 {
    (value.whole() * 65_535 / T::MAX.whole()) as u16
}

/// Ink as if it were ideal: what is left of the light, less what black takes.
fn without_profile<T: Sample>(ink: &[T]) -> [u8; 3] {
    let most = T::MAX.whole();
    [0, 1, 2].map(|channel| {
        let light = (most - ink[channel].whole()) * (most - ink[3].whole());
        T::from_whole((light + most / 2) / most).byte()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::Power;

    /// From light to a value of sRGB (IEC 61966-2-1).
    fn exact(light: f64) -> f64 {
        let value = if light <= 0.003_130_8 {
            12.92 * light
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        value * 255.0
    }

    fn linear(grey: bool) -> Profile<'static> {
        Profile::Power(Power {
            gamma: 1.0,
            places: None,
            grey,
        })
    }

    #[test]
    fn linear_light_of_16_bits_has_no_bands() {
        for kind in [Kind::Gray, Kind::Rgb, Kind::GrayAlpha, Kind::Rgba] {
            let grey = kind.space() == DataColorSpace::Gray;
            let converter = Converter::<u16>::new(kind, Some(linear(grey)), Gamuts::Srgb);
            let ramp: Vec<u16> = (0..=65_535)
                .flat_map(|value| {
                    let mut pixel = vec![value; kind.channels()];
                    if kind.has_alpha() {
                        pixel[kind.channels() - 1] = 65_535;
                    }
                    pixel
                })
                .collect();
            let mut made = Vec::new();
            converter.convert(&ramp, &mut made);
            let mut seen = [false; 256];
            for (value, pixel) in made.chunks(kind.made()).enumerate() {
                let exact = exact(value as f64 / 65_535.0);
                let near = pixel[..3]
                    .iter()
                    .all(|byte| (f64::from(*byte) - exact).abs() <= 1.0);
                assert!(near, "{kind:?} {value}: {pixel:?} and not {exact}");
                seen[usize::from(pixel[0])] = true;
            }
            // All of them are used, also those which are dark.
            assert!(seen.iter().all(|seen| *seen), "{kind:?}");
        }
    }

    #[test]
    fn what_is_plain_is_rounded_to_the_nearest() {
        let converter = Converter::<u16>::new(Kind::Rgb, None, Gamuts::Srgb);
        let mut made = Vec::new();
        let ramp: Vec<u16> = (0..=65_535).flat_map(|value| [value; 3]).collect();
        converter.convert(&ramp, &mut made);
        for (value, pixel) in made.chunks(3).enumerate() {
            let exact = value as f64 * 255.0 / 65_535.0;
            assert!((f64::from(pixel[1]) - exact).abs() <= 0.5, "{value}");
        }
    }

    #[test]
    fn wide_samples_of_bright_screens_have_no_bands() {
        let profile = Profile::Cicp {
            primaries: 9,
            transfer: 16,
        };
        let converter = Converter::<u16>::new(Kind::Rgb, Some(profile), Gamuts::Srgb);
        let ramp: Vec<u16> = (0..=65_535).flat_map(|value| [value; 3]).collect();
        let mut made = Vec::new();
        converter.convert(&ramp, &mut made);
        let greens: Vec<u8> = made.chunks(3).map(|pixel| pixel[1]).collect();
        let even = |pair: &[u8]| pair[0].abs_diff(pair[1]) <= 1;
        assert!(greens.windows(2).all(even));
        let far: Vec<u8> = greens.iter().step_by(64).copied().collect();
        assert!(far.is_sorted());
        // As of 8 bits where those mean the same.
        let mut narrow = Vec::new();
        let eight: Vec<u8> = (0..=255).flat_map(|value| [value; 3]).collect();
        Converter::<u8>::new(Kind::Rgb, Some(profile), Gamuts::Srgb).convert(&eight, &mut narrow);
        for value in 0..256 {
            assert_eq!(narrow[value * 3], made[value * 257 * 3]);
        }
    }

    #[test]
    fn ink_and_alpha_are_the_same_in_every_depth() {
        for ink in [[0_u8, 0, 0, 0], [255, 128, 0, 0], [9, 99, 199, 51]] {
            let deep = ink.map(|value| u16::from(value) * 257);
            let shallow = without_profile(&ink);
            for (a, b) in shallow.into_iter().zip(without_profile(&deep)) {
                assert!(a.abs_diff(b) <= 1, "{ink:?}");
            }
        }
        let mut rgba = [32_768_u16, 0, 9_000, 32_768, 7, 7, 7, 0];
        crate::colour::undo_alpha(&mut rgba);
        assert_eq!(rgba, [65_535, 0, 18_000, 32_768, 0, 0, 0, 0]);
    }
}
