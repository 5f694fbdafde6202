//! Sizes, crops, colours and formats of stills.

use model::transform::Format;
use model::{Limits, MediaType, Policy, Transform};
use pixels::{
    Accepts, Cancel, Engine, Error, Rendition, RenditionFormat, Request, Warning, inspect,
};

use crate::animation::animated_gif;
use crate::pictures::{
    BLUE, CLEAR, GREEN, Picture, RED, WHITE, frame_marker, png, quarters, render, rendered,
    try_render,
};

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
fn a_jpeg_is_progressive_unless_small_or_huge_or_told() {
    let source = quarters(400, 300);
    let marker = |options: &str| frame_marker(&rendered(&source, options).bytes);
    assert_eq!(marker("format=jpeg"), 0xc2);
    assert!(matches!(marker("format=baseline-jpeg"), 0xc0 | 0xc1));
    assert!(matches!(
        marker("width=40,height=40,fit=cover"),
        0xc0 | 0xc1
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
            other => panic!("{other}"),
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
fn raw_samples_lie_in_rows_without_gaps() {
    let source = png(5, 3, |x, y| {
        [x as u8 * 50, y as u8 * 100, 7, if x == 0 { 0 } else { 255 }]
    });
    let raw = |format| {
        let transform = Transform {
            format,
            background: None,
            ..Transform::default()
        };
        let limits = Limits::default();
        let never = Cancel::never();
        let rendition = render(&source, &transform, Accepts::default(), &limits, &never).unwrap();
        assert_eq!(rendition.format.as_str(), "application/octet-stream");
        assert_eq!((rendition.width, rendition.height), (5, 3));
        rendition.bytes
    };
    let rgba = raw(Format::Rgba);
    assert_eq!(rgba.len(), 5 * 3 * 4);
    assert_eq!(rgba[4..8], [50, 0, 7, 255]);
    assert_eq!(rgba[(2 * 5 + 4) * 4..], [200, 200, 7, 255]);
    assert_eq!(rgba[3], 0);
    let rgb = raw(Format::Rgb);
    assert_eq!(rgb.len(), 5 * 3 * 3);
    // What could be seen through is white.
    assert_eq!(rgb[..6], [255, 255, 255, 50, 0, 7]);
    let first = Transform {
        format: Format::Rgba,
        ..Transform::default()
    };
    let moving = animated_gif(4, 2, None);
    let limits = Limits::default();
    let never = Cancel::never();
    let first = render(&moving, &first, Accepts::default(), &limits, &never).unwrap();
    assert_eq!(first.bytes, RED.repeat(8));
}
