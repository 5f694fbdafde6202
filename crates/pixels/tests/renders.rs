//! Pictures made here go in, and their pixels are looked at when they come out.

use std::io::{Cursor, Write as _};

use model::{Limits, MediaType, Policy, Transform};
use pixels::{
    Accepts, Cancel, Engine, Error, Header, Rendition, RenditionFormat, Request, Warning, inspect,
};

const RED: [u8; 4] = [255, 0, 0, 255];
const GREEN: [u8; 4] = [0, 255, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const WHITE: [u8; 4] = [255, 255, 255, 255];
const CLEAR: [u8; 4] = [0, 0, 0, 0];

fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
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
fn quarters(width: u32, height: u32) -> Vec<u8> {
    png(width, height, |x, y| {
        match (x * 2 < width, y * 2 < height) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => WHITE,
        }
    })
}

fn try_render(source: &[u8], options: &str) -> Result<Rendition, Error> {
    let transform: Transform = options.parse().unwrap();
    let limits = Limits::default();
    let never = Cancel::never();
    render(source, &transform, Accepts::default(), &limits, &never)
}

fn render(
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

fn rendered(source: &[u8], options: &str) -> Rendition {
    try_render(source, options).unwrap_or_else(|error| panic!("{options}: {error}"))
}

/// Pixels, read back through PNG.
struct Picture {
    width: u32,
    height: u32,
    data: Vec<u8>,
}

impl Picture {
    fn of(bytes: &[u8]) -> Self {
        let bytes = rendered(bytes, "format=png-force,anim=false").bytes;
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
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

    fn rendered(source: &[u8], options: &str) -> Self {
        Self::of(&rendered(source, options).bytes)
    }

    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let start = (y as usize * self.width as usize + x as usize) * 4;
        self.data[start..start + 4].try_into().unwrap()
    }

    #[track_caller]
    fn is(&self, x: u32, y: u32, expected: [u8; 4]) {
        let found = self.at(x, y);
        let near = found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 12);
        assert!(near, "({x}, {y}) is {found:?} and not {expected:?}");
    }

    /// A pixel well inside of each quarter, row by row.
    #[track_caller]
    fn quarters_are(&self, expected: [[u8; 4]; 4]) {
        let (left, right) = (self.width / 4, self.width * 3 / 4);
        let (top, bottom) = (self.height / 4, self.height * 3 / 4);
        let places = [(left, top), (right, top), (left, bottom), (right, bottom)];
        for ((x, y), expected) in places.into_iter().zip(expected) {
            self.is(x, y, expected);
        }
    }
}

/// A JPEG with a segment put behind its first marker.
fn with_segment(jpeg: &[u8], marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, marker], &length, body, &jpeg[2..]].concat()
}

fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    let exif = [b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0", &entry[..], &[0; 4]].concat();
    with_segment(jpeg, 0xe1, &exif)
}

#[test]
fn jpeg_to_every_still_format() {
    let source = rendered(&quarters(320, 240), "format=jpeg").bytes;
    for (options, format) in [
        ("width=80", MediaType::Jpeg),
        ("width=80,format=webp", MediaType::Webp),
        ("width=80,format=webp,quality=100", MediaType::Webp),
        ("width=80,format=png-force", MediaType::Png),
        ("width=80,format=gif", MediaType::Gif),
        ("width=80,format=png-force,quality=50", MediaType::Png),
        ("width=80,format=avif", MediaType::Avif),
    ] {
        let rendition = rendered(&source, options);
        assert_eq!(
            rendition.format,
            RenditionFormat::Image(format),
            "{options}"
        );
        assert_eq!((rendition.width, rendition.height), (80, 60), "{options}");
        let header = inspect(&rendition.bytes, &Limits::default()).unwrap();
        assert_eq!(
            (header.format, header.width, header.height),
            (format, 80, 60)
        );
        Picture::of(&rendition.bytes).quarters_are([RED, GREEN, BLUE, WHITE]);
    }
}

#[test]
fn orientation_is_applied_and_taken_off() {
    let upright = rendered(&quarters(64, 32), "format=jpeg,quality=95").bytes;
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, expected) in (1..=8).zip(expected) {
        let source = with_orientation(&upright, orientation);
        let size = if orientation < 5 { (64, 32) } else { (32, 64) };
        let header = inspect(&source, &Limits::default()).unwrap();
        assert_eq!(
            (header.width, header.height, header.orientation),
            (size.0, size.1, orientation)
        );
        for options in ["metadata=none", "metadata=keep", "width=32"] {
            let rendition = rendered(&source, options);
            let header = inspect(&rendition.bytes, &Limits::default()).unwrap();
            assert_eq!(header.orientation, 1, "{options}");
            Picture::of(&rendition.bytes).quarters_are(expected);
        }
    }
}

#[test]
fn flip_comes_before_rotate() {
    let source = quarters(40, 20);
    for (options, expected) in [
        ("rotate=90", [BLUE, RED, WHITE, GREEN]),
        ("rotate=180", [WHITE, BLUE, GREEN, RED]),
        ("flip=h", [GREEN, RED, WHITE, BLUE]),
        ("flip=v", [BLUE, WHITE, RED, GREEN]),
        ("flip=h,rotate=90", [WHITE, GREEN, BLUE, RED]),
    ] {
        Picture::rendered(&source, &format!("{options},format=png-force")).quarters_are(expected);
    }
    let rotated = rendered(&quarters(1200, 800), "rotate=90,width=400");
    assert_eq!((rotated.width, rotated.height), (400, 600));
    assert_eq!(
        rendered(&source, "flip=h,rotate=90").bytes,
        rendered(&source, "rotate=90,flip=h").bytes
    );
}

