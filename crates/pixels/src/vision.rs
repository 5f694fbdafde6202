//! The seams for models: the engine brings none, and works with those it is given.

use std::fmt::Debug;
use std::sync::Arc;

use crate::Cancel;

/// What a model looks at: an upright picture in sRGB.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Red, green and blue, 8 bits each, row by row without gaps: `width * height * 3` bytes.
    pub rgb: &'a [u8],
}

/// A box around a face, in pixels of the picture from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Face {
    /// Pixels from the left edge.
    pub left: f64,
    /// Pixels from the upper edge.
    pub top: f64,
    /// Pixels, above 0.
    pub width: f64,
    /// Pixels, above 0.
    pub height: f64,
}

/// Finds faces, for `gravity=face`.
pub trait FaceDetector: Debug + Send + Sync {
    /// Name and version: renditions made with another detector are others.
    fn name(&self) -> &str;

    /// The faces in a picture whose longest side has at most 640 pixels. Boxes which are no boxes
    /// are ignored, and what lies beyond the picture is cut off. Equal pictures give equal faces.
    fn faces(&self, picture: Picture<'_>, cancel: &Cancel) -> Vec<Face>;
}

/// Cuts the subject out of its surroundings, for `segment=foreground`.
pub trait Segmenter: Debug + Send + Sync {
    /// Name and version: renditions made with another model are others.
    fn name(&self) -> &str;

    /// How far each pixel belongs to the subject, 0 to 255, row by row: `width * height` bytes. The
    /// longest side of the picture has at most 1,024 pixels. `None` if the model failed.
    fn foreground(&self, picture: Picture<'_>, cancel: &Cancel) -> Option<Vec<u8>>;
}

/// Enlarges pictures, for `upscale=generate`.
pub trait Upscaler: Debug + Send + Sync {
    /// Name and version: renditions made with another model are others.
    fn name(&self) -> &str;

    /// The picture so many times as wide and as high: red, green and blue of each pixel, row by row.
    /// The picture is no larger than what is made of it in the end, but for a few pixels around it.
    /// `None` if the model failed. Equal pictures give equal ones.
    fn enlarged(&self, picture: Picture<'_>, factor: Factor, cancel: &Cancel) -> Option<Vec<u8>>;
}

/// How much larger a model makes a picture in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// Twice as wide and as high.
    Two,
    /// Four times as wide and as high.
    Four,
}

impl Factor {
    /// 2 or 4.
    pub const fn times(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// The models which an engine was given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Models {
    pub faces: Option<Arc<dyn FaceDetector>>,
    pub segmenter: Option<Arc<dyn Segmenter>>,
    pub upscaler: Option<Arc<dyn Upscaler>>,
}

impl Models {
    /// Names what renditions depend on.
    pub(crate) fn names(&self) -> String {
        let faces = self.faces.as_ref().map_or("none", |model| model.name());
        let segmenter = self.segmenter.as_ref().map_or("none", |model| model.name());
        let upscaler = self.upscaler.as_ref().map_or("none", |model| model.name());
        format!("faces={faces} segment={segmenter} upscale={upscaler}")
    }
}
