//! What is an image, and which are taken.

use model::{Limits, MediaType, Policy};
use pixels::{Cancel, Engine, Error, Header, RenditionFormat, inspect};

use crate::pictures::{Picture, quarters, rendered};

#[test]
fn svg_is_only_sanitised() {
    let source = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>x()</script><rect width="9" height="9"/></svg>"#;
    let rendition = rendered(source, "width=50,format=webp");
    let text = String::from_utf8(rendition.bytes).unwrap();
    assert_eq!(rendition.format, RenditionFormat::Image(MediaType::Svg));
    assert!(text.contains("<rect") && !text.contains("x()"), "{text}");
}

#[test]
fn what_is_too_large_is_refused_by_its_header() {
    let mut claims = quarters(8, 8);
    claims[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let refused = inspect(&claims, &Limits::default());
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            limit: "side_max",
            value: 65_535,
            ..
        })
    ));
    claims[16..24].copy_from_slice(&[0, 0, 0x2e, 0xe0, 0, 0, 0x2e, 0xe0]);
    let refused = inspect(&claims, &Limits::default());
    assert!(matches!(
        refused,
        Err(Error::TooLarge {
            limit: "pixels_max",
            ..
        })
    ));
}

#[test]
fn what_is_no_image_is_told_apart() {
    let refused = |bytes: &[u8]| {
        inspect(bytes, &Limits::default())
            .map(|_: Header| ())
            .unwrap_err()
    };
    for bytes in [
        &b""[..],
        b"hello",
        b"<html><body/></html>",
        b"{}",
        b"\xff\xd8",
    ] {
        assert!(matches!(refused(bytes), Error::NotAnImage), "{bytes:?}");
    }
    assert!(matches!(
        refused(b"8BPS\0\x01\0\0"),
        Error::Unsupported("PSD")
    ));
    assert!(matches!(refused(b"II\x2a\0\x08\0\0\0"), Error::Corrupt(_)));
    assert!(matches!(refused(b"\xff\xd8\xff\xd9"), Error::Corrupt(_)));
}

#[test]
fn a_format_which_is_not_accepted_is_refused_as_an_upload_alone() {
    let avif = rendered(&quarters(16, 9), "format=avif").bytes;
    let refusing = Policy {
        accept_avif: false,
        ..Policy::default()
    };
    let engine = Engine::new(Limits::default(), refusing);
    let read = engine.inspect(&avif).map(|header| header.format);
    assert_eq!(read, Ok(MediaType::Avif));
    let refused = engine.verify(&avif, &Cancel::never());
    assert_eq!(refused, Err(Error::NotAccepted(MediaType::Avif)));
}

#[test]
fn formats_beyond_those_of_the_api_are_for_the_operator_to_accept() {
    let accepting = Policy {
        accept_more: true,
        ..Policy::default()
    };
    let accepting = Engine::new(Limits::default(), accepting);
    let bmp = bmp(3, 2, |x, y| [x as u8 * 100, y as u8 * 200, 50]);
    let ico = ico(&[(3, &bmp[14..]), (16, &quarters(16, 16))]);
    for (source, format, size) in [
        (&bmp, MediaType::Bmp, (3, 2)),
        (&ico, MediaType::Ico, (16, 16)),
    ] {
        let refused = Engine::default().verify(source, &Cancel::never());
        assert_eq!(refused, Err(Error::NotAccepted(format)));
        let header = accepting.verify(source, &Cancel::never()).unwrap();
        assert_eq!(
            (header.format, header.width, header.height),
            (format, size.0, size.1)
        );
    }
    let rendition = rendered(&bmp, "format=png-force");
    assert_eq!(rendition.format, RenditionFormat::Image(MediaType::Png));
    let picture = Picture::of(&rendition.bytes);
    picture.is(0, 0, [0, 0, 50, 255]);
    picture.is(2, 1, [200, 200, 50, 255]);
    for length in 0..ico.len() {
        let _ = accepting.verify(&ico[..length], &Cancel::never());
    }
    for length in 0..bmp.len() - 1 {
        assert!(
            accepting.verify(&bmp[..length], &Cancel::never()).is_err(),
            "{length}"
        );
    }
}

/// A BMP of 24 bits.
fn bmp(width: u32, height: u32, colour: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let mut file = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    file.extend([1, 0, 24, 0]);
    file.resize(54, 0);
    // From the last row to the first, blue first, in whole words.
    for y in (0..height).rev() {
        for x in 0..width {
            let [red, green, blue] = colour(x, y);
            file.extend([blue, green, red]);
        }
        file.resize(file.len().next_multiple_of(4) + 2, 0);
        file.truncate((file.len() - 54) / 4 * 4 + 54);
    }
    file
}

/// An icon of several pictures, with the side which each is listed by.
fn ico(pictures: &[(u8, &[u8])]) -> Vec<u8> {
    let mut file = vec![0, 0, 1, 0, pictures.len() as u8, 0];
    let mut start = 6 + pictures.len() as u32 * 16;
    for (side, picture) in pictures {
        let length = picture.len() as u32;
        file.extend([*side, *side, 0, 0, 1, 0, 32, 0]);
        file.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
        start += length;
    }
    file.extend(pictures.iter().flat_map(|(_, picture)| picture.iter()));
    file
}

#[test]
fn unusual_kinds_of_jpeg_are_named() {
    let jpeg = rendered(&quarters(64, 48), "format=baseline-jpeg").bytes;
    let frame = jpeg
        .windows(2)
        .position(|pair| matches!(pair, [0xff, 0xc0 | 0xc1]))
        .unwrap();
    let kind = |marker: u8, bits: u8| {
        let mut jpeg = jpeg.clone();
        jpeg[frame + 1] = marker;
        jpeg[frame + 4] = bits;
        jpeg
    };
    for (marker, bits, name) in [
        (0xc1, 12, "12-bit JPEG"),
        (0xc2, 12, "12-bit JPEG"),
        (0xc3, 8, "lossless JPEG"),
        (0xc9, 8, "arithmetic-coded JPEG"),
        (0xca, 8, "arithmetic-coded JPEG"),
        (0xcb, 8, "arithmetic-coded lossless JPEG"),
        (0xc5, 8, "hierarchical JPEG"),
    ] {
        let source = kind(marker, bits);
        let refused = inspect(&source, &Limits::default());
        assert_eq!(refused, Err(Error::Unsupported(name)));
        let verified = Engine::default().verify(&source, &Cancel::never());
        assert_eq!(verified, Err(Error::Unsupported(name)));
        let rendered = crate::pictures::try_render(&source, "width=9");
        assert_eq!(rendered.unwrap_err(), Error::Unsupported(name));
    }
    assert!(inspect(&kind(0xc1, 8), &Limits::default()).is_ok());
}
