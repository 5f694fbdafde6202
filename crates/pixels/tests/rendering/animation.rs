//! Animations: frames, delays, loops, and what moves at all.

use model::{Limits, MediaType, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Error, RenditionFormat, Request, Warning, inspect};

use crate::pictures::{BLUE, GREEN, Picture, RED, render, rendered};

pub(crate) fn animated_gif(width: u16, height: u16, repeat: Option<gif::Repeat>) -> Vec<u8> {
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

/// A quarter of an empty canvas is filled, and then another one.
fn squares_on_nothing() -> Vec<u8> {
    let palette = [255, 0, 0, 0, 255, 0];
    let mut encoder = gif::Encoder::new(Vec::new(), 64, 64, &palette).unwrap();
    for left in [0, 32] {
        encoder
            .write_frame(&gif::Frame {
                left,
                width: 32,
                height: 32,
                delay: 10,
                dispose: gif::DisposalMethod::Background,
                buffer: vec![u8::from(left > 0); 32 * 32].into(),
                ..gif::Frame::default()
            })
            .unwrap();
    }
    encoder.into_inner().unwrap()
}

/// Frames are cut to what changes, which may all be opaque: the header says what the rest is.
#[test]
fn an_animation_on_nothing_says_that_it_is_transparent() {
    let says_alpha = |webp: &[u8]| {
        assert_eq!(&webp[12..16], b"VP8X");
        webp[20] & 0x10 != 0
    };
    for options in [
        "format=webp",
        "format=webp,quality=100",
        "rotate=90,format=webp",
    ] {
        let webp = rendered(&squares_on_nothing(), options).bytes;
        assert!(says_alpha(&webp), "{options}");
        assert!(!webp.windows(4).any(|name| name == b"ALPH"), "{options}");
    }
    let opaque = animated_gif(80, 40, None);
    assert!(!says_alpha(&rendered(&opaque, "format=webp").bytes));
    let filled = rendered(&squares_on_nothing(), "format=webp,background=white");
    assert!(!says_alpha(&filled.bytes));
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
