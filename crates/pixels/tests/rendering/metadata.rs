//! What a file says about its picture: orientation, EXIF, XMP, IPTC.

use model::Limits;
use pixels::inspect;

use crate::pictures::{BLUE, GREEN, Picture, RED, WHITE, quarters, rendered, with_segment};

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

/// A JPEG with a packet of XMP and records of IPTC, both with a notice and more.
fn with_notices(jpeg: &[u8]) -> Vec<u8> {
    let xmp = [
        &b"http://ns.adobe.com/xap/1.0/\0"[..],
        br#"<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" "#,
        br#"xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">"#,
        br#"<rdf:Description tiff:Orientation="6"/><dc:creator>Painter</dc:creator>"#,
        br#"<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">XMP notice</rdf:li></rdf:Alt></dc:rights>"#,
        b"</x:xmpmeta>",
    ]
    .concat();
    let mut records = b"\x1c\x02\x5a\0\x04Rome".to_vec();
    records.extend(b"\x1c\x02\x74\0\x0bIPTC notice");
    let mut resources = b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0".to_vec();
    resources.push(records.len() as u8);
    resources.extend(records);
    with_segment(&with_segment(jpeg, 0xe1, &xmp), 0xed, &resources)
}

#[test]
fn notices_in_xmp_and_iptc_are_kept_as_asked() {
    let source = with_notices(&rendered(&quarters(64, 32), "format=jpeg").bytes);
    let has = |options: &str, text: &str| {
        let bytes = rendered(&source, options).bytes;
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    for (options, notices, rest) in [
        ("width=20", true, false),
        ("width=20,metadata=copyright,saturation=0.5", true, false),
        ("width=20,metadata=keep", true, true),
        ("width=20,metadata=none", false, false),
        ("width=20,metadata=keep,format=webp", false, false),
        ("width=20,metadata=keep,format=png-force", false, false),
        ("width=20,metadata=keep,format=avif", false, false),
    ] {
        for (text, expected) in [
            ("XMP notice", notices),
            ("IPTC notice", notices),
            ("Painter", rest),
            ("Rome", rest),
        ] {
            assert_eq!(has(options, text), expected, "{options}: {text}");
        }
        assert!(!has(options, "Orientation=\"6"), "{options}");
    }
    // What is written is found again.
    let again = rendered(&rendered(&source, "metadata=keep").bytes, "metadata=keep").bytes;
    assert!(again.windows(11).any(|window| window == b"IPTC notice"));
}

#[test]
fn a_tiff_gives_its_descriptions_and_not_its_layout() {
    // One pixel, with a notice and a strip.
    let mut tiff = b"II\x2a\0\x08\0\0\0".to_vec();
    let entries: [(u16, u16, u32, u32); 10] = [
        (0x0100, 3, 1, 1),
        (0x0101, 3, 1, 1),
        (0x0102, 3, 1, 8),
        (0x0103, 3, 1, 1),
        (0x0106, 3, 1, 1),
        (0x0111, 4, 1, 8),
        (0x0115, 3, 1, 1),
        (0x0116, 3, 1, 1),
        (0x0117, 4, 1, 1),
        (0x8298, 2, 12, 8 + 2 + 10 * 12 + 4),
    ];
    tiff.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        tiff.extend(tag.to_le_bytes());
        tiff.extend(kind.to_le_bytes());
        tiff.extend(count.to_le_bytes());
        tiff.extend(value.to_le_bytes());
    }
    tiff.extend([0; 4]);
    tiff.extend(b"TIFF notice\0");
    for options in ["metadata=copyright", "metadata=keep"] {
        let jpeg = rendered(&tiff, &format!("{options},format=jpeg")).bytes;
        assert!(
            jpeg.windows(11).any(|window| window == b"TIFF notice"),
            "{options}"
        );
        // No tag of strips in the EXIF block, which is the first segment.
        let exif = &jpeg[4..4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]))];
        let strips = exif.windows(4).any(|window| window == [0x11, 0x01, 4, 0]);
        assert!(!strips, "{options}");
    }
}