#[test]
fn cover_keeps_the_part_that_gravity_says() {
    let source = quarters(200, 100);
    let top = Picture::rendered(
        &source,
        "width=200,height=20,fit=cover,gravity=top,f=png-force",
    );
    top.is(20, 10, RED);
    top.is(180, 10, GREEN);
    let right = Picture::rendered(&source, "width=50,height=100,fit=cover,gravity=right");
    right.quarters_are([GREEN, GREEN, WHITE, WHITE]);
    // Columns numbered by their colour.
    let columns = png(900, 90, |x, _| [(x / 4) as u8, 0, 0, 255]);
    for (gravity, first) in [("0.33x0.5", 198), ("0x1", 0), ("center", 300)] {
        let options = format!("width=300,height=90,fit=cover,gravity={gravity},format=png-force");
        let cropped = Picture::rendered(&columns, &options);
        assert_eq!(
            cropped.at(0, 5),
            [(first / 4) as u8, 0, 0, 255],
            "{gravity}"
        );
    }
}

#[test]
fn pad_fills_with_white_or_the_background() {
    let source = png(200, 100, |_, _| RED);
    let padded = Picture::rendered(&source, "width=100,height=100,fit=pad,format=png-force");
    assert_eq!((padded.width, padded.height), (100, 100));
    assert_eq!(padded.at(0, 0), WHITE);
    assert_eq!(padded.at(50, 24), WHITE);
    assert_eq!(padded.at(50, 25), RED);
    assert_eq!(padded.at(50, 74), RED);
    assert_eq!(padded.at(50, 75), WHITE);
    let options = "width=100,height=100,fit=pad,background=%2300ff00,format=png-force";
    assert_eq!(Picture::rendered(&source, options).at(0, 0), GREEN);
}

#[test]
fn alpha_is_kept_or_laid_on_a_background() {
    let source = png(80, 60, |x, _| if x < 40 { CLEAR } else { BLUE });
    let kept = rendered(&source, "width=40");
    assert_eq!(kept.format, RenditionFormat::Image(MediaType::Png));
    let picture = Picture::of(&kept.bytes);
    assert_eq!(picture.at(5, 5)[3], 0);
    picture.is(35, 5, BLUE);
    // The edge is blue with less alpha, and not darker: resizing is premultiplied.
    for x in 18..22 {
        let [red, green, blue, alpha] = picture.at(x, 5);
        assert!(alpha < 10 || (red < 6 && green < 6 && blue > 249), "{x}");
    }
    let webp = Picture::rendered(&source, "width=40,format=webp");
    assert_eq!(webp.at(5, 5)[3], 0);
    let white = rendered(&source, "width=40,format=jpeg");
    Picture::of(&white.bytes).is(5, 5, WHITE);
    let opaque = rendered(&source, "width=40,background=red");
    assert_eq!(opaque.format, RenditionFormat::Image(MediaType::Jpeg));
    Picture::of(&opaque.bytes).is(5, 5, RED);
}

#[test]
fn a_quality_makes_a_palette_of_translucent_colours() {
    let source = png(128, 128, |x, y| {
        [
            (x * 2) as u8,
            (y * 2) as u8,
            (255 - x) as u8,
            (127 + y) as u8,
        ]
    });
    // The colour type stands in the header: 6 has four channels, 3 a palette.
    let colour_type = |options: &str| rendered(&source, options).bytes[25];
    assert_eq!(colour_type("width=100"), 6);
    assert_eq!(colour_type("width=100,quality=50"), 3);
    let picture = Picture::rendered(&source, "quality=50");
    for (x, y) in [(3, 3), (64, 10), (120, 120), (20, 100)] {
        let expected = [x * 2, y * 2, 255 - x, 127 + y];
        for (seen, expected) in picture.at(x, y).into_iter().zip(expected) {
            assert!(
                u32::from(seen).abs_diff(expected) < 32,
                "{x},{y}: {seen} {expected}"
            );
        }
    }
}

#[test]
fn a_wide_gamut_is_brought_to_srgb() {
    let jpeg = rendered(&png(64, 64, |_, _| RED), "format=jpeg,quality=95").bytes;
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let body = [b"ICC_PROFILE\0\x01\x01", profile.as_slice()].concat();
    let red = Picture::rendered(&with_segment(&jpeg, 0xe2, &body), "format=png-force");
    red.is(30, 30, RED);
    // A green of P3 which sRGB has: its numbers change.
    let jpeg = rendered(
        &png(64, 64, |_, _| [100, 150, 100, 255]),
        "format=jpeg,quality=95",
    )
    .bytes;
    let green = Picture::rendered(&with_segment(&jpeg, 0xe2, &body), "format=png-force").at(30, 30);
    assert!(green[0] < 92 && green[1].abs_diff(151) < 4, "{green:?}");
}

