//! Pictures in every format, with whatever their files can say of them and of whoever took them.

use std::io::Write as _;

use model::Limits;
use pixels::inspect;

use crate::animation::animated_gif;
use crate::pictures::{quarters, rendered, with_segment};

/// Is in everything that must not come out.
pub(crate) const CANARY: &[u8] = b"CANARY";
/// Is in every notice of copyright.
pub(crate) const NOTICE: &[u8] = b"(c) KEEPER";

/// An entry of a directory: number, kind, value.
type Entry = (u16, u16, Vec<u8>);

const BYTE: u16 = 1;
const TEXT: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;
const UNDEFINED: u16 = 7;

fn text(tag: u16) -> Entry {
    (tag, TEXT, b"CANARY of a text\0".to_vec())
}

fn long(tag: u16, value: usize) -> Entry {
    (tag, LONG, (value as u32).to_le_bytes().to_vec())
}

fn short(tag: u16, value: u16) -> Entry {
    (tag, SHORT, value.to_le_bytes().to_vec())
}

/// Appends a directory and its values; says where it begins.
fn directory(tiff: &mut Vec<u8>, mut entries: Vec<Entry>, next: usize) -> usize {
    entries.sort();
    let start = tiff.len();
    let mut values = Vec::new();
    let behind = start + 2 + entries.len() * 12 + 4;
    tiff.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, mut value) in entries {
        let size = [0, 1, 1, 2, 4, 8, 1, 1][usize::from(kind)];
        tiff.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        tiff.extend((value.len() as u32 / size).to_le_bytes());
        if value.len() > 4 {
            tiff.extend(((behind + values.len()) as u32).to_le_bytes());
            value.resize(value.len().next_multiple_of(2), 0);
            values.extend(value);
        } else {
            value.resize(4, 0);
            tiff.extend(value);
        }
    }
    tiff.extend((next as u32).to_le_bytes());
    tiff.extend(values);
    start
}

/// A TIFF structure with a place, a camera, a thumbnail and these entries.
fn tiff(further: Vec<Entry>, with_thumbnail: bool) -> Vec<u8> {
    let thumbnail = rendered(&quarters(16, 8), "format=jpeg").bytes;
    let thumbnail = with_segment(&thumbnail, 0xfe, b"CANARY of a thumbnail");
    let mut tiff = b"II\x2a\0\0\0\0\0".to_vec();
    let at = tiff.len();
    tiff.extend(&thumbnail);
    let second = vec![
        short(0x0103, 6),
        long(0x0201, at),
        long(0x0202, thumbnail.len()),
        text(0x010e),
    ];
    let second = directory(&mut tiff, second, 0);
    let gps = vec![
        (0x01, TEXT, b"N\0".to_vec()),
        (0x02, RATIONAL, b"CANARY-LATITUDE-RATIONAL".to_vec()),
        (0x04, RATIONAL, b"CANARY-LONGITUDE-RATIONS".to_vec()),
        (0x1b, UNDEFINED, b"ASCII\0\0\0CANARY".to_vec()),
        text(0x1c),
        text(0x1d),
    ];
    let gps = directory(&mut tiff, gps, 0);
    let camera = vec![
        (0x9286, UNDEFINED, b"ASCII\0\0\0CANARY".to_vec()),
        (0x927c, UNDEFINED, b"CANARY of a maker".to_vec()),
        text(0x9003),
        text(0xa420),
        text(0xa430),
        text(0xa431),
    ];
    let camera = directory(&mut tiff, camera, 0);
    let mut main = vec![
        text(0x010e),
        text(0x010f),
        text(0x0110),
        short(0x0112, 1),
        text(0x0131),
        text(0x0132),
        text(0x013b),
        (0x8298, TEXT, [NOTICE, b"\0"].concat()),
        long(0x8769, camera),
        long(0x8825, gps),
        (0x9c9b, BYTE, b"CANARY".to_vec()),
    ];
    main.extend(further);
    let next = if with_thumbnail { second } else { 0 };
    let main = directory(&mut tiff, main, next);
    tiff[4..8].copy_from_slice(&(main as u32).to_le_bytes());
    tiff
}

fn exif() -> Vec<u8> {
    tiff(Vec::new(), true)
}

fn xmp() -> Vec<u8> {
    br#"<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:RDF>
    <rdf:Description exif:GPSLatitude="CANARY"><dc:creator>CANARY</dc:creator><dc:rights><rdf:Alt>
    <rdf:li xml:lang="x-default">(c) KEEPER</rdf:li><rdf:li xml:lang="de">CANARY</rdf:li>
    </rdf:Alt></dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"#
        .to_vec()
}

