//! A line of options, as a list, as `cf.image` or as a program of the Images binding, and a picture.

#![no_main]

use fuzz::{RENDER_BYTES_MAX, RENDERERS, rendered, set_panic_hook};
use libfuzzer_sys::{Corpus, fuzz_target};
use model::Transform;
use model::transform::binding::{self, Command, Output};
use model::transform::{Asset, Text};
use pixels::{
    Accepts, Assets, Cancel, Composition, Engine, Error, Input, Rendition, RenditionFormat, Request,
};
use serde_json::{Map, Value};

/// What is drawn, and with which letters.
const OVERLAY: &[u8] = include_bytes!("../seeds/pictures/gen_o6.webp");
const FONT: &[u8] = include_bytes!("../../crates/pixels/tests/fonts/NotoSansArabic-subset.ttf");

/// Bytes of options.
const OPTIONS_MAX: usize = 2048;

fuzz_target!(init: set_panic_hook(), |input: &[u8]| -> Corpus {
    let end = input.iter().take(OPTIONS_MAX).position(|byte| *byte == b'\n');
    let Some((options, [_, source @ ..])) = end.map(|end| input.split_at(end)) else {
        return Corpus::Reject;
    };
    let Ok(options) = str::from_utf8(options) else {
        return Corpus::Reject;
    };
    let engine = &RENDERERS[options.len() % 2];
    let accepts = Accepts {
        avif: source.len() % 2 == 1,
        webp: source.len() % 4 > 1,
    };
    match options.as_bytes().first() {
        Some(b'[') => {
            let Ok(commands) = binding::commands(options, 3) else {
                return Corpus::Reject;
            };
            let made = compose(engine, &commands, source);
            judge(engine, made);
        }
        Some(b'{') => {
            let object: Result<Map<String, Value>, _> = serde_json::from_str(options);
            let Some(Ok(Some(transform))) = object.ok().map(|object| Transform::from_json(&object))
            else {
                return Corpus::Reject;
            };
            judge(engine, render(engine, &transform, source, accepts));
        }
        _ => {
            let Ok(transform) = options.parse::<Transform>() else {
                return Corpus::Reject;
            };
            judge(engine, render(engine, &transform, source, accepts));
        }
    }
    Corpus::Keep
});

fn render(
    engine: &Engine,
    transform: &Transform,
    source: &[u8],
    accepts: Accepts,
) -> Result<Rendition, Error> {
    let mut assets = Assets::new();
    let needed = transform.assets();
    for asset in &needed {
        match asset {
            // The picture itself, or another one.
            Asset::Image(address) if address.starts_with('p') => assets.insert(address, source),
            Asset::Image(address) => assets.insert(address, OVERLAY),
            Asset::Font(address) if address.starts_with('p') => assets.insert(address, source),
            Asset::Font(address) => assets.insert(address, FONT),
        }
    }
    // What is no picture may be a font.
    let base = match engine.recognise(source) {
        Ok(_) => source,
        Err(_) => OVERLAY,
    };
    let request = Request {
        source: base,
        transform,
        accepts,
    };
    let mut estimate = engine.rendering_bytes(base, transform);
    if !transform.draw.is_empty() {
        // Pictures which wait to be drawn, and the one which is being made.
        estimate += 2 * RENDER_BYTES_MAX;
    }
    let render = || engine.render_with(&request, &assets, &Cancel::never());
    rendered(estimate + source.len() as u64, render)
}

fn compose(engine: &Engine, commands: &[Command], source: &[u8]) -> Result<Rendition, Error> {
    let text = Text {
        content: "A b\nç".to_owned(),
        font: None,
        size: 20.0,
        colour: model::transform::Colour::BLACK,
    };
    let formats = [
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
        "rgba",
        "rgb",
        "image/avif",
    ];
    let output = Output {
        format: Some(formats[source.len() % formats.len()]),
        ..Output::default()
    };
    let output = output.transform().expect("a format");
    let inputs = [
        Input::Image(source),
        Input::Image(OVERLAY),
        Input::Text(&text),
    ];
    let composition = Composition {
        inputs: &inputs,
        commands,
        output: &output,
        assets: &Assets::new(),
    };
    let estimate = engine.composing_bytes(&inputs, commands);
    let compose = || engine.compose(&composition, &Cancel::never());
    // What is written counts as the largest picture does.
    rendered(estimate.min(RENDER_BYTES_MAX) * 2, compose)
}

/// What comes out is what it says.
fn judge(engine: &Engine, made: Result<Rendition, Error>) {
    let Ok(made) = made else { return };
    let (width, height) = (made.width, made.height);
    let area = width as usize * height as usize;
    match made.format {
        RenditionFormat::Image(format) => {
            let header = engine
                .inspect(&made.bytes)
                .expect("what we write can be read");
            assert_eq!(
                (header.format, header.width, header.height),
                (format, width, height)
            );
        }
        RenditionFormat::Json => {
            let _: Value = serde_json::from_slice(&made.bytes).expect("JSON");
        }
        RenditionFormat::Rgb => assert_eq!(made.bytes.len(), area * 3),
        RenditionFormat::Rgba => assert_eq!(made.bytes.len(), area * 4),
    }
}
