//! Bytes to pixels to bytes: Calotype's image engine, without I/O, async or clock.
//!
//! [`Engine::inspect`] reads a header and judges it, [`Engine::verify`] also makes sure that the
//! picture is there, and [`Engine::render`] makes a rendition: inspect, plan, decode, steps, encode.
//! C codecs are reached only through `decode` and `encode`, each behind a safe function over slices.

mod attention;
mod cancel;
mod colour;
mod composition;
mod cost;
mod decode;
mod describe;
mod encode;
mod engine;
mod error;
mod exif;
mod geometry;
mod heif;
mod inspect;
mod look;
mod metadata;
mod negotiate;
mod orientation;
mod overlay;
mod perceptual;
mod placeholder;
mod plan;
mod planes;
mod raster;
mod render;
mod rendition;
mod steps;
mod svg;
mod text;
mod verify;
mod vision;

pub use cancel::Cancel;
pub use composition::{Composition, Input};
pub use engine::{Engine, Request};
pub use error::Error;
pub use inspect::{Header, inspect};
pub use negotiate::Accepts;
pub use overlay::Assets;
pub use rendition::{Rendition, RenditionFormat, Warning};
pub use svg::sanitise_svg;
pub use vision::{Face, FaceDetector, Factor, Picture, Segmenter, Upscaler};
