use model::transform::{Flip, Rotate};
use resample::Region;

/// How pixels are turned: mirrored left to right first, or not, then turned clockwise. Every EXIF
/// orientation, `flip` and `rotate`, and every sequence of them, is one of these eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    mirrored: bool,
    /// Clockwise, 0 to 3.
    quarter_turns: u8,
}

impl Orientation {
    const fn new(mirrored: bool, quarter_turns: u8) -> Self {
        Self {
            mirrored,
            quarter_turns,
        }
    }

    /// EXIF's number; anything but 1 to 8 is no turn (transformations.md, section 2.7).
    pub(crate) fn from_exif(number: u8) -> Self {
        match number {
            2 => Self::new(true, 0),
            3 => Self::new(false, 2),
            4 => Self::new(true, 2),
            5 => Self::new(true, 3),
            6 => Self::new(false, 1),
            7 => Self::new(true, 1),
            8 => Self::new(false, 3),
            _ => Self::new(false, 0),
        }
    }

    /// The number by which EXIF knows it.
    pub(crate) fn to_exif(self) -> u8 {
        let mut numbers = 1..=8;
        // Every one of the eight has a number.
        numbers
            .find(|number| Self::from_exif(*number) == self)
            .unwrap_or(1)
    }

    /// First the flip, then the turn.
    pub(crate) fn from_options(flip: Flip, rotate: Rotate) -> Self {
        let flip = match flip {
            Flip::None => Self::new(false, 0),
            Flip::Horizontal => Self::new(true, 0),
            Flip::Vertical => Self::new(true, 2),
            Flip::Both => Self::new(false, 2),
        };
        let rotate = match rotate {
            Rotate::None => 0,
            Rotate::Quarter => 1,
            Rotate::Half => 2,
            Rotate::ThreeQuarters => 3,
        };
        flip.then(Self::new(false, rotate))
    }

    /// This, and `next` after it.
    pub(crate) fn then(self, next: Self) -> Self {
        // A mirror moved ahead of a turn reverses the turn.
        let turns = if next.mirrored {
            4 - self.quarter_turns
        } else {
            self.quarter_turns
        };
        Self::new(
            self.mirrored != next.mirrored,
            (turns + next.quarter_turns) % 4,
        )
    }

    /// What undoes this.
    pub(crate) fn inverse(self) -> Self {
        // Mirrored ones undo themselves.
        if self.mirrored {
            self
        } else {
            Self::new(false, (4 - self.quarter_turns) % 4)
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Whether width and height change places.
    pub(crate) fn swaps_axes(self) -> bool {
        self.quarter_turns % 2 == 1
    }

    /// Width and height after turning.
    pub(crate) fn turn_size<T>(self, (width, height): (T, T)) -> (T, T) {
        if self.swaps_axes() {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Where a region of an image of this size lies after turning.
    pub(crate) fn turn_region(self, region: Region, (width, height): (u32, u32)) -> Region {
        let (mut width, mut height) = (f64::from(width), f64::from(height));
        let mut region = region;
        if self.mirrored {
            region.left = width - region.left - region.width;
        }
        for _ in 0..self.quarter_turns {
            region = Region {
                left: height - region.top - region.height,
                top: region.left,
                width: region.height,
                height: region.width,
            };
            (width, height) = (height, width);
        }
        region
    }

    /// Where in an image of this size the pixel comes from which lies at (`x`, `y`) after turning.
    pub(crate) fn origin(
        self,
        x: usize,
        y: usize,
        (width, height): (usize, usize),
    ) -> (usize, usize) {
        let (x, y) = match self.quarter_turns {
            0 => (x, y),
            1 => (y, height - 1 - x),
            2 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        if self.mirrored {
            (width - 1 - x, y)
        } else {
            (x, y)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The corners of a 3x2 image after turning, as letters: `a` upper left, `b` upper right,
    /// `c` lower left, `d` lower right.
    fn corners(orientation: Orientation) -> String {
        let (width, height) = orientation.turn_size((3, 2));
        [
            (0, 0),
            (width - 1, 0),
            (0, height - 1),
            (width - 1, height - 1),
        ]
        .map(|(x, y)| match orientation.origin(x, y, (3, 2)) {
            (0, 0) => 'a',
            (2, 0) => 'b',
            (0, 1) => 'c',
            (2, 1) => 'd',
            other => panic!("{other:?} is no corner"),
        })
        .iter()
        .collect()
    }

    #[test]
    fn exif_orientations_put_the_corners_in_place() {
        let expected = [
            "abcd", "badc", "dcba", "cdab", "acbd", "cadb", "dbca", "bdac",
        ];
        for (number, expected) in (1..=8).zip(expected) {
            assert_eq!(
                corners(Orientation::from_exif(number)),
                expected,
                "{number}"
            );
        }
    }

    #[test]
    fn a_sequence_is_one_orientation() {
        for first in 1..=8 {
            for second in 1..=8 {
                let (first, second) = (
                    Orientation::from_exif(first),
                    Orientation::from_exif(second),
                );
                let both = first.then(second);
                let size = (3, 2);
                let (width, height) = both.turn_size(size);
                for (x, y) in [(0, 0), (width - 1, 0), (0, height - 1)] {
                    let (middle_x, middle_y) = second.origin(x, y, first.turn_size(size));
                    let expected = first.origin(middle_x, middle_y, size);
                    assert_eq!(both.origin(x, y, size), expected, "{first:?} {second:?}");
                }
                assert!(first.then(first.inverse()).is_none());
            }
        }
    }

    #[test]
    fn a_region_turns_with_its_pixels() {
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number);
            let pixel = Region {
                left: 2.0,
                top: 1.0,
                width: 1.0,
                height: 1.0,
            };
            let turned = orientation.turn_region(pixel, (5, 4));
            let origin = orientation.origin(turned.left as usize, turned.top as usize, (5, 4));
            assert_eq!(origin, (2, 1), "{number}");
            let back = orientation
                .inverse()
                .turn_region(turned, orientation.turn_size((5, 4)));
            assert_eq!(back, pixel, "{number}");
        }
    }
}
