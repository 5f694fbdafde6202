//! Colour spaces which sources have.

use model::{Limits, Policy, ResizeLight};
use pixels::{Accepts, Cancel, Engine, Request};

use crate::pictures::{Picture, RED, png, rendered, with_segment};

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

/// A PNG of one colour with a chunk behind its header.
fn with_chunks(colour: [u8; 3], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let png = png(8, 8, |_, _| colour);
    let mut file = png[..33].to_vec();
    for (name, body) in chunks {
        let named = [&name[..], body].concat();
        file.extend((body.len() as u32).to_be_bytes());
        file.extend(&named);
        file.extend(checksum(&named).to_be_bytes());
    }
    file.extend(&png[33..]);
    file
}

/// The checksum of a chunk (PNG, annex D).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

fn hundred_thousandths(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

#[test]
fn chunks_of_png_say_which_colours_are_meant() {
    let shown =
        |colour, chunks: &[(&[u8; 4], Vec<u8>)]| Picture::of(&with_chunks(colour, chunks)).at(4, 4);
    let grey = [100; 3];
    let linear = || (b"gAMA", hundred_thousandths(&[100_000]));
    // 100 of 255 as light is 0.392, which sRGB encodes as 168.
    let light = shown(grey, &[linear()]);
    assert!(
        light[0].abs_diff(168) <= 1 && light[0] == light[2],
        "{light:?}"
    );
    // What is usual, and what an sRGB chunk says, changes nothing.
    assert_eq!(
        shown(grey, &[(b"gAMA", hundred_thousandths(&[45_455]))])[..3],
        grey
    );
    assert_eq!(shown(grey, &[(b"sRGB", vec![0]), linear()])[..3], grey);
    // The primaries of Display P3: its green lies outside of sRGB.
    let places = [
        31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000,
    ];
    let wide = [
        (b"gAMA", hundred_thousandths(&[45_455])),
        (b"cHRM", hundred_thousandths(&places)),
    ];
    let green = shown([100, 150, 100], &wide);
    assert!(green[0] < 92 && green[1].abs_diff(151) < 4, "{green:?}");
    // The same by its number, before which all others give way.
    let code_points = (b"cICP", vec![12, 13, 0, 1]);
    let by_number = shown([100, 150, 100], &[code_points, linear()]);
    assert!(
        by_number.iter().zip(green).all(|(a, b)| a.abs_diff(b) <= 2),
        "{by_number:?} {green:?}"
    );
}

#[test]
fn a_grey_png_has_a_gamma_as_well() {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 4, 4);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_source_gamma(png::ScaledFloat::new(1.0));
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[100; 16]).unwrap();
    writer.finish().unwrap();
    let found = Picture::of(&file).at(1, 1);
    assert!(found[0].abs_diff(168) <= 1, "{found:?}");
}

#[test]
fn in_linear_light_a_chessboard_is_as_bright_as_it_was() {
    let board = png(256, 256, |x, y| [if (x + y) % 2 == 0 { 0 } else { 255 }; 3]);
    let grey = |light, options: &str| {
        let policy = Policy {
            resize_light: light,
            ..Policy::default()
        };
        let engine = Engine::new(Limits::default(), policy);
        let request = Request {
            source: &board,
            transform: &format!("{options},format=png-force").parse().unwrap(),
            accepts: Accepts::default(),
        };
        let rendition = engine.render(&request, &Cancel::never()).unwrap();
        Picture::of(&rendition.bytes).at(20, 20)[0]
    };
    assert!(grey(ResizeLight::Linear, "width=64").abs_diff(188) <= 2);
    assert!(grey(ResizeLight::Gamma, "width=64").abs_diff(128) <= 2);
    let fast = "width=64,compression=fast";
    assert!(grey(ResizeLight::Linear, fast).abs_diff(128) <= 12);
}

/// From light to a value of sRGB (IEC 61966-2-1).
fn encoded(light: f64) -> f64 {
    if light <= 0.003_130_8 {
        255.0 * 12.92 * light
    } else {
        255.0 * (1.055 * light.powf(1.0 / 2.4) - 0.055)
    }
}

/// A PNG of 16 bits whose light rises from black to white, row after row.
fn rising_light(colour: png::ColorType) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 256, 64);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.set_source_gamma(png::ScaledFloat::new(1.0));
    let samples = colour.samples();
    let data: Vec<u8> = (0..256 * 64_u32)
        .flat_map(|at| {
            let mut pixel = vec![light_at(at).to_be_bytes(); samples];
            if matches!(samples, 2 | 4) {
                pixel[samples - 1] = [255, 255];
            }
            pixel.concat()
        })
        .collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    file
}

fn light_at(at: u32) -> u16 {
    (u64::from(at) * 65_535 / (256 * 64 - 1)) as u16
}

#[test]
fn light_of_16_bits_is_encoded_before_it_is_rounded() {
    for colour in [
        png::ColorType::Grayscale,
        png::ColorType::GrayscaleAlpha,
        png::ColorType::Rgb,
        png::ColorType::Rgba,
    ] {
        let picture = Picture::of(&rising_light(colour));
        for at in 0..256 * 64 {
            let exact = encoded(f64::from(light_at(at)) / 65_535.0);
            let found = picture.at(at % 256, at / 256);
            let near = found[..3]
                .iter()
                .all(|byte| (f64::from(*byte) - exact).abs() <= 1.0);
            assert!(near, "{colour:?} {at}: {found:?} and not {exact}");
        }
    }
}

#[test]
fn samples_of_16_bits_are_rounded_and_not_cut() {
    let mut file = Vec::new();
    let mut encoder = tiff::encoder::TiffEncoder::new(std::io::Cursor::new(&mut file)).unwrap();
    let words: Vec<u16> = (0..256 * 64).map(light_at).collect();
    encoder
        .write_image::<tiff::encoder::colortype::Gray16>(256, 64, &words)
        .unwrap();
    let picture = Picture::of(&file);
    for (at, word) in words.iter().enumerate() {
        let exact = f64::from(*word) / 257.0;
        let found = f64::from(picture.at(at as u32 % 256, at as u32 / 256)[0]);
        assert!(
            (found - exact).abs() <= 0.5,
            "{at}: {found} and not {exact}"
        );
    }
}
