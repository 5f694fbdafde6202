//! Planes to a smaller picture in linear light, row by row: at no time is there a picture of red,
//! green and blue in its whole size.

use archmage::autoversion;
use resample::{Filter, Region};

use super::{Plane, Planes};
use crate::Error;
use crate::raster::Raster;

impl Planes {
    /// The region in a size. `None` if colour is shared by more than two pixels across or down.
    pub(crate) fn resized_in_light(
        &self,
        region: Region,
        size: (u32, u32),
    ) -> Option<Result<Raster, Error>> {
        if !matches!(self.subsampling, (1 | 2, 1 | 2)) {
            return None;
        }
        let width = self.width as usize;
        let mut rows = Rows {
            planes: self,
            chroma: [vec![128; width], vec![128; width]],
            blended: Vec::new(),
            colours: [vec![0; width], vec![0; width], vec![0; width]],
        };
        let filter = Filter::between(region, size);
        let read = |row: usize, columns: std::ops::Range<usize>, light: &mut [f32]| {
            rows.read(row, columns, light);
        };
        let data = resample::resize_light_rows(self.size(), region, size, filter, read);
        let data = data.map_err(Error::encode);
        Some(data.map(|data| Raster::new(size.0, size.1, 3, data)))
    }
}

struct Rows<'a> {
    planes: &'a Planes,
    /// A row of blue and red difference, a sample for each pixel.
    chroma: [Vec<u8>; 2],
    /// A row of samples between two.
    blended: Vec<u16>,
    /// A row of red, green and blue.
    colours: [Vec<u8>; 3],
}

impl Rows<'_> {
    fn read(&mut self, row: usize, columns: std::ops::Range<usize>, light: &mut [f32]) {
        let luma = row_of(&self.planes.luma, row);
        if let Some(chroma) = &self.planes.chroma {
            let (across, down) = self.planes.subsampling;
            for (plane, to) in chroma.iter().zip(&mut self.chroma) {
                // Samples lie in the middle of those which share them.
                let (near, far) = match down {
                    1 => (row, row),
                    _ if row.is_multiple_of(2) => (row / 2, (row / 2).saturating_sub(1)),
                    _ => (row / 2, row / 2 + 1),
                };
                let (near, far) = (row_of(plane, near), row_of(plane, far));
                self.blended.resize(near.len(), 0);
                blend(near, far, &mut self.blended);
                if across == 2 {
                    spread(&self.blended, to);
                } else {
                    for (to, sample) in to.iter_mut().zip(&self.blended) {
                        *to = ((sample + 2) / 4) as u8;
                    }
                }
            }
        }
        let [red, green, blue] = &mut self.colours;
        let [blue_difference, red_difference] = &self.chroma;
        let pixels = red.len();
        convert(
            &luma[..pixels],
            &blue_difference[..pixels],
            &red_difference[..pixels],
            red,
            green,
            blue,
        );
        let table = resample::light_of_samples();
        let (lights, _) = light.as_chunks_mut::<3>();
        let colours = columns.clone().zip(lights);
        for (column, light) in colours {
            *light =
                [red[column], green[column], blue[column]].map(|sample| table[usize::from(sample)]);
        }
    }
}

/// A row, the last one for those below it.
fn row_of(plane: &Plane, row: usize) -> &[u8] {
    let row = row.min((plane.height as usize).saturating_sub(1));
    &plane.data[row * plane.width as usize..][..plane.width as usize]
}

/// Four times what lies a quarter of the way from near to far.
#[autoversion(v3, neon)]
fn blend(near: &[u8], far: &[u8], blended: &mut [u16]) {
    for ((to, near), far) in blended.iter_mut().zip(near).zip(far) {
        *to = 3 * u16::from(*near) + u16::from(*far);
    }
}

