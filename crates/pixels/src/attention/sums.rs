/// The sum of every rectangle of an image in constant time (Crow, "Summed-area tables", 1984).
pub(super) struct Sums {
    /// One more than the image is wide.
    stride: usize,
    sums: Vec<i64>,
}

impl Sums {
    /// Of values row by row; `width` is at least 1.
    pub(super) fn new(width: usize, values: impl Iterator<Item = i64>) -> Self {
        let stride = width + 1;
        let mut sums = vec![0; stride];
        let mut row = 0;
        for (at, value) in values.enumerate() {
            if at % width == 0 {
                sums.push(0);
                row = 0;
            }
            row += value;
            sums.push(row + sums[sums.len() - stride]);
        }
        Self { stride, sums }
    }

    /// The sum of a rectangle inside of the image.
    pub(super) fn within(
        &self,
        (left, top): (usize, usize),
        (width, height): (usize, usize),
    ) -> i64 {
        let at = |x: usize, y: usize| self.sums[y * self.stride + x];
        let (right, bottom) = (left + width, top + height);
        at(right, bottom) - at(left, bottom) - at(right, top) + at(left, top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_rectangles() {
        let sums = Sums::new(3, 1..=6);
        assert_eq!(sums.within((0, 0), (3, 2)), 21);
        assert_eq!(sums.within((1, 0), (2, 1)), 5);
        assert_eq!(sums.within((2, 1), (1, 1)), 6);
        assert_eq!(sums.within((1, 0), (0, 2)), 0);
    }
}
