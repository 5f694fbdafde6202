//! From coefficients to samples: the inverse cosine transform of 1, 2, 3, 4 or 8 points, which takes
//! the lowest frequencies of a block of 8 and leaves the others out.
//!
//! Eight blocks are transformed side by side, so that every step is the same for neighbours in memory
//! and the compiler makes vectors of it.

use std::array::from_fn;
use std::f64::consts::{FRAC_1_SQRT_2, PI, SQRT_2};
use std::ops::{Add, Mul, Sub};

/// Blocks side by side.
pub(crate) const LANES: usize = 8;

/// What the coefficients of a component are multiplied by: its quantisation, and what the transform
/// leaves to it.
pub(crate) struct Factors([f32; 64]);

/// Row and column of a place in zigzag order.
const fn zigzag(place: usize) -> (usize, usize) {
    let (mut row, mut column, mut at) = (0, 0, 0);
    while at < place {
        let rising = (row + column) % 2 == 0;
        if rising && column == 7 {
            row += 1;
        } else if rising && row == 0 {
            column += 1;
        } else if rising {
            row -= 1;
            column += 1;
        } else if row == 7 {
            column += 1;
        } else if column == 0 {
            row += 1;
        } else {
            row += 1;
            column -= 1;
        }
        at += 1;
    }
    (row, column)
}

/// Of each place in zigzag order, which of the `n * n` coefficients it is; `n * n` where it is none
/// of them.
pub(crate) const fn slots(n: usize) -> [u8; 64] {
    let mut slots = [0; 64];
    let mut place = 0;
    while place < 64 {
        let (row, column) = zigzag(place);
        slots[place] = if row < n && column < n {
            row * n + column
        } else {
            n * n
        } as u8;
        place += 1;
    }
    slots
}

/// The last place in zigzag order which is one of the `n * n` coefficients.
pub(crate) const fn last_place(n: usize) -> usize {
    let slots = slots(n);
    let mut place = 63;
    while slots[place] as usize == n * n {
        place -= 1;
    }
    place
}

impl Factors {
    /// For `n * n` samples of a block; `quantisation` is in zigzag order.
    pub(crate) fn new(quantisation: &[u16; 64], n: usize) -> Self {
        let mut factors = [0.0; 64];
        for (place, quantum) in quantisation.iter().enumerate() {
            let (row, column) = zigzag(place);
            if row < n && column < n {
                let share = |u| gain(u, n) * scale(u, n);
                let factor = share(row) * share(column) / 8.0 * f64::from(*quantum);
                factors[row * n + column] = factor as f32;
            }
        }
        Self(factors)
    }
}

/// What a coefficient of frequency `u` is worth beside the mean. A sample of two a side stands for four
/// pixels across, and what resizes it later takes from its edges what its neighbours in the same block
/// have not: a tenth more gives that back (docs/decisions/0015).
fn gain(u: usize, n: usize) -> f64 {
    if (u, n) == (1, 2) { 1.1 } else { 1.0 }
}

/// What `points` wants a coefficient of frequency `u` to be multiplied by.
fn scale(u: usize, n: usize) -> f64 {
    match (u, n) {
        (0, _) | (_, 2) => 1.0,
        (1, 3) => 1.5_f64.sqrt(),
        (2, 3) => FRAC_1_SQRT_2,
        (1 | 3, 4) => SQRT_2 * (PI / 8.0).cos(),
        (u, 8) => SQRT_2 * (u as f64 * PI / 16.0).cos(),
        _ => 1.0,
    }
}

/// A number of each block.
#[derive(Clone, Copy)]
struct Lanes([f32; LANES]);

impl Add for Lanes {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane] + other.0[lane]))
    }
}

impl Sub for Lanes {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(from_fn(|lane| self.0[lane] - other.0[lane]))
    }
}

impl Mul<f32> for Lanes {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: f32) -> Self {
        Self(from_fn(|lane| self.0[lane] * other))
    }
}

/// A number in whose neighbourhood floats are 1 apart, so that the lowest bits of a sum are the
/// rounded whole number.
const ROUNDER: f32 = 12_582_912.0;

impl Lanes {
    /// The nearest samples; 128 is in the middle.
    #[inline(always)]
    fn samples(self) -> [u32; LANES] {
        let samples = self.0.map(|value| value + (ROUNDER + 128.0));
        let raised = samples.map(|value| if value > ROUNDER { value } else { ROUNDER });
        let clamped = raised.map(|value| {
            if value < ROUNDER + 255.0 {
                value
            } else {
                ROUNDER + 255.0
            }
        });
        clamped.map(|value| value.to_bits() & 255)
    }
}