#[test]
fn a_jpeg_is_progressive_unless_small_or_huge_or_told() {
    let source = quarters(400, 300);
    let frame_marker = |options: &str| {
        let bytes = rendered(&source, options).bytes;
        let mut at = 2;
        while !matches!(bytes[at + 1], 0xc0..=0xc2) {
            at += 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        }
        bytes[at + 1]
    };
    assert_eq!(frame_marker("format=jpeg"), 0xc2);
    assert!(matches!(frame_marker("format=baseline-jpeg"), 0xc0 | 0xc1));
    assert!(matches!(
        frame_marker("width=40,height=40,fit=cover"),
        0xc0 | 0xc1
    ));
}

#[test]
fn exif_is_kept_as_asked() {
    let jpeg = rendered(&quarters(64, 32), "format=jpeg").bytes;
    let text = b"(c) Somebody\0";
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend([0x01, 0x0f, 0, 2, 0, 0, 0, 4, b'M', b'a', b'k', 0]);
    exif.extend([0x82, 0x98, 0, 2, 0, 0, 0, text.len() as u8, 0, 0, 0, 38]);
    exif.extend([0; 4]);
    exif.extend(text);
    let source = with_segment(&jpeg, 0xe1, &exif);
    let has = |options: &str, text: &[u8]| {
        let bytes = rendered(&source, options).bytes;
        bytes.windows(text.len()).any(|window| window == text)
    };
    assert!(has("width=20", b"(c) Somebody"));
    assert!(!has("width=20", b"Mak\0"));
    assert!(has("width=20,metadata=keep", b"Mak\0"));
    assert!(!has("width=20,metadata=none", b"Exif"));
    assert!(!has("width=20,metadata=keep,format=webp", b"Somebody"));
}

fn animated_gif(width: u16, height: u16, repeat: Option<gif::Repeat>) -> Vec<u8> {
    let palette = [255, 0, 0, 0, 255, 0, 0, 0, 255];
    let mut encoder = gif::Encoder::new(Vec::new(), width, height, &palette).unwrap();
    if let Some(repeat) = repeat {
        encoder.set_repeat(repeat).unwrap();
    }
    for number in 0..3_u8 {
        // The first frame is whole; each one after it changes the left half alone.
        let frame_width = if number == 0 { width } else { width / 2 };
        encoder
            .write_frame(&gif::Frame {
                width: frame_width,
                height,
                delay: 10 + u16::from(number),
                buffer: vec![number; usize::from(frame_width) * usize::from(height)].into(),
                ..gif::Frame::default()
            })
            .unwrap();
    }
    encoder.into_inner().unwrap()
}

fn gif_frames(bytes: &[u8]) -> (Vec<u16>, gif::Repeat) {
    let mut decoder = gif::DecodeOptions::new().read_info(bytes).unwrap();
    let mut delays = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        delays.push(frame.delay);
    }
    (delays, decoder.repeat())
}

/// What is seen after each frame of a GIF whose frames stay.
fn gif_canvases(bytes: &[u8]) -> Vec<Vec<[u8; 4]>> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(bytes).unwrap();
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let mut canvas = vec![[0; 4]; width * height];
    let mut seen = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        for (index, pixel) in frame.buffer.chunks(4).enumerate() {
            let x = usize::from(frame.left) + index % usize::from(frame.width);
            let y = usize::from(frame.top) + index / usize::from(frame.width);
            if pixel[3] != 0 {
                canvas[y * width + x] = pixel.try_into().unwrap();
            }
        }
        assert!(matches!(
            frame.dispose,
            gif::DisposalMethod::Keep | gif::DisposalMethod::Any
        ));
        seen.push(canvas.clone());
    }
    seen
}

#[test]
fn an_animation_keeps_frames_delays_and_loops() {
    for repeat in [gif::Repeat::Infinite, gif::Repeat::Finite(4)] {
        let source = animated_gif(80, 40, Some(repeat));
        let rendition = rendered(&source, "width=40");
        assert_eq!(rendition.format, RenditionFormat::Image(MediaType::Gif));
        assert_eq!(gif_frames(&rendition.bytes), (vec![10, 11, 12], repeat));
        let webp = rendered(&source, "width=40,format=webp");
        let header = inspect(&webp.bytes, &Limits::default()).unwrap();
        assert_eq!((header.frames, header.width, header.height), (3, 40, 20));
        // And back again, which says whether times and loops are in the WebP.
        let back = rendered(&webp.bytes, "width=20").bytes;
        assert_eq!(gif_frames(&back), (vec![10, 11, 12], repeat));
    }
    let once = rendered(&animated_gif(80, 40, None), "width=40").bytes;
    assert_eq!(gif_frames(&once).1, gif::Repeat::Finite(0));
}

#[test]
fn frames_are_composed_before_they_are_resized() {
    let source = animated_gif(80, 40, Some(gif::Repeat::Infinite));
    let gif = rendered(&source, "width=40").bytes;
    let seen: Vec<[[u8; 4]; 2]> = gif_canvases(&gif)
        .iter()
        .map(|canvas| [canvas[10 * 40 + 8], canvas[10 * 40 + 32]])
        .collect();
    assert_eq!(seen, [[RED, RED], [GREEN, RED], [BLUE, RED]]);
}

