use std::path::PathBuf;

use crate::transform::Formats;

/// What an operator prefers where the API leaves a choice. The defaults and their sources are in
/// transformations.md, sections 0.2 and 12.1.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Which way `gamma` works.
    pub gamma: GammaDirection,
    /// Ceiling of `dpr`, at least 1.
    pub dpr_max: f64,
    /// Whether AVIF is accepted as a source.
    pub accept_avif: bool,
    /// Whether HEIC is accepted as a source.
    pub accept_heic: bool,
    /// Whether JPEG XL, TIFF, BMP and ICO are accepted as sources.
    pub accept_more: bool,
    /// Whether `format=png` is always PNG; else opaque pictures become JPEG.
    pub strict_png: bool,
    /// Whether `format=jpg` is `format=jpeg`; else it is refused, as by the API.
    pub lenient_formats: bool,
    /// In what pictures are shrunk.
    pub resize_light: ResizeLight,
    /// Pixels of the longest side up to which AVIF is chosen where the client takes it.
    pub avif_side_auto: u32,
    /// Pixels of the longest side up to which AVIF is made where it is asked for by name.
    pub avif_side_explicit: u32,
    /// The library of SVT-AV1; `None` looks for it.
    pub svt_av1: Option<PathBuf>,
    /// Whether animated PNG stays animated, as GIF or WebP; else its default image is taken.
    pub animate_png: bool,
    /// Whether SVG is drawn where a raster format is asked for by name; else it stays SVG.
    pub rasterize_svg: bool,
    /// Whether stills of a space wider than sRGB keep it; else they become sRGB.
    pub wide_gamut: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            gamma: GammaDirection::default(),
            dpr_max: 2.0,
            accept_avif: true,
            accept_heic: true,
            accept_more: false,
            strict_png: false,
            lenient_formats: false,
            resize_light: ResizeLight::default(),
            avif_side_auto: 1_200,
            avif_side_explicit: 1_600,
            svt_av1: None,
            animate_png: false,
            rasterize_svg: false,
            wide_gamut: false,
        }
    }
}

impl Policy {
    /// The words of `format` which are taken.
    pub fn formats(&self) -> Formats {
        if self.lenient_formats {
            Formats::Lenient
        } else {
            Formats::Documented
        }
    }

    /// Names what of it changes pixels: renditions made under equal names are equal.
    pub fn rendering(&self) -> String {
        let Self {
            gamma,
            dpr_max,
            strict_png,
            resize_light,
            avif_side_auto,
            avif_side_explicit,
            animate_png,
            rasterize_svg,
            wide_gamut,
            accept_avif: _,
            accept_heic: _,
            accept_more: _,
            svt_av1: _,
            // Read before, and part of the transform then.
            lenient_formats: _,
        } = self;
        format!(
            "gamma={gamma:?} dpr={dpr_max} png={strict_png} apng={animate_png} svg={rasterize_svg} wide={wide_gamut} \
             avif={avif_side_auto},{avif_side_explicit} light={resize_light:?}"
        )
    }
}

/// The two published readings of the `gamma` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GammaDirection {
    /// `out = in^gamma`: below 1 lightens, as documented since 2026.
    #[default]
    Exponent,
    /// `out = in^(1/gamma)`: below 1 darkens, as documented before.
    Legacy,
}

impl GammaDirection {
    /// Reads `2026` or `legacy`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "2026" => Some(Self::Exponent),
            "legacy" => Some(Self::Legacy),
            _ => None,
        }
    }
}

/// In what pictures are shrunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ResizeLight {
    /// Amounts of light, as a lens would do it.
    Linear,
    /// The values as they are encoded, which costs less.
    #[default]
    Gamma,
}

impl ResizeLight {
    /// Reads `linear` or `gamma`.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "linear" => Some(Self::Linear),
            "gamma" => Some(Self::Gamma),
            _ => None,
        }
    }
}
