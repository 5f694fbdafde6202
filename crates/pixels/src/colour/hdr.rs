//! High dynamic range, of which samples tell how bright a screen is to be, to the range of sRGB: what
//! is up to about half of white stays as it is, and highlights are rolled off (ITU-R BT.2100, BT.2408,
//! and BT.2390, section 5.4).

/// Light of white in a picture of usual range, in cd/m² (BT.2408, table 1).
const WHITE: f32 = 203.0;

/// Light which is shown as white, in cd/m²: pictures are graded for screens of this kind.
const PEAK: f32 = 1_000.0;

/// Steps of linear light in the tables.
const STEPS: usize = 4_096;

/// How samples stand for light (H.273, table 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// Perceptual quantisation, number 16.
    Pq,
    /// Hybrid log-gamma, number 18.
    Hlg,
}

impl Transfer {
    pub(super) fn of(number: u16) -> Option<Self> {
        match number {
            16 => Some(Self::Pq),
            18 => Some(Self::Hlg),
            _ => None,
        }
    }
}

/// What turns samples of high dynamic range to those of sRGB.
pub(super) struct ToneMapping {
    transfer: Transfer,
    /// From a sample of 16 bits to light, 1 at the peak; for HLG before the gamma of the screen.
    light: Vec<f32>,
    /// The gamma of the screen for HLG by the luminance of a pixel.
    system_gamma: Vec<f32>,
    /// The factor, by the brightest channel of a pixel, to light in which 1 is white.
    factor: Vec<f32>,
    /// From the primaries to those of sRGB.
    primaries: [[f32; 3]; 3],
    /// Of red, green and blue in luminance.
    shares: [f32; 3],
    /// From light to a sample.
    samples: Vec<u8>,
}

impl ToneMapping {
    /// `primaries` is the number of H.273, table 2.
    pub(super) fn new(transfer: Transfer, primaries: u16) -> Self {
        let light = (0..=u16::MAX).map(|sample| {
            let sample = f32::from(sample) / 65_535.0;
            match transfer {
                Transfer::Pq => from_pq(sample) / PEAK,
                Transfer::Hlg => from_hlg(sample),
            }
        });
        let table =
            |of: fn(f32) -> f32| (0..=STEPS).map(move |step| of(step as f32 / STEPS as f32));
        let (primaries, shares) = match primaries {
            9 => (FROM_BT2020, [0.2627, 0.678, 0.0593]),
            11 | 12 => (FROM_P3, [0.229, 0.6917, 0.0793]),
            _ => (UNCHANGED, [0.2126, 0.7152, 0.0722]),
        };
        Self {
            transfer,
            light: light.collect(),
            system_gamma: table(|luminance| luminance.powf(0.2)).collect(),
            // Near black it is that of the first step.
            factor: table(|light| {
                let light = light.max(1.0 / STEPS as f32);
                rolled_off(light) / light
            })
            .collect(),
            primaries,
            shares,
            samples: table(|light| to_srgb(light) * 255.0 + 0.5)
                .map(|value| value as u8)
                .collect(),
        }
    }

    /// Red, green and blue of a pixel.
    pub(super) fn apply(&self, samples: [u16; 3]) -> [u8; 3] {
        let mut rgb = samples.map(|sample| self.light[usize::from(sample)]);
        if self.transfer == Transfer::Hlg {
            let gamma = between(&self.system_gamma, sum(self.shares, rgb));
            rgb = rgb.map(|light| light * gamma);
        }
        let brightest = rgb.into_iter().fold(0.0, f32::max);
        // What is brighter than the peak is white.
        let factor = between(&self.factor, brightest) / brightest.max(1.0);
        let rgb = rgb.map(|light| light * factor);
        self.primaries.map(|row| self.samples[step(sum(row, rgb))])
    }
}

/// The place of light in a table.
fn step(light: f32) -> usize {
    ((light * STEPS as f32 + 0.5) as usize).min(STEPS)
}

/// What a table says of light, also between two steps.
fn between(table: &[f32], light: f32) -> f32 {
    let place = light.clamp(0.0, 1.0) * STEPS as f32;
    let below = (place as usize).min(STEPS - 1);
    let (from, to) = (table[below], table[below + 1]);
    from + (to - from) * (place - below as f32)
}

fn sum(shares: [f32; 3], rgb: [f32; 3]) -> f32 {
    shares[0] * rgb[0] + shares[1] * rgb[1] + shares[2] * rgb[2]
}

