//! Drawings become pictures where the operator allows it and a raster format is named.

use model::transform::{Format, Overlay, OverlayContent};
use model::{Limits, MediaType, Policy, Transform};
use pixels::{
    Accepts, Assets, Cancel, Composition, Engine, Error, Input, Rendition, RenditionFormat,
    Request, Warning,
};

use crate::bombs::{bombs, document, heavy};
use crate::pictures::{BLUE, CLEAR, GREEN, Picture, RED, WHITE};

const BLACK: [u8; 4] = [0, 0, 0, 255];

fn engine() -> Engine {
    let policy = Policy {
        rasterize_svg: true,
        ..Policy::default()
    };
    Engine::new(Limits::default(), policy)
}

fn try_drawn(source: &[u8], options: &str, accepts: Accepts) -> Result<Rendition, Error> {
    let request = Request {
        source,
        transform: &options.parse().unwrap(),
        accepts,
    };
    engine().render(&request, &Cancel::never())
}

#[track_caller]
fn drawn(source: &[u8], options: &str) -> Picture {
    let options = format!("{options},format=png-force");
    let rendition = try_drawn(source, &options, Accepts::default()).unwrap();
    Picture::of_png(&rendition.bytes)
}

/// Red upper left, green upper right, blue lower left, white lower right.
fn quarters(attributes: &str) -> Vec<u8> {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' {attributes}><path fill='red' d='M0 0h10v10H0z'/>\
         <path fill='lime' d='M10 0h10v10H10z'/><path fill='blue' d='M0 10h10v10H0z'/>\
         <path fill='white' d='M10 10h10v10H10z'/></svg>"
    )
    .into_bytes()
}

const ALL: [[u8; 4]; 4] = [RED, GREEN, BLUE, WHITE];

#[test]
fn drawings_are_drawn_only_where_a_raster_format_is_named() {
    let source = quarters("width='20' height='20'");
    let everything = Accepts {
        avif: true,
        webp: true,
    };
    let format = |engine: &Engine, options: &str| {
        let request = Request {
            source: &source,
            transform: &options.parse().unwrap(),
            accepts: everything,
        };
        engine.render(&request, &Cancel::never()).unwrap().format
    };
    let image = RenditionFormat::Image;
    for (options, expected) in [
        ("format=webp", MediaType::Webp),
        ("format=avif", MediaType::Avif),
        ("format=jpeg", MediaType::Jpeg),
        ("format=baseline-jpeg", MediaType::Jpeg),
        ("format=png-force", MediaType::Png),
        ("format=gif", MediaType::Gif),
        // It has no alpha in the end.
        ("format=png", MediaType::Jpeg),
        ("width=10", MediaType::Svg),
        ("format=auto", MediaType::Svg),
        ("format=svg", MediaType::Svg),
    ] {
        assert_eq!(format(&engine(), options), image(expected), "{options}");
        assert_eq!(
            format(&Engine::default(), options),
            image(MediaType::Svg),
            "{options}"
        );
    }
    assert_eq!(format(&engine(), "format=json"), RenditionFormat::Json);
    let open = document(20, "<circle cx='10' cy='10' r='9'/>");
    let kept = try_drawn(&open, "format=png", Accepts::default()).unwrap();
    assert_eq!(kept.format, image(MediaType::Png));
    let large = try_drawn(&open, "width=1700,fit=contain,format=avif", everything).unwrap();
    assert_eq!(large.format, image(MediaType::Webp));
    assert_eq!(large.warnings, [Warning::TooLargeForAvif]);
    // Renditions of both kinds are kept apart.
    assert_ne!(engine().rendering(), Engine::default().rendering());
}

#[test]
fn drawings_have_the_size_which_they_say() {
    for (attributes, size) in [
        ("width='20' height='20'", (20, 20)),
        ("viewBox='0 0 20 20'", (20, 20)),
        ("viewBox='0 0 20 20' width='40'", (40, 40)),
        ("viewBox='0 0 20 20' width='100%' height='100%'", (20, 20)),
        ("viewBox='0 0 20 20' width='15pt' height='15pt'", (20, 20)),
        (
            "viewBox='0 0 20 20' width='40' height='20' preserveAspectRatio='none'",
            (40, 20),
        ),
    ] {
        let picture = drawn(&quarters(attributes), "quality=90");
        assert_eq!((picture.width, picture.height), size, "{attributes}");
        picture.quarters_are(ALL);
    }
    // In the middle, as large as it fits.
    let picture = drawn(
        &quarters("viewBox='0 0 20 20' width='80' height='40'"),
        "rotate=0",
    );
    assert_eq!((picture.width, picture.height), (80, 40));
    for (x, colour) in [(5, CLEAR), (25, RED), (45, GREEN), (75, CLEAR)] {
        picture.is(x, 10, colour);
    }
    // A part of nothing is a part of what browsers assume.
    let picture = drawn(&quarters("width='100%' height='50'"), "rotate=0");
    assert_eq!((picture.width, picture.height), (300, 50));
    assert_eq!((picture.at(5, 5), picture.at(25, 5)), (RED, CLEAR));
}