/// A red picture, on which a green quarter is laid and taken away again, and a blue one put.
fn animated_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 20);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(3, 5).unwrap();
    encoder.set_frame_delay(1, 10).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&RED.repeat(800)).unwrap();
    writer.set_frame_dimension(20, 10).unwrap();
    writer.set_blend_op(png::BlendOp::Over).unwrap();
    writer.set_dispose_op(png::DisposeOp::Previous).unwrap();
    let half: Vec<u8> = (0..200)
        .flat_map(|index| [0, 255, 0, if index % 20 < 10 { 255 } else { 0 }])
        .collect();
    writer.write_image_data(&half).unwrap();
    writer.set_frame_position(20, 10).unwrap();
    writer.set_blend_op(png::BlendOp::Source).unwrap();
    writer.set_dispose_op(png::DisposeOp::None).unwrap();
    writer.set_frame_delay(3, 10).unwrap();
    writer.write_image_data(&BLUE.repeat(200)).unwrap();
    writer.finish().unwrap();
    bytes
}

proptest::proptest! {
    #[test]
    fn a_mangled_animation_does_no_harm(
        kind in 0..3_usize,
        changes in proptest::collection::vec((0..400_usize, 0..=255_u8), 1..6),
    ) {
        let mut source = match kind {
            0 => animated_gif(20, 10, None),
            1 => animated_png(),
            _ => rendered(&animated_gif(20, 10, None), "format=webp").bytes,
        };
        // Past the signature, so that a decoder gets to see it.
        let length = source.len() - 12;
        for (place, byte) in changes {
            source[12 + place % length] = byte;
        }
        let policy = Policy { animate_png: true, ..Policy::default() };
        let limits = Limits { pixels_max: 100_000, ..Limits::default() };
        let engine = Engine::new(limits, policy);
        for options in ["width=16,format=gif", "width=16,format=webp"] {
            let request = Request {
                source: &source,
                transform: &options.parse().unwrap(),
                accepts: Accepts::default(),
            };
            match engine.render(&request, &Cancel::never()) {
                Ok(rendition) => {
                    inspect(&rendition.bytes, &Limits::default()).unwrap();
                }
                Err(error) => assert!(!matches!(error, Error::Encode(_)), "{error}"),
            }
        }
    }
}

#[test]
fn delays_are_kept_as_far_as_the_format_goes() {
    let frames = |bytes: &[u8]| inspect(bytes, &Limits::default()).unwrap().frames;
    for (delays, kept) in [([0, 0, 5], [0, 0, 5]), ([65_535, 1, 0], [65_535, 1, 0])] {
        let mut source = gif::Encoder::new(Vec::new(), 8, 8, &[0, 0, 0, 255, 255, 255]).unwrap();
        for (number, delay) in delays.into_iter().enumerate() {
            let buffer = vec![(number % 2) as u8; 64].into();
            let (width, height) = (8, 8);
            let frame = gif::Frame {
                delay,
                width,
                height,
                buffer,
                ..gif::Frame::default()
            };
            source.write_frame(&frame).unwrap();
        }
        let source = source.into_inner().unwrap();
        assert_eq!(gif_frames(&rendered(&source, "width=4").bytes).0, kept);
        let webp = rendered(&source, "width=4,format=webp").bytes;
        assert_eq!(frames(&webp), 3);
        assert_eq!(gif_frames(&rendered(&webp, "format=gif").bytes).0, kept);
    }
}

#[test]
fn an_animated_png_moves_where_the_operator_wants_it() {
    let source = animated_png();
    let engine = |animate_png| {
        let policy = Policy {
            animate_png,
            ..Policy::default()
        };
        Engine::new(Limits::default(), policy)
    };
    let transform = Transform::default();
    let request = Request {
        source: &source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let never = Cancel::never();
    assert_eq!(engine(false).verify(&source, &never).unwrap().frames, 1);
    let still = engine(false).render(&request, &never).unwrap();
    assert_eq!(still.format, RenditionFormat::Image(MediaType::Jpeg));

    assert_eq!(engine(true).verify(&source, &never).unwrap().frames, 3);
    let moving = engine(true).render(&request, &never).unwrap();
    assert_eq!(moving.format, RenditionFormat::Image(MediaType::Gif));
    assert_eq!(
        gif_frames(&moving.bytes),
        (vec![10, 10, 30], gif::Repeat::Finite(4))
    );
    let at = [(2, 2), (15, 2), (30, 15)];
    let seen: Vec<[[u8; 4]; 3]> = gif_canvases(&moving.bytes)
        .iter()
        .map(|canvas| at.map(|(x, y)| canvas[y * 40 + x]))
        .collect();
    assert_eq!(seen, [[RED; 3], [GREEN, RED, RED], [RED, RED, BLUE]]);

    // A later frame which is damaged matters only where it counts. Its samples come after its name,
    // its number and the header of zlib.
    let mut damaged = source.clone();
    let last = damaged.windows(4).rposition(|name| name == b"fdAT");
    damaged[last.unwrap() + 4 + 4 + 2] ^= 0xff;
    assert!(engine(false).verify(&damaged, &never).is_ok());
    assert!(engine(true).verify(&damaged, &never).is_err());
}

#[test]
fn one_frame_is_taken_where_the_format_has_no_more() {
    let source = animated_gif(80, 40, None);
    for options in ["anim=false", "format=jpeg", "format=png-force,anim=false"] {
        let rendition = rendered(&source, options);
        assert_ne!(
            rendition.format,
            RenditionFormat::Image(MediaType::Gif),
            "{options}"
        );
        Picture::of(&rendition.bytes).is(20, 20, RED);
    }
}

#[test]
fn a_large_animation_is_left_alone() {
    let source = animated_gif(80, 40, None);
    let limits = Limits {
        animation_transform_pixels_max: 9_000,
        ..Limits::default()
    };
    let transform: Transform = "width=10".parse().unwrap();
    let never = Cancel::never();
    let rendition = render(&source, &transform, Accepts::default(), &limits, &never).unwrap();
    assert_eq!(rendition.bytes, source);
    assert_eq!(rendition.warnings, [Warning::AnimationUntouched]);
    let limits = Limits {
        pixels_max: 9_000,
        ..limits
    };
    let refused = render(&source, &transform, Accepts::default(), &limits, &never);
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            limit: "pixels_max",
            ..
        })
    ));
}

