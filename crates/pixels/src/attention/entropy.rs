use crate::raster::Raster;

/// Steps of one bit, so that equal windows are equal.
const STEPS: f64 = 1024.0;

/// Disorder of the brightness in windows of one size: their Shannon entropy, less what is the same
/// for all.
pub(super) struct Entropy {
    width: usize,
    luma: Vec<u8>,
    /// `n · log2 n` in steps, for each count of pixels that a window may have.
    terms: Vec<i64>,
}

impl Entropy {
    /// Of a picture without alpha.
    pub(super) fn new(picture: &Raster) -> Self {
        let (pixels, _) = picture.data.as_chunks::<3>();
        let luma = pixels
            .iter()
            .map(|[red, green, blue]| {
                // Rec. 709, over 2^16.
                let sum = 13_933 * u32::from(*red) + 46_871 * u32::from(*green);
                ((sum + 4_732 * u32::from(*blue) + 32_768) >> 16) as u8
            })
            .collect();
        let terms = (0..=pixels.len())
            .map(|count| {
                let count = count.max(1) as f64;
                (count * count.log2() * STEPS).round() as i64
            })
            .collect();
        Self {
            width: picture.width as usize,
            luma,
            terms,
        }
    }

    /// For the windows of this size along one row of places, from left to right: the more, the
    /// greater their entropy.
    pub(super) fn along(
        &self,
        top: usize,
        places: usize,
        (width, height): (usize, usize),
    ) -> Vec<i64> {
        let mut counts = [0_usize; 256];
        let mut disorder = 0;
        let mut count = |x: usize, add: bool| {
            for y in top..top + height {
                let count = &mut counts[usize::from(self.luma[y * self.width + x])];
                disorder += self.terms[*count];
                *count = if add { *count + 1 } else { *count - 1 };
                disorder -= self.terms[*count];
            }
            disorder
        };
        let first = (0..width).map(|x| count(x, true)).last().unwrap_or(0);
        let mut all = vec![first];
        for left in 1..places {
            count(left - 1, false);
            all.push(count(left + width - 1, true));
        }
        all
    }
}