/// Records of IPTC: a city, a byline and a notice.
fn iptc() -> Vec<u8> {
    let record = |set: u8, value: &[u8]| [&[0x1c, 2, set, 0, value.len() as u8], value].concat();
    [record(90, CANARY), record(80, CANARY), record(116, NOTICE)].concat()
}

/// Resources of Photoshop: those records, a caption and a thumbnail.
fn resources() -> Vec<u8> {
    let resource = |number: u16, value: &[u8]| {
        let length = (value.len() as u32).to_be_bytes();
        let pad = &[0][..value.len() % 2];
        [
            b"8BIM",
            &number.to_be_bytes()[..],
            &[0, 0],
            &length,
            value,
            pad,
        ]
        .concat()
    };
    let captions = [resource(0x03f0, CANARY), resource(0x040c, CANARY)].concat();
    [resource(0x0404, &iptc()), captions].concat()
}

fn jpeg() -> Vec<u8> {
    let segments: [(u8, Vec<u8>); 10] = [
        (0xfe, b"CANARY of a comment".to_vec()),
        (0xe1, [b"Exif\0\0", &exif()[..]].concat()),
        (
            0xe1,
            [b"http://ns.adobe.com/xap/1.0/\0", &xmp()[..]].concat(),
        ),
        (
            0xe1,
            [b"http://ns.adobe.com/xmp/extension/\0", CANARY].concat(),
        ),
        (0xe2, b"MPF\0CANARY".to_vec()),
        (0xeb, b"JP\0\0CANARY".to_vec()),
        (0xec, b"Ducky\0CANARY".to_vec()),
        (0xed, [b"Photoshop 3.0\0", &resources()[..]].concat()),
        (0xe4, b"CANARY".to_vec()),
        (0xef, b"CANARY".to_vec()),
    ];
    let jpeg = rendered(&quarters(64, 32), "format=jpeg").bytes;
    let with = |jpeg: Vec<u8>, (marker, body): &(u8, Vec<u8>)| with_segment(&jpeg, *marker, body);
    let jpeg = segments.iter().rev().fold(jpeg, with);
    [&jpeg, CANARY].concat()
}

fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(&name);
    sum.update(body);
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &name, body, &sum.sum().to_be_bytes()].concat()
}

/// With texts behind its header and before its end.
fn with_texts(png: &[u8]) -> Vec<u8> {
    let packed = |text: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let texts = [
        chunk(*b"tEXt", b"Comment\0CANARY"),
        chunk(*b"zTXt", &[b"CANARY\0\0", &packed(CANARY)[..]].concat()),
        chunk(*b"iTXt", b"Title\0\0\0de\0CANARY\0CANARY"),
        chunk(
            *b"iTXt",
            &[b"CANARY\0\x01\0\0\0", &packed(CANARY)[..]].concat(),
        ),
        chunk(
            *b"iTXt",
            &[b"XML:com.adobe.xmp\0\0\0\0\0", &xmp()[..]].concat(),
        ),
        chunk(*b"tEXt", b"Raw profile type exif\0CANARY"),
        chunk(*b"caNa", CANARY),
    ]
    .concat();
    let (rest, end) = png.split_at(png.len() - 12);
    let (header, rest) = rest.split_at(33);
    let exif = chunk(*b"eXIf", &exif());
    [header, &exif, &texts, rest, &texts, end, CANARY].concat()
}