#[test]
fn negotiation_takes_the_best_that_is_named() {
    let format = |source: &[u8], options: &str, webp| {
        let transform: Transform = options.parse().unwrap();
        let accepts = Accepts { avif: false, webp };
        let limits = Limits::default();
        match render(source, &transform, accepts, &limits, &Cancel::never())
            .unwrap()
            .format
        {
            RenditionFormat::Image(format) => format,
            RenditionFormat::Json => panic!("JSON"),
        }
    };
    let opaque = quarters(40, 20);
    let clear = png(40, 20, |_, _| [1, 2, 3, 9]);
    let moving = animated_gif(40, 20, None);
    assert_eq!(format(&opaque, "format=auto", true), MediaType::Webp);
    assert_eq!(format(&opaque, "format=auto", false), MediaType::Jpeg);
    assert_eq!(format(&clear, "format=auto", false), MediaType::Png);
    assert_eq!(format(&moving, "format=auto", true), MediaType::Webp);
    assert_eq!(format(&moving, "format=auto", false), MediaType::Gif);
    assert_eq!(format(&opaque, "width=9", true), MediaType::Jpeg);
    assert_eq!(format(&opaque, "format=avif", false), MediaType::Avif);
}

#[test]
fn avif_is_made_up_to_its_limits() {
    let wide = |width| png(width, 8, |x, _| [x as u8, 90, 200, 255]);
    let moving = animated_gif(40, 20, None);
    for (source, options, avif, webp, expected, warning) in [
        (
            &wide(1_200),
            "format=auto",
            true,
            true,
            MediaType::Avif,
            None,
        ),
        (
            &wide(1_201),
            "format=auto",
            true,
            true,
            MediaType::Webp,
            Some(Warning::TooLargeForAvif),
        ),
        (
            &wide(1_201),
            "format=auto",
            true,
            false,
            MediaType::Jpeg,
            Some(Warning::TooLargeForAvif),
        ),
        (
            &wide(1_300),
            "format=auto,width=1200",
            true,
            true,
            MediaType::Avif,
            None,
        ),
        (
            &wide(1_600),
            "format=avif",
            false,
            false,
            MediaType::Avif,
            None,
        ),
        (
            &wide(1_601),
            "format=avif",
            true,
            true,
            MediaType::Webp,
            Some(Warning::TooLargeForAvif),
        ),
        (
            &wide(1_601),
            "format=avif",
            false,
            false,
            MediaType::Jpeg,
            Some(Warning::TooLargeForAvif),
        ),
        (&moving, "format=auto", true, true, MediaType::Webp, None),
        (&moving, "format=avif", true, true, MediaType::Webp, None),
        (&moving, "format=avif", false, false, MediaType::Gif, None),
        (
            &moving,
            "format=avif,anim=false",
            false,
            false,
            MediaType::Avif,
            None,
        ),
    ] {
        let transform: Transform = options.parse().unwrap();
        let accepts = Accepts { avif, webp };
        let limits = Limits::default();
        let rendition = render(source, &transform, accepts, &limits, &Cancel::never()).unwrap();
        let case = format!("{options} {avif} {webp}");
        assert_eq!(rendition.format, RenditionFormat::Image(expected), "{case}");
        assert_eq!(rendition.warnings, Vec::from_iter(warning), "{case}");
    }
}

/// A gentle gradient whose every pixel differs from its neighbours, in alpha too.
fn gradient(width: u32, height: u32) -> Vec<u8> {
    png(width, height, |x, y| {
        let along = |at: u32| (60 + at / 4) as u8;
        [along(x), along(y), 128, 255 - along(x)]
    })
}

#[test]
fn avif_comes_back_as_it_was_in_every_size() {
    for (width, height) in [(1, 1), (2, 3), (15, 17), (64, 64), (101, 33), (640, 359)] {
        let source = gradient(width, height);
        let made = rendered(&source, "format=avif,quality=95");
        let header = inspect(&made.bytes, &Limits::default()).unwrap();
        assert_eq!(
            (header.format, header.width, header.height),
            (MediaType::Avif, width, height)
        );
        let (before, after) = (Picture::of(&source), Picture::of(&made.bytes));
        let mut difference = 0;
        for y in 0..height {
            for x in 0..width {
                let (before, after) = (before.at(x, y), after.at(x, y));
                let channels = before.iter().zip(after);
                difference += channels.map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
            }
        }
        let mean = difference as f64 / f64::from(width * height * 4);
        assert!(mean < 3.0, "{width}x{height}: {mean}");
    }
}

#[test]
fn a_damaged_avif_is_refused() {
    let whole = rendered(&gradient(64, 48), "format=avif").bytes;
    let engine = Engine::default();
    assert!(engine.verify(&whole, &Cancel::never()).is_ok());
    for length in 0..whole.len() {
        let outcome = engine.verify(&whole[..length], &Cancel::never());
        assert!(outcome.is_err(), "cut at {length} of {}", whole.len());
    }
    // What is not cut off may still be a picture. Whatever it is, it ends no process.
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x5a;
        refused += u32::from(engine.verify(&damaged, &Cancel::never()).is_err());
    }
    assert!(refused > 100, "{refused} of {}", whole.len());
}