/// Transforms [`LANES`] blocks. `coefficients` has them side by side, once for each of the `N * N`
/// coefficients, `apart` from each other. `samples` receives `N` rows, `stride` apart, of `LANES * N`
/// samples; behind the last of each one more byte may change.
#[inline(always)]
pub(crate) fn transform<const N: usize>(
    coefficients: &[i16],
    apart: usize,
    factors: &Factors,
    samples: &mut [u8],
    stride: usize,
) {
    let mut block = [[Lanes([0.0; LANES]); N]; N];
    let lanes = coefficients.chunks(apart).filter_map(<[i16]>::first_chunk);
    for ((value, lanes), factor) in block
        .as_flattened_mut()
        .iter_mut()
        .zip(lanes)
        .zip(&factors.0)
    {
        *value = Lanes(lanes.map(f32::from)) * *factor;
    }
    // Halves are rounded up.
    block[0][0] = block[0][0] + Lanes([1.0 / 64.0; LANES]);
    let columns: [[Lanes; N]; N] = from_fn(|column| points::<N>(from_fn(|row| block[row][column])));
    for (number, samples) in samples.chunks_mut(stride).take(N).enumerate() {
        let row = points::<N>(columns.map(|column| column[number]));
        let row = row.map(Lanes::samples);
        write::<N>(&row, samples);
    }
}

/// The transform along a line.
#[inline(always)]
fn points<const N: usize>(line: [Lanes; N]) -> [Lanes; N] {
    let mut out = line;
    match N {
        2 => {
            out[0] = line[0] + line[1];
            out[1] = line[0] - line[1];
        }
        3 => {
            let even = line[0] + line[2];
            out[0] = even + line[1];
            out[1] = line[0] - line[2] * 2.0;
            out[2] = even - line[1];
        }
        4 => {
            const TANGENT: f32 = SQRT_2 as f32 - 1.0;
            let even = [line[0] + line[2], line[0] - line[2]];
            let odd = [line[1] + line[3] * TANGENT, line[1] * TANGENT - line[3]];
            out[0] = even[0] + odd[0];
            out[1] = even[1] + odd[1];
            out[2] = even[1] - odd[1];
            out[3] = even[0] - odd[0];
        }
        8 => {
            // After Arai, Agui and Nakajima: five multiplications, the rest is in the factors.
            const ROOT: f32 = SQRT_2 as f32;
            let sum = line[0] + line[4];
            let difference = line[0] - line[4];
            let inner = line[2] + line[6];
            let outer = (line[2] - line[6]) * ROOT - inner;
            let even = [
                sum + inner,
                difference + outer,
                difference - outer,
                sum - inner,
            ];

            let (z13, z10) = (line[5] + line[3], line[5] - line[3]);
            let (z11, z12) = (line[1] + line[7], line[1] - line[7]);
            let odd0 = z11 + z13;
            let turned = (z10 + z12) * 1.847_759_1;
            let odd1 = turned - z10 * 2.613_126 - odd0;
            let odd2 = (z11 - z13) * ROOT - odd1;
            let odd3 = turned - z12 * 1.082_392_2 - odd2;
            out[0] = even[0] + odd0;
            out[7] = even[0] - odd0;
            out[1] = even[1] + odd1;
            out[6] = even[1] - odd1;
            out[2] = even[2] + odd2;
            out[5] = even[2] - odd2;
            out[3] = even[3] + odd3;
            out[4] = even[3] - odd3;
        }
        _ => {}
    }
    out
}

