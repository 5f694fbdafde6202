use model::transform::{Composite, Draw, Offset, Repeat};

use crate::raster::Raster;
use crate::{Cancel, Error};

/// Pixels of a row which are blended at once at least: to begin with a stretch costs more than to
/// blend some pixels, so a narrow picture is put beside itself before it is repeated.
const STRETCH_MIN: usize = 64;

/// Draws a picture on another, which keeps its size (transformations.md, sections 7.1 and 7.2).
/// Outside of what is drawn nothing changes. `cancel` is looked at between rows.
pub(crate) fn draw(
    base: Raster,
    picture: &Raster,
    draw: &Draw,
    cancel: &Cancel,
) -> Result<Raster, Error> {
    let (width, height) = (picture.width as usize, picture.height as usize);
    if width == 0 || height == 0 {
        return Ok(base);
    }
    let adds_holes = matches!(
        draw.composite,
        Composite::In | Composite::Out | Composite::Xor
    );
    let mut base = if adds_holes { base.with_alpha() } else { base };
    let from_corner =
        draw.repeat == Repeat::Both && (draw.across, draw.down) == (Offset::Center, Offset::Center);
    let (left, top) = if from_corner {
        (0, 0)
    } else {
        (
            start(draw.across, base.width, picture.width),
            start(draw.down, base.height, picture.height),
        )
    };
    let repeats_across = matches!(draw.repeat, Repeat::Both | Repeat::Across);
    let repeats_down = matches!(draw.repeat, Repeat::Both | Repeat::Down);
    let copies = if repeats_across {
        STRETCH_MIN.div_ceil(width)
    } else {
        1
    };
    let columns = tiles(left, width * copies, base.width as usize, repeats_across);
    let rows = tiles(top, height, base.height as usize, repeats_down);
    let blend = Blend::new(draw);
    let (base_channels, channels) = (base.channels, picture.channels);
    let (stride, row_bytes) = (base.row_bytes(), picture.row_bytes());
    let mut stretch = Vec::with_capacity(row_bytes * copies);
    for Tile { to, from, length } in rows {
        let targets = base.data.chunks_exact_mut(stride).skip(to).take(length);
        let sources = picture.data.chunks_exact(row_bytes).skip(from);
        for (target, source) in targets.zip(sources) {
            cancel.check()?;
            let source = if copies == 1 {
                source
            } else {
                stretch.clear();
                (0..copies).for_each(|_| stretch.extend_from_slice(source));
                &stretch
            };
            for Tile { to, from, length } in &columns {
                let target = &mut target[to * base_channels..][..length * base_channels];
                let source = &source[from * channels..][..length * channels];
                blend.row(target, base_channels, source, channels);
            }
        }
    }
    Ok(base)
}

/// A stretch of one axis which is covered once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    /// Where it starts on what is drawn on.
    to: usize,
    /// Where it starts in what is drawn.
    from: usize,
    /// Pixels of both.
    length: usize,
}

/// Where the picture starts on an axis.
fn start(offset: Offset, base: u32, picture: u32) -> i64 {
    let room = i64::from(base) - i64::from(picture);
    match offset {
        Offset::Center => room.div_euclid(2),
        Offset::Start(pixels) => i64::from(pixels),
        Offset::End(pixels) => room - i64::from(pixels),
    }
}

/// What of `length` pixels from `start` on lies within `base` pixels: once, or again and again in
/// both directions.
fn tiles(start: i64, length: usize, base: usize, repeats: bool) -> Vec<Tile> {
    let (step, end) = (length as i64, base as i64);
    let first = if repeats {
        start.rem_euclid(step) - step
    } else {
        start
    };
    let count = if repeats { base / length + 2 } else { 1 };
    (0..count as i64)
        .map(|number| first + number * step)
        .filter(|at| *at < end && at + step > 0)
        .map(|at| Tile {
            to: at.max(0) as usize,
            from: (-at).max(0) as usize,
            length: ((at + step).min(end) - at.max(0)) as usize,
        })
        .collect()
}

/// How pixels are combined.
struct Blend {
    composite: Composite,
    /// What the alpha of the picture becomes.
    alpha: [u8; 256],
}