#[test]
fn trimming_comes_first() {
    let source = png(100, 80, |x, y| [x as u8, y as u8, 0, 255]);
    for (options, size, first) in [
        ("trim=20;30;20;0", (70, 40), [0, 20]),
        ("trim=0.1;0.2;0.1;0.2", (60, 64), [20, 8]),
        ("trim.top=0.25", (100, 60), [0, 20]),
        ("trim.height=50", (100, 50), [0, 0]),
        ("trim.left=80", (20, 80), [80, 0]),
        (
            "trim.width=67,trim.height=20,trim.left=30,trim.top=40",
            (67, 20),
            [30, 40],
        ),
        ("trim=10;10;10;10,dpr=2", (60, 40), [20, 20]),
    ] {
        let picture = Picture::rendered(&source, &format!("{options},format=png-force"));
        assert_eq!((picture.width, picture.height), size, "{options}");
        assert_eq!(picture.at(0, 0)[..2], first, "{options}");
    }
    assert!(matches!(
        try_render(&source, "trim=40;0;40;0"),
        Err(Error::Empty)
    ));
}

#[test]
fn a_border_is_found_and_cut_off() {
    let boxed = |margin: fn(u32, u32) -> u8| {
        png(100, 100, move |x, y| {
            if (20..80).contains(&x) && (30..70).contains(&y) {
                RED
            } else {
                [margin(x, y), margin(y, x), 255, 255]
            }
        })
    };
    let size = |source: &[u8], options: &str| {
        let rendition = rendered(source, options);
        (rendition.width, rendition.height)
    };
    let plain = boxed(|_, _| 255);
    assert_eq!(size(&plain, "trim=border"), (60, 40));
    assert_eq!(size(&plain, "trim=border,trim.border.keep=5"), (70, 50));
    assert_eq!(size(&plain, "trim.border.color=%23000000"), (100, 100));
    assert_eq!(size(&plain, "trim=border,width=30"), (30, 20));
    let noisy = boxed(|x, y| 250 + ((x * 7 + y * 3) % 6) as u8);
    assert_eq!(
        size(&noisy, "trim=border,trim.border.tolerance=5"),
        (60, 40)
    );
}

#[test]
fn sizes_and_warnings_are_reported() {
    let source = quarters(400, 300);
    let rendition = rendered(&source, "width=100,dpr=9,fit=cover");
    assert_eq!((rendition.width, rendition.height), (200, 150));
    assert_eq!(
        rendition.warnings,
        [Warning::DprTooLarge, Warning::CoverNeedsBoth]
    );
    let enlarged = try_render(&png(10, 100, |_, _| RED), "fit=contain,width=5000");
    let message = enlarged.unwrap_err().to_string();
    assert!(
        message.contains("5000×50000") && message.contains("12000"),
        "{message}"
    );
    assert!(matches!(
        try_render(&source, "segment=foreground"),
        Err(Error::Unavailable(_))
    ));
}

#[test]
fn json_describes_without_pixels() {
    let source = quarters(200, 100);
    let rendition = rendered(&source, "width=50,height=50,format=json");
    let expected = format!(
        r#"{{"width":50,"height":25,"original":{{"file_size":{},"width":200,"height":100,"format":"image/png"}}}}"#,
        source.len()
    );
    assert_eq!(String::from_utf8(rendition.bytes).unwrap(), expected);
    assert_eq!(rendition.format.as_str(), "application/json");
}

#[test]
fn svg_is_only_sanitised() {
    let source = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>x()</script><rect width="9" height="9"/></svg>"#;
    let rendition = rendered(source, "width=50,format=webp");
    let text = String::from_utf8(rendition.bytes).unwrap();
    assert_eq!(rendition.format, RenditionFormat::Image(MediaType::Svg));
    assert!(text.contains("<rect") && !text.contains("x()"), "{text}");
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let mut claims = quarters(8, 8);
    claims[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let refused = inspect(&claims, &Limits::default());
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            limit: "side_max",
            value: 65_535,
            ..
        })
    ));
    claims[16..24].copy_from_slice(&[0, 0, 0x2e, 0xe0, 0, 0, 0x2e, 0xe0]);
    let refused = inspect(&claims, &Limits::default());
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            limit: "pixels_max",
            ..
        })
    ));
}

#[test]
fn what_is_no_image_is_told_apart() {
    let refused = |bytes: &[u8]| {
        inspect(bytes, &Limits::default())
            .map(|_: Header| ())
            .unwrap_err()
    };
    for bytes in [
        &b""[..],
        b"hello",
        b"<html><body/></html>",
        b"{}",
        b"\xff\xd8",
    ] {
        assert!(matches!(refused(bytes), Error::NotAnImage), "{bytes:?}");
    }
    assert!(matches!(
        refused(b"8BPS\0\x01\0\0"),
        Error::Unsupported("PSD")
    ));
    assert!(matches!(refused(b"II\x2a\0\x08\0\0\0"), Error::Corrupt(_)));
    assert!(matches!(refused(b"\xff\xd8\xff\xd9"), Error::Corrupt(_)));
}

