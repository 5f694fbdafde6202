//! Resampling of pixels. A crate of its own, because the kernels are generic code which takes long
//! to compile and seldom changes.

mod linear;

pub use linear::{light_of_samples, resize_light, resize_light_rows};

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3, U8x4};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

/// A region of an image, in pixels from its upper left corner. Its sides may lie between pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Pixels from the left edge.
    pub left: f64,
    /// Pixels from the upper edge.
    pub top: f64,
    /// Pixels, above 0.
    pub width: f64,
    /// Pixels, above 0.
    pub height: f64,
}

/// How a new pixel is made of old ones. Both widen with the factor when they shrink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Windowed sinc of three lobes: the sharpest for shrinking.
    Lanczos3,
    /// Cubic with B = 0, C = 1/2: for enlarging, where it rings less.
    CatmullRom,
}

impl Filter {
    /// The filter for bringing `region` to a size.
    pub fn between(region: Region, (width, height): (u32, u32)) -> Self {
        if f64::from(width) * f64::from(height) > region.width * region.height {
            Self::CatmullRom
        } else {
            Self::Lanczos3
        }
    }
}

/// Samples in rows without gaps.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// 1, 3, or 4 of which the last is alpha: colours then count as much as their alpha.
    pub channels: usize,
    /// `width * height * channels` samples.
    pub data: &'a [u8],
}

/// The arguments contradict each other.
#[derive(Clone, Debug, thiserror::Error)]
#[error("resampling: {0}")]
pub struct Error(String);

