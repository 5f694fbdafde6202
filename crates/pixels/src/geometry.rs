//! The size algebra of transformations.md, section 2.2, in whole numbers.

use model::{Fit, transform::Gravity};

/// Width and height in pixels. Wide, because an enlarged size is judged after it is computed.
pub(crate) type Size = (u64, u64);

/// How an image becomes a rendition: it is scaled, cut, and laid on a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// The whole image after scaling.
    pub scaled: Size,
    /// Where the cut begins in the scaled image.
    pub offset: Size,
    /// What is cut out of the scaled image.
    pub cut: Size,
    /// What the cut is laid on, if not on nothing.
    pub canvas: Option<Canvas>,
}

/// A larger area with the picture somewhere in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    pub size: Size,
    /// Where the picture's upper left corner lies.
    pub offset: Size,
}

impl Geometry {
    /// Size of the rendition.
    pub(crate) fn size(&self) -> Size {
        self.canvas.map_or(self.cut, |canvas| canvas.size)
    }
}

/// Lays an image of size `image` into the box, whose sides may be absent and are at least 1.
pub(crate) fn fit(
    fit: Fit,
    image: Size,
    (width, height): (Option<u64>, Option<u64>),
    gravity: Gravity,
) -> Geometry {
    match (width, height) {
        (None, None) => whole(image),
        (Some(width), Some(height)) => in_box(fit, image, (width, height), gravity),
        (Some(width), None) => whole(match fit {
            Fit::Squeeze => (width, image.1),
            _ if unchanged(fit, width, image.0) => image,
            _ => (width, scale(image.1, width, image.0)),
        }),
        (None, Some(height)) => whole(match fit {
            Fit::Squeeze => (image.0, height),
            _ if unchanged(fit, height, image.1) => image,
            _ => (scale(image.0, height, image.1), height),
        }),
    }
}

/// Whether a fit with one side leaves the image alone.
fn unchanged(fit: Fit, wanted: u64, length: u64) -> bool {
    match fit {
        Fit::ScaleDown | Fit::Crop | Fit::AspectCrop | Fit::OutsideDown => wanted >= length,
        Fit::ScaleUp => wanted <= length,
        Fit::Contain | Fit::Cover | Fit::Pad | Fit::Squeeze | Fit::Outside => wanted == length,
    }
}

fn in_box(fit: Fit, image: Size, target: Size, gravity: Gravity) -> Geometry {
    let fits = image.0 <= target.0 && image.1 <= target.1;
    let covers = image.0 >= target.0 && image.1 >= target.1;
    match fit {
        Fit::ScaleDown if fits => whole(image),
        Fit::ScaleDown | Fit::Contain => whole(inside(image, target)),
        Fit::ScaleUp if fits => whole(inside(image, target)),
        Fit::ScaleUp => whole(image),
        Fit::Cover => cut(outside(image, target), target, gravity),
        Fit::Crop => {
            let scaled = if covers {
                outside(image, target)
            } else {
                image
            };
            let size = (target.0.min(scaled.0), target.1.min(scaled.1));
            cut(scaled, size, gravity)
        }
        Fit::AspectCrop => {
            let scaled = if covers {
                outside(image, target)
            } else {
                image
            };
            let wider = u128::from(scaled.0) * u128::from(target.1)
                > u128::from(scaled.1) * u128::from(target.0);
            let size = if wider {
                (scale(scaled.1, target.0, target.1).min(scaled.0), scaled.1)
            } else {
                (scaled.0, scale(scaled.0, target.1, target.0).min(scaled.1))
            };
            cut(scaled, size, gravity)
        }
        Fit::Pad => {
            let scaled = inside(image, target);
            let canvas = Canvas {
                size: target,
                offset: ((target.0 - scaled.0) / 2, (target.1 - scaled.1) / 2),
            };
            Geometry {
                canvas: Some(canvas).filter(|canvas| canvas.size != scaled),
                ..whole(scaled)
            }
        }
        Fit::Squeeze => whole(target),
        Fit::OutsideDown if !covers => whole(image),
        Fit::Outside | Fit::OutsideDown => whole(outside(image, target)),
    }
}

fn whole(size: Size) -> Geometry {
    Geometry {
        scaled: size,
        offset: (0, 0),
        cut: size,
        canvas: None,
    }
}