#[test]
fn a_border_is_drawn_around_the_result() {
    let transform = |json: &str| {
        let object = serde_json::from_str(json).unwrap();
        Transform::from_json(&object).unwrap().unwrap()
    };
    let source = quarters(40, 20);
    for (json, size, inner, colour) in [
        (
            r#"{"width":20,"format":"png-force","border":{"color":"red","width":3}}"#,
            (26, 16),
            (3, 3),
            RED,
        ),
        (
            r#"{"width":20,"dpr":2,"format":"png-force","border":{"top":1,"left":2.6}}"#,
            (46, 22),
            (6, 2),
            [0, 0, 0, 255],
        ),
        (
            r#"{"format":"png-force","border":{"color":"rgba(0,0,255,0.5)","right":4},"blur":5}"#,
            (44, 20),
            (0, 0),
            [0, 0, 255, 128],
        ),
    ] {
        let request = Request {
            source: &source,
            transform: &transform(json),
            accepts: Accepts::default(),
        };
        let rendition = Engine::default()
            .render(&request, &Cancel::never())
            .unwrap();
        assert_eq!((rendition.width, rendition.height), size, "{json}");
        let picture = Picture::of(&rendition.bytes);
        picture.is(inner.0 + 2, inner.1 + 2, RED);
        // The border lies outside, and nothing blurs it.
        let (x, y) = if inner == (0, 0) {
            (size.0 - 1, 9)
        } else {
            (0, 0)
        };
        assert_eq!(picture.at(x, y), colour, "{json}");
    }
}

#[test]
fn a_rendering_stops_when_told() {
    let source = quarters(64, 64);
    let transform: Transform = "width=9".parse().unwrap();
    let limits = Limits::default();
    let cancel = Cancel::never();
    cancel.clone().cancel();
    let stopped = render(&source, &transform, Accepts::default(), &limits, &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let late = Cancel::at(std::time::Instant::now());
    let stopped = render(&source, &transform, Accepts::default(), &limits, &late);
    assert!(matches!(stopped, Err(Error::Deadline)));
}

#[test]
fn filters_change_pixels() {
    let source = png(64, 64, |x, _| {
        if x < 32 {
            [60, 60, 60, 255]
        } else {
            [180, 180, 180, 255]
        }
    });
    let at = |options: &str, x| {
        Picture::rendered(&source, &format!("{options},f=png-force")).at(x, 30)[0]
    };
    assert_eq!(at("brightness=2", 5), 120);
    assert_eq!(at("contrast=0.5", 5), 94);
    assert!((90..150).contains(&at("blur=20", 32)));
    assert_eq!(at("blur=0.5", 32), 180);
    assert!(at("sharpen=3", 31) < 50);
    let grey = Picture::rendered(&quarters(20, 20), "saturation=0,f=png-force").at(2, 2);
    assert_eq!(grey[0], grey[1]);
}

/// Colour is stored more coarsely than brightness; shrunk and turned, the two must still meet.
#[test]
fn colour_stays_in_its_place_when_a_jpeg_shrinks() {
    let source = quarters(403, 301);
    for quality in [85, 95] {
        let jpeg = rendered(&source, &format!("format=jpeg,quality={quality}")).bytes;
        for options in [
            "width=101",
            "width=67,height=33,fit=squeeze",
            "width=120,height=40,fit=cover",
        ] {
            let picture = Picture::rendered(&jpeg, &format!("{options},format=png-force"));
            picture.quarters_are([RED, GREEN, BLUE, WHITE]);
        }
        let turned = Picture::rendered(&jpeg, "width=75,rotate=90,format=png-force");
        turned.quarters_are([BLUE, RED, WHITE, GREEN]);
        let cut = Picture::rendered(&jpeg, "trim=150;0;0;201,width=50,format=png-force");
        cut.quarters_are([WHITE, WHITE, WHITE, WHITE]);
    }
}

#[test]
fn an_operator_has_preferences() {
    let source = png(40, 40, |_, _| [128, 128, 128, 255]);
    let make = |policy: Policy, options: &str| {
        let request = Request {
            source: &source,
            transform: &options.parse().unwrap(),
            accepts: Accepts::default(),
        };
        let engine = Engine::new(Limits::default(), policy);
        engine.render(&request, &Cancel::never()).unwrap()
    };
    let generous = Policy {
        dpr_max: 3.0,
        ..Policy::default()
    };
    assert_eq!(make(generous, "width=10,dpr=3").width, 30);
    let capped = make(Policy::default(), "width=10,dpr=3");
    assert_eq!(
        (capped.width, &capped.warnings[..]),
        (20, &[Warning::DprTooLarge][..])
    );
    let strict = Policy {
        strict_png: true,
        ..Policy::default()
    };
    let kind = |rendition: Rendition| rendition.format;
    assert_eq!(
        kind(make(strict, "format=png")),
        RenditionFormat::Image(MediaType::Png)
    );
    let automatic = make(Policy::default(), "format=png");
    assert_eq!(kind(automatic), RenditionFormat::Image(MediaType::Jpeg));
    let legacy = Policy {
        gamma: model::GammaDirection::Legacy,
        ..Policy::default()
    };
    let options = "gamma=0.5,format=png-force";
    Picture::of(&make(Policy::default(), options).bytes).is(5, 5, [181, 181, 181, 255]);
    Picture::of(&make(legacy, options).bytes).is(5, 5, [64, 64, 64, 255]);
}

#[test]
fn a_format_which_is_not_accepted_is_refused_as_an_upload_alone() {
    let avif = rendered(&quarters(16, 9), "format=avif").bytes;
    let refusing = Policy {
        accept_avif: false,
        ..Policy::default()
    };
    let engine = Engine::new(Limits::default(), refusing);
    let read = engine.inspect(&avif).map(|header| header.format);
    assert_eq!(read, Ok(MediaType::Avif));
    let refused = engine.verify(&avif, &Cancel::never());
    assert_eq!(refused, Err(Error::NotAccepted(MediaType::Avif)));
}

#[test]
fn formats_beyond_those_of_the_api_are_for_the_operator_to_accept() {
    let accepting = Policy {
        accept_more: true,
        ..Policy::default()
    };
    let accepting = Engine::new(Limits::default(), accepting);
    let bmp = bmp(3, 2, |x, y| [x as u8 * 100, y as u8 * 200, 50]);
    let ico = ico(&[(3, &bmp[14..]), (16, &quarters(16, 16))]);
    for (source, format, size) in [
        (&bmp, MediaType::Bmp, (3, 2)),
        (&ico, MediaType::Ico, (16, 16)),
    ] {
        let refused = Engine::default().verify(source, &Cancel::never());
        assert_eq!(refused, Err(Error::NotAccepted(format)));
        let header = accepting.verify(source, &Cancel::never()).unwrap();
        assert_eq!(
            (header.format, header.width, header.height),
            (format, size.0, size.1)
        );
    }
    let rendition = rendered(&bmp, "format=png-force");
    assert_eq!(rendition.format, RenditionFormat::Image(MediaType::Png));
    let picture = Picture::of(&rendition.bytes);
    picture.is(0, 0, [0, 0, 50, 255]);
    picture.is(2, 1, [200, 200, 50, 255]);
    for length in 0..ico.len() {
        let _ = accepting.verify(&ico[..length], &Cancel::never());
    }
    for length in 0..bmp.len() - 1 {
        assert!(
            accepting.verify(&bmp[..length], &Cancel::never()).is_err(),
            "{length}"
        );
    }
}

/// A BMP of 24 bits.
fn bmp(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    file.extend([1, 0, 24, 0]);
    file.resize(54, 0);
    // From the last row to the first, blue first, in whole words.
    for y in (0..height).rev() {
        for x in 0..width {
            let [red, green, blue] = colour(x, y);
            file.extend([blue, green, red]);
        }
        file.resize(file.len().next_multiple_of(4) + 2, 0);
        file.truncate((file.len() - 54) / 4 * 4 + 54);
    }
    file
}

/// An icon of several pictures, with the side which each is listed by.
fn ico(pictures: &[(u8, &[u8])]) -> Vec<u8> {
    let mut file = vec![0, 0, 1, 0, pictures.len() as u8, 0];
    let mut start = 6 + pictures.len() as u32 * 16;
    for (side, picture) in pictures {
        let length = picture.len() as u32;
        file.extend([*side, *side, 0, 0, 1, 0, 32, 0]);
        file.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        start += length;
    }
    file.extend(pictures.iter().flat_map(|(_, picture)| picture.iter()));
    file
}

/// The library which `make setup-svt` installs.
fn svt_av1() -> Option<std::path::PathBuf> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../.tools/svt/libSvtAv1Enc.so.4"
    );
    let path = std::path::PathBuf::from(path);
    if !path.exists() {
        // `eprintln!` would be captured and dropped with the output of a passing test.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED svt_av1: `make setup-svt` installs it"
        );
        return None;
    }
    Some(path)
}