/// Two samples of each, a quarter of the way to its neighbours.
#[autoversion(v3, neon)]
fn spread(samples: &[u16], to: &mut [u8]) {
    let last = samples.len().saturating_sub(1);
    let between = |near: u16, far: u16| ((3 * near + far + 8) / 16) as u8;
    let (pairs, rest) = to.as_chunks_mut::<2>();
    if let (Some(first), Some(sample)) = (pairs.first_mut(), samples.first()) {
        let after = samples.get(1).unwrap_or(sample);
        *first = [between(*sample, *sample), between(*sample, *after)];
    }
    for (pair, around) in pairs.iter_mut().skip(1).zip(samples.windows(3)) {
        *pair = [between(around[1], around[0]), between(around[1], around[2])];
    }
    // What the windows leave out.
    let count = pairs.len();
    if count > 1 && count > last {
        let (sample, before) = (samples[last], samples[last - 1]);
        pairs[count - 1] = [between(sample, before), between(sample, sample)];
    }
    if let Some(odd) = rest.first_mut() {
        let sample = samples[count.min(last)];
        *odd = between(sample, samples[count.min(last).saturating_sub(1)]);
    }
}

/// Brightness and differences to red, green and blue (JFIF 1.02).
#[autoversion(v3, neon)]
fn convert(
    luma: &[u8],
    blue_difference: &[u8],
    red_difference: &[u8],
    red: &mut [u8],
    green: &mut [u8],
    blue: &mut [u8],
) {
    // In 65,536ths: 1.402, 0.714136, 0.344136 and 1.772.
    let sources = luma.iter().zip(blue_difference).zip(red_difference);
    let targets = red.iter_mut().zip(green).zip(blue);
    for (((luma, from_blue), from_red), ((red, green), blue)) in sources.zip(targets) {
        let light = i32::from(*luma) * 65_536 + 32_768;
        let from_blue = i32::from(*from_blue) - 128;
        let from_red = i32::from(*from_red) - 128;
        let byte = |value: i32| (value >> 16).clamp(0, 255) as u8;
        *red = byte(light + 91_881 * from_red);
        *green = byte(light - 46_802 * from_red - 22_554 * from_blue);
        *blue = byte(light + 116_130 * from_blue);
    }
}

#[cfg(test)]
mod tests {
    use model::{Limits, ResizeLight};

    use super::super::tests::waves;
    use super::*;
    use crate::decode::{self, jpeg};
    use crate::steps::resize;
    use crate::{Cancel, inspect};

    #[test]
    fn rows_give_what_the_whole_picture_gives() {
        let (limits, never) = (Limits::default(), Cancel::never());
        for layout in 0..=4 {
            for size in [(96, 64), (97, 61), (33, 50), (9, 3)] {
                let source = jpeg::compress(&waves(size), size, layout, false);
                let header = inspect(&source, &limits).unwrap();
                let pixels = decode::first_picture(&source, &header, 8, &limits, &never).unwrap();
                let planes = jpeg::planes(&source, 8, &limits, &never).unwrap().unwrap();
                let region = Region {
                    left: 0.5,
                    top: 0.0,
                    width: f64::from(size.0) - 1.0,
                    height: size.1.into(),
                };
                let target = (size.0 / 2, size.1.div_ceil(3));
                let expected = resize(&pixels, region, target, ResizeLight::Linear).unwrap();
                let found = planes.resized_in_light(region, target).unwrap().unwrap();
                assert_eq!(found.size(), expected.size());
                let off = found.data.iter().zip(&expected.data);
                let worst = off.map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(4), "layout {layout}, {size:?}: {worst:?}");
            }
        }
    }

    #[test]
    fn rows_of_any_length_are_spread() {
        for length in 1..=9_usize {
            let samples: Vec<u16> = (0..length.div_ceil(2)).map(|at| at as u16 * 160).collect();
            let mut to = vec![99; length];
            spread(&samples, &mut to);
            let last = samples.len() - 1;
            let expected = (0..length).map(|at| {
                let near = samples[at / 2];
                let far = if at % 2 == 0 {
                    samples[(at / 2).saturating_sub(1)]
                } else {
                    samples[(at / 2 + 1).min(last)]
                };
                ((3 * near + far + 8) / 16) as u8
            });
            assert_eq!(to, expected.collect::<Vec<u8>>(), "{length}");
        }
    }
}
