//! Whatever a file says about its picture and whoever took it stays out of what is made of it.

use model::{Limits, Policy};
use pixels::{Accepts, Cancel, Engine, Request};

use crate::described::{CANARY, NOTICE, sources};

/// What is asked for.
const FORMATS: [&str; 8] = [
    "",
    "format=jpeg",
    "format=baseline-jpeg",
    "format=png-force",
    "format=webp",
    "format=gif",
    "format=avif",
    "format=json",
];

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// An engine which takes animated PNG for an animation as well.
fn engine(limits: Limits) -> Engine {
    let policy = Policy {
        animate_png: true,
        ..Policy::default()
    };
    Engine::new(limits, policy)
}

fn made(engine: &Engine, source: &[u8], options: &str) -> Vec<u8> {
    let request = Request {
        source,
        transform: &options.parse().unwrap(),
        accepts: Accepts::default(),
    };
    let rendition = engine.render(&request, &Cancel::never());
    rendition
        .unwrap_or_else(|error| panic!("{options}: {error}"))
        .bytes
}

/// Names in the bytes of a format under which there would be metadata.
const NAMES: [&[u8]; 9] = [
    b"tEXt",
    b"zTXt",
    b"iTXt",
    b"eXIf",
    b"EXIF",
    b"XMP ",
    b"XMP Data",
    b"mime",
    b"Exif",
];

/// Row 19.
#[test]
fn no_canary_comes_out_of_any_format() {
    let engine = engine(Limits::default());
    for (what, source) in sources() {
        assert!(has(&source, CANARY), "{what}");
        for format in FORMATS {
            for metadata in ["", "metadata=copyright", "metadata=none"] {
                for size in ["width=32", "quality=90", "rotate=90"] {
                    let options = [size, format, metadata].join(",").replace(",,", ",");
                    let options = options.trim_end_matches(',');
                    let bytes = made(&engine, &source, options);
                    assert!(!has(&bytes, CANARY), "{what}: {options}");
                    let is_jpeg = bytes.starts_with(b"\xff\xd8");
                    if metadata == "metadata=none" || !is_jpeg {
                        let name = NAMES.iter().find(|name| has(&bytes, name));
                        assert_eq!(name, None, "{what}: {options}");
                        assert!(!has(&bytes, NOTICE), "{what}: {options}");
                    } else if has(&source, NOTICE) {
                        assert!(has(&bytes, NOTICE), "{what}: {options}");
                    }
                }
            }
        }
    }
}

/// Row 19: what is too large to be taken apart is not decoded.
#[test]
fn no_canary_comes_out_of_an_animation_which_is_not_transformed() {
    let decoding = engine(Limits::default());
    let sending = engine(Limits {
        animation_transform_pixels_max: 1,
        ..Limits::default()
    });
    let mut moving = 0;
    for (what, source) in sources() {
        if !decoding.inspect(&source).unwrap().is_animated() {
            continue;
        }
        moving += 1;
        for options in ["width=32", "width=32,metadata=none"] {
            let bytes = made(&sending, &source, options);
            assert!(!has(&bytes, CANARY), "{what}: {options}");
            // Nothing that is seen was taken.
            let frames = |bytes: &[u8]| made(&decoding, bytes, "width=16,format=webp");
            assert!(frames(&bytes) == frames(&source), "{what}: {options}");
        }
        let kept = made(&sending, &source, "width=32,metadata=keep");
        assert!(kept == source, "{what}");
    }
    assert_eq!(moving, 4);
}