#[test]
fn a_drawing_is_sharp_at_every_size() {
    let source = quarters("width='20' height='20'");
    for (options, (width, height)) in [
        ("width=1000,fit=contain", (1000, 1000)),
        ("width=500,dpr=2,fit=contain", (1000, 1000)),
        ("width=4", (4, 4)),
        ("width=300,height=100,fit=squeeze", (300, 100)),
    ] {
        let picture = drawn(&source, options);
        assert_eq!(
            (picture.width, picture.height),
            (width, height),
            "{options}"
        );
        for y in [0, height / 2 - 1, height / 2, height - 1] {
            for x in [0, width / 2 - 1, width / 2, width - 1] {
                let expected = ALL[usize::from(y >= height / 2) * 2 + usize::from(x >= width / 2)];
                assert_eq!(picture.at(x, y), expected, "{options} at {x}, {y}");
            }
        }
    }
    // It is never enlarged where pictures are not.
    assert_eq!(drawn(&source, "width=1000").width, 20);
}

#[test]
fn the_steps_are_those_of_pictures() {
    let source = quarters("width='20' height='20'");
    let picture = drawn(&source, "width=400,height=200,fit=cover,gravity=top");
    picture.quarters_are([RED, GREEN, RED, GREEN]);
    let picture = drawn(&source, "trim=10;0;0;0,width=200,fit=contain");
    assert_eq!((picture.width, picture.height), (200, 100));
    picture.quarters_are([BLUE, WHITE, BLUE, WHITE]);
    let picture = drawn(&source, "rotate=90,width=100,fit=contain");
    picture.quarters_are([BLUE, RED, WHITE, GREEN]);
    let picture = drawn(&source, "width=60,height=20,fit=pad,background=black");
    assert_eq!((picture.at(0, 0), picture.at(22, 2)), (BLACK, RED));
    let dot = document(
        20,
        "<rect x='5' y='5' width='10' height='10' fill='blue' fill-opacity='.5'/>",
    );
    let picture = drawn(&dot, "width=200,fit=contain");
    assert_eq!(picture.at(1, 1), CLEAR);
    picture.is(100, 100, [0, 0, 255, 128]);
    picture.is(100, 100, drawn(&dot, "width=20").at(10, 10));
    drawn(&dot, "background=white,width=200,fit=contain").is(100, 100, [127, 127, 255, 255]);
    // What has to be looked at is looked at in its own size, and drawn in the size which is wanted.
    let picture = drawn(&dot, "trim=border,width=500,fit=contain");
    assert_eq!((picture.width, picture.height), (500, 500));
    picture.is(0, 0, [0, 0, 255, 128]);
    picture.is(499, 499, [0, 0, 255, 128]);
    let blurred = drawn(&source, "width=200,fit=contain,blur=20");
    let across = blurred.at(99, 50);
    assert!(across[0] > 80 && across[1] > 80, "{across:?}");
}

#[test]
fn letters_are_drawn_in_the_font_which_is_built_in() {
    let ink = |family: &str| {
        let text = format!("<text x='10' y='80' font-size='80' font-family='{family}'>Ag</text>");
        let picture = drawn(&document(200, &text), "rotate=0");
        let dark = picture
            .data
            .chunks(4)
            .filter(|pixel| pixel[3] > 200)
            .count();
        (dark, picture.data)
    };
    let (dark, inter) = ink("Inter");
    assert!((800..5_000).contains(&dark), "{dark}");
    for family in ["Arial", "serif", "monospace", "\"No Such\", cursive"] {
        assert!(ink(family).1 == inter, "{family}");
    }
}

