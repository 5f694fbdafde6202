//! Pictures of spaces wider than sRGB, which keep them where the operator says so.

use std::io::Cursor;

use model::transform::{Colour, Draw, Format, Overlay, OverlayContent};
use model::{Limits, Policy, Transform};
use moxcms::{ColorProfile, Layout, TransformOptions};
use pixels::{Accepts, Assets, Cancel, Engine, Rendition, Request};

use crate::pictures::{Picture, RED, png, quarters};

fn engine(wide_gamut: bool) -> Engine {
    let policy = Policy {
        wide_gamut,
        ..Policy::default()
    };
    Engine::new(Limits::default(), policy)
}

fn rendered(wide_gamut: bool, source: &[u8], options: &str) -> Rendition {
    let request = Request {
        source,
        transform: &options.parse().unwrap(),
        accepts: Accepts::default(),
    };
    let rendition = engine(wide_gamut).render(&request, &Cancel::never());
    rendition.unwrap_or_else(|error| panic!("{options}: {error}"))
}

/// A PNG of one colour whose numbers are of this profile.
fn of_profile(profile: &ColorProfile, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Vec<u8> {
    let mut info = png::Info::with_size(64, 48);
    info.color_type = png::ColorType::Rgba;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(profile.encode().unwrap().into());
    let mut bytes = Vec::new();
    let encoder = png::Encoder::with_info(&mut bytes, info).unwrap();
    let mut writer = encoder.write_header().unwrap();
    let places = (0..48).flat_map(|y| (0..64).map(move |x| (x, y)));
    let data: Vec<u8> = places.flat_map(|(x, y)| pixel(x, y)).collect();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The numbers of a PNG and the profile they are of.
fn numbers(png: &[u8]) -> ([u8; 4], Option<ColorProfile>) {
    let reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let profile = reader.info().icc_profile.as_deref();
    let profile = profile.map(|icc| ColorProfile::new_from_slice(icc).unwrap());
    (Picture::of_png(png).at(30, 20), profile)
}

/// What a colour is in another space, as far as that reaches.
fn brought(rgb: [u8; 3], from: &ColorProfile, to: &ColorProfile) -> [u8; 3] {
    let options = TransformOptions::default();
    let transform = from.create_transform_8bit(Layout::Rgb, to, Layout::Rgb, options);
    let mut made = [0; 3];
    transform.unwrap().transform(&rgb, &mut made).unwrap();
    made
}

#[track_caller]
fn near(found: [u8; 4], expected: [u8; 3], most: u8) {
    let off = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
    assert!(off <= Some(most), "{found:?} and not {expected:?}");
}

const COLOUR: [u8; 4] = [230, 40, 60, 255];

#[test]
fn a_wide_picture_keeps_its_numbers_and_says_what_they_are() {
    for profile in [
        ColorProfile::new_display_p3(),
        ColorProfile::new_adobe_rgb(),
    ] {
        for colour in [RED, COLOUR, [20, 250, 30, 255]] {
            let source = of_profile(&profile, |_, _| colour);
            let rgb = [colour[0], colour[1], colour[2]];
            let kept = rendered(true, &source, "width=60,format=png-force");
            let (found, own) = numbers(&kept.bytes);
            near(found, rgb, 2);
            near(
                [found[0], found[1], found[2], 255],
                brought(rgb, &profile, &own.unwrap()),
                2,
            );
            // As always where nobody asked for it.
            let plain = rendered(false, &source, "width=60,format=png-force");
            let (found, own) = numbers(&plain.bytes);
            assert!(own.is_none());
            near(found, brought(rgb, &profile, &ColorProfile::new_srgb()), 2);
        }
    }
}

#[test]
fn every_format_says_which_space_it_is_of() {
    let profiles = [
        (ColorProfile::new_display_p3(), 12_u16),
        (ColorProfile::new_adobe_rgb(), 9),
        (ColorProfile::new_bt2020(), 9),
    ];
    for (profile, primaries) in profiles {
        for alpha in [255, 200] {
            let source = of_profile(&profile, |_, _| [COLOUR[0], COLOUR[1], COLOUR[2], alpha]);
            let number = [&b"colrnclx"[..], &primaries.to_be_bytes()].concat();
            for (options, mark) in [
                (
                    "format=jpeg,background=white",
                    &b"ICC_PROFILE\0\x01\x01"[..],
                ),
                (
                    "format=baseline-jpeg,background=white",
                    b"ICC_PROFILE\0\x01\x01",
                ),
                ("format=webp", b"ICCP"),
                ("format=webp,quality=100", b"ICCP"),
                ("format=png-force", b"iCCPicc"),
                ("format=avif", &number),
            ] {
                let has = |rendition: &Rendition| {
                    let windows = rendition.bytes.windows(mark.len());
                    windows.filter(|window| *window == mark).count()
                };
                let (kept, plain) = (
                    rendered(true, &source, options),
                    rendered(false, &source, options),
                );
                assert_eq!((has(&kept), has(&plain)), (1, 0), "{options}");
                assert!(kept.bytes.len() < plain.bytes.len() + 700, "{options}");
                // Who reads it sees what was there: in sRGB and in its own space.
                let again = rendered(false, &kept.bytes, "format=png-force").bytes;
                let direct = rendered(false, &plain.bytes, "format=png-force").bytes;
                let (again, direct) = (numbers(&again).0, numbers(&direct).0);
                // What shines through is mixed with white in the one space or the other.
                if alpha == 255 || !options.contains("white") {
                    near(again, [direct[0], direct[1], direct[2]], 7);
                }
                assert!(again[3].abs_diff(direct[3]) <= 3, "{options}");
                let (wide, own) = numbers(&rendered(true, &kept.bytes, "format=png-force").bytes);
                assert!(own.is_some(), "{options}");
                if primaries == 12 && alpha == 255 {
                    near(wide, [COLOUR[0], COLOUR[1], COLOUR[2]], 7);
                }
            }
        }
    }
}

#[test]
fn what_is_srgb_or_cannot_say_so_stays_as_it_is() {
    let source = quarters(64, 48);
    for options in ["width=40", "width=40,format=webp", "width=40,format=avif"] {
        let (wide, plain) = (
            rendered(true, &source, options),
            rendered(false, &source, options),
        );
        assert_eq!(wide.bytes, plain.bytes, "{options}");
    }
    let source = of_profile(&ColorProfile::new_display_p3(), |_, _| COLOUR);
    for options in ["format=gif", "format=json,placeholder=color"] {
        let (wide, plain) = (
            rendered(true, &source, options),
            rendered(false, &source, options),
        );
        assert_eq!(wide.bytes, plain.bytes, "{options}");
    }
    assert_ne!(engine(true).rendering(), engine(false).rendering());
}

#[test]
fn what_is_added_means_the_same_in_every_space() {
    let p3 = ColorProfile::new_display_p3();
    let srgb = ColorProfile::new_srgb();
    let source = of_profile(&p3, |x, _| {
        [
            COLOUR[0],
            COLOUR[1],
            COLOUR[2],
            if x < 32 { 255 } else { 0 },
        ]
    });
    let red = brought([255, 0, 0], &srgb, &p3);
    let kept = rendered(
        true,
        &source,
        "width=128,height=48,fit=pad,background=red,format=png-force",
    );
    let picture = Picture::of_png(&kept.bytes);
    near(picture.at(2, 2), red, 1);
    near(picture.at(90, 20), red, 1);
    near(picture.at(40, 20), [COLOUR[0], COLOUR[1], COLOUR[2]], 2);
    let jpeg = rendered(true, &source, "background=red,format=jpeg,quality=95").bytes;
    near(Picture::of(&jpeg).at(60, 20), [255, 0, 0], 6);

    let drawn = png(20, 20, |_, _| RED);
    let transform = Transform {
        draw: vec![Overlay {
            content: OverlayContent::Image {
                url: "drawn".into(),
                width: None,
                height: None,
                transform: Box::default(),
            },
            draw: Draw::default(),
        }],
        background: Some(Colour::WHITE),
        format: Format::PngForce,
        ..Transform::default()
    };
    let mut assets = Assets::new();
    assets.insert("drawn", &drawn);
    let request = Request {
        source: &source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let rendition = engine(true).render_with(&request, &assets, &Cancel::never());
    let picture = Picture::of_png(&rendition.unwrap().bytes);
    near(picture.at(32, 24), red, 1);
    near(picture.at(2, 2), [COLOUR[0], COLOUR[1], COLOUR[2]], 2);
    near(picture.at(60, 2), [255; 3], 0);
}

#[test]
fn words_for_the_quality_work_in_every_space() {
    let source = of_profile(&ColorProfile::new_display_p3(), |x, y| {
        [(x * 4) as u8, (y * 5) as u8, 60, 255]
    });
    for format in ["jpeg", "webp", "avif"] {
        let options = format!("quality=high,format={format}");
        let kept = rendered(true, &source, &options).bytes;
        let (found, own) = numbers(&rendered(true, &kept, "format=png-force").bytes);
        assert!(own.is_some(), "{format}");
        near(found, [120, 100, 60], 8);
    }
}
