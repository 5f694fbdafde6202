//! Brightness and colour apart, as JPEG, WebP and AVIF store them: a picture which goes from JPEG to
//! one of them need never be RGB, and has half as many samples to resize.

mod light;

use model::ResizeLight;
use resample::{Filter, Region, Samples};

use crate::Error;
use crate::orientation::Orientation;
use crate::steps::Step;

/// BT.601 in the full range, 8 bits, samples of colour in the middle of the pixels they stand for
/// (JFIF 1.02).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    /// Pixels of the picture.
    pub width: u32,
    /// Pixels of the picture.
    pub height: u32,
    /// As large as the picture, or larger by a part of a block to the right and below.
    pub luma: Plane,
    /// Blue and red difference, of equal size; `None` is grey.
    pub chroma: Option<[Plane; 2]>,
    /// Pixels across and down for one sample of colour.
    pub subsampling: (u32, u32),
}

/// One sample for each place, row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

/// Positions which differ by less, in samples, are the same.
const SAME: f64 = 1e-6;

/// Whether planes can take these steps.
pub(crate) fn can_take(steps: &[Step]) -> bool {
    let mut shaped = false;
    steps.iter().all(|step| match step {
        // What lies beneath an opaque picture is not seen.
        Step::Underlay(_) => true,
        // Once, and turned after it.
        // Amounts of light are mixed of red, green and blue.
        Step::Resize {
            light: ResizeLight::Linear,
            ..
        } => false,
        Step::Resize { .. } | Step::Cut(_) => !std::mem::replace(&mut shaped, true),
        Step::Turn(_) => {
            shaped = true;
            true
        }
        _ => false,
    })
}

impl Planes {
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Takes the steps, which [`can_take`] has allowed, and leaves one sample of colour for so many
    /// pixels across and down. All planes then have exactly the size they should.
    pub(crate) fn apply(self, steps: &[Step], share: u32) -> Result<Self, Error> {
        let mut turn = Orientation::default();
        let mut size = self.size();
        let mut region = Region {
            left: 0.0,
            top: 0.0,
            width: size.0.into(),
            height: size.1.into(),
        };
        for step in steps {
            match *step {
                Step::Resize {
                    region: part,
                    width,
                    height,
                    ..
                } => (region, size) = (part, (width, height)),
                Step::Cut(rect) => {
                    size = (rect.width, rect.height);
                    region = Region {
                        left: rect.left.into(),
                        top: rect.top.into(),
                        width: rect.width.into(),
                        height: rect.height.into(),
                    };
                }
                Step::Turn(orientation) => turn = turn.then(orientation),
                _ => {}
            }
        }
        let planes = self
            .without_idle_colour()
            .resized(region, size, share, turn)?;
        Ok(if turn.is_none() {
            planes
        } else {
            planes.turned(turn)
        })
    }

    /// Without colour where there is none to be seen: a third of the work, and no noise.
    fn without_idle_colour(mut self) -> Self {
        let neutral = |plane: &Plane| plane.data.iter().all(|sample| *sample == 128);
        if self
            .chroma
            .as_ref()
            .is_some_and(|chroma| chroma.iter().all(neutral))
        {
            self.chroma = None;
        }
        self
    }

    /// `turn` is what will be done next.
    fn resized(
        self,
        region: Region,
        (width, height): (u32, u32),
        share: u32,
        turn: Orientation,
    ) -> Result<Self, Error> {
        let luma = self.luma.resized(region, (width, height))?;
        let (x, y) = (f64::from(self.subsampling.0), f64::from(self.subsampling.1));
        let (columns, rows) = (width.div_ceil(share), height.div_ceil(share));
        // Where a side is odd its last sample of colour stands for more than the picture has: last
        // as it will be shown, hence first where the turn goes against it.
        let (scale_x, scale_y) = (
            region.width / f64::from(width),
            region.height / f64::from(height),
        );
        let beyond_x = f64::from(columns * share - width) * scale_x;
        let beyond_y = f64::from(rows * share - height) * scale_y;
        let (against_x, against_y) = turn.origin(0, 0, (2, 2));
        let region = Region {
            left: (region.left - beyond_x * against_x as f64) / x,
            top: (region.top - beyond_y * against_y as f64) / y,
            width: (region.width + beyond_x) / x,
            height: (region.height + beyond_y) / y,
        };
        let resized = |plane: Plane| {
            let (plane, region) = plane.reaching(region);
            plane.resized(region, (columns, rows))
        };
        let chroma = match self.chroma {
            Some([blue, red]) => Some([resized(blue)?, resized(red)?]),
            None => None,
        };
        Ok(Self {
            width,
            height,
            luma,
            chroma,
            subsampling: (share, share),
        })
    }