#[test]
fn nothing_outside_is_drawn_and_pictures_inside_are_left_out() {
    let outside = document(
        20,
        "<image href='/etc/passwd' width='9' height='9'/><image xlink:href='http://a.example/b.png'/>\
         <use href='other.svg#a'/><rect width='20' height='20' fill='url(other.svg#a) red'/>",
    );
    let rendition = try_drawn(&outside, "format=png-force", Accepts::default()).unwrap();
    assert_eq!(rendition.warnings, []);
    let inside = document(
        20,
        "<image width='20' height='20' href='data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=='/>",
    );
    let rendition = try_drawn(&inside, "format=png-force", Accepts::default()).unwrap();
    assert_eq!(rendition.warnings, [Warning::PicturesLeftOut]);
    assert_eq!(Picture::of_png(&rendition.bytes).at(10, 10), CLEAR);
}

#[test]
fn costly_drawings_are_refused_before_they_are_drawn() {
    for (number, (what, source)) in bombs().into_iter().enumerate() {
        let refused = try_drawn(&source, "format=png-force", Accepts::default());
        let error = refused.map(|_| ()).unwrap_err().to_string();
        assert!(
            error.contains(what),
            "bomb {number}: {error}, and not {what}"
        );
    }
    // What is too much at one size is not at another.
    let source = document(
        999,
        "<filter id='f' x='0' y='0' width='1' height='1'><feMorphology radius='9'/></filter>\
         <rect width='999' height='999' filter='url(#f)'/>",
    );
    assert!(try_drawn(&source, "width=100,format=webp", Accepts::default()).is_ok());
    let large = "width=6000,fit=contain,format=webp";
    let refused = try_drawn(&source, large, Accepts::default());
    assert!(
        matches!(refused, Err(Error::TooComplex { .. })),
        "{refused:?}"
    );
}

#[test]
fn large_drawings_are_drawn() {
    for source in heavy() {
        let rendition = try_drawn(&source, "format=png-force", Accepts::default()).unwrap();
        let picture = Picture::of_png(&rendition.bytes);
        assert!(picture.data.chunks(4).any(|pixel| pixel[3] > 0));
    }
}

#[test]
fn broken_drawings_are_told_from_broken_servers() {
    for source in [
        &b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><g>"[..],
        b"<svg xmlns='http://www.w3.org/2000/svg' width='0' height='9'/>",
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' a='1' a='2'/>",
    ] {
        let refused = try_drawn(source, "format=webp", Accepts::default());
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{refused:?}");
    }
    let empty = document(9, "");
    assert_eq!(drawn(&empty, "rotate=0").at(4, 4), CLEAR);
    let cancel = Cancel::never();
    cancel.cancel();
    let request = Request {
        source: &empty,
        transform: &"format=webp".parse().unwrap(),
        accepts: Accepts::default(),
    };
    let stopped = engine().render(&request, &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}

#[test]
fn drawings_are_drawn_on_others_too() {
    let logo = document(10, "<rect width='10' height='10' fill='red'/>");
    let base = crate::pictures::png(100, 100, |_, _| [0, 0, 0]);
    let overlay = Overlay {
        content: OverlayContent::Image {
            url: "logo".into(),
            width: Some(model::transform::Amount::Pixels(50)),
            height: None,
            transform: Box::new("fit=contain".parse().unwrap()),
        },
        draw: model::transform::Draw::default(),
    };
    let transform = Transform {
        draw: vec![overlay],
        format: Format::PngForce,
        ..Transform::default()
    };
    let mut assets = Assets::new();
    assets.insert("logo", &logo);
    let request = Request {
        source: &base,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let never = Cancel::never();
    let refused = Engine::default().render_with(&request, &assets, &never);
    assert!(matches!(refused, Err(Error::SvgConversion)), "{refused:?}");
    let rendition = engine().render_with(&request, &assets, &never).unwrap();
    let picture = Picture::of_png(&rendition.bytes);
    for (at, colour) in [(24, BLACK), (25, RED), (74, RED), (75, BLACK)] {
        assert_eq!(picture.at(at, 50), colour, "{at}");
    }

    let commands = [model::transform::binding::Command::Transform {
        picture: 0,
        transform: Box::new("width=64,fit=contain".parse().unwrap()),
    }];
    let composition = Composition {
        inputs: &[Input::Image(&logo)],
        commands: &commands,
        output: &"format=png-force".parse().unwrap(),
        assets: &Assets::new(),
    };
    let refused = Engine::default().compose(&composition, &never);
    assert!(matches!(refused, Err(Error::SvgConversion)));
    let rendition = engine().compose(&composition, &never).unwrap();
    let picture = Picture::of_png(&rendition.bytes);
    assert_eq!(
        (picture.width, picture.height, picture.at(0, 0)),
        (64, 64, RED)
    );
    assert_eq!(picture.at(63, 63), RED);
}