/// Writes a row of samples, block by block.
#[inline(always)]
fn write<const N: usize>(row: &[[u32; LANES]; N], samples: &mut [u8]) {
    // The samples of a block in one word, the first of them lowest.
    let word = |from: usize, count: usize| -> [u32; LANES] {
        from_fn(|lane| {
            (0..count).fold(0, |word, place| {
                word | row[from + place][lane] << (8 * place)
            })
        })
    };
    match N {
        1 => {
            for (sample, value) in samples.iter_mut().zip(row[0]) {
                *sample = value as u8;
            }
        }
        2 => {
            let words = word(0, 2).map(|word| word as u16);
            for (samples, word) in samples.as_chunks_mut::<2>().0.iter_mut().zip(words) {
                *samples = word.to_le_bytes();
            }
        }
        3 => {
            // Each overwrites the last byte of the one before.
            let words = word(0, 3);
            if let Some(samples) = samples.first_chunk_mut::<{ LANES * 3 + 1 }>() {
                for (lane, word) in words.into_iter().enumerate() {
                    samples[lane * 3..lane * 3 + 4].copy_from_slice(&word.to_le_bytes());
                }
            }
        }
        4 => {
            for (samples, word) in samples.as_chunks_mut::<4>().0.iter_mut().zip(word(0, 4)) {
                *samples = word.to_le_bytes();
            }
        }
        _ => {
            let words = word(0, 4).into_iter().zip(word(N - 4, 4));
            for (samples, (low, high)) in samples.as_chunks_mut::<8>().0.iter_mut().zip(words) {
                *samples = (u64::from(low) | u64::from(high) << 32).to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: the transform of 8 points with its lowest `n`, at the middles of `n` samples.
    fn defined(coefficients: &[[f64; 8]; 8], n: usize, (y, x): (usize, usize)) -> f64 {
        let wave = |u: usize, x: usize| {
            let angle = (2 * x + 1) as f64 * u as f64 * PI / (2 * n) as f64;
            if u == 0 { 1.0 } else { SQRT_2 * angle.cos() }
        };
        let mut sum = 0.0;
        for (v, row) in coefficients.iter().enumerate().take(n) {
            for (u, value) in row.iter().enumerate().take(n) {
                sum += value * gain(v, n) * gain(u, n) * wave(v, y) * wave(u, x) / 8.0;
            }
        }
        (sum + 128.0).clamp(0.0, 255.0)
    }

    fn check<const N: usize>(blocks: &[[i16; 64]], quantisation: &[u16; 64]) {
        let apart = LANES + 3;
        let mut coefficients = vec![0; apart * (N * N + 1)];
        for (lane, block) in blocks.iter().enumerate() {
            for (slot, value) in slots(N).iter().zip(block) {
                coefficients[usize::from(*slot) * apart + lane] = *value;
            }
        }
        let stride = LANES * N + 5;
        let mut samples = vec![7; stride * N];
        let factors = Factors::new(quantisation, N);
        transform::<N>(&coefficients, apart, &factors, &mut samples, stride);
        for (lane, block) in blocks.iter().enumerate() {
            let mut square = [[0.0; 8]; 8];
            for (place, (value, quantum)) in block.iter().zip(quantisation).enumerate() {
                let (row, column) = zigzag(place);
                square[row][column] = f64::from(*value) * f64::from(*quantum);
            }
            for y in 0..N {
                for x in 0..N {
                    let sample = f64::from(samples[y * stride + lane * N + x]);
                    let defined = defined(&square, N, (y, x));
                    assert!((sample - defined).abs() < 0.53, "{N}: {sample}, {defined}");
                }
            }
        }
        assert!(
            samples
                .chunks_exact(stride)
                .all(|row| row[LANES * N + 1..] == [7; 4])
        );
    }

    proptest! {
        #[test]
        fn samples_are_those_of_the_definition(
            mut blocks in prop::collection::vec(
                prop::array::uniform::<_, 64>(prop_oneof![4 => Just(0_i16), 1 => -40..40_i16]),
                LANES,
            ),
            dc in prop::collection::vec(-300..300_i16, LANES),
            quantisation in prop::array::uniform::<_, 64>(1..30_u16),
        ) {
            for (block, dc) in blocks.iter_mut().zip(dc) {
                block[0] = dc;
            }
            check::<1>(&blocks, &quantisation);
            check::<2>(&blocks, &quantisation);
            check::<3>(&blocks, &quantisation);
            check::<4>(&blocks, &quantisation);
            check::<8>(&blocks, &quantisation);
        }
    }

    #[test]
    fn values_out_of_range_are_clamped() {
        let bright = [[i16::MAX; 64]; LANES];
        let dark = [[i16::MIN; 64]; LANES];
        for (block, sample) in [(bright, 255), (dark, 0)] {
            let mut samples = [7; LANES + 1];
            let factors = Factors::new(&[u16::MAX; 64], 1);
            transform::<1>(block.as_flattened(), 64, &factors, &mut samples, LANES + 1);
            assert_eq!(samples[..LANES], [sample; LANES]);
        }
    }
}