fn cut(scaled: Size, size: Size, gravity: Gravity) -> Geometry {
    // What has to be looked for was looked for before, or was not found.
    let (x, y) = match gravity {
        Gravity::Point { x, y } | Gravity::BoxCenter { x, y } => (x, y),
        Gravity::Auto | Gravity::Entropy | Gravity::Face => (0.5, 0.5),
    };
    let offset = |whole: u64, part: u64, at: f64| {
        let rest = whole - part;
        let offset = match gravity {
            Gravity::BoxCenter { .. } => whole as f64 * at - part as f64 / 2.0,
            _ => rest as f64 * at,
        };
        ((offset + 0.5).floor().max(0.0) as u64).min(rest)
    };
    Geometry {
        scaled,
        offset: (offset(scaled.0, size.0, x), offset(scaled.1, size.1, y)),
        cut: size,
        canvas: None,
    }
}

/// The largest size of the image's ratio inside of the box.
fn inside(image: Size, target: Size) -> Size {
    if is_wider(image, target) {
        (target.0, scale(image.1, target.0, image.0).min(target.1))
    } else {
        (scale(image.0, target.1, image.1).min(target.0), target.1)
    }
}

/// The smallest size of the image's ratio outside of the box.
fn outside(image: Size, target: Size) -> Size {
    if is_wider(image, target) {
        (scale(image.0, target.1, image.1).max(target.0), target.1)
    } else {
        (target.0, scale(image.1, target.0, image.0).max(target.1))
    }
}

/// Whether the image is wider than the box in relation to its height.
fn is_wider(image: Size, target: Size) -> bool {
    u128::from(image.0) * u128::from(target.1) >= u128::from(image.1) * u128::from(target.0)
}

