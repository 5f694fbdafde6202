//! `format=json`: sizes, and what a page can show until the picture is there.

use std::sync::Arc;

use pixels::{Accepts, Cancel, Engine, Error, RenditionFormat, Request, Segmenter};

use crate::animation::animated_gif;
use crate::pictures::{BLUE, CLEAR, Picture, RED, png, quarters, rendered};

fn described(source: &[u8], options: &str) -> serde_json::Value {
    let rendition = rendered(source, &format!("{options},format=json"));
    assert_eq!(rendition.format, RenditionFormat::Json);
    serde_json::from_slice(&rendition.bytes).unwrap()
}

#[test]
fn placeholders_are_said_where_they_are_asked_for() {
    let source = png(300, 200, |x, _| if x < 220 { RED } else { BLUE });
    assert!(described(&source, "width=30").get("placeholder").is_none());
    let all = described(&source, "placeholder=color;thumbhash;blurhash");
    let placeholder = &all["placeholder"];
    assert_eq!(placeholder["color"], "#ff0000");
    // Four by three frequencies of opaque pixels.
    assert_eq!(placeholder["blurhash"].as_str().unwrap().len(), 28);
    assert!(placeholder["blurhash"].as_str().unwrap().starts_with('L'));
    assert!(placeholder["thumbhash"].as_str().unwrap().len() > 20);
    // They are of what is asked for, and not of the source.
    let cut = described(&source, "trim.left=230,placeholder=color");
    assert_eq!(cut["placeholder"]["color"], "#0000ff");
    assert_eq!(cut["placeholder"].as_object().unwrap().len(), 1);
    let turned = described(&source, "rotate=90,placeholder=blurhash");
    assert!(
        turned["placeholder"]["blurhash"]
            .as_str()
            .unwrap()
            .starts_with('T')
    );
    let clear = png(20, 20, |_, _| CLEAR);
    assert!(described(&clear, "placeholder=color")["placeholder"]["color"].is_null());
    let first = described(&animated_gif(40, 20, None), "placeholder=color");
    assert_eq!(first["placeholder"]["color"], "#ff0000");
    assert_eq!(first["original"]["frames"], 3);
    // A picture has no place for them.
    let plain = rendered(&source, "width=30").bytes;
    assert_eq!(rendered(&source, "width=30,placeholder=color").bytes, plain);
}

/// The upper half is the subject.
#[derive(Debug)]
struct UpperHalf;

impl Segmenter for UpperHalf {
    fn name(&self) -> &'static str {
        "upper half"
    }

    fn foreground(&self, picture: pixels::Picture<'_>, _: &Cancel) -> Option<Vec<u8>> {
        let area = (picture.width * picture.height) as usize;
        let mut mask = vec![255; area];
        mask[area / 2..].fill(0);
        Some(mask)
    }
}

#[test]
fn the_mask_of_the_subject_is_part_of_the_description() {
    let source = quarters(2_048, 512);
    let render = |engine: &Engine| {
        let request = Request {
            source: &source,
            transform: &"segment=foreground,rotate=90,width=64,format=json"
                .parse()
                .unwrap(),
            accepts: Accepts::default(),
        };
        engine.render(&request, &Cancel::never())
    };
    let missing = render(&Engine::default()).unwrap_err();
    assert_eq!(missing, Error::Unavailable("segment=foreground"));
    let engine = Engine::default().with_segmenter(Arc::new(UpperHalf));
    let rendition = render(&engine).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&rendition.bytes).unwrap();
    assert_eq!(
        (&found["width"], &found["height"]),
        (&64.into(), &256.into())
    );
    let segment = &found["segment"];
    // Upright, and no larger than what the model saw.
    assert_eq!(segment["width"], 256);
    assert_eq!(segment["height"], 1_024);
    assert_eq!(segment["upscale_filter"], "catrom");
    let mask = base64_decoded(segment["mask"].as_str().unwrap());
    let mask = Picture::of_png(&mask);
    assert_eq!((mask.width, mask.height), (256, 1_024));
    assert_eq!(mask.at(128, 500), [255; 4]);
    assert_eq!(mask.at(128, 520), [0, 0, 0, 255]);
}

fn base64_decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.decode(text).unwrap()
}
