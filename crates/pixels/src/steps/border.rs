//! Where a uniform border ends (transformations.md, section 2.6).

use model::transform::Border;

use crate::plan::Rect;
use crate::raster::Raster;

/// What is left of `within` when the border is taken off; all of it when nothing but border is
/// there. `keep` is in pixels.
pub(crate) fn inside(raster: &Raster, within: Rect, border: Border, keep: u32) -> Rect {
    let pixel = |x: u32, y: u32| -> [u8; 4] {
        let start = (y as usize * raster.width as usize + x as usize) * raster.channels;
        let channels = &raster.data[start..start + raster.channels];
        let alpha = channels.get(3).copied().unwrap_or(255);
        [channels[0], channels[1], channels[2], alpha]
    };
    let (left, top) = (within.left, within.top);
    let (right, bottom) = (left + within.width, top + within.height);
    let near = |a: [u8; 4], b: [u8; 4]| {
        // What cannot be seen has no colour.
        (a[3] == 0 && b[3] == 0)
            || a.iter()
                .zip(b)
                .all(|(a, b)| a.abs_diff(b) <= border.tolerance)
    };
    let detected = || {
        let corners = [
            pixel(left, top),
            pixel(right - 1, top),
            pixel(left, bottom - 1),
            pixel(right - 1, bottom - 1),
        ];
        agreed(corners, near).unwrap_or_else(|| most_frequent_of_ring(within, pixel))
    };
    let colour = border.colour.map_or_else(detected, |colour| {
        [colour.red, colour.green, colour.blue, colour.alpha]
    });
    let is_border = |x, y| near(pixel(x, y), colour);
    let row_is_border = |y| (left..right).all(|x| is_border(x, y));
    let Some(first_row) = (top..bottom).find(|y| !row_is_border(*y)) else {
        return within;
    };
    let last_row = (first_row..bottom)
        .rev()
        .find(|y| !row_is_border(*y))
        .unwrap_or(first_row);
    let column_is_border = |x| (first_row..=last_row).all(|y| is_border(x, y));
    let first_column = (left..right)
        .find(|x| !column_is_border(*x))
        .unwrap_or(left);
    let last_column = (first_column..right)
        .rev()
        .find(|x| !column_is_border(*x))
        .unwrap_or(first_column);

    let start = |first: u32, edge: u32| first.saturating_sub(keep).max(edge);
    let end = |last: u32, edge: u32| last.saturating_add(1).saturating_add(keep).min(edge);
    let (new_left, new_top) = (start(first_column, left), start(first_row, top));
    Rect {
        left: new_left,
        top: new_top,
        width: end(last_column, right) - new_left,
        height: end(last_row, bottom) - new_top,
    }
}

/// The smallest rectangle around both.
pub(crate) fn union(a: Rect, b: Rect) -> Rect {
    let (left, top) = (a.left.min(b.left), a.top.min(b.top));
    Rect {
        left,
        top,
        width: (a.left + a.width).max(b.left + b.width) - left,
        height: (a.top + a.height).max(b.top + b.height) - top,
    }
}

/// The mean of three corners or more which are near each other.
fn agreed(corners: [[u8; 4]; 4], near: impl Fn([u8; 4], [u8; 4]) -> bool) -> Option<[u8; 4]> {
    corners.iter().find_map(|corner| {
        let group: Vec<_> = corners
            .iter()
            .filter(|other| near(*corner, **other))
            .collect();
        (group.len() >= 3).then(|| {
            [0, 1, 2, 3].map(|channel| {
                let sum: usize = group
                    .iter()
                    .map(|colour| usize::from(colour[channel]))
                    .sum();
                ((sum + group.len() / 2) / group.len()) as u8
            })
        })
    })
}

fn most_frequent_of_ring(within: Rect, pixel: impl Fn(u32, u32) -> [u8; 4]) -> [u8; 4] {
    let (left, top) = (within.left, within.top);
    let (right, bottom) = (left + within.width - 1, top + within.height - 1);
    let mut ring: Vec<[u8; 4]> = (left..=right)
        .flat_map(|x| [pixel(x, top), pixel(x, bottom)])
        .chain((top..=bottom).flat_map(|y| [pixel(left, y), pixel(right, y)]))
        .collect();
    ring.sort_unstable();
    ring.chunk_by(|a, b| a == b)
        .max_by_key(|group| group.len())
        .map_or([255; 4], |group| group[0])
}