    fn turned(self, orientation: Orientation) -> Self {
        let (width, height) = orientation.turn_size(self.size());
        Self {
            width,
            height,
            luma: self.luma.turned(orientation),
            chroma: self
                .chroma
                .map(|chroma| chroma.map(|plane| plane.turned(orientation))),
            subsampling: orientation.turn_size(self.subsampling),
        }
    }
}

impl Plane {
    /// `data` has `width * height` bytes.
    pub(crate) fn new(width: u32, height: u32, data: Vec<u8>) -> Self {
        debug_assert_eq!(data.len(), width as usize * height as usize);
        Self {
            width,
            height,
            data,
        }
    }

    /// With the outermost columns and rows repeated until the region lies inside, and where it lies
    /// then.
    fn reaching(self, region: Region) -> (Self, Region) {
        let before = |start: f64| (-start - SAME).ceil().max(0.0) as usize;
        let after = |start: f64, length: f64, side: u32| {
            (start + length - f64::from(side) - SAME).ceil().max(0.0) as usize
        };
        let (left, top) = (before(region.left), before(region.top));
        let right = after(region.left, region.width, self.width);
        let bottom = after(region.top, region.height, self.height);
        if left + top + right + bottom == 0 {
            return (self, region);
        }
        let width = self.width as usize + left + right;
        let height = self.height as usize + top + bottom;
        let mut data = Vec::with_capacity(width * height);
        for number in 0..height {
            let row = number.saturating_sub(top).min(self.height as usize - 1);
            let row = &self.data[row * self.width as usize..][..self.width as usize];
            data.extend(std::iter::repeat_n(row[0], left));
            data.extend_from_slice(row);
            data.extend(std::iter::repeat_n(row[row.len() - 1], right));
        }
        let region = Region {
            left: region.left + left as f64,
            top: region.top + top as f64,
            ..region
        };
        (Self::new(width as u32, height as u32, data), region)
    }

    fn resized(self, region: Region, size: (u32, u32)) -> Result<Self, Error> {
        let whole = [0.0, 0.0, f64::from(self.width), f64::from(self.height)];
        let part = [region.left, region.top, region.width, region.height];
        let same = whole
            .iter()
            .zip(part)
            .all(|(whole, part)| (whole - part).abs() < SAME);
        if size == (self.width, self.height) && same {
            return Ok(self);
        }
        let samples = Samples {
            width: self.width,
            height: self.height,
            channels: 1,
            data: &self.data,
        };
        let data = resample::resize(samples, region, size, Filter::between(region, size))
            .map_err(Error::encode)?;
        Ok(Self::new(size.0, size.1, data))
    }

