//! Resampling in linear light: samples of sRGB become amounts of light, are weighed in floats, and
//! come back. A few rows are held at a time, whatever the size of the picture.

use std::collections::VecDeque;
use std::f64::consts::PI;
use std::ops::Range;
use std::sync::LazyLock;

use archmage::autoversion;

use crate::{Error, Filter, Region, Samples};

/// Samples which are weighed at once.
const BLOCK: usize = 32;

/// Rows which are made at once, so that no sum waits for another.
const LANES: usize = 8;

/// Resamples a region, which is clipped to the image, to a size. Samples are of sRGB, and what is
/// weighed is light; alpha is weighed as it is, and colours count as much as their alpha.
pub fn resize_light(
    source: Samples<'_>,
    region: Region,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Error> {
    let channels = source.channels;
    if !matches!(channels, 1 | 3 | 4) {
        return Err(Error(format!("{channels} channels")));
    }
    let row_length = source.width as usize * channels;
    if source.data.len() != row_length * source.height as usize || row_length == 0 {
        return Err(Error("samples which are no rows".into()));
    }
    let read = |row: usize, columns: Range<usize>, light: &mut [f32]| {
        let samples = &source.data[row * row_length..][..row_length];
        let samples = &samples[columns.start * channels..columns.end * channels];
        to_light(samples, channels, light);
    };
    let from = (source.width, source.height);
    Ok(match channels {
        1 => rows::<1>(from, region, (width, height), filter, read),
        3 => rows::<3>(from, region, (width, height), filter, read),
        _ => rows::<4>(from, region, (width, height), filter, read),
    })
}

/// The same of rows which are made as they are needed: `read` is told the row, the columns which
/// matter, and where the light of their red, green and blue goes.
pub fn resize_light_rows(
    source: (u32, u32),
    region: Region,
    size: (u32, u32),
    filter: Filter,
    read: impl FnMut(usize, Range<usize>, &mut [f32]),
) -> Result<Vec<u8>, Error> {
    if source.0 == 0 || source.1 == 0 {
        return Err(Error("samples which are no rows".into()));
    }
    Ok(rows::<3>(source, region, size, filter, read))
}

fn rows<const CHANNELS: usize>(
    source: (u32, u32),
    region: Region,
    (width, height): (u32, u32),
    filter: Filter,
    mut read: impl FnMut(usize, Range<usize>, &mut [f32]),
) -> Vec<u8> {
    let across = Weights::new(source.0, region.left, region.width, width, filter);
    let down = Weights::new(source.1, region.top, region.height, height, filter);
    let Some((first, last)) = across.reach() else {
        return Vec::new();
    };
    let length = ((last - first) * CHANNELS).next_multiple_of(BLOCK);
    let mut held: VecDeque<Vec<f32>> = VecDeque::new();
    let (mut held_start, mut spare) = (0, Vec::new());
    let mut blended: [Vec<f32>; LANES] = std::array::from_fn(|_| vec![0.0; length]);
    let mut columns = vec![[0.0; LANES]; length];
    let mut target = vec![0; width as usize * height as usize * CHANNELS];
    let row_length = (width as usize * CHANNELS).max(1);
    let mut downs = down.each();
    for band in target.chunks_mut(row_length * LANES) {
        let rows = band.len() / row_length;
        for (blended, (start, weights)) in blended[..rows].iter_mut().zip(&mut downs) {
            while held_start < start {
                spare.extend(held.pop_front());
                held_start += 1;
            }
            while held.len() < weights.len() {
                let mut light = spare.pop().unwrap_or_else(|| vec![0.0; length]);
                let meant = (last - first) * CHANNELS;
                read(held_start + held.len(), first..last, &mut light[..meant]);
                held.push_back(light);
            }
            blend(weights, held.make_contiguous(), blended);
        }
        turn(&blended, &mut columns);
        make_samples::<CHANNELS>(&across, &columns, first, band);
    }
    target
}

/// Which old samples make each new one along an axis, and how much of each.
struct Weights {
    /// The first old sample of each new one.
    starts: Vec<usize>,
    /// As many for each new sample.
    factors: Vec<f32>,
    taps: usize,
}

impl Weights {
    fn new(side: u32, start: f64, length: f64, count: u32, filter: Filter) -> Self {
        let whole = f64::from(side);
        let start = start.clamp(0.0, whole);
        let length = length.min(whole - start);
        let scale = length / f64::from(count.max(1));
        let widened = scale.max(1.0);
        let radius = filter.radius() * widened;
        let taps = ((radius * 2.0).ceil() as usize + 1)
            .min(side as usize)
            .max(1);
        let mut starts = Vec::with_capacity(count as usize);
        let mut all = Vec::with_capacity(count as usize * taps);
        for number in 0..count {
            let centre = start + (f64::from(number) + 0.5) * scale;
            let begin = (centre - radius).floor().clamp(0.0, whole - taps as f64);
            let weights = (0..taps).map(|tap| {
                let place = begin + tap as f64 + 0.5;
                filter.at((place - centre) / widened)
            });
            let weights: Vec<f64> = weights.collect();
            let sum: f64 = weights.iter().sum();
            all.extend(weights.iter().map(|weight| (weight / sum) as f32));
            starts.push(begin as usize);
        }
        Self {
            starts,
            factors: all,
            taps,
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts
            .iter()
            .copied()
            .zip(self.factors.chunks_exact(self.taps))
    }

    /// The old samples which take part; `None` if nothing is made.
    fn reach(&self) -> Option<(usize, usize)> {
        let first = *self.starts.first()?;
        let last = *self.starts.last()?;
        Some((first, last + self.taps))
    }
}

impl Filter {
    /// How far it reaches, in samples of the coarser side.
    fn radius(self) -> f64 {
        match self {
            Self::Lanczos3 => 3.0,
            Self::CatmullRom => 2.0,
        }
    }

    fn at(self, x: f64) -> f64 {
        let x = x.abs();
        let sinc = |x: f64| {
            if x < 1e-9 {
                1.0
            } else {
                (PI * x).sin() / (PI * x)
            }
        };
        match self {
            Self::Lanczos3 if x < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::CatmullRom if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            _ => 0.0,
        }
    }
}

/// Makes rows of samples, one after the other and as many as there are lanes or fewer, of columns of
/// light, the first of which belongs to pixel `first`.
fn make_samples<const CHANNELS: usize>(
    weights: &Weights,
    columns: &[[f32; LANES]],
    first: usize,
    rows: &mut [u8],
) {
    match CHANNELS {
        1 => across_grey(weights, columns, first, rows),
        3 => across_colours(weights, columns, first, rows),
        _ => across_alpha(weights, columns, first, rows),
    }
}

#[autoversion(v3, neon)]
fn across_grey(weights: &Weights, columns: &[[f32; LANES]], first: usize, rows: &mut [u8]) {
    across_channels::<1>(weights, columns, first, rows);
}

#[autoversion(v3, neon)]
fn across_colours(weights: &Weights, columns: &[[f32; LANES]], first: usize, rows: &mut [u8]) {
    across_channels::<3>(weights, columns, first, rows);
}

#[autoversion(v3, neon)]
fn across_alpha(weights: &Weights, columns: &[[f32; LANES]], first: usize, rows: &mut [u8]) {
    across_channels::<4>(weights, columns, first, rows);
}

/// Becomes a part of each of the above, and uses what they are compiled for.
#[expect(clippy::inline_always, reason = "what calls it says for which machine")]
#[inline(always)]
fn across_channels<const CHANNELS: usize>(
    weights: &Weights,
    columns: &[[f32; LANES]],
    first: usize,
    rows: &mut [u8],
) {
    let row_length = weights.starts.len() * CHANNELS;
    let samples = &*SAMPLES;
    for (number, (start, weights)) in weights.each().enumerate() {
        let columns = &columns[(start - first) * CHANNELS..][..weights.len() * CHANNELS];
        let (pixels, _) = columns.as_chunks::<CHANNELS>();
        let mut mixed = [[0.0_f32; LANES]; CHANNELS];
        for (weight, pixel) in weights.iter().zip(pixels) {
            for (sums, lights) in mixed.iter_mut().zip(pixel) {
                for (sum, light) in sums.iter_mut().zip(lights) {
                    *sum += weight * light;
                }
            }
        }
        if CHANNELS == 4 {
            undo_alpha(&mut mixed);
        }
        for (channel, mixed) in mixed.iter().enumerate() {
            let places =
                mixed.map(|light| (light.clamp(0.0, 1.0) * PLACES_MAX + 0.5) as i32 as u16);
            let column = rows[number * CHANNELS + channel..].iter_mut();
            let is_alpha = CHANNELS == 4 && channel == 3;
            for (sample, place) in column.step_by(row_length).zip(places) {
                *sample = if is_alpha {
                    // In 257ths, rounded.
                    ((u32::from(place) + 128) / 257) as u8
                } else {
                    samples[usize::from(place)]
                };
            }
        }
    }
}

/// Divides colours by their alpha.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn undo_alpha<const CHANNELS: usize>(mixed: &mut [[f32; LANES]; CHANNELS]) {
    let [colours @ .., alphas] = &mut mixed[..] else {
        return;
    };
    for colour in colours {
        for (light, alpha) in colour.iter_mut().zip(&*alphas) {
            *light = if *alpha > 0.0 { *light / alpha } else { 0.0 };
        }
    }
}

/// Rows, whose length is a multiple of the block's, to columns.
#[autoversion(v3, neon)]
fn turn(rows: &[Vec<f32>; LANES], columns: &mut [[f32; LANES]]) {
    let (tiles, _) = columns.as_chunks_mut::<LANES>();
    for (number, tile) in tiles.iter_mut().enumerate() {
        for (lane, row) in rows.iter().enumerate() {
            let lights = &row[number * LANES..][..LANES];
            for (column, light) in tile.iter_mut().zip(lights) {
                column[lane] = *light;
            }
        }
    }
}

/// The weighted sum of rows, whose length is a multiple of the block's.
#[autoversion(v3, neon)]
fn blend(weights: &[f32], rows: &[Vec<f32>], sum: &mut [f32]) {
    for (number, block) in sum.chunks_exact_mut(BLOCK).enumerate() {
        let mut sums = [0.0_f32; BLOCK];
        for (weight, row) in weights.iter().zip(rows) {
            let light = &row[number * BLOCK..][..BLOCK];
            for (sum, light) in sums.iter_mut().zip(light) {
                *sum += weight * light;
            }
        }
        block.copy_from_slice(&sums);
    }
}

/// Light of the samples, multiplied by their alpha.
fn to_light(samples: &[u8], channels: usize, light: &mut [f32]) {
    let table = &*LIGHT;
    if channels == 4 {
        let (pixels, _) = samples.as_chunks::<4>();
        let (lights, _) = light.as_chunks_mut::<4>();
        for (light, [red, green, blue, alpha]) in lights.iter_mut().zip(pixels) {
            let alpha = f32::from(*alpha) / 255.0;
            let of = |sample: u8| table[usize::from(sample)] * alpha;
            *light = [of(*red), of(*green), of(*blue), alpha];
        }
    } else {
        for (light, sample) in light.iter_mut().zip(samples) {
            *light = table[usize::from(*sample)];
        }
    }
}

/// The light of each sample of sRGB.
pub fn light_of_samples() -> &'static [f32; 256] {
    &LIGHT
}

/// The light of each sample (IEC 61966-2-1).
static LIGHT: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|sample| {
        let value = sample as f64 / 255.0;
        let light = if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        };
        light as f32
    })
});

const PLACES_MAX: f32 = 65_535.0;

/// The sample of each amount of light, which is fine enough where eyes are finest, in the dark: the
/// steepest step is a twentieth of a sample.
static SAMPLES: LazyLock<Box<[u8; 65_536]>> = LazyLock::new(|| {
    let mut samples = Box::new([0; 65_536]);
    for (light, sample) in samples.iter_mut().enumerate() {
        let light = light as f64 / 65_535.0;
        let value = if light <= 0.003_130_8 {
            light * 12.92
        } else {
            1.055 * light.powf(1.0 / 2.4) - 0.055
        };
        *sample = (value * 255.0 + 0.5) as u8;
    }
    samples
});

#[cfg(test)]
mod tests;
