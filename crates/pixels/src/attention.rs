//! Where a crop goes when what is in the picture decides (transformations.md, section 2.5). The
//! picture is looked at as a thumbnail; the answer is a gravity which arithmetic can follow, and with
//! `zoom` a part of the image to go on with.

mod entropy;
mod saliency;
mod sums;

use model::transform::Gravity;

use crate::raster::Raster;
use crate::vision::Face;

use entropy::Entropy;
use sums::Sums;

/// Pixels of the longest side of what saliency and entropy look at.
pub(crate) const THUMBNAIL_SIDE: u32 = 256;
/// Pixels of the longest side of what a detector of faces looks at.
pub(crate) const FACES_SIDE: u32 = 640;
/// How far the box around all faces grows on each side, as a part of its own.
const FACE_MARGIN: f64 = 0.1;

/// A part of an image, in pixels or, if the image is 1 by 1, in fractions of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// The most salient window: `window` is its width and height as fractions of the picture, which has
/// no alpha.
pub(crate) fn most_salient(picture: &Raster, window: (f64, f64)) -> Gravity {
    let saliency = saliency::saliency(picture);
    let sums = Sums::new(
        picture.width as usize,
        saliency.into_iter().map(u64::cast_signed),
    );
    best_window(picture, window, |top, places, size| {
        (0..places)
            .map(|left| sums.within((left, top), size))
            .collect()
    })
}

/// The window with the greatest entropy.
pub(crate) fn most_entropic(picture: &Raster, window: (f64, f64)) -> Gravity {
    let entropy = Entropy::new(picture);
    best_window(picture, window, |top, places, size| {
        entropy.along(top, places, size)
    })
}

/// The window of the greatest score, of equal ones that nearest to the centre. `score` gives those of
/// one row of places.
fn best_window(
    picture: &Raster,
    window: (f64, f64),
    score: impl Fn(usize, usize, (usize, usize)) -> Vec<i64>,
) -> Gravity {
    let length = |whole: u32, part: f64| {
        let length = (f64::from(whole) * part).round() as usize;
        length.clamp(1, whole as usize)
    };
    let size = (
        length(picture.width, window.0),
        length(picture.height, window.1),
    );
    let rest = (
        picture.width as usize - size.0,
        picture.height as usize - size.1,
    );
    // Twice the distance from the centre, so that it is whole.
    let off_centre = |at: usize, rest: usize| ((2 * at).abs_diff(rest) as u64).pow(2);
    let best = (0..=rest.1)
        .flat_map(|top| {
            let scores = score(top, rest.0 + 1, size);
            scores
                .into_iter()
                .enumerate()
                .map(move |(left, score)| (score, left, top))
        })
        .min_by_key(|(score, left, top)| {
            let distance = off_centre(*left, rest.0) + off_centre(*top, rest.1);
            (-score, distance, *top, *left)
        });
    let (_, left, top) = best.unwrap_or((0, 0, 0));
    let share = |at: usize, rest: usize| match rest {
        0 => 0.5,
        _ => at as f64 / rest as f64,
    };
    Gravity::Point {
        x: share(left, rest.0),
        y: share(top, rest.1),
    }
}

/// The smallest box around all faces, in fractions of the picture; `None` without any.
pub(crate) fn around(faces: &[Face], (width, height): (u32, u32)) -> Option<Part> {
    let (width, height) = (f64::from(width), f64::from(height));
    let inside = |face: &Face| {
        let sides = [face.left, face.top, face.width, face.height];
        if !sides.iter().all(|side| side.is_finite()) {
            return None;
        }
        let left = face.left.clamp(0.0, width);
        let top = face.top.clamp(0.0, height);
        let right = (face.left + face.width).clamp(0.0, width);
        let bottom = (face.top + face.height).clamp(0.0, height);
        (left < right && top < bottom).then_some((left, top, right, bottom))
    };
    let (left, top, right, bottom) = faces
        .iter()
        .filter_map(inside)
        .reduce(|a, b| (a.0.min(b.0), a.1.min(b.1), a.2.max(b.2), a.3.max(b.3)))?;
    Some(Part {
        left: left / width,
        top: top / height,
        width: (right - left) / width,
        height: (bottom - top) / height,
    })
}