    fn turned(&self, orientation: Orientation) -> Self {
        let size = (self.width as usize, self.height as usize);
        let (width, height) = orientation.turn_size(size);
        let mut data = Vec::with_capacity(self.data.len());
        for y in 0..height {
            data.extend((0..width).map(|x| {
                let (from_x, from_y) = orientation.origin(x, y, size);
                self.data[from_y * size.0 + from_x]
            }));
        }
        Self::new(width as u32, height as u32, data)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use model::{Limits, Policy, Transform};

    use super::*;
    use crate::decode::{self, jpeg};
    use crate::plan::Rect;
    use crate::raster::Raster;
    use crate::{Accepts, Cancel, Engine, Error, Rendition, Request};

    /// The library's numbers of 4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1 and 4:4:1.
    const LAYOUTS: std::ops::RangeInclusive<i32> = 0..=6;

    const SIZES: [(u32, u32); 6] = [(96, 64), (97, 61), (33, 50), (8, 3), (2, 1), (1, 1)];

    /// Waves of colour which differ across and down, so that nothing can change places unseen.
    pub(crate) fn waves((width, height): (u32, u32)) -> Vec<u8> {
        let wave = |place: u32, period: f64| {
            let angle = f64::from(place) / period * std::f64::consts::TAU;
            128.0 + 60.0 * angle.sin()
        };
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .flat_map(|(x, y)| [wave(x, 70.0), wave(y + 11, 80.0), wave(2 * x + y, 150.0)])
            .map(|value| value as u8)
            .collect()
    }

    /// The mean difference of the samples of three planes to those which the pixels ought to have.
    fn difference(planes: &Planes, pixels: &Raster) -> [f64; 3] {
        assert_eq!(planes.size(), pixels.size());
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let shares = [
            [0.299, 0.587, 0.114],
            [-0.168_736, -0.331_264, 0.5],
            [0.5, -0.418_688, -0.081_312],
        ];
        let mean = |plane: &Plane, share: usize, shares: [f64; 3], centre: f64| {
            let (columns, rows) = (width.div_ceil(share), height.div_ceil(share));
            assert_eq!(
                (plane.width as usize, plane.height as usize),
                (columns, rows)
            );
            let mut sum = 0.0;
            for (number, sample) in plane.data.iter().enumerate() {
                let (left, top) = (number % columns * share, number / columns * share);
                let (mut value, mut count) = (0.0, 0.0);
                for y in top..(top + share).min(height) {
                    for x in left..(left + share).min(width) {
                        let pixel = &pixels.data[(y * width + x) * 3..][..3];
                        let mixed = pixel.iter().zip(shares);
                        value += mixed.map(|(value, of)| f64::from(*value) * of).sum::<f64>();
                        count += 1.0;
                    }
                }
                sum += (f64::from(*sample) - centre - value / count).abs();
            }
            sum / plane.data.len() as f64
        };
        let share = planes.subsampling.0 as usize;
        let luma = mean(&planes.luma, 1, shares[0], 0.0);
        match &planes.chroma {
            Some([blue, red]) => [
                luma,
                mean(blue, share, shares[1], 128.0),
                mean(red, share, shares[2], 128.0),
            ],
            None => [luma, 0.0, 0.0],
        }
    }

    fn steps((width, height): (u32, u32)) -> Vec<Vec<Step>> {
        let resize = |parts: [f64; 4], (to_width, to_height): (f64, f64)| Step::Resize {
            region: Region {
                left: parts[0] * f64::from(width),
                top: parts[1] * f64::from(height),
                width: parts[2] * f64::from(width),
                height: parts[3] * f64::from(height),
            },
            width: (to_width * f64::from(width)).ceil() as u32,
            height: (to_height * f64::from(height)).ceil() as u32,
            light: ResizeLight::Gamma,
        };
        let shrink = resize([0.0, 0.0, 1.0, 1.0], (0.52, 0.52));
        let mut all = vec![
            vec![],
            vec![resize([0.0, 0.0, 1.0, 1.0], (0.61, 0.3))],
            vec![resize([0.0, 0.0, 1.0, 1.0], (1.7, 1.9))],
            vec![resize([0.21, 0.13, 0.57, 0.71], (0.4, 0.5))],
        ];
        if width > 8 && height > 8 {
            all.push(vec![Step::Cut(Rect {
                left: 3,
                top: 5,
                width: width - 12,
                height: height - 9,
            })]);
        }
        all.extend(
            (1..=8).map(|number| vec![shrink.clone(), Step::Turn(Orientation::from_exif(number))]),
        );
        all.extend((1..=8).map(|number| vec![Step::Turn(Orientation::from_exif(number))]));
        all
    }

    #[test]
    fn planes_come_out_as_pixels_do() {
        let limits = Limits::default();
        for layout in LAYOUTS {
            for size in SIZES {
                let source = jpeg::compress(&waves(size), size, layout, false);
                let header = crate::inspect(&source, &limits).unwrap();
                let decoded =
                    decode::first_picture(&source, &header, 8, &limits, &Cancel::never()).unwrap();
                for steps in steps(size) {
                    let mut pixels = decoded.clone();
                    for step in &steps {
                        pixels = step.apply(pixels, &Cancel::never()).unwrap();
                    }
                    for share in [1, 2] {
                        let planes = jpeg::planes(&source, 8, &limits, &Cancel::never())
                            .unwrap()
                            .unwrap();
                        let planes = planes.apply(&steps, share).unwrap();
                        assert_eq!(planes.chroma.is_none(), layout == 3);
                        let difference = difference(&planes, &pixels);
                        // What lies between samples of colour either way guesses for itself; a pixel
                        // askew would be 3 and more.
                        let allowed = if layout > 4 || size.0 < 10 { 3.0 } else { 1.6 };
                        assert!(
                            difference.iter().all(|mean| *mean < allowed),
                            "layout {layout}, {size:?}, share {share}, {steps:?}: {difference:?}"
                        );
                    }
                }
            }
        }
    }

    fn rendition(source: &[u8], options: &str) -> Result<Rendition, Error> {
        let engine = Engine::new(Limits::default(), Policy::default());
        let transform: Transform = options.parse().unwrap();
        let request = Request {
            source,
            transform: &transform,
            accepts: Accepts::default(),
        };
        engine.render(&request, &Cancel::never())
    }

    fn rendered(source: &[u8], options: &str) -> Result<Raster, Error> {
        let rendition = rendition(source, options)?;
        let limits = Limits::default();
        let header = crate::inspect(&rendition.bytes, &limits)?;
        assert_eq!(header.stored_size(), (rendition.width, rendition.height));
        decode::first_picture(&rendition.bytes, &header, 8, &limits, &Cancel::never())
    }

    /// The last column and row of a picture decoded smaller may stand for less than the others.
    #[test]
    fn what_is_decoded_smaller_lies_where_it_lay() {
        for size in [(801, 537), (805, 531), (815, 543), (808, 536)] {
            let source = jpeg::compress(&waves(size), size, 0, false);
            for format in ["jpeg", "png-force"] {
                for share in [0.08, 0.18, 0.28, 0.38, 0.7] {
                    let width = (f64::from(size.0) * share) as u32;
                    let options = format!("width={width},quality=97,format={format}");
                    let found = rendered(&source, &options).unwrap();
                    // Lossless WebP is no JPEG, and is never decoded smaller.
                    let whole = rendition(&source, "format=webp,quality=100").unwrap();
                    let expected = rendered(&whole.bytes, &options).unwrap();
                    assert_eq!(found.size(), expected.size());
                    let rows = found.data.chunks(found.row_bytes()).rev().take(8);
                    let others = expected.data.chunks(found.row_bytes()).rev().take(8);
                    let (mut sum, mut count) = (0.0, 0.0);
                    for (a, b) in rows.flatten().zip(others.flatten()) {
                        sum += f64::from(a.abs_diff(*b));
                        count += 1.0;
                    }
                    assert!(
                        sum / count < 2.0,
                        "{size:?}, {format}, {share}: {}",
                        sum / count
                    );
                }
            }
        }
    }

    #[test]
    fn every_encoder_writes_planes_as_it_writes_pixels() {
        for (layout, progressive) in [(2, false), (2, true), (0, false), (1, false), (3, false)] {
            for size in [(250, 131), (97, 61), (17, 9), (1, 1)] {
                let source = jpeg::compress(&waves(size), size, layout, progressive);
                for geometry in [
                    "width=61",
                    "rotate=90",
                    "width=45,height=45,fit=cover",
                    "flip=h",
                ] {
                    // PNG is made of pixels.
                    let pixels =
                        rendered(&source, &format!("{geometry},format=png-force")).unwrap();
                    for format in [
                        "format=jpeg,quality=89",
                        "format=jpeg,quality=90",
                        "format=baseline-jpeg,quality=89",
                        "format=webp,quality=95",
                        "format=avif,quality=95",
                    ] {
                        let planes = rendered(&source, &format!("{geometry},{format}")).unwrap();
                        assert_eq!(planes.size(), pixels.size());
                        let sum: f64 = planes
                            .data
                            .iter()
                            .zip(&pixels.data)
                            .map(|(a, b)| f64::from(a.abs_diff(*b)))
                            .sum();
                        let mean = sum / pixels.data.len() as f64;
                        assert!(
                            mean < 3.0,
                            "layout {layout}, {size:?}, {geometry},{format}: {mean}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_which_breaks_off_is_an_error_here_as_well() {
        let size = (200, 150);
        let source = jpeg::compress(&waves(size), size, 2, false);
        for length in [source.len() / 2, source.len() - 40] {
            let cut = &source[..length];
            let planes = jpeg::planes(cut, 8, &Limits::default(), &Cancel::never());
            let header = crate::inspect(cut, &Limits::default()).unwrap();
            let pixels =
                decode::first_picture(cut, &header, 8, &Limits::default(), &Cancel::never());
            assert_eq!(planes.is_err(), pixels.is_err(), "{length}");
        }
    }
}
