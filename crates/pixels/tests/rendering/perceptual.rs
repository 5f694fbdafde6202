//! The words of `quality`: constant to the eye and not to the encoder.

use std::cell::Cell;

use fast_ssim2::{PixelDescriptor, PixelSlice, compute_ssimulacra2};

use pixels::{Accepts, Cancel, Engine, Request};

use crate::pictures::{Picture, png};

/// Waves with as much noise as said: smooth pictures score higher than rough ones at one number.
fn picture(width: u32, height: u32, noise: u32) -> Vec<u8> {
    let seed = Cell::new(7_u32);
    png(width, height, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let wave = (x / 17.0).sin() + (y / 23.0).cos() + (x * y / 4000.0).sin();
        [0.0, 1.0, 2.0].map(|colour| {
            let next = seed
                .get()
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            seed.set(next);
            let noise = f64::from((next >> 16) % (noise + 1));
            (110.0 + wave * (20.0 + 8.0 * colour) + noise) as u8
        })
    })
}

fn render(source: &[u8], options: &str) -> Vec<u8> {
    let request = Request {
        source,
        transform: &options.parse().unwrap(),
        accepts: Accepts::default(),
    };
    let rendition = Engine::default().render(&request, &Cancel::never());
    rendition.unwrap().bytes
}

fn rgb(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let picture = Picture::of(bytes);
    let pixels = picture.data.chunks_exact(4);
    let rgb = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    (picture.width, picture.height, rgb.collect())
}

fn score(a: &[u8], b: &[u8]) -> f64 {
    let (width, height, a) = rgb(a);
    let (_, _, b) = rgb(b);
    let slice = |data| {
        let stride = width as usize * 3;
        PixelSlice::new(data, width, height, stride, PixelDescriptor::RGB8_SRGB).unwrap()
    };
    compute_ssimulacra2(&slice(&a), &slice(&b)).unwrap()
}

#[test]
fn a_word_looks_the_same_in_every_format_and_a_number_does_not() {
    let source = picture(240, 160, 24);
    for (word, number, wanted) in [("medium-low", 50, 66.0), ("high", 90, 86.0)] {
        for format in ["jpeg", "webp", "avif"] {
            let options = format!("format={format},quality={word}");
            let by_word = render(&source, &options);
            let by_number = render(&source, &format!("format={format},quality={number}"));
            let off = (score(&source, &by_word) - wanted).abs();
            let number_off = (score(&source, &by_number) - wanted).abs();
            assert!(off <= number_off, "{options}: {off} and {number_off}");
            // WebP of this picture reaches it only beyond what a number may move.
            assert!(off < 6.0, "{options}: {off}");
            assert_eq!(render(&source, &options), by_word, "{options} twice");
        }
    }
}

#[test]
fn better_words_take_more_bytes() {
    let source = picture(200, 150, 16);
    let words = ["low", "medium-low", "medium-high", "high"];
    let bytes = words.map(|word| render(&source, &format!("format=webp,quality={word}")).len());
    assert!(bytes.is_sorted_by(|a, b| a < b), "{bytes:?}");
}

#[test]
fn a_large_picture_is_judged_by_parts_of_it() {
    let source = picture(1200, 900, 24);
    let by_word = render(&source, "format=jpeg,quality=medium-high");
    let off = (score(&source, &by_word) - 74.0).abs();
    assert!(off < 4.0, "{off}");
}

#[test]
fn a_tiny_picture_and_formats_without_loss_have_words_too() {
    for (size, options) in [
        ((1, 1), "format=jpeg,quality=low"),
        ((3, 900), "format=webp,quality=high"),
        ((40, 30), "format=png-force,quality=low"),
        ((40, 30), "format=gif,quality=medium-low"),
    ] {
        let (width, height, _) = rgb(&render(&picture(size.0, size.1, 9), options));
        assert_eq!((width, height), size, "{options}");
    }
}