/// `length * numerator / denominator`, rounded half up, at least 1.
fn scale(length: u64, numerator: u64, denominator: u64) -> u64 {
    let doubled = 2 * u128::from(length) * u128::from(numerator) + u128::from(denominator);
    ((doubled / (2 * u128::from(denominator))) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(options: &str, image: Size) -> Size {
        let asked: model::Transform = options.parse().unwrap();
        let target = (asked.width.map(u64::from), asked.height.map(u64::from));
        fit(asked.fit, image, target, asked.gravity).size()
    }

    /// The numbers are those of transformations.md, section 11.1.
    #[test]
    fn sizes_are_those_of_the_table() {
        for (case, image, options, expected) in [
            (1, (1080, 720), "width=500,height=500", (500, 333)),
            (3, (1080, 720), "width=2000,height=2000", (1080, 720)),
            (4, (1080, 720), "w=500", (500, 333)),
            (5, (1080, 720), "h=500", (750, 500)),
            (6, (1080, 720), "width=2000", (1080, 720)),
            (7, (200, 100), "width=400,fit=scale-down", (200, 100)),
            (8, (200, 100), "width=50,height=50,fit=contain", (50, 25)),
            (9, (200, 100), "width=50,height=50,fit=cover", (50, 50)),
            (
                10,
                (1080, 720),
                "width=2000,height=2000,fit=contain",
                (2000, 1333),
            ),
            (11, (1080, 720), "width=2160,fit=contain", (2160, 1440)),
            (12, (100, 50), "height=200,fit=contain", (400, 200)),
            (
                13,
                (1080, 720),
                "width=500,height=500,fit=cover",
                (500, 500),
            ),
            (
                14,
                (1080, 720),
                "width=2000,height=2000,fit=cover",
                (2000, 2000),
            ),
            (15, (1500, 1000), "width=320,fit=cover", (320, 213)),
            (
                16,
                (1080, 720),
                "width=1296,height=1296,fit=crop",
                (1080, 720),
            ),
            (17, (1080, 720), "width=500,height=500,fit=crop", (500, 500)),
            (18, (1000, 300), "width=500,height=500,fit=crop", (500, 300)),
            (
                19,
                (612, 613),
                "width=1920,height=1120,fit=aspect-crop",
                (612, 357),
            ),
            (
                20,
                (1080, 720),
                "width=500,height=500,fit=aspect-crop",
                (500, 500),
            ),
            (
                21,
                (400, 400),
                "width=1600,height=900,fit=aspect-crop",
                (400, 225),
            ),
            (
                22,
                (1080, 720),
                "width=1080,height=1080,fit=pad",
                (1080, 1080),
            ),
            (26, (50, 50), "width=200,height=100,fit=pad", (200, 100)),
            (
                27,
                (1080, 720),
                "width=1080,height=540,fit=squeeze",
                (1080, 540),
            ),
            (29, (100, 100), "width=300,fit=squeeze", (300, 100)),
            (
                30,
                (1080, 720),
                "width=500,height=500,fit=scale-up",
                (1080, 720),
            ),
            (
                31,
                (400, 200),
                "width=800,height=800,fit=scale-up",
                (800, 400),
            ),
            (
                32,
                (1000, 100),
                "width=500,height=500,fit=scale-up",
                (1000, 100),
            ),
            (39, (5000, 7), "width=100", (100, 1)),
            (40, (1080, 720), "quality=50", (1080, 720)),
            (41, (1000, 10000), "fit=contain,width=5000", (5000, 50000)),
        ] {
            assert_eq!(size(options, image), expected, "{case}");
        }
    }

    #[test]
    fn crops_and_pads_lie_where_they_should() {
        let lay = |options: &str, image| {
            let asked: model::Transform = options.parse().unwrap();
            let target = (asked.width.map(u64::from), asked.height.map(u64::from));
            fit(asked.fit, image, target, asked.gravity)
        };
        let cover = lay("width=500,height=500,fit=cover", (1080, 720));
        assert_eq!((cover.scaled, cover.offset), ((750, 500), (125, 0)));
        for (gravity, x) in [
            ("0.33x0.5", 198),
            ("0x1", 0),
            ("center", 300),
            ("right", 600),
            ("box-center:0.5x0.5", 300),
            ("box-center:0.25x0.5", 75),
            ("box-center:0.1x0.5", 0),
            ("box-center:0.9x0.5", 600),
        ] {
            let options = format!("width=300,height=900,fit=cover,gravity={gravity}");
            assert_eq!(lay(&options, (900, 900)).offset.0, x, "{gravity}");
        }
        let bottom = lay(
            "width=1080,height=400,fit=cover,gravity=bottom",
            (1080, 720),
        );
        assert_eq!(bottom.offset, (0, 320));
        let pad = lay("width=1080,height=1080,fit=pad", (1080, 720)).canvas;
        assert_eq!(pad.unwrap().offset, (0, 180));
        let pad = lay("width=200,height=100,fit=pad", (50, 50));
        assert_eq!(
            (pad.scaled, pad.canvas.unwrap().offset),
            ((100, 100), (50, 0))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_size_is_empty_or_beyond_its_box(
            image in (1_u64..20_000, 1_u64..20_000),
            target in (1_u64..20_000, 1_u64..20_000),
            which in 0_usize..10,
        ) {
            use Fit::{
                AspectCrop, Contain, Cover, Crop, Outside, OutsideDown, Pad, ScaleDown, ScaleUp,
                Squeeze,
            };
            let kinds = [
                ScaleDown, Contain, ScaleUp, Cover, Crop, AspectCrop, Pad, Squeeze, Outside,
                OutsideDown,
            ];
            let kind = kinds[which];
            let laid = fit(kind, image, (Some(target.0), Some(target.1)), Gravity::CENTER);
            let size = laid.size();
            proptest::prop_assert!(size.0 >= 1 && size.1 >= 1);
            if !matches!(kind, ScaleUp | AspectCrop | Outside | OutsideDown) {
                proptest::prop_assert!(size.0 <= target.0 && size.1 <= target.1);
            }
            proptest::prop_assert!(laid.offset.0 + laid.cut.0 <= laid.scaled.0);
            proptest::prop_assert!(laid.offset.1 + laid.cut.1 <= laid.scaled.1);
            if matches!(kind, ScaleDown | Crop | AspectCrop | OutsideDown) {
                proptest::prop_assert!(size.0 <= image.0 && size.1 <= image.1);
            }
            if matches!(kind, Outside | OutsideDown) {
                let covered = |size: Size| size.0 >= target.0 && size.1 >= target.1;
                let one_fits = size.0 == target.0 || size.1 == target.1;
                let right = if kind == Outside || covered(image) {
                    covered(size) && one_fits
                } else {
                    size == image
                };
                proptest::prop_assert!(right);
            }
        }
    }
}
