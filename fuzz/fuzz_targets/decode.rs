//! Any format, judged as an upload and decoded at its full size.

#![no_main]

use fuzz::{DECODER, bounded, rendered, set_panic_hook};
use libfuzzer_sys::{Corpus, fuzz_target};
use model::transform::Format;
use model::{MediaType, Transform};
use pixels::{Accepts, Cancel, Error, Request};

fuzz_target!(init: set_panic_hook(), |source: &[u8]| -> Corpus {
    if DECODER.recognise(source).is_err() {
        return Corpus::Reject;
    }
    let (engine, never) = (&*DECODER, Cancel::never());
    let length = source.len() as u64;
    let estimate = engine.verifying_bytes(source) + length;
    let Ok(header) = bounded(estimate, || engine.verify(source, &never)) else {
        return Corpus::Keep;
    };
    let transform = Transform {
        format: Format::Rgba,
        ..Transform::default()
    };
    let request = Request {
        source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    let estimate = engine.rendering_bytes(source, &transform) + length;
    let pixels = rendered(estimate, || engine.render(&request, &never));
    match pixels {
        Ok(pixels) => {
            // A drawing is not measured where it is not drawn.
            if header.format != MediaType::Svg {
                assert_eq!((pixels.width, pixels.height), (header.width, header.height));
            }
            let area = pixels.width as usize * pixels.height as usize;
            assert_eq!(pixels.bytes.len(), area * 4);
        }
        Err(Error::Corrupt(reason)) if header.format != MediaType::Svg => panic!("{:?} was accepted: {reason}", header.format),
        Err(_) => {}
    }
    Corpus::Keep
});
