//! What a picture consists of.

use crate::{Error, Picture, Plane, scaled};

/// The head of the picture.
pub(crate) struct Frame {
    pub width: u32,
    pub height: u32,
    /// Pixels across and down for one sample of colour.
    pub subsampling: (u32, u32),
    /// Brightness, and blue and red difference or nothing.
    pub components: Vec<Component>,
    pub progressive: bool,
}

/// Brightness or a difference of colour.
pub(crate) struct Component {
    pub id: u8,
    /// The number of its table of quantisation.
    pub table: u8,
    /// Whether it has been read by its first scan, from which on it holds.
    pub quantised: bool,
    /// In zigzag order.
    pub quantisation: [u16; 64],
    is_luma: bool,
}

impl Component {
    pub(crate) fn new(number: usize, id: u8, table: u8) -> Self {
        Self {
            id,
            table,
            quantised: false,
            quantisation: [0; 64],
            is_luma: number == 0,
        }
    }
}

impl Frame {
    /// Blocks across and down of a component in one MCU.
    pub(crate) fn blocks_in_mcu(&self, component: usize) -> (usize, usize) {
        if self.components[component].is_luma {
            (self.subsampling.0 as usize, self.subsampling.1 as usize)
        } else {
            (1, 1)
        }
    }

    /// MCUs across and down where all components lie together.
    pub(crate) fn mcus(&self) -> (usize, usize) {
        let (x, y) = self.subsampling;
        (
            self.width.div_ceil(8 * x) as usize,
            self.height.div_ceil(8 * y) as usize,
        )
    }

    /// Samples of a component across and down.
    fn samples(&self, component: usize) -> (u32, u32) {
        if self.components[component].is_luma {
            return (self.width, self.height);
        }
        let (x, y) = self.subsampling;
        (self.width.div_ceil(x), self.height.div_ceil(y))
    }

    /// Blocks of a component across and down where it lies alone: none but what it needs.
    pub(crate) fn blocks(&self, component: usize) -> (usize, usize) {
        let (width, height) = self.samples(component);
        (width.div_ceil(8) as usize, height.div_ceil(8) as usize)
    }

    /// Samples of a component at so many eighths of the picture.
    pub(crate) fn scaled_samples(&self, component: usize, eighths: u32) -> (u32, u32) {
        let (width, height) = (scaled(self.width, eighths), scaled(self.height, eighths));
        if self.components[component].is_luma {
            return (width, height);
        }
        let (x, y) = self.subsampling;
        (width.div_ceil(x), height.div_ceil(y))
    }

    /// The picture of the planes of all components.
    pub(crate) fn picture(&self, planes: Vec<Plane>, eighths: u32) -> Result<Picture, Error> {
        let mut planes = planes.into_iter();
        let luma = planes
            .next()
            .ok_or(Error::Damaged("a component without a scan"))?;
        Ok(Picture {
            width: scaled(self.width, eighths),
            height: scaled(self.height, eighths),
            luma,
            chroma: planes.next().zip(planes.next()).map(<[Plane; 2]>::from),
            subsampling: self.subsampling,
        })
    }
}
