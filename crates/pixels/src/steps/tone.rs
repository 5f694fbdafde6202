use crate::raster::Raster;

/// Brightness and colour, on values between 0 and 1 as sRGB encodes them (transformations.md,
/// section 2.10). Alpha stays as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    /// Exponent.
    pub gamma: f64,
    /// Factor.
    pub brightness: f64,
    /// Factor of the distance from the middle.
    pub contrast: f64,
    /// Factor of the distance from grey.
    pub saturation: f64,
}

impl Tone {
    pub(crate) const NEUTRAL: Self = Self {
        gamma: 1.0,
        brightness: 1.0,
        contrast: 1.0,
        saturation: 1.0,
    };

    pub(super) fn apply(self, mut raster: Raster) -> Raster {
        let table: Vec<f32> = (0..=255_u8)
            .map(|value| {
                let bright = (f64::from(value) / 255.0).powf(self.gamma) * self.brightness;
                let value = (bright - 0.5) * self.contrast + 0.5;
                (value.clamp(0.0, 1.0) * 255.0) as f32
            })
            .collect();
        let saturation = self.saturation as f32;
        for pixel in raster.data.chunks_exact_mut(raster.channels) {
            let [red, green, blue] = [0, 1, 2].map(|channel| table[usize::from(pixel[channel])]);
            // The luma of Rec. 709.
            let grey = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
            for (channel, value) in pixel.iter_mut().zip([red, green, blue]) {
                let value = grey + (value - grey) * saturation;
                *channel = (value + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
        raster
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toned(tone: Tone) -> Vec<u8> {
        tone.apply(Raster::new(1, 1, 4, vec![64, 128, 200, 9])).data
    }

    #[test]
    fn each_option_does_what_its_formula_says() {
        let neutral = Tone::NEUTRAL;
        assert_eq!(toned(neutral), [64, 128, 200, 9]);
        assert_eq!(
            toned(Tone {
                brightness: 1.5,
                ..neutral
            }),
            [96, 192, 255, 9]
        );
        assert_eq!(
            toned(Tone {
                contrast: 2.0,
                ..neutral
            }),
            [1, 129, 255, 9]
        );
        assert_eq!(
            toned(Tone {
                gamma: 2.0,
                ..neutral
            }),
            [16, 64, 157, 9]
        );
        assert_eq!(
            toned(Tone {
                saturation: 0.0,
                ..neutral
            }),
            [120, 120, 120, 9]
        );
    }
}