/// The part of an image which is kept around `faces`, in pixels: from `loosest`, which is what the
/// fit keeps without zoom, at 0, to the smallest of its shape around the faces at 1, growing evenly
/// in between. `faces` is in fractions of the image.
pub(crate) fn around_faces(
    faces: Part,
    zoom: f64,
    loosest: (f64, f64),
    (width, height): (u32, u32),
) -> Part {
    let (width, height) = (f64::from(width), f64::from(height));
    let grown = 1.0 + 2.0 * FACE_MARGIN;
    let across = (faces.width * width * grown).min(width) / loosest.0;
    let down = (faces.height * height * grown).min(height) / loosest.1;
    let tightest = across.max(down).min(1.0);
    let scale = tightest.powf(zoom);
    let size = (loosest.0 * scale, loosest.1 * scale);
    let start = |middle: f64, length: f64, whole: f64| {
        (middle - length / 2.0).clamp(0.0, (whole - length).max(0.0))
    };
    Part {
        left: start((faces.left + faces.width / 2.0) * width, size.0, width),
        top: start((faces.top + faces.height / 2.0) * height, size.1, height),
        width: size.0,
        height: size.1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pixel: impl Fn(u32, u32) -> [u8; 3]) -> Raster {
        let data = (0..60)
            .flat_map(|y| (0..120).map(move |x| (x, y)))
            .flat_map(|(x, y)| pixel(x, y))
            .collect();
        Raster::new(120, 60, 3, data)
    }

    fn point(gravity: Gravity) -> (f64, f64) {
        match gravity {
            Gravity::Point { x, y } => (x, y),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_window_goes_where_the_salient_spot_is() {
        for spot in [8, 30, 56, 84, 112] {
            let picture = picture(|x, y| {
                let near = x.abs_diff(spot) < 7 && y.abs_diff(30) < 7;
                if near { [220, 60, 30] } else { [90, 120, 150] }
            });
            let (x, _) = point(most_salient(&picture, (0.25, 1.0)));
            let left = x * 90.0;
            let (first, last) = (f64::from(spot) - 7.0, f64::from(spot) + 7.0);
            assert!(
                left <= first.max(0.0) + 1.0 && left + 30.0 >= last.min(120.0) - 1.0,
                "{spot}: {left}"
            );
        }
    }

    #[test]
    fn what_has_no_salient_part_is_cut_in_the_middle() {
        let even = picture(|_, _| [200, 10, 90]);
        let mirrored = picture(|x, _| {
            if matches!(x, 30 | 89) {
                [0; 3]
            } else {
                [255; 3]
            }
        });
        for picture in [even, mirrored] {
            for found in [
                most_salient(&picture, (0.5, 1.0)),
                most_entropic(&picture, (0.5, 1.0)),
            ] {
                let (x, y) = point(found);
                assert!((x - 0.5).abs() < 0.02 && (y - 0.5).abs() < 0.01, "{x} {y}");
            }
        }
    }

    #[test]
    fn entropy_prefers_many_tones_to_strong_ones() {
        // A loud stripe at the left, a quiet texture at the right.
        let picture = picture(|x, y| match x {
            0..20 => [255, 0, 0],
            90..120 => [100 + ((x * 7 + y * 13) % 32) as u8; 3],
            _ => [100; 3],
        });
        assert!(point(most_entropic(&picture, (0.25, 1.0))).0 > 0.99);
        assert!(point(most_salient(&picture, (0.25, 1.0))).0 < 0.2);
    }

    #[test]
    fn entropy_slides_as_it_would_count_anew() {
        let picture = picture(|x, y| [(x * x + 3 * y) as u8, (y * y) as u8, x as u8]);
        let entropy = Entropy::new(&picture);
        let all = entropy.along(3, 101, (20, 40));
        for left in [0, 1, 50, 100] {
            let part = crate::steps::cut::cut(
                &picture,
                crate::plan::Rect {
                    left,
                    top: 3,
                    width: 20,
                    height: 40,
                },
            );
            let alone = Entropy::new(&part).along(0, 1, (20, 40));
            assert_eq!(alone[0], all[left as usize]);
        }
    }

    #[test]
    fn all_faces_are_in_the_box_and_nonsense_is_not() {
        let face = |left, top, width, height| Face {
            left,
            top,
            width,
            height,
        };
        let faces = [
            face(10.0, 20.0, 20.0, 20.0),
            face(60.0, 10.0, 60.0, 20.0),
            face(f64::NAN, 0.0, 1.0, 1.0),
            face(0.0, 0.0, -5.0, 5.0),
            face(500.0, 0.0, 5.0, 5.0),
        ];
        let expected = Part {
            left: 0.1,
            top: 0.2,
            width: 0.9,
            height: 0.6,
        };
        assert_eq!(around(&faces, (100, 50)), Some(expected));
        assert_eq!(around(&faces[2..], (100, 50)), None);
    }

    #[test]
    fn zoom_goes_from_the_loosest_to_the_tightest_crop() {
        // A face of 100 by 100 pixels in the middle of the left half of 1000 by 500.
        let faces = Part {
            left: 0.2,
            top: 0.4,
            width: 0.1,
            height: 0.2,
        };
        // The geometric mean of 500 and 120 is about 245, around the same point.
        for (zoom, expected) in [
            (0.0, [0.0, 0.0, 500.0]),
            (0.5, [127.5, 127.5, 244.9]),
            (1.0, [190.0, 190.0, 120.0]),
        ] {
            let part = around_faces(faces, zoom, (500.0, 500.0), (1000, 500));
            let found = [part.left, part.top, part.width];
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.1);
            assert!(
                near && part.width.total_cmp(&part.height).is_eq(),
                "{found:?}"
            );
        }
    }

    #[test]
    fn faces_at_the_edge_and_large_faces_stay_inside() {
        let corner = Part {
            left: 0.0,
            top: 0.0,
            width: 0.1,
            height: 0.1,
        };
        let whole = Part {
            left: 0.0,
            top: 0.0,
            width: 1.0,
            height: 1.0,
        };
        for (faces, left, width) in [(corner, 0.0, 120.0), (whole, 250.0, 500.0)] {
            let part = around_faces(faces, 1.0, (500.0, 500.0), (1000, 500));
            assert!((part.left - left).abs() < 1e-6 && (part.width - width).abs() < 1e-6);
            assert!(part.top.abs() < 1e-6);
        }
    }
}
