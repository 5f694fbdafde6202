//! Pictures go in, and their pixels are looked at when they come out.

mod acceptance;
mod animation;
mod attention;
mod avif;
mod bombs;
mod colour;
mod describe;
mod golden;
mod inputs;
mod metadata;
mod perceptual;
mod pictures;
mod stills;
mod svg;
mod wide;
