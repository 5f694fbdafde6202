//! What is around pixels: the headers of every format, and metadata, colour profiles and SVG, to
//! which a mutated picture rarely gets.

#![no_main]

use fuzz::{DECODER, bounded, rendered, set_panic_hook};
use libfuzzer_sys::fuzz_target;
use model::Transform;
use pixels::{Accepts, Cancel, Error, Request, sanitise_svg};

/// Pictures of one colour and of one grey, which are sound.
const COLOUR: &[u8] = include_bytes!("../seeds/pictures/gen_1x1.jpg");
const GREY: &[u8] = include_bytes!("../seeds/pictures/gen_gray_progressive.jpg");

fuzz_target!(init: set_panic_hook(), |input: &[u8]| {
    // No picture begins with such a byte.
    match input {
        [1, exif @ ..] => metadata(0xe1, b"Exif\0\0", exif),
        [2, packet @ ..] => metadata(0xe1, b"http://ns.adobe.com/xap/1.0/\0", packet),
        [3, records @ ..] => metadata(0xed, b"Photoshop 3.0\0", records),
        [4, profile @ ..] => colours(COLOUR, profile),
        [5, profile @ ..] => colours(GREY, profile),
        [6, drawing @ ..] => svg(drawing),
        picture => header(picture),
    }
});

/// Nothing is allocated on the word of a header.
fn header(picture: &[u8]) {
    let estimate = 2 * picture.len() as u64;
    let header = bounded(estimate, || DECODER.inspect(picture));
    let Ok(header) = header else { return };
    assert!(header.area() <= DECODER.limits().pixels_max);
    assert_eq!(DECODER.recognise(picture), Ok(header.format));
    for keep in ["keep", "copyright"] {
        let _ = render(picture, &format!("format=json,metadata={keep}"));
    }
}

/// A segment with it may be ignored, but the picture is there, and what is kept can be read again.
fn metadata(marker: u8, name: &[u8], body: &[u8]) {
    let picture = with_segments(COLOUR, marker, name, body);
    let verified = DECODER.verify(&picture, &Cancel::never());
    for keep in ["keep", "copyright"] {
        let options = format!("format=jpeg,metadata={keep}");
        let rendered = render(&picture, &options).expect("metadata spoil no picture");
        let again = render(&rendered, &options).expect("what we write can be read");
        let header = DECODER.inspect(&again).expect("what we write can be read");
        assert_eq!(header.orientation, 1);
    }
    verified.expect("metadata spoil no picture");
}

fn colours(picture: &[u8], profile: &[u8]) {
    let picture = with_segments(picture, 0xe2, b"ICC_PROFILE\0\x01\x01", profile);
    render(&picture, "format=png-force").expect("a profile spoils no picture");
}

/// What was made harmless is a drawing still, and has nothing active.
fn svg(drawing: &[u8]) {
    let Ok(sanitised) = sanitise_svg(drawing, DECODER.limits()) else {
        return;
    };
    let text = String::from_utf8(sanitised).expect("UTF-8");
    let lower = text.to_ascii_lowercase();
    for active in ["<script", "<foreignobject", "<iframe", "<!entity"] {
        assert!(!lower.contains(active), "{active} in {text}");
    }
    let again = sanitise_svg(text.as_bytes(), DECODER.limits());
    assert!(again.is_ok(), "{again:?} of {text}");
}

fn render(source: &[u8], options: &str) -> Result<Vec<u8>, Error> {
    let transform: Transform = options.parse().expect("options");
    let request = Request {
        source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let estimate = DECODER.rendering_bytes(source, &transform) + 8 * source.len() as u64;
    let render = || DECODER.render(&request, &Cancel::never());
    rendered(estimate, render).map(|made| made.bytes)
}

/// With a segment after the start of a JPEG, or with several which hold it together.
fn with_segments(picture: &[u8], marker: u8, name: &[u8], body: &[u8]) -> Vec<u8> {
    let (start, rest) = picture.split_at(2);
    let mut whole = start.to_vec();
    for part in body.chunks(60_000) {
        let length = (name.len() + part.len() + 2) as u16;
        whole.extend([0xff, marker]);
        whole.extend(length.to_be_bytes());
        whole.extend_from_slice(name);
        whole.extend_from_slice(part);
    }
    whole.extend_from_slice(rest);
    whole
}
