//! AVIF, by each encoder and up to its limits.

use std::io::Write as _;

use model::{Limits, MediaType, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, RenditionFormat, Request, Warning, inspect};

use crate::animation::animated_gif;
use crate::pictures::{Picture, gradient, png, render, rendered};

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
