use crate::raster::Raster;

/// Softens by three box filters one after another, which is close to a Gaussian and costs the same
/// for every radius. Colours count as much as their alpha; edges go on as they end.
pub(super) fn blur(raster: Raster, sigma: f64) -> Raster {
    let mut raster = raster;
    let alpha = raster.has_alpha();
    if alpha {
        multiply_alpha(&mut raster.data);
    }
    for radius in radii(sigma).into_iter().filter(|radius| *radius > 0) {
        across(&mut raster, radius);
        down(&mut raster, radius);
    }
    if alpha {
        divide_alpha(&mut raster.data);
    }
    raster
}

/// Radii of three boxes whose variances add up to that of the Gaussian: odd widths around the ideal
/// one, the smaller ones first.
fn radii(sigma: f64) -> [usize; 3] {
    let variance = 12.0 * sigma * sigma;
    let ideal = (variance / 3.0 + 1.0).sqrt();
    let lower = (((ideal - 1.0) / 2.0).floor() * 2.0 + 1.0).max(1.0);
    let lower_count =
        ((variance - 3.0 * lower * lower - 12.0 * lower - 9.0) / (-4.0 * lower - 4.0)).round();
    [0.0, 1.0, 2.0].map(|index| {
        let width = if index < lower_count {
            lower
        } else {
            lower + 2.0
        };
        ((width - 1.0) / 2.0) as usize
    })
}

fn across(raster: &mut Raster, radius: usize) {
    match raster.channels {
        3 => across_pixels::<3>(raster, radius),
        _ => across_pixels::<4>(raster, radius),
    }
}

fn across_pixels<const CHANNELS: usize>(raster: &mut Raster, radius: usize) {
    let stride = raster.row_bytes();
    let mean = Mean::of(radius);
    let mut source = vec![[0_u8; CHANNELS]; raster.width as usize];
    for row in raster.data.chunks_exact_mut(stride) {
        let (row, _) = row.as_chunks_mut::<CHANNELS>();
        source.copy_from_slice(row);
        let last = source.len() - 1;
        let mut sums = [0_u32; CHANNELS];
        for position in 0..=2 * radius {
            let pixel = source[position.saturating_sub(radius).min(last)];
            add(&mut sums, pixel);
        }
        for (x, target) in row.iter_mut().enumerate() {
            *target = sums.map(|sum| mean.round(sum));
            add(&mut sums, source[(x + radius + 1).min(last)]);
            subtract(&mut sums, source[x.saturating_sub(radius)]);
        }
    }
}

fn add<const CHANNELS: usize>(sums: &mut [u32; CHANNELS], pixel: [u8; CHANNELS]) {
    for (sum, value) in sums.iter_mut().zip(pixel) {
        *sum += u32::from(value);
    }
}

fn subtract<const CHANNELS: usize>(sums: &mut [u32; CHANNELS], pixel: [u8; CHANNELS]) {
    for (sum, value) in sums.iter_mut().zip(pixel) {
        *sum -= u32::from(value);
    }
}

/// All columns at once, so that memory is read in order.
fn down(raster: &mut Raster, radius: usize) {
    let stride = raster.row_bytes();
    let last = raster.height as usize - 1;
    let mean = Mean::of(radius);
    let source = raster.data.clone();
    let row = |y: usize| &source[y.min(last) * stride..][..stride];
    let mut sums = vec![0_u32; stride];
    for position in 0..=2 * radius {
        for (sum, value) in sums.iter_mut().zip(row(position.saturating_sub(radius))) {
            *sum += u32::from(*value);
        }
    }
    for (y, target) in raster.data.chunks_exact_mut(stride).enumerate() {
        let coming = row(y + radius + 1);
        let going = row(y.saturating_sub(radius));
        for (((target, sum), coming), going) in
            target.iter_mut().zip(&mut sums).zip(coming).zip(going)
        {
            *target = mean.round(*sum);
            *sum += u32::from(*coming);
            *sum -= u32::from(*going);
        }
    }
}

/// Division by the width of the box, by a multiplication.
#[derive(Clone, Copy)]
struct Mean {
    factor: u64,
}

impl Mean {
    fn of(radius: usize) -> Self {
        let width = 2 * radius as u64 + 1;
        Self {
            factor: (1 << 32) / width + 1,
        }
    }

    fn round(self, sum: u32) -> u8 {
        ((u64::from(sum) * self.factor + (1 << 31)) >> 32).min(255) as u8
    }
}

fn multiply_alpha(data: &mut [u8]) {
    let (pixels, _) = data.as_chunks_mut::<4>();
    for pixel in pixels {
        let alpha = u32::from(pixel[3]);
        for channel in &mut pixel[..3] {
            *channel = ((u32::from(*channel) * alpha + 127) / 255) as u8;
        }
    }
}

fn divide_alpha(data: &mut [u8]) {
    let (pixels, _) = data.as_chunks_mut::<4>();
    for pixel in pixels {
        let alpha = u32::from(pixel[3]);
        if alpha == 0 {
            continue;
        }
        for channel in &mut pixel[..3] {
            *channel = ((u32::from(*channel) * 255 + alpha / 2) / alpha).min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_spreads_by_the_standard_deviation() {
        let side = 101_usize;
        let mut data = vec![0; side * side * 3];
        // A bright block, so that 8 bits suffice.
        for y in 45..56 {
            for x in 45..56 {
                data[(y * side + x) * 3] = 255;
            }
        }
        let blurred = blur(Raster::new(101, 101, 3, data), 8.0);
        let mut weight = 0.0;
        let mut variance = 0.0;
        for (index, pixel) in blurred.data.chunks_exact(3).enumerate() {
            let distance = (index % side) as f64 - 50.0;
            weight += f64::from(pixel[0]);
            variance += f64::from(pixel[0]) * distance * distance;
        }
        // The block has a variance of its own.
        let sigma = (variance / weight - (121.0 - 1.0) / 12.0).sqrt();
        assert!((sigma - 8.0).abs() < 0.6, "{sigma}");
    }

    #[test]
    fn one_colour_stays_the_same() {
        for sigma in [0.5, 3.0, 125.0] {
            let raster = Raster::new(7, 5, 4, [200, 100, 50, 255].repeat(35));
            assert_eq!(blur(raster.clone(), sigma), raster, "{sigma}");
        }
    }
}
