//! What a file says about its picture: orientation, profile, EXIF.

use model::Limits;
use pixels::inspect;

use crate::pictures::{BLUE, GREEN, Picture, RED, WHITE, png, quarters, rendered, with_segment};

fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    let exif = [b"Exif\0\0II\x2a\0\x08\0\0\0\x01\0", &entry[..], &[0; 4]].concat();
    with_segment(jpeg, 0xe1, &exif)
}

#[test]
fn orientation_is_applied_and_taken_off() {
    let upright = rendered(&quarters(64, 32), "format=jpeg,quality=95").bytes;
    let expected = [
        [RED, GREEN, BLUE, WHITE],
        [GREEN, RED, WHITE, BLUE],
        [WHITE, BLUE, GREEN, RED],
        [BLUE, WHITE, RED, GREEN],
        [RED, BLUE, GREEN, WHITE],
        [BLUE, RED, WHITE, GREEN],
        [WHITE, GREEN, BLUE, RED],
        [GREEN, WHITE, RED, BLUE],
    ];
    for (orientation, expected) in (1..=8).zip(expected) {
        let source = with_orientation(&upright, orientation);
        let size = if orientation < 5 { (64, 32) } else { (32, 64) };
        let header = inspect(&source, &Limits::default()).unwrap();
        assert_eq!(
            (header.width, header.height, header.orientation),
            (size.0, size.1, orientation)
        );
        for options in ["metadata=none", "metadata=keep", "width=32"] {
            let rendition = rendered(&source, options);
            let header = inspect(&rendition.bytes, &Limits::default()).unwrap();
            assert_eq!(header.orientation, 1, "{options}");
            Picture::of(&rendition.bytes).quarters_are(expected);
        }
    }
}

#[test]
fn a_wide_gamut_is_brought_to_srgb() {
    let jpeg = rendered(&png(64, 64, |_, _| RED), "format=jpeg,quality=95").bytes;
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let body = [b"ICC_PROFILE\0\x01\x01", profile.as_slice()].concat();
    let red = Picture::rendered(&with_segment(&jpeg, 0xe2, &body), "format=png-force");
    red.is(30, 30, RED);
    // A green of P3 which sRGB has: its numbers change.
    let jpeg = rendered(
        &png(64, 64, |_, _| [100, 150, 100, 255]),
        "format=jpeg,quality=95",
    )
    .bytes;
    let green = Picture::rendered(&with_segment(&jpeg, 0xe2, &body), "format=png-force").at(30, 30);
    assert!(green[0] < 92 && green[1].abs_diff(151) < 4, "{green:?}");
}

#[test]
fn exif_is_kept_as_asked() {
    let jpeg = rendered(&quarters(64, 32), "format=jpeg").bytes;
    let text = b"(c) Somebody\0";
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend([0x01, 0x0f, 0, 2, 0, 0, 0, 4, b'M', b'a', b'k', 0]);
    exif.extend([0x82, 0x98, 0, 2, 0, 0, 0, text.len() as u8, 0, 0, 0, 38]);
    exif.extend([0; 4]);
    exif.extend(text);
    let source = with_segment(&jpeg, 0xe1, &exif);
    let has = |options: &str, text: &[u8]| {
        let bytes = rendered(&source, options).bytes;
        bytes.windows(text.len()).any(|window| window == text)
    };
    assert!(has("width=20", b"(c) Somebody"));
    assert!(!has("width=20", b"Mak\0"));
    assert!(has("width=20,metadata=keep", b"Mak\0"));
    assert!(!has("width=20,metadata=none", b"Exif"));
    assert!(!has("width=20,metadata=keep,format=webp", b"Somebody"));
}