impl Blend {
    fn new(draw: &Draw) -> Self {
        let mut alpha = [0; 256];
        for (value, faded) in (0_u8..=255).zip(&mut alpha) {
            *faded = (f64::from(value) * draw.opacity).round() as u8;
        }
        Self {
            composite: draw.composite,
            alpha,
        }
    }

    fn row(&self, target: &mut [u8], target_channels: usize, source: &[u8], channels: usize) {
        let pixels = target.chunks_exact_mut(target_channels);
        for (below, above) in pixels.zip(source.chunks_exact(channels)) {
            let alpha = self.alpha[usize::from(above.get(3).copied().unwrap_or(255))];
            self.pixel(below, above, u32::from(alpha));
        }
    }

    /// Alpha counts in 255ths, the shares of both in 255ths of them.
    fn pixel(&self, below: &mut [u8], above: &[u8], alpha: u32) {
        let below_alpha = u32::from(below.get(3).copied().unwrap_or(255));
        let (of_above, of_below) = match self.composite {
            Composite::Over => (255, 255 - alpha),
            Composite::In => (below_alpha, 0),
            Composite::Atop => (below_alpha, 255 - alpha),
            Composite::Out => (255 - below_alpha, 0),
            Composite::Xor => (255 - below_alpha, 255 - alpha),
            Composite::Lighter => (255, 255),
        };
        let (above_share, below_share) = (alpha * of_above, below_alpha * of_below);
        let whole = (above_share + below_share).min(255 * 255);
        if whole == 0 {
            // What cannot be seen has no colour.
            below.fill(0);
            return;
        }
        for (value, above) in below.iter_mut().take(3).zip(above) {
            let sum = u32::from(*above) * above_share + u32::from(*value) * below_share;
            *value = ((sum + whole / 2) / whole).min(255) as u8;
        }
        if let Some(value) = below.get_mut(3) {
            *value = ((whole + 127) / 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 4] = [255, 0, 0, 255];
    const NONE: [u8; 4] = [0; 4];

    fn draw(base: Raster, picture: &Raster, how: &Draw) -> Raster {
        super::draw(base, picture, how, &Cancel::never()).unwrap()
    }

    fn pixels(rows: &[&[[u8; 4]]]) -> Raster {
        let width = rows[0].len() as u32;
        let data = rows.concat().concat();
        Raster::new(width, rows.len() as u32, 4, data)
    }

    fn composed(composite: Composite, below: [u8; 4], above: [u8; 4]) -> [u8; 4] {
        let draw_ = Draw {
            composite,
            ..Draw::default()
        };
        let drawn = draw(pixels(&[&[below]]), &pixels(&[&[above]]), &draw_);
        drawn.data.try_into().unwrap()
    }

    #[test]
    fn operators_of_porter_and_duff() {
        let (blue, half) = ([0, 0, 255, 255], [0, 0, 255, 128]);
        for (composite, opaque, on_nothing, half_on_opaque, nothing_on_opaque) in [
            (Composite::Over, blue, blue, [127, 0, 128, 255], RED),
            (Composite::In, blue, NONE, half, NONE),
            (Composite::Atop, blue, NONE, [127, 0, 128, 255], RED),
            (Composite::Out, NONE, blue, NONE, NONE),
            (Composite::Xor, NONE, blue, [255, 0, 0, 127], RED),
            (
                Composite::Lighter,
                [255, 0, 255, 255],
                blue,
                [255, 0, 128, 255],
                RED,
            ),
        ] {
            assert_eq!(composed(composite, RED, blue), opaque, "{composite:?}");
            assert_eq!(composed(composite, NONE, blue), on_nothing, "{composite:?}");
            assert_eq!(
                composed(composite, RED, half),
                half_on_opaque,
                "{composite:?}"
            );
            assert_eq!(
                composed(composite, RED, NONE),
                nothing_on_opaque,
                "{composite:?}"
            );
        }
    }

    #[test]
    fn an_opaque_base_stays_opaque_where_it_can() {
        let base = Raster::new(1, 1, 3, vec![255; 3]);
        let black = pixels(&[&[[0, 0, 0, 255]]]);
        let half = Draw {
            opacity: 0.5,
            ..Draw::default()
        };
        let drawn = draw(base.clone(), &black, &half);
        assert_eq!((drawn.channels, drawn.data), (3, vec![127; 3]));
        let hole = Draw {
            composite: Composite::Xor,
            ..Draw::default()
        };
        assert_eq!(draw(base, &black, &hole).data, NONE);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let tile = |to, from, length| Tile { to, from, length };
        assert_eq!(tiles(2, 3, 10, false), [tile(2, 0, 3)]);
        assert_eq!(tiles(-2, 3, 10, false), [tile(0, 2, 1)]);
        assert_eq!(tiles(8, 3, 10, false), [tile(8, 0, 2)]);
        assert_eq!(tiles(-3, 3, 10, false), []);
        assert_eq!(tiles(10, 3, 10, false), []);
        assert_eq!(tiles(-5, 20, 10, false), [tile(0, 5, 10)]);
        assert_eq!(
            tiles(4, 3, 8, true),
            [tile(0, 2, 1), tile(1, 0, 3), tile(4, 0, 3), tile(7, 0, 1)]
        );
        assert_eq!(tiles(-7, 20, 10, true), [tile(0, 7, 10)]);
        assert_eq!(start(Offset::Center, 800, 100), 350);
        assert_eq!(start(Offset::End(5), 800, 100), 695);
        assert_eq!(start(Offset::Start(-5), 800, 100), -5);
        assert_eq!(start(Offset::Center, 3, 4), -1);
    }

    #[test]
    fn tiles_start_at_the_corner_or_where_the_picture_stands() {
        let base = || pixels(&[&[NONE; 4], &[NONE; 4], &[NONE; 4]]);
        let blue = [0, 0, 255, 255];
        let picture = pixels(&[&[RED, blue]]);
        let drawn = |across, down, repeat| {
            let how = Draw {
                across,
                down,
                repeat,
                ..Draw::default()
            };
            draw(base(), &picture, &how)
        };
        let (center, first) = (Offset::Center, Offset::Start(0));
        let row: &[[u8; 4]] = &[RED, blue, RED, blue];
        let none: &[[u8; 4]] = &[NONE; 4];
        assert_eq!(
            drawn(center, center, Repeat::Both),
            pixels(&[row, row, row])
        );
        assert_eq!(
            drawn(first, first, Repeat::Across),
            pixels(&[row, none, none])
        );
        let middle: &[[u8; 4]] = &[blue, RED, blue, RED];
        assert_eq!(
            drawn(center, first, Repeat::Across),
            pixels(&[middle, none, none])
        );
        let column: &[[u8; 4]] = &[NONE, NONE, RED, blue];
        let down = drawn(Offset::End(0), center, Repeat::Down);
        assert_eq!(down, pixels(&[column, column, column]));
    }

    #[test]
    fn narrow_tiles_are_as_wide_ones_are() {
        let base = Raster::new(201, 3, 4, vec![90; 201 * 3 * 4]);
        for width in [1, 2, 3, 63, 64, 65, 200, 300] {
            let value = |x: usize| [(x * 5 % 256) as u8, 7, 9, (x * 11 % 256) as u8];
            let row: Vec<[u8; 4]> = (0..width).map(value).collect();
            let picture = pixels(&[&row]);
            for (across, left) in [
                (Offset::Start(0), 0),
                (Offset::Start(-7), -7),
                (Offset::End(5), 201 - width as i64 - 5),
            ] {
                let how = |across, repeat| Draw {
                    across,
                    repeat,
                    down: Offset::Start(1),
                    ..Draw::default()
                };
                let repeated = draw(base.clone(), &picture, &how(across, Repeat::Across));
                let once = (-300..300).map(|number| left + number * width as i64);
                let expected = once.fold(base.clone(), |base, at| {
                    let at = Offset::Start(i32::try_from(at).unwrap());
                    draw(base, &picture, &how(at, Repeat::None))
                });
                assert!(repeated == expected, "{width} pixels at {left}");
            }
        }
    }

    #[test]
    fn nobody_waits_for_what_nobody_wants() {
        let cancel = Cancel::never();
        cancel.cancel();
        let base = Raster::new(2, 2, 3, vec![0; 12]);
        let dot = pixels(&[&[RED]]);
        let drawn = super::draw(base, &dot, &Draw::default(), &cancel);
        assert_eq!(drawn, Err(Error::Cancelled));
    }
}
