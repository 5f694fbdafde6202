//! Overlays, texts and programs of the Images binding: the rows of transformations.md, section 11.8,
//! which bytes alone decide, and what surrounds them.

use std::io::Cursor;

use model::Transform;
use model::transform::{Asset, Format, Text, binding};
use pixels::{Accepts, Assets, Cancel, Composition, Engine, Error, Input, Rendition, Request};

const BLACK: [u8; 4] = [0, 0, 0, 255];
const WHITE: [u8; 4] = [255, 255, 255, 255];
const RED: [u8; 4] = [255, 0, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const CLEAR: [u8; 4] = [0; 4];
const FONT: &[u8] = include_bytes!("fonts/NotoSansArabic-subset.ttf");
/// The font which is built in, of CFF.
const CFF: &[u8] = include_bytes!("../fonts/Inter-Regular.otf");

fn png(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
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

fn plain(width: u32, height: u32, colour: [u8; 4]) -> Vec<u8> {
    png(width, height, |_, _| colour)
}

fn gif(frames: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [255, 255, 255, 0, 255, 0, 0, 0, 255];
    let mut encoder = gif::Encoder::new(&mut bytes, 40, 20, &palette).unwrap();
    for colour in frames {
        let mut frame = gif::Frame {
            width: 40,
            height: 20,
            delay: 10,
            buffer: vec![*colour; 800].into(),
            ..gif::Frame::default()
        };
        frame.make_lzw_pre_encoded();
        encoder.write_lzw_pre_encoded_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

/// A PNG which was made.
struct Picture {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Picture {
    fn of(png: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        let rgba = match info.color_type {
            png::ColorType::Rgba => data,
            png::ColorType::GrayscaleAlpha => data
                .chunks_exact(2)
                .flat_map(|pixel| [pixel[0], pixel[0], pixel[0], pixel[1]])
                .collect(),
            other => panic!("{other:?}"),
        };
        Self {
            width: info.width,
            height: info.height,
            rgba,
        }
    }

    fn at(&self, x: u32, y: u32) -> [u8; 4] {
        let start = (y * self.width + x) as usize * 4;
        self.rgba[start..start + 4].try_into().unwrap()
    }

    /// The box around what is not of this colour: left, top, right and bottom, the last two beyond.
    fn bounds(&self, ground: [u8; 4]) -> Option<[u32; 4]> {
        let mut bounds: Option<[u32; 4]> = None;
        for y in 0..self.height {
            for x in (0..self.width).filter(|x| self.at(*x, y) != ground) {
                let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
                bounds = Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)]);
            }
        }
        bounds
    }
}

fn render(source: &[u8], json: &str, files: &[(&str, &[u8])]) -> Result<Rendition, Error> {
    let transform = Transform::from_json(&serde_json::from_str(json).unwrap());
    let transform = transform.unwrap().unwrap();
    let mut assets = Assets::new();
    for (name, bytes) in files {
        assets.insert(name, bytes);
    }
    let request = Request {
        source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    Engine::default().render_with(&request, &assets, &Cancel::never())
}

/// The picture with these overlays, as a PNG.
fn drawn(source: &[u8], overlays: &str, files: &[(&str, &[u8])]) -> Picture {
    let json = format!(r#"{{"format":"png-force","draw":[{overlays}]}}"#);
    let made = render(source, &json, files).unwrap();
    Picture::of(&made.bytes)
}

fn compose(inputs: &[Input<'_>], commands: &str, output: &str) -> Result<Rendition, Error> {
    let commands = binding::commands(commands, inputs.len()).unwrap();
    let composition = Composition {
        inputs,
        commands: &commands,
        output: &output.parse().unwrap(),
        assets: &Assets::new(),
    };
    Engine::default().compose(&composition, &Cancel::never())
}

#[test]
fn row_171_an_overlay_stands_at_its_offsets() {
    let (base, overlay) = (plain(800, 600, WHITE), plain(100, 50, BLACK));
    let made = drawn(
        &base,
        r#"{"url":"o","bottom":5,"right":5}"#,
        &[("o", &overlay)],
    );
    assert_eq!((made.width, made.height), (800, 600));
    assert_eq!(made.bounds(WHITE), Some([695, 545, 795, 595]));
}

#[test]
fn row_172_without_a_position_it_is_centred() {
    let (base, overlay) = (plain(800, 600, WHITE), plain(100, 50, BLACK));
    let made = drawn(&base, r#"{"url":"o"}"#, &[("o", &overlay)]);
    assert_eq!(made.bounds(WHITE), Some([350, 275, 450, 325]));
    let made = drawn(&base, r#"{"url":"o","top":0}"#, &[("o", &overlay)]);
    assert_eq!(made.bounds(WHITE), Some([350, 0, 450, 50]));
}

#[test]
fn row_174_opacity_fades() {
    let (base, overlay) = (plain(8, 6, WHITE), plain(8, 6, BLACK));
    let made = drawn(&base, r#"{"url":"o","opacity":0.5}"#, &[("o", &overlay)]);
    let [red, green, blue, alpha] = made.at(3, 3);
    assert!((127..=128).contains(&red) && red == green && green == blue && alpha == 255);
}

#[test]
fn row_175_fractions_are_of_the_base_after_its_own_resizing() {
    let overlay = plain(400, 400, BLACK);
    let files: [(&str, &[u8]); 1] = [("o", &overlay)];
    let made = drawn(
        &plain(800, 600, WHITE),
        r#"{"url":"o","height":0.25}"#,
        &files,
    );
    assert_eq!(made.bounds(WHITE), Some([325, 225, 475, 375]));
    let json = r#"{"format":"png-force","width":400,"draw":[{"url":"o","width":0.5,"left":0}]}"#;
    let made = render(&plain(800, 600, WHITE), json, &files).unwrap();
    assert_eq!(
        Picture::of(&made.bytes).bounds(WHITE),
        Some([0, 50, 200, 250])
    );
}

#[test]
fn row_176_the_second_lies_on_top() {
    let (red, blue) = (plain(4, 4, RED), plain(4, 4, BLUE));
    let overlays = r#"{"url":"red","left":0,"top":0},{"url":"blue","left":2,"top":2}"#;
    let made = drawn(
        &plain(9, 9, WHITE),
        overlays,
        &[("red", &red), ("blue", &blue)],
    );
    let seen = [(1, 1), (3, 3), (5, 5), (7, 7)].map(|(x, y)| made.at(x, y));
    assert_eq!(seen, [RED, BLUE, BLUE, WHITE]);
}

#[test]
fn row_177_and_178_holes_are_cut() {
    let overlay = plain(4, 4, BLACK);
    let made = drawn(
        &plain(10, 10, RED),
        r#"{"url":"o","left":1,"top":1,"composite":"xor"}"#,
        &[("o", &overlay)],
    );
    let seen = [(0, 0), (1, 1), (4, 4), (5, 5)].map(|(x, y)| made.at(x, y));
    assert_eq!(seen, [RED, CLEAR, CLEAR, RED]);
    let ring = png(6, 6, |x, y| {
        let inside = (2..4).contains(&x) && (2..4).contains(&y);
        if inside { CLEAR } else { BLUE }
    });
    let made = drawn(
        &plain(10, 10, RED),
        r#"{"url":"o","left":0,"top":0,"composite":"in"}"#,
        &[("o", &ring)],
    );
    let seen = [(0, 0), (2, 2), (3, 3), (5, 5), (6, 6)].map(|(x, y)| made.at(x, y));
    assert_eq!(seen, [BLUE, CLEAR, CLEAR, BLUE, RED]);
}

#[test]
fn row_179_a_row_of_tiles() {
    let tile = png(100, 50, |x, _| if x < 50 { BLACK } else { RED });
    let made = drawn(
        &plain(800, 600, WHITE),
        r#"{"url":"o","repeat":"x","top":0,"left":0}"#,
        &[("o", &tile)],
    );
    assert_eq!(made.bounds(WHITE), Some([0, 0, 800, 50]));
    assert_eq!(
        [made.at(49, 0), made.at(50, 0), made.at(700, 49)],
        [BLACK, RED, BLACK]
    );
}

#[test]
fn overlays_are_transformed_and_have_overlays() {
    let (overlay, dot) = (plain(10, 4, BLUE), plain(2, 2, BLACK));
    let overlays = r#"{"url":"o","rotate":90,"top":0,"left":0,
        "draw":[{"url":"dot","bottom":0,"right":0}]}"#;
    let made = drawn(
        &plain(20, 20, WHITE),
        overlays,
        &[("o", &overlay), ("dot", &dot)],
    );
    assert_eq!(made.bounds(WHITE), Some([0, 0, 4, 10]));
    assert_eq!([made.at(3, 9), made.at(1, 9)], [BLACK, BLUE]);
}

#[test]
fn they_are_drawn_on_photos_and_on_every_frame() {
    let overlay = plain(10, 10, BLACK);
    let jpeg = render(&plain(200, 100, RED), r#"{"format":"jpeg"}"#, &[]).unwrap();
    let json = r#"{"width":100,"format":"png-force","draw":[{"url":"o","left":0,"top":0}]}"#;
    let made = render(&jpeg.bytes, json, &[("o", &overlay)]).unwrap();
    let made = Picture::of(&made.bytes);
    assert_eq!((made.width, made.at(9, 9)), (100, BLACK));
    assert!(made.at(60, 30)[0] > 250);

    let json = r#"{"format":"gif","draw":[{"url":"o","left":0,"top":0}]}"#;
    let made = render(&gif(&[0, 1, 2]), json, &[("o", &overlay)]).unwrap();
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(Cursor::new(&made.bytes)).unwrap();
    let mut screen = vec![0; 40 * 20 * 4];
    let mut frames = 0;
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let (left, top, width) = (
            frame.left as usize,
            frame.top as usize,
            frame.width as usize,
        );
        for (number, pixel) in frame.buffer.chunks_exact(4).enumerate() {
            if pixel[3] > 0 {
                let at = (top + number / width) * 40 + left + number % width;
                screen[at * 4..at * 4 + 4].copy_from_slice(pixel);
            }
        }
        let at = |x: usize, y: usize| &screen[(y * 40 + x) * 4..][..4];
        let ground = [WHITE, [0, 255, 0, 255], BLUE][frames];
        assert_eq!(
            (at(3, 3), at(30, 10)),
            (&BLACK[..], &ground[..]),
            "frame {frames}"
        );
        frames += 1;
    }
    assert_eq!(frames, 3);
}

#[test]
fn what_cannot_be_drawn_fails_the_whole() {
    let base = plain(8, 8, WHITE);
    let json = r#"{"draw":[{"url":"o"}]}"#;
    let missing = render(&base, json, &[]).unwrap_err();
    assert_eq!(missing, Error::NoAsset("o".to_owned()));
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>"#;
    assert_eq!(
        render(&base, json, &[("o", svg)]).unwrap_err(),
        Error::SvgConversion
    );
    assert_eq!(
        render(&base, json, &[("o", b"text")]).unwrap_err(),
        Error::NotAnImage
    );
    let cut = &plain(64, 64, RED)[..60];
    assert!(matches!(
        render(&base, json, &[("o", cut)]).unwrap_err(),
        Error::Corrupt(_)
    ));
    let json = r#"{"draw":[{"text":"a","font":{"url":"f"}}]}"#;
    for font in [
        &b"no font"[..],
        b"",
        &FONT[..200],
        b"wOFFxxxxxxxxxxxxxxxxxxxxx",
        b"wOF2",
    ] {
        assert_eq!(
            render(&base, json, &[("f", font)]).unwrap_err(),
            Error::Font
        );
    }
    let json = r#"{"draw":[{"text":"a\nb","size":4000}]}"#;
    assert_eq!(render(&base, json, &[]).unwrap_err(), Error::TextTooLarge);
}

#[test]
fn text_has_the_size_and_the_colour_which_are_asked_for() {
    let base = plain(300, 100, WHITE);
    let made = drawn(
        &base,
        r#"{"text":"Hxg","size":40,"color":"red","left":10,"top":10}"#,
        &[],
    );
    let [left, top, right, bottom] = made.bounds(WHITE).unwrap();
    // An H is a little over 0.7 em high, and a g goes below the baseline.
    assert!(
        (10..16).contains(&left) && (16..24).contains(&top),
        "{left} {top}"
    );
    assert!((50..110).contains(&(right - left)), "{right}");
    assert!((34..44).contains(&(bottom - top)), "{bottom}");
    let solid = (left..right).flat_map(|x| (top..bottom).map(move |y| (x, y)));
    assert!(solid.filter(|(x, y)| made.at(*x, *y) == RED).count() > 150);
    let lines = drawn(&base, r#"{"text":"H\nH","size":20,"left":0,"top":0}"#, &[]);
    let [_, top, _, bottom] = lines.bounds(WHITE).unwrap();
    assert!((34..46).contains(&(bottom - top)), "{top} {bottom}");
    let faint = drawn(
        &base,
        r#"{"text":"■","size":60,"color":"rgb(0 0 0 / 50%)"}"#,
        &[],
    );
    let darkest = faint.rgba.chunks_exact(4).map(|pixel| pixel[0]).min();
    assert!((126..=128).contains(&darkest.unwrap()));
    for nothing in [r#"{"text":""}"#, r#"{"text":" \n\t\r\n"}"#] {
        assert_eq!(drawn(&base, nothing, &[]).bounds(WHITE), None);
    }
}

#[test]
fn letters_are_joined_and_set_from_right_to_left() {
    let base = plain(400, 120, WHITE);
    let text = |content: &str| {
        let overlay =
            format!(r#"{{"text":"{content}","font":{{"url":"f"}},"size":60,"left":0,"top":0}}"#);
        drawn(&base, &overlay, &[("f", FONT)])
    };
    let width = |picture: &Picture| {
        let [left, _, right, _] = picture.bounds(WHITE).unwrap();
        right - left
    };
    // Joined letters are narrower than the same ones kept apart by a joiner which is none.
    let (joined, apart) = (text("سلام"), text("س\u{200c}ل\u{200c}ا\u{200c}م"));
    assert!(width(&joined) * 10 < width(&apart) * 9);
    // Sin has three teeth and comes first, which is at the right; mim has a tail far below the line.
    let ink = |picture: &Picture, columns: std::ops::Range<u32>| {
        let lowest = columns.flat_map(|x| (0..120).map(move |y| (x, y)));
        lowest
            .filter(|(x, y)| picture.at(*x, *y) != WHITE)
            .map(|(_, y)| y)
            .max()
            .unwrap()
    };
    let whole = width(&joined);
    assert!(ink(&joined, 0..whole / 5) > ink(&joined, whole * 4 / 5..whole) + 3);
}

#[test]
fn fonts_come_in_three_containers() {
    let base = plain(200, 100, WHITE);
    let overlay = r#"{"text":"سلام","font":{"url":"f"},"size":40}"#;
    let plain = drawn(&base, overlay, &[("f", FONT)]);
    for font in [
        &include_bytes!("fonts/NotoSansArabic-subset.woff")[..],
        include_bytes!("fonts/NotoSansArabic-subset.woff2"),
    ] {
        assert!(drawn(&base, overlay, &[("f", font)]).rgba == plain.rgba);
    }
}

#[test]
fn fonts_of_cff_are_drawn_as_the_one_which_is_built_in() {
    let base = plain(300, 100, WHITE);
    let text = "Åñg &@ 123";
    let own = drawn(&base, &format!(r#"{{"text":"{text}","size":40}}"#), &[]);
    let given = format!(r#"{{"text":"{text}","font":{{"url":"f"}},"size":40}}"#);
    assert!(drawn(&base, &given, &[("f", CFF)]).rgba == own.rgba);
}

#[test]
fn damaged_fonts_are_an_error_and_nothing_worse() {
    let base = plain(200, 100, WHITE);
    let json = r#"{"draw":[{"text":"سلام a","font":{"url":"f"},"size":40}]}"#;
    let mut random = 9_u32;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random as usize
    };
    for font in [
        FONT,
        CFF,
        include_bytes!("fonts/NotoSansArabic-subset.woff"),
        include_bytes!("fonts/NotoSansArabic-subset.woff2"),
    ] {
        for _ in 0..300 {
            let mut damaged = font.to_vec();
            for _ in 0..=next() % 8 {
                let at = next() % damaged.len();
                damaged[at] = next() as u8;
            }
            damaged.truncate(damaged.len() - next() % 3 * (next() % damaged.len()) / 2);
            match render(&base, json, &[("f", &damaged)]) {
                Ok(_) | Err(Error::Font | Error::TextTooLarge) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn fonts_which_are_endless_work_are_refused() {
    let base = plain(40, 40, WHITE);
    let json = r#"{"draw":[{"text":"A","font":{"url":"f"}}]}"#;
    // Letters of two letters each, and programs of twenty calls each.
    let doubling = include_bytes!("fonts/doubling.ttf");
    let programs = include_bytes!("fonts/doubling.otf");
    for font in [&doubling[..], programs] {
        assert_eq!(
            render(&base, json, &[("f", font)]).unwrap_err(),
            Error::Font
        );
    }
}

#[test]
fn a_program_is_refused_for_the_memory_of_all_its_pictures() {
    let dot = plain(1, 1, RED);
    let framed = |index| format!(r#"{{"imageIndex":{index},"border":{{"width":4900}}}}"#);
    let run = |count: usize| {
        let inputs = vec![Input::Image(&dot); count + 1];
        let commands: Vec<String> = (1..=count).map(framed).collect();
        let commands = binding::commands(&format!("[{}]", commands.join(",")), count + 1).unwrap();
        let bytes = Engine::default().composing_bytes(&inputs, &commands);
        let composition = Composition {
            inputs: &inputs,
            commands: &commands,
            output: &"format=webp".parse().unwrap(),
            assets: &Assets::new(),
        };
        (
            bytes,
            Engine::default().compose(&composition, &Cancel::never()),
        )
    };
    let area = 9_801 * 9_801;
    let (bytes, refused) = run(20);
    assert!((20 * 4 * area..25 * 4 * area).contains(&bytes), "{bytes}");
    assert!(matches!(
        refused.unwrap_err(),
        Error::TooLarge {
            limit: "render_bytes_max",
            ..
        }
    ));
    assert!((4 * area..21 * area).contains(&run(1).0));
    let overlays = vec![r#"{"url":"o","border":{"width":4900}}"#; 15].join(",");
    let json = format!(r#"{{"draw":[{overlays}]}}"#);
    let transform = Transform::from_json(&serde_json::from_str(&json).unwrap());
    let limits = model::Limits {
        render_bytes_max: 2_000_000_000,
        ..model::Limits::default()
    };
    let request = Request {
        source: &dot,
        transform: &transform.unwrap().unwrap(),
        accepts: Accepts::default(),
    };
    let mut assets = Assets::new();
    assets.insert("o", &dot);
    let engine = Engine::new(limits, model::Policy::default());
    let refused = engine.render_with(&request, &assets, &Cancel::never());
    assert!(matches!(refused.unwrap_err(), Error::TooLarge { .. }));
}

#[test]
fn row_185_nested_draws_follow_the_program() {
    let pictures = [
        plain(20, 10, WHITE),
        plain(6, 2, RED),
        plain(8, 4, BLUE),
        plain(2, 2, BLACK),
        plain(1, 1, [0, 255, 0, 255]),
    ];
    let inputs = pictures.each_ref().map(|picture| Input::Image(picture));
    let commands = r#"[{"imageIndex":0,"rotate":90},{"imageIndex":1,"rotate":90},
        {"drawImageIndex":1,"targetImageIndex":0,"top":0,"left":0},
        {"drawImageIndex":3,"targetImageIndex":2,"top":0,"left":0},
        {"imageIndex":2,"rotate":90},
        {"drawImageIndex":2,"targetImageIndex":0,"bottom":0,"left":0},
        {"drawImageIndex":4,"targetImageIndex":0,"bottom":0,"right":0}]"#;
    let made = compose(&inputs, commands, "format=png-force").unwrap();
    let made = Picture::of(&made.bytes);
    assert_eq!((made.width, made.height), (10, 20));
    // The red bar stands upright, and the black corner of the blue one turned to the right.
    assert_eq!(
        [made.at(1, 5), made.at(2, 5), made.at(1, 6)],
        [RED, WHITE, WHITE]
    );
    assert_eq!(
        [made.at(0, 12), made.at(2, 12), made.at(3, 13)],
        [BLUE, BLACK, BLACK]
    );
    assert_eq!([made.at(3, 14), made.at(9, 19)], [BLUE, [0, 255, 0, 255]]);
}

#[test]
fn row_187_each_command_is_a_stage_of_its_own() {
    let picture = png(4, 2, |x, y| if (x, y) == (0, 0) { BLACK } else { WHITE });
    let inputs = [Input::Image(&picture)];
    let corner = |commands| {
        let made = compose(&inputs, commands, "format=png-force").unwrap();
        Picture::of(&made.bytes).bounds(WHITE)
    };
    // At once: mirrored first, then turned.
    let together = corner(r#"[{"imageIndex":0,"rotate":90,"flip":"h"}]"#);
    let apart = corner(r#"[{"imageIndex":0,"rotate":90},{"imageIndex":0,"flip":"h"}]"#);
    assert_eq!(together, Some([1, 3, 2, 4]));
    assert_eq!(apart, Some([0, 0, 1, 1]));
    assert_eq!(corner("[]"), Some([0, 0, 1, 1]));
}

#[test]
fn row_188_an_animation_is_kept_or_not() {
    let animation = gif(&[0, 1, 2]);
    let other = plain(4, 4, BLACK);
    let inputs = [Input::Image(&animation), Input::Image(&other)];
    let commands = r#"[{"imageIndex":0,"width":20},{"imageIndex":0,"rotate":90},
        {"drawImageIndex":1,"targetImageIndex":0}]"#;
    let frames = |output| {
        let made = compose(&inputs, commands, output).unwrap();
        assert_eq!((made.width, made.height), (10, 20));
        pixels::inspect(&made.bytes, &model::Limits::default())
            .unwrap()
            .frames
    };
    assert_eq!(frames("format=gif"), 3);
    assert_eq!(frames("format=webp"), 3);
    assert_eq!(frames("format=gif,anim=false"), 1);
    assert_eq!(frames("format=png-force"), 1);
}

#[test]
fn a_stage_may_look_at_what_was_drawn() {
    let (base, mark) = (plain(60, 40, WHITE), plain(10, 6, RED));
    let inputs = [Input::Image(&base), Input::Image(&mark)];
    let commands = r#"[{"drawImageIndex":1,"targetImageIndex":0,"left":5,"top":20},
        {"imageIndex":0,"trim":"border"},{"imageIndex":0,"width":5}]"#;
    let made = compose(&inputs, commands, "format=png-force").unwrap();
    let made = Picture::of(&made.bytes);
    assert_eq!((made.width, made.height, made.at(2, 1)), (5, 3, RED));
    // A picture is drawn as it was when it was drawn, and more than once.
    let commands = r#"[{"drawImageIndex":1,"targetImageIndex":0,"left":0,"top":0},
        {"imageIndex":1,"rotate":90},
        {"drawImageIndex":1,"targetImageIndex":0,"right":0,"top":0},
        {"drawImageIndex":0,"targetImageIndex":1}]"#;
    let made = compose(&inputs, commands, "format=png-force").unwrap();
    let made = Picture::of(&made.bytes);
    assert_eq!([made.at(9, 5), made.at(0, 6)], [RED, WHITE]);
    assert_eq!(
        [made.at(54, 9), made.at(53, 0), made.at(54, 10)],
        [RED, WHITE, WHITE]
    );
}

#[test]
fn a_photo_which_is_only_resized_is_what_the_url_form_makes() {
    let photo = png(300, 200, |x, y| [x as u8, y as u8, 90, 255]);
    let photo = render(&photo, r#"{"format":"jpeg"}"#, &[]).unwrap().bytes;
    let transform: Transform = "width=100,format=jpeg,quality=70".parse().unwrap();
    let request = Request {
        source: &photo,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let by_url = Engine::default()
        .render(&request, &Cancel::never())
        .unwrap();
    let commands = r#"[{"imageIndex":0,"width":100}]"#;
    let composed = compose(&[Input::Image(&photo)], commands, "format=jpeg,quality=70").unwrap();
    assert!(by_url.bytes == composed.bytes);
}

#[test]
fn a_text_can_be_the_canvas_and_a_picture() {
    let text = binding::text(r#"{"text":"Hi","size":50,"color":"blue"}"#).unwrap();
    let made = compose(&[Input::Text(&text)], "[]", "format=png-force").unwrap();
    let own = Picture::of(&made.bytes);
    assert!(own.at(0, 0)[3] == 0 && own.rgba.chunks_exact(4).any(|pixel| pixel == BLUE));
    let commands = r#"[{"imageIndex":0,"background":"white","trim":"border"}]"#;
    let made = compose(&[Input::Text(&text)], commands, "format=png-force").unwrap();
    assert!(made.width < own.width && made.height < own.height);
    let base = plain(200, 100, WHITE);
    let inputs = [Input::Image(&base), Input::Text(&text)];
    let commands = r#"[{"imageIndex":1,"rotate":90},{"drawImageIndex":1,"targetImageIndex":0}]"#;
    let made = compose(&inputs, commands, "format=png-force").unwrap();
    let [left, top, right, bottom] = Picture::of(&made.bytes).bounds(WHITE).unwrap();
    assert!(bottom - top > right - left);
}

#[test]
fn pixels_can_be_had_as_they_are() {
    let picture = png(2, 2, |x, y| match (x, y) {
        (0, 0) => RED,
        (1, 0) => [0, 0, 255, 128],
        _ => CLEAR,
    });
    let made = |format| {
        let output = Transform {
            format,
            ..Transform::default()
        };
        let composition = Composition {
            inputs: &[Input::Image(&picture)],
            commands: &[],
            output: &output,
            assets: &Assets::new(),
        };
        Engine::default()
            .compose(&composition, &Cancel::never())
            .unwrap()
    };
    let rgba = made(Format::Rgba);
    assert_eq!(rgba.format.as_str(), "application/octet-stream");
    assert_eq!((rgba.width, rgba.height), (2, 2));
    assert_eq!(rgba.bytes[..8], [255, 0, 0, 255, 0, 0, 255, 128]);
    assert_eq!(rgba.bytes.len(), 16);
    let rgb = made(Format::Rgb).bytes;
    assert_eq!(
        rgb,
        [255, 0, 0, 127, 127, 255, 255, 255, 255, 255, 255, 255]
    );
}

#[test]
fn row_189_svg_is_no_canvas_and_no_overlay() {
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>"#;
    let base = plain(8, 8, WHITE);
    let alone = compose(&[Input::Image(svg)], "[]", "format=png-force");
    assert_eq!(alone.unwrap_err(), Error::SvgConversion);
    let inputs = [Input::Image(&base), Input::Image(svg)];
    let draw = r#"[{"drawImageIndex":1,"targetImageIndex":0}]"#;
    assert_eq!(
        compose(&inputs, draw, "format=webp").unwrap_err(),
        Error::SvgConversion
    );
}

#[test]
fn a_picture_which_no_command_needs_must_be_one_too() {
    let base = plain(8, 8, WHITE);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>"#;
    let large = plain(13_000, 1, WHITE);
    let unused = |source| {
        compose(
            &[Input::Image(&base), Input::Image(source)],
            "[]",
            "format=webp",
        )
    };
    assert!(unused(&base).is_ok());
    assert_eq!(unused(svg).unwrap_err(), Error::SvgConversion);
    assert_eq!(unused(b"BM").unwrap_err(), Error::NotAnImage);
    assert!(matches!(unused(&base[..20]), Err(Error::Corrupt(_))));
    let refused = unused(&large).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::TooLarge {
                limit: "side_max",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn fonts_are_named_by_who_needs_them() {
    let text: Text = binding::text(r#"{"text":"a","font":{"url":"f"}}"#).unwrap();
    let lacking = compose(&[Input::Text(&text)], "[]", "format=webp");
    assert_eq!(lacking.unwrap_err(), Error::NoAsset("f".to_owned()));
    let json = r#"{"draw":[{"text":"a","font":{"url":"f"}},{"url":"o"}]}"#;
    let transform = Transform::from_json(&serde_json::from_str(json).unwrap());
    let transform = transform.unwrap().unwrap();
    assert_eq!(transform.assets(), [Asset::Font("f"), Asset::Image("o")]);
}