/// Resamples a region, which is clipped to the image, to a size.
pub fn resize(
    source: Samples<'_>,
    region: Region,
    size: (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Error> {
    match source.channels {
        1 => resize_pixels::<U8>(source, region, size, filter),
        3 => resize_pixels::<U8x3>(source, region, size, filter),
        4 => resize_pixels::<U8x4>(source, region, size, filter),
        channels => Err(Error(format!("{channels} channels"))),
    }
}

/// The type of pixels is known here, so that only the kernels which are used are compiled.
fn resize_pixels<P: PixelTrait + InnerPixel>(
    source: Samples<'_>,
    region: Region,
    (width, height): (u32, u32),
    filter: Filter,
) -> Result<Vec<u8>, Error> {
    let left = region.left.clamp(0.0, f64::from(source.width));
    let top = region.top.clamp(0.0, f64::from(source.height));
    let width_inside = region.width.min(f64::from(source.width) - left);
    let (left, width_inside) = off_centre(left, width_inside, width);
    let filter = match filter {
        Filter::Lanczos3 => FilterType::Lanczos3,
        Filter::CatmullRom => FilterType::CatmullRom,
    };
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(source.channels == 4)
        .crop(
            left,
            top,
            width_inside,
            region.height.min(f64::from(source.height) - top),
        );
    let mut data = vec![0; width as usize * height as usize * source.channels];
    let source = TypedImageRef::<P>::from_buffer(source.width, source.height, source.data)
        .map_err(|error| Error(error.to_string()))?;
    let mut target = TypedImage::<P>::from_buffer(width, height, &mut data)
        .map_err(|error| Error(error.to_string()))?;
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| Error(error.to_string()))?;
    Ok(data)
}

/// Keeps the first and the last column made from lying on the middle of an old one exactly. Where they
/// do, a cubic filter has nothing but zeros beside its middle, the library drops those, and then
/// takes these two columns for the outermost to reach left and right, so that it reads outside of
/// its buffer for the columns between. The change is below a ten thousandth of a pixel.
fn off_centre(left: f64, width: f64, columns: u32) -> (f64, f64) {
    if columns < 2 || (width - f64::from(columns) == 0.0 && left.fract() == 0.0) {
        return (left, width);
    }
    let unit = (width / 16.0).min(3e-5);
    let shrunk = |times: f64| (left + times * unit, width - 2.0 * times * unit);
    let off = |(left, width): (f64, f64)| {
        let half = width / f64::from(columns) / 2.0;
        [left + half, left + width - half]
            .iter()
            .all(|place| (place.fract() - 0.5).abs() > unit / 6.0)
    };
    // Each of the two places is near a middle for one of the three at most.
    [0.0, 1.0, 2.0]
        .map(shrunk)
        .into_iter()
        .find(|part| off(*part))
        .unwrap_or((left, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(width: u32, height: u32) -> Region {
        Region {
            left: 0.0,
            top: 0.0,
            width: width.into(),
            height: height.into(),
        }
    }

    proptest::proptest! {
        #[test]
        fn one_colour_stays_it(
            size in (1_u32..40, 1_u32..40),
            target in (1_u32..40, 1_u32..40),
            colour in proptest::array::uniform4(0_u8..=255),
            channels in proptest::sample::select(vec![1_usize, 3, 4]),
        ) {
            let [red, green, blue, _] = colour;
            let colour = &[red, green, blue, 255][..channels];
            let data = colour.repeat((size.0 * size.1) as usize);
            let region = whole(size.0, size.1);
            for filter in [Filter::Lanczos3, Filter::CatmullRom] {
                let samples = Samples { width: size.0, height: size.1, channels, data: &data[..] };
                let resized = resize(samples, region, target, filter).unwrap();
                let expected = colour.repeat((target.0 * target.1) as usize);
                let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1);
                proptest::prop_assert!(resized.len() == expected.len() && near(&resized, &expected));
            }
        }
    }

    #[test]
    fn what_cannot_be_seen_has_no_colour() {
        // A red which cannot be seen beside a blue which can.
        let data = [255_u8, 0, 0, 0, 0, 0, 255, 255];
        let samples = Samples {
            width: 2,
            height: 1,
            channels: 4,
            data: &data[..],
        };
        let resized = resize(samples, whole(2, 1), (1, 1), Filter::Lanczos3).unwrap();
        assert_eq!(resized[..3], [0, 0, 255]);
        assert!(resized[3].abs_diff(128) <= 1);
    }

    #[test]
    fn a_part_is_taken_where_it_lies() {
        let data: Vec<u8> = (0..100).flat_map(|value| [value; 3]).collect();
        let samples = Samples {
            width: 100,
            height: 1,
            channels: 3,
            data: &data[..],
        };
        let region = Region {
            left: 40.0,
            top: 0.0,
            width: 20.0,
            height: 1.0,
        };
        let resized = resize(samples, region, (20, 1), Filter::Lanczos3).unwrap();
        assert_eq!(resized, data[120..180]);
        let resized = resize(samples, region, (10, 1), Filter::Lanczos3).unwrap();
        assert!(resized[15].abs_diff(51) <= 1, "{resized:?}");
    }

    #[test]
    fn columns_on_the_middle_of_old_ones_stay_inside() {
        for channels in [1, 3, 4] {
            let data = vec![255; 12 * 6 * channels];
            let samples = Samples {
                width: 12,
                height: 6,
                channels,
                data: &data[..],
            };
            // The first column is made of the third alone, the next one of its neighbours, too; or
            // the last column of the last but two.
            for (left, width, columns) in [(2.25, 4.0, 8), (2.75, 7.0, 14), (2.25, 7.5, 15)] {
                let region = Region {
                    left,
                    top: 1.0,
                    width,
                    height: 4.0,
                };
                let resized = resize(samples, region, (columns, 8), Filter::CatmullRom).unwrap();
                assert!(resized.iter().all(|sample| *sample >= 254), "{resized:?}");
            }
        }
        assert_eq!(off_centre(3.0, 8.0, 8), (3.0, 8.0));
        assert_eq!(off_centre(2.1, 4.0, 8), (2.1, 4.0));
        for (left, width, columns) in [(2.25, 4.0, 8), (2.25, 7.5, 15), (0.375, 0.5, 2)] {
            let (start, length) = off_centre(left, width, columns);
            assert!(start > left && start < left + 1e-4, "{start}");
            assert!(length < width && length > width - 2e-4, "{length}");
        }
    }

    #[test]
    fn contradictions_are_errors() {
        let samples = Samples {
            width: 2,
            height: 2,
            channels: 3,
            data: &[0_u8; 11][..],
        };
        assert!(resize(samples, whole(2, 2), (1, 1), Filter::Lanczos3).is_err());
        let samples = Samples {
            width: 2,
            height: 1,
            channels: 2,
            data: &[0_u8; 4][..],
        };
        assert!(resize(samples, whole(2, 1), (1, 1), Filter::Lanczos3).is_err());
    }
}
