use resample::{Filter, Region, Samples};

use crate::Error;
use crate::raster::Raster;

/// Brightness and colour apart, as JPEG, WebP and AVIF store them: BT.601 of the full range, 8 bits,
/// colour samples centred on the pixels they stand for (JFIF 1.02).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    /// As large as the picture.
    pub luma: Plane,
    /// Blue and red difference, of equal size; `None` is grey.
    pub chroma: Option<[Plane; 2]>,
}

/// One number for each place, row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
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

    fn resized(&self, region: Region, (width, height): (u32, u32)) -> Result<Self, Error> {
        let samples = Samples {
            width: self.width,
            height: self.height,
            channels: 1,
            data: &self.data,
        };
        let size = (width, height);
        let data = resample::resize(samples, region, size, Filter::between(region, size));
        Ok(Self::new(width, height, data.map_err(Error::encode)?))
    }
}

impl Planes {
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.luma.width, self.luma.height)
    }

    /// A region of the picture at a size, with as many samples of colour as of brightness.
    pub(crate) fn resized(&self, region: Region, size: (u32, u32)) -> Result<Self, Error> {
        let luma = self.luma.resized(region, size)?;
        let Some(chroma) = &self.chroma else {
            return Ok(Self { luma, chroma: None });
        };
        let resized = |plane: &Plane| {
            // Whole blocks were decoded, so the planes stand in the ratio of their samples.
            let across = f64::from(plane.width) / f64::from(self.luma.width);
            let down = f64::from(plane.height) / f64::from(self.luma.height);
            let region = Region {
                left: region.left * across,
                top: region.top * down,
                width: region.width * across,
                height: region.height * down,
            };
            plane.resized(region, size)
        };
        let chroma = Some([resized(&chroma[0])?, resized(&chroma[1])?]);
        Ok(Self { luma, chroma })
    }

    /// Pixels, if colour has as many samples as brightness.
    pub(crate) fn into_raster(self) -> Raster {
        let (width, height) = self.size();
        let data = match self.chroma {
            None => self.luma.data.iter().flat_map(|luma| [*luma; 3]).collect(),
            Some([blue, red]) => {
                debug_assert_eq!(blue.data.len(), self.luma.data.len());
                let mut data = vec![0; self.luma.data.len() * 3];
                let samples = self.luma.data.iter().zip(&blue.data).zip(&red.data);
                for (pixel, ((luma, blue), red)) in data.chunks_exact_mut(3).zip(samples) {
                    pixel.copy_from_slice(&rgb(*luma, *blue, *red));
                }
                data
            }
        };
        Raster::new(width, height, 3, data)
    }
}

/// JFIF 1.02, in 65,536ths.
fn rgb(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    let luma = (i32::from(luma) << 16) + 32_768;
    let (blue, red) = (i32::from(blue) - 128, i32::from(red) - 128);
    let channel = |sum: i32| (sum >> 16).clamp(0, 255) as u8;
    [
        channel(luma + 91_881 * red),
        channel(luma - 22_554 * blue - 46_802 * red),
        channel(luma + 116_130 * blue),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_jfif() {
        for (planes, expected) in [
            ([255, 128, 128], [255, 255, 255]),
            ([0, 128, 128], [0, 0, 0]),
            ([76, 85, 255], [254, 0, 0]),
            ([150, 44, 21], [0, 255, 1]),
            ([29, 255, 107], [0, 0, 254]),
        ] {
            let [luma, blue, red] = planes;
            assert_eq!(rgb(luma, blue, red), expected, "{planes:?}");
        }
    }
}
