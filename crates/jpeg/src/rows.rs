//! Rows of blocks on their way to a plane.

use crate::Plane;
use crate::frame::Frame;
use crate::transform::{Factors, LANES, transform};

/// The plane of a component, as far as it is done.
pub(crate) struct Rows<const N: usize> {
    factors: Factors,
    /// Coefficients of the same kind in a row of blocks.
    stride: usize,
    /// Samples of one row of blocks.
    samples: Vec<u8>,
    plane: Plane,
    /// Rows of the plane which are done.
    done: usize,
}

/// Coefficients in a line of the cache.
const LINE: usize = 32;

impl<const N: usize> Rows<N> {
    /// With room for rows of so many blocks.
    pub(crate) fn new(frame: &Frame, component: usize, blocks: usize) -> Self {
        let (width, height) = frame.scaled_samples(component, N as u32);
        // An odd number of lines, so that neighbours do not fight for the same place in the cache.
        let stride = (blocks.div_ceil(LINE) | 1) * LINE;
        let samples = blocks.next_multiple_of(LANES) * N + LANES;
        Self {
            factors: Factors::new(&frame.components[component].quantisation, N),
            stride,
            samples: vec![0; samples * N],
            plane: Plane {
                width,
                height,
                data: vec![0; width as usize * height as usize],
            },
            done: 0,
        }
    }

    /// Between a coefficient and the next of the same block.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Coefficients in a row of blocks, with one more of each block which nobody wants.
    pub(crate) fn length(&self) -> usize {
        self.stride * (N * N + 1)
    }

    /// Makes samples of a row of blocks.
    pub(crate) fn push(&mut self, coefficients: &[i16]) {
        let length = self.samples.len() / N;
        let groups = self.samples.len() / N / (LANES * N);
        for group in 0..groups {
            let coefficients = &coefficients[group * LANES..];
            let samples = &mut self.samples[group * LANES * N..];
            transform::<N>(coefficients, self.stride, &self.factors, samples, length);
        }
        let (width, height) = (self.plane.width as usize, self.plane.height as usize);
        for samples in self.samples.chunks_exact(length) {
            if self.done < height {
                let start = self.done * width;
                self.plane.data[start..start + width].copy_from_slice(&samples[..width]);
                self.done += 1;
            }
        }
    }

    pub(crate) fn into_plane(self) -> Plane {
        self.plane
    }
}
