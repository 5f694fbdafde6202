//! Pictures go in, and their pixels are looked at when they come out.

mod acceptance;
mod animation;
mod attention;
mod avif;
mod bombs;
mod canaries;
mod colour;
mod describe;
mod described;
mod golden;
mod inputs;
mod metadata;
mod perceptual;
mod pictures;
mod sanitising;
mod stills;
mod svg;
mod wide;