#[test]
fn svt_av1_encodes_where_it_is_found_and_libaom_else() {
    let engine = |svt_av1| {
        let policy = Policy {
            svt_av1,
            ..Policy::default()
        };
        Engine::new(Limits::default(), policy)
    };
    let render = |engine: &Engine, source: &[u8]| {
        let request = Request {
            source,
            transform: &"format=avif,quality=90".parse().unwrap(),
            accepts: Accepts::default(),
        };
        engine.render(&request, &Cancel::never()).unwrap().bytes
    };
    let none = engine(Some("/nowhere/libSvtAv1Enc.so".into()));
    assert!(none.avif_encoder().starts_with("libaom 3."));
    assert!(inspect(&render(&none, &gradient(9, 9)), &Limits::default()).is_ok());

    let Some(path) = svt_av1() else { return };
    let svt = engine(Some(path));
    assert!(svt.avif_encoder().starts_with("SVT-AV1 4."));
    assert_ne!(svt.rendering(), none.rendering());
    for (width, height) in [(1, 1), (3, 70), (4, 5), (70, 4), (65, 63), (400, 301)] {
        let source = gradient(width, height);
        let made = render(&svt, &source);
        // The smallest are beneath it.
        let by_libaom = made == render(&none, &source);
        assert_eq!(by_libaom, width < 4, "{width}x{height}");
        let header = inspect(&made, &Limits::default()).unwrap();
        assert_eq!((header.width, header.height), (width, height));
        let (before, after) = (Picture::of(&source), Picture::of(&made));
        for (x, y) in [(0, 0), (width / 2, height / 2), (width - 1, height - 1)] {
            after.is(x, y, before.at(x, y));
        }
    }
    // Several at a time.
    let source = gradient(300, 200);
    let expected = render(&svt, &source);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(render(&svt, &source), expected));
        }
    });
}