const UNCHANGED: [[f32; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// BT.2087, the inverse of table 2.
const FROM_BT2020: [[f32; 3]; 3] = [
    [1.6605, -0.5876, -0.0728],
    [-0.1246, 1.1329, -0.0083],
    [-0.0182, -0.1006, 1.1187],
];

/// From the primaries of SMPTE EG 432-1 with the white of sRGB.
const FROM_P3: [[f32; 3]; 3] = [
    [1.2249, -0.2247, 0.0],
    [-0.042, 1.0419, 0.0],
    [-0.0197, -0.0786, 1.0979],
];

/// From a PQ value, 0 to 1, to cd/m² (BT.2100, table 4).
fn from_pq(value: f32) -> f32 {
    let root = value.powf(1.0 / PQ_M2);
    let light = (root - PQ_C1).max(0.0) / (PQ_C2 - PQ_C3 * root);
    10_000.0 * light.powf(1.0 / PQ_M1)
}

/// What [`from_pq`] undoes.
fn to_pq(light: f32) -> f32 {
    let root = (light / 10_000.0).powf(PQ_M1);
    ((PQ_C1 + PQ_C2 * root) / (1.0 + PQ_C3 * root)).powf(PQ_M2)
}

const PQ_M1: f32 = 2610.0 / 16384.0;
const PQ_M2: f32 = 2523.0 / 4096.0 * 128.0;
const PQ_C1: f32 = 3424.0 / 4096.0;
const PQ_C2: f32 = 2413.0 / 4096.0 * 32.0;
const PQ_C3: f32 = 2392.0 / 4096.0 * 32.0;

/// From an HLG value to light of the scene, both 0 to 1 (BT.2100, table 5).
fn from_hlg(value: f32) -> f32 {
    const A: f32 = 0.178_832_77;
    const B: f32 = 1.0 - 4.0 * A;
    const C: f32 = 0.559_910_7;
    if value <= 0.5 {
        value * value / 3.0
    } else {
        (((value - C) / A).exp() + B) / 12.0
    }
}

/// From light, 1 at the peak, to light, 1 at white: in values of PQ a straight line, and from the knee
/// on a curve which meets both with their slope (BT.2390, section 5.4.1).
fn rolled_off(light: f32) -> f32 {
    let (peak, white) = (to_pq(PEAK), to_pq(WHITE));
    let value = to_pq(light * PEAK) / peak;
    let most = white / peak;
    let knee = 1.5 * most - 0.5;
    let value = if value < knee {
        value
    } else {
        let t = (value - knee) / (1.0 - knee);
        let (square, cube) = (t * t, t * t * t);
        (2.0 * cube - 3.0 * square + 1.0) * knee
            + (cube - 2.0 * square + t) * (1.0 - knee)
            + (3.0 * square - 2.0 * cube) * most
    };
    from_pq(value * peak) / WHITE
}

/// From light to a value of sRGB, both 0 to 1 (IEC 61966-2-1).
fn to_srgb(light: f32) -> f32 {
    if light <= 0.003_130_8 {
        12.92 * light
    } else {
        1.055 * light.powf(1.0 / 2.4) - 0.055
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(transfer: Transfer, primaries: u16, rgb: [u8; 3]) -> [u8; 3] {
        let wide = rgb.map(|value| u16::from(value) * 257);
        ToneMapping::new(transfer, primaries).apply(wide)
    }

    #[test]
    fn pq_is_that_of_the_standard() {
        for (value, light) in [
            (0.0, 0.0),
            (0.508_1, 100.0),
            (0.580_7, 203.0),
            (0.751_8, 1_000.0),
            (1.0, 10_000.0),
        ] {
            assert!((from_pq(value) - light).abs() <= light * 0.002, "{value}");
            assert!((to_pq(light) - value).abs() < 0.000_1, "{light}");
        }
    }

    #[test]
    fn dark_stays_middle_is_near_and_highlights_roll_off() {
        // 0, 10, 50, 203 and 1,000 cd/m² of grey.
        let grey = |value: u8| mapped(Transfer::Pq, 9, [value; 3]);
        for (light, expected) in [
            (0.0, 0..=0),
            (10.0, 60..=66),
            (50.0, 134..=140),
            (203.0, 205..=235),
            (1_000.0, 254..=255),
        ] {
            let value = (to_pq(light) * 255.0).round() as u8;
            let [r, g, b] = grey(value);
            assert!(expected.contains(&g), "{light}: {g}");
            assert!(
                r.abs_diff(g) <= 1 && b.abs_diff(g) <= 1,
                "{light}: {r} {g} {b}"
            );
        }
        assert_eq!(grey(255), [255; 3]);
        let rising: Vec<u8> = (0..=255).map(|value| grey(value)[1]).collect();
        assert!(rising.is_sorted());
    }

    #[test]
    fn hlg_shows_its_reference_white_as_nearly_white() {
        assert_eq!(mapped(Transfer::Hlg, 9, [0; 3]), [0; 3]);
        assert_eq!(mapped(Transfer::Hlg, 9, [255; 3]), [255; 3]);
        // 75 %, which is 203 cd/m² on a screen of 1,000 (BT.2408, table 1).
        let [_, white, _] = mapped(Transfer::Hlg, 9, [191; 3]);
        assert!((205..=235).contains(&white), "{white}");
    }

    #[test]
    fn colours_keep_their_hue() {
        // Red of BT.2020 is redder than sRGB can show.
        let [r, g, b] = mapped(Transfer::Pq, 9, [140, 0, 0]);
        assert!(r > 150 && g == 0 && b == 0, "{r} {g} {b}");
        // In primaries of sRGB only the range changes.
        let [r, g, b] = mapped(Transfer::Pq, 1, [170, 120, 120]);
        assert!(r > g && g == b, "{r} {g} {b}");
    }
}