fn animated_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 64, 32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    for level in [50, 200] {
        writer.write_image_data(&[level; 64 * 32 * 3]).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// With what a WebP may have besides its pictures.
fn with_chunks(webp: &[u8]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let pad = &[0][..body.len() % 2];
        [name, &(body.len() as u32).to_le_bytes()[..], body, pad].concat()
    };
    let header = inspect(webp, &Limits::default()).unwrap();
    let mut pictures = &webp[12..];
    let mut flags = 0;
    if pictures.starts_with(b"VP8X") {
        flags = pictures[8];
        pictures = &pictures[18..];
    }
    let side = |pixels: u32| (pixels - 1).to_le_bytes();
    let (width, height) = (side(header.width), side(header.height));
    let canvas = [&[flags | 0x0c, 0, 0, 0][..], &width[..3], &height[..3]].concat();
    let body = [
        &b"WEBP"[..],
        &chunk(b"VP8X", &canvas),
        pictures,
        &chunk(b"EXIF", &exif()),
        &chunk(b"XMP ", &xmp()),
        &chunk(b"CNRY", CANARY),
    ]
    .concat();
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

/// With extensions behind its palette and before its end.
fn with_extensions(gif: &[u8]) -> Vec<u8> {
    let palette = if gif[10] & 0x80 == 0 {
        0
    } else {
        3 << ((gif[10] & 7) + 1)
    };
    let (header, rest) = gif.split_at(13 + palette);
    let (frames, end) = rest.split_at(rest.len() - 1);
    let extensions = [
        &b"\x21\xfe\x06CANARY\0"[..],
        b"\x21\xff\x0bXMP DataXMP\x06CANARY\0",
        b"\x21\xff\x0bCANARYAPP01\x06CANARY\0",
        b"\x21\x01\x0c\0\0\0\0\x08\0\x08\0\x08\x08\0\x01\x06CANARY\0",
    ]
    .concat();
    [header, &extensions, frames, &extensions, end, CANARY].concat()
}

/// One pixel in a strip, described in every way.
fn tiff_file() -> Vec<u8> {
    tiff(
        vec![
            short(0x0100, 1),
            short(0x0101, 1),
            short(0x0102, 8),
            short(0x0103, 1),
            short(0x0106, 1),
            long(0x0111, 8),
            short(0x0115, 1),
            short(0x0116, 1),
            long(0x0117, 1),
            (700, BYTE, xmp()),
            (33_723, UNDEFINED, iptc()),
            (34_377, UNDEFINED, resources()),
            (37_724, UNDEFINED, b"Adobe Photoshop CANARY".to_vec()),
        ],
        false,
    )
}

/// Before six bytes.
const OWN_BOX: &[u8] = b"\0\0\0\x1euuid0123456789abcdef";

fn avif() -> Vec<u8> {
    let avif = rendered(&quarters(64, 32), "format=avif").bytes;
    let data = avif.windows(4).position(|name| name == b"mdat").unwrap() + 4;
    let mut file = avif_serialize::Aviffy::new();
    file.set_exif(exif());
    let avif = file.to_vec(&avif[data..], None, 64, 32, 8);
    [&avif[..], OWN_BOX, CANARY].concat()
}

/// With a box of somebody's own at its end.
fn animated_avif() -> Vec<u8> {
    let avif = include_bytes!("../../../../tests/pictures/animated_alpha.avif");
    [&avif[..], OWN_BOX, CANARY].concat()
}

/// A codestream of one colour among boxes.
fn jxl() -> Vec<u8> {
    let boxed = |name: &[u8; 4], body: &[u8]| {
        let length = (body.len() as u32 + 8).to_be_bytes();
        [&length[..], name, body].concat()
    };
    let codestream =
        b"\xff\x0a\xc1\x41\x24\x08\0\x01\0\x50\0\x4b\x18\x8b\x15\0\xd4\x88\x41\x19\x63\
        \x1e\x40\x3c\x18\x98\x0a\0\xc8\xe3\x54";
    [
        boxed(b"JXL ", b"\r\n\x87\n"),
        boxed(b"ftyp", b"jxl \0\0\0\0jxl "),
        boxed(b"Exif", &[&[0; 4], &exif()[..]].concat()),
        boxed(b"xml ", &xmp()),
        boxed(b"jumb", CANARY),
        boxed(b"jxlc", codestream),
    ]
    .concat()
}

/// Every kind of source, animations among them.
pub(crate) fn sources() -> Vec<(&'static str, Vec<u8>)> {
    let still = rendered(&quarters(64, 32), "format=webp").bytes;
    let gif = animated_gif(64, 32, Some(gif::Repeat::Infinite));
    let moving = rendered(&gif, "format=webp").bytes;
    vec![
        ("a JPEG", jpeg()),
        ("a PNG", with_texts(&quarters(64, 32))),
        ("an animated PNG", with_texts(&animated_png())),
        ("a WebP", with_chunks(&still)),
        ("an animated WebP", with_chunks(&moving)),
        ("an animated GIF", with_extensions(&gif)),
        ("a TIFF", tiff_file()),
        ("an AVIF", avif()),
        ("an animated AVIF", animated_avif()),
        ("a JPEG XL", jxl()),
        (
            "a HEIC",
            include_bytes!("../canaries/picture.heic").to_vec(),
        ),
    ]
}
