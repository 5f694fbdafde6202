//! What is rendered, and how results are looked at.

use std::io::Cursor;

use model::{Limits, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Error, Rendition, Request};

pub(crate) const RED: [u8; 4] = [255, 0, 0, 255];
pub(crate) const GREEN: [u8; 4] = [0, 255, 0, 255];
pub(crate) const BLUE: [u8; 4] = [0, 0, 255, 255];
pub(crate) const WHITE: [u8; 4] = [255, 255, 255, 255];
pub(crate) const CLEAR: [u8; 4] = [0, 0, 0, 0];

/// A PNG of 3 or 4 channels.
pub(crate) fn png<const CHANNELS: usize>(
    width: u32,
    height: u32,
    pixel: impl Fn(u32, u32) -> [u8; CHANNELS],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(match CHANNELS {
        3 => png::ColorType::Rgb,
        4 => png::ColorType::Rgba,
        _ => panic!("{CHANNELS} channels"),
    });
    encoder.set_compression(png::Compression::Fast);
    let data: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| pixel(x, y))
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// Red upper left, green upper right, blue lower left, white lower right.
pub(crate) fn quarters(width: u32, height: u32) -> Vec<u8> {
    png(width, height, |x, y| {
        match (x * 2 < width, y * 2 < height) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        }
    })
}

pub(crate) fn try_render(source: &[u8], options: &str) -> Result<Rendition, Error> {
    let transform: Transform = options.parse().unwrap();
    let limits = Limits::default();
    let never = Cancel::never();
    render(source, &transform, Accepts::default(), &limits, &never)
}

pub(crate) fn render(
    source: &[u8],
    transform: &Transform,
    accepts: Accepts,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Rendition, Error> {
    let request = Request {
        source,
        transform,
        accepts,
    };
    Engine::new(limits.clone(), Policy::default()).render(&request, cancel)
}

pub(crate) fn rendered(source: &[u8], options: &str) -> Rendition {
    try_render(source, options).unwrap_or_else(|error| panic!("{options}: {error}"))
}

/// Pixels, four bytes each, read back through PNG.
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    pub data: Vec<u8>,
}

impl Picture {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::of_png(&rendered(bytes, "format=png-force,anim=false").bytes)
    }

    pub(crate) fn of_png(png: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut data).unwrap();
        let (width, height) = reader.info().size();
        if data.len() == width as usize * height as usize * 2 {
            data = data
                .chunks(2)
                .flat_map(|p| [p[0], p[0], p[0], p[1]])
                .collect();
        }
        Self {
            width,
            height,
            data,
        }
    }

    pub(crate) fn rendered(source: &[u8], options: &str) -> Self {
        Self::of(&rendered(source, options).bytes)
    }

    pub(crate) fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let start = (y as usize * self.width as usize + x as usize) * 4;
        self.data[start..start + 4].try_into().unwrap()
    }

    #[track_caller]
    pub(crate) fn is(&self, x: u32, y: u32, expected: [u8; 4]) {
        let found = self.at(x, y);
        let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12);
        assert!(near, "({x}, {y}) is {found:?} and not {expected:?}");
    }

    /// A pixel well inside of each quarter, row by row.
    #[track_caller]
    pub(crate) fn quarters_are(&self, expected: [[u8; 4]; 4]) {
        let (left, right) = (self.width / 4, self.width * 3 / 4);
        let (top, bottom) = (self.height / 4, self.height * 3 / 4);
        let places = [(left, top), (right, top), (left, bottom), (right, bottom)];
        for ((x, y), expected) in places.into_iter().zip(expected) {
            self.is(x, y, expected);
        }
    }
}

/// A JPEG with a segment put behind its first marker.
pub(crate) fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, body, &jpeg[2..]].concat()
}

/// A gentle gradient whose every pixel differs from its neighbours, in alpha too.
pub(crate) fn gradient(width: u32, height: u32) -> Vec<u8> {
    png(width, height, |x, y| {
        let along = |at: u32| (60 + at / 4) as u8;
        [along(x), along(y), 128, 255 - along(x)]
    })
}

/// The first frame header of a JPEG: 0xc0 is sequential, 0xc2 progressive.
pub(crate) fn frame_marker(jpeg: &[u8]) -> u8 {
    let mut at = 2;
    loop {
        let marker = jpeg[at + 1];
        if matches!(marker, 0xc0..=0xc2) {
            return marker;
        }
        at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
    }
}
