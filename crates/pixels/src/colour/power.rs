use moxcms::{Chromaticity, ColorPrimaries, ColorProfile, ToneReprCurve, XyY};

/// Light is a power of the values, as PNG says it with `gAMA` and `cHRM`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Power {
    /// The exponent from light to values.
    pub gamma: f32,
    /// x and y of white, red, green and blue; else they are those of sRGB.
    pub places: Option<[(f32, f32); 4]>,
    /// Whether there is brightness alone.
    pub grey: bool,
}

/// White, red, green and blue of sRGB.
const SRGB: [(f32, f32); 4] = [(0.3127, 0.3290), (0.64, 0.33), (0.30, 0.60), (0.15, 0.06)];

/// Exponents which differ by less look the same, so that what is meant to be sRGB stays as it is.
const SAME_GAMMA: f32 = 0.05;
const SAME_PLACE: f32 = 0.01;

impl Power {
    /// `None` if it makes no sense, or says what is assumed anyway.
    pub(super) fn profile(self) -> Option<ColorProfile> {
        let places = self.places.unwrap_or(SRGB);
        let near = |(a, b): (&(f32, f32), &(f32, f32))| {
            (a.0 - b.0).abs() < SAME_PLACE && (a.1 - b.1).abs() < SAME_PLACE
        };
        let usual_places = self.grey || places.iter().zip(&SRGB).all(near);
        if !(0.1..=10.0).contains(&self.gamma)
            || usual_places && (self.gamma * 2.2 - 1.0).abs() < SAME_GAMMA
        {
            return None;
        }
        let exponent = 1.0 / self.gamma;
        if self.grey {
            return Some(ColorProfile::new_gray_with_gamma(exponent));
        }
        // Places on a line span no colours, and black has no colour at all.
        let [white, red, green, blue] = places;
        let area = (green.0 - red.0) * (blue.1 - red.1) - (blue.0 - red.0) * (green.1 - red.1);
        if area.abs() < 1e-4 || places.iter().any(|(_, y)| *y < 1e-3) {
            return None;
        }
        let place = |(x, y): (f32, f32)| Chromaticity { x, y };
        let mut profile = ColorProfile::new_srgb();
        profile.update_rgb_colorimetry(
            XyY {
                x: white.0.into(),
                y: white.1.into(),
                yb: 1.0,
            },
            ColorPrimaries {
                red: place(red),
                green: place(green),
                blue: place(blue),
            },
        );
        let curve = ToneReprCurve::Parametric(vec![exponent]);
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
        // The name says sRGB.
        profile.description = None;
        Some(profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_or_senseless_changes_nothing() {
        let power = |gamma, places| Power {
            gamma,
            places,
            grey: false,
        };
        let on_a_line = [(0.3, 0.3), (0.1, 0.1), (0.2, 0.2), (0.4, 0.4)];
        for power in [
            power(0.454_55, None),
            power(0.454_55, Some(SRGB)),
            power(0.0, None),
            power(f32::NAN, None),
            power(1.0, Some(on_a_line)),
            power(1.0, Some([(0.0, 0.0); 4])),
        ] {
            assert!(power.profile().is_none(), "{power:?}");
        }
        assert!(power(1.0, None).profile().is_some());
        let wide = [(0.3127, 0.3290), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)];
        assert!(power(0.454_55, Some(wide)).profile().is_some());
    }
}
