//! The acceptance table of transformations.md, sections 11.1 to 11.4, and those rows of 11.6 which
//! bytes alone decide. Numbers are those of its rows.

use std::collections::HashMap;

use model::{Limits, MediaType, Transform};
use pixels::{Accepts, Cancel, Engine, Error, Rendition, Request, Warning, inspect};

use crate::pictures::{Picture, frame_marker, png, with_segment};

const NONE: Accepts = Accepts {
    avif: false,
    webp: false,
};
const WEBP: Accepts = Accepts {
    avif: false,
    webp: true,
};
const AVIF: Accepts = Accepts {
    avif: true,
    webp: true,
};

/// Row, source, options, what the client accepts, size, format, warning.
const TABLE: &str = "
  1 | jpeg 1080x720    | width=500,height=500 | none | 500x333 | jpeg |
  2 | jpeg 1080x720    | fit=scale-down,width=500,height=500 | none | 500x333 | jpeg |
  3 | jpeg 1080x720    | width=2000,height=2000 | none | 1080x720 | jpeg |
  4 | jpeg 1080x720    | w=500 | none | 500x333 | jpeg |
  5 | jpeg 1080x720    | h=500 | none | 750x500 | jpeg |
  6 | jpeg 1080x720    | width=2000 | none | 1080x720 | jpeg |
  7 | png 200x100      | width=400,fit=scale-down | none | 200x100 | jpeg |
  8 | png 200x100      | width=50,height=50,fit=contain | none | 50x25 | jpeg |
  9 | png 200x100      | width=50,height=50,fit=cover | none | 50x50 | jpeg |
 10 | jpeg 1080x720    | width=2000,height=2000,fit=contain | none | 2000x1333 | jpeg |
 11 | jpeg 1080x720    | width=2160,fit=contain | none | 2160x1440 | jpeg |
 12 | jpeg 100x50      | height=200,fit=contain | none | 400x200 | jpeg |
 13 | jpeg 1080x720    | width=500,height=500,fit=cover | none | 500x500 | jpeg |
 14 | jpeg 1080x720    | width=2000,height=2000,fit=cover | none | 2000x2000 | jpeg |
 15 | webp 1500x1000   | width=320,fit=cover | none | 320x213 | jpeg | cover fit mode needs both width and height
 16 | jpeg 1080x720    | width=1296,height=1296,fit=crop | none | 1080x720 | jpeg |
 17 | jpeg 1080x720    | width=500,height=500,fit=crop | none | 500x500 | jpeg |
 18 | jpeg 1000x300    | width=500,height=500,fit=crop | none | 500x300 | jpeg |
 19 | jpeg 612x613     | width=1920,height=1120,fit=aspect-crop | none | 612x357 | jpeg |
 20 | jpeg 1080x720    | width=500,height=500,fit=aspect-crop | none | 500x500 | jpeg |
 21 | jpeg 400x400     | width=1600,height=900,fit=aspect-crop | none | 400x225 | jpeg |
 22 | jpeg 1080x720    | width=1080,height=1080,fit=pad | none | 1080x1080 | jpeg |
 23 | jpeg 1080x720    | width=1080,height=900,fit=pad,background=red | none | 1080x900 | jpeg |
 24 | png 200x100      | width=100,height=100,fit=pad,format=png-force | none | 100x100 | png |
 26 | jpeg 50x50       | width=200,height=100,fit=pad | none | 200x100 | jpeg |
 27 | jpeg 1080x720    | width=1080,height=540,fit=squeeze | none | 1080x540 | jpeg |
 28 | jpeg 1080x1080   | width=1080,height=540,fit=squeeze | none | 1080x540 | jpeg |
 29 | jpeg 100x100     | width=300,fit=squeeze | none | 300x100 | jpeg |
 30 | jpeg 1080x720    | width=500,height=500,fit=scale-up | none | 1080x720 | jpeg |
 31 | jpeg 400x200     | width=800,height=800,fit=scale-up | none | 800x400 | jpeg |
 32 | jpeg 1000x100    | width=500,height=500,fit=scale-up | none | 1000x100 | jpeg |
 33 | jpeg 1200x800    | width=300,height=200,dpr=2 | none | 600x400 | jpeg |
 34 | jpeg 400x300     | width=300,height=200,dpr=2 | none | 400x300 | jpeg |
 35 | jpeg 1200x800    | dpr=2 | none | 1200x800 | jpeg |
 36 | jpeg 1200x800    | width=300,dpr=1.5 | none | 450x300 | jpeg |
 37 | jpeg 4000x3000   | width=500,dpr=100 | none | 1000x750 | jpeg | dpr is above the maximum and was lowered
 38 | jpeg 1200x800    | width=300,height=300,fit=cover,dpr=2 | none | 600x600 | jpeg |
 39 | jpeg 5000x7      | width=100 | none | 100x1 | jpeg |
 40 | jpeg 1080x720    | quality=50 | none | 1080x720 | jpeg |
 42 | jpeg 1200x800    | rotate=90 | none | 800x1200 | jpeg |
 43 | jpeg 1200x800    | rotate=90,width=400 | none | 400x600 | jpeg |
 44 | jpeg 1200x800    | rotate=270,width=400,height=400,fit=cover | none | 400x400 | jpeg |
 45 | jpeg 1200x800    | rotate=180,width=600 | none | 600x400 | jpeg |
 49 | jpeg 1000x800    | trim=20;30;20;0 | none | 970x760 | jpeg |
 50 | jpeg 1000x800    | trim=0.1;0.2;0.1;0.2 | none | 600x640 | jpeg |
 51 | jpeg 1000x800    | trim.top=0.25 | none | 1000x600 | jpeg |
 52 | jpeg 1000x1200   | trim.height=800 | none | 1000x800 | jpeg |
 53 | jpeg 1000x800    | trim.left=800 | none | 200x800 | jpeg |
 54 | jpeg 1000x1000   | trim.width=678,trim.height=678,trim.left=30,trim.top=40 | none | 678x678 | jpeg |
 55 | jpeg 1000x800    | trim=20;30;20;0,width=485 | none | 485x380 | jpeg |
 56 | jpeg 1000x800    | trim=10;10;10;10,dpr=2 | none | 960x760 | jpeg |
 69 | jpeg 1080x720    | width=320,format=auto | avif | 320x213 | avif |
 70 | jpeg 1080x720    | width=320,format=auto | webp | 320x213 | webp |
 71 | jpeg 1080x720    | width=320,f=auto | none | 320x213 | jpeg |
 73 | jpeg 4000x3000   | width=1600,format=auto | avif | 1600x1200 | webp | image too large for AVIF
 74 | jpeg 4000x3000   | width=1200,format=auto | avif | 1200x900 | avif |
 75 | jpeg 4000x3000   | width=1600,format=avif | none | 1600x1200 | avif |
 76 | jpeg 4000x3000   | width=2000,format=avif | none | 2000x1500 | jpeg | image too large for AVIF
 76 | jpeg 4000x3000   | width=2000,format=avif | webp | 2000x1500 | webp | image too large for AVIF
 77 | png 400x300      | width=200 | none | 200x150 | jpeg |
 78 | clear-png 400x300 | width=200 | none | 200x150 | png |
 79 | clear-png 400x300 | width=200,background=white | none | 200x150 | jpeg |
 80 | clear-png 400x300 | format=jpeg | none | 400x300 | jpeg |
 81 | webp 1500x1000   | width=abc,onerror=redirect | none | 1500x1000 | jpeg |
 93 | jpeg 1080x720    | compression=fast,format=avif | none | 1080x720 | jpeg |
";

/// Red says how far to the right, green how far down, in 255ths.
fn map(width: u32, height: u32, alpha: u8) -> Vec<u8> {
    let part = |at: u32, whole: u32| (at * 255 / (whole - 1).max(1)) as u8;
    png(width, height, |x, y| {
        [part(x, width), part(y, height), 90, alpha]
    })
}

fn gif(side: u16, frames: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let palette = [200, 30, 30, 30, 200, 30, 30, 30, 200, 240, 240, 240];
    let mut encoder = gif::Encoder::new(&mut bytes, side, side, &palette).unwrap();
    encoder.set_repeat(gif::Repeat::Finite(3)).unwrap();
    let pixels = usize::from(side) * usize::from(side);
    for frame in 0..frames {
        let mut frame = gif::Frame {
            width: side,
            height: side,
            delay: 5 + frame % 7,
            buffer: vec![(frame % 4) as u8; pixels].into(),
            ..gif::Frame::default()
        };
        frame.make_lzw_pre_encoded();
        encoder.write_lzw_pre_encoded_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

/// Makes the sources which rows name, each once.
#[derive(Default)]
struct Sources(HashMap<&'static str, Vec<u8>>);

impl Sources {
    /// `FORMAT WIDTHxHEIGHT`; `clear-png` is translucent.
    fn get(&mut self, name: &'static str) -> &[u8] {
        self.0.entry(name).or_insert_with(|| {
            let (format, size) = name.split_once(' ').unwrap();
            let (width, height) = size.split_once('x').unwrap();
            let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
            match format {
                "png" => map(width, height, 255),
                "clear-png" => map(width, height, 128),
                _ => {
                    let options = format!("quality=90,format={format}");
                    render(&map(width, height, 255), &options, NONE).bytes
                }
            }
        })
    }
}

fn try_render(source: &[u8], options: &str, accepts: Accepts) -> Result<Rendition, Error> {
    let transform: Transform = options.parse().unwrap();
    let request = Request {
        source,
        transform: &transform,
        accepts,
    };
    Engine::default().render(&request, &Cancel::never())
}

fn render(source: &[u8], options: &str, accepts: Accepts) -> Rendition {
    try_render(source, options, accepts).unwrap_or_else(|error| panic!("{options}: {error}"))
}

#[track_caller]
fn near(row: u32, found: [u8; 4], expected: [u8; 4], tolerance: u8) {
    let near = found
        .iter()
        .zip(expected)
        .all(|(a, b)| a.abs_diff(b) <= tolerance);
    assert!(near, "row {row}: {found:?} and not {expected:?}");
}

#[test]
fn sizes_formats_and_warnings_are_those_of_the_table() {
    let mut sources = Sources::default();
    // What is made is larger than what is taken in.
    let limits = Limits {
        avif_side_max: 12_000,
        ..Limits::default()
    };
    let mut rows = 0;
    for line in TABLE.trim().lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [row, source, options, accepts, size, format, warning] = cells[..] else {
            panic!("{line}");
        };
        let accepts = match accepts {
            "avif" => AVIF,
            "webp" => WEBP,
            _ => NONE,
        };
        let rendition = render(sources.get(source), options, accepts);
        let header = inspect(&rendition.bytes, &limits).unwrap();
        let claimed = format!("{}x{}", rendition.width, rendition.height);
        assert_eq!(claimed, size, "row {row}");
        assert_eq!(
            format!("{}x{}", header.width, header.height),
            size,
            "row {row}"
        );
        assert_eq!(
            rendition.format.as_str(),
            format!("image/{format}"),
            "row {row}"
        );
        assert_eq!(
            header.format.as_str(),
            format!("image/{format}"),
            "row {row}"
        );
        let warnings: Vec<String> = rendition.warnings.iter().map(Warning::to_string).collect();
        assert_eq!(warnings.join("; "), warning, "row {row}");
        rows += 1;
    }
    assert_eq!(rows, 65);
    for (row, source, options, marker) in [
        (83, "jpeg 1080x720", "format=jpeg", 0xc2),
        (84, "jpeg 1080x720", "format=baseline-jpeg", 0xc0),
        (
            85,
            "jpeg 1080x720",
            "format=jpeg,width=40,height=40,fit=cover",
            0xc0,
        ),
        (86, "jpeg 4000x3000", "format=jpeg", 0xc0),
    ] {
        let rendition = render(sources.get(source), options, NONE);
        assert_eq!(frame_marker(&rendition.bytes), marker, "row {row}");
    }
}

#[test]
fn pixels_lie_where_the_table_says() {
    let mut sources = Sources::default();
    // Row 13: 125 of 750 pixels are cut left and right.
    let cover = render(
        sources.get("jpeg 1080x720"),
        "width=500,height=500,fit=cover",
        NONE,
    );
    let cover = Picture::of(&cover.bytes);
    near(13, cover.at(0, 0), [42, 0, 90, 255], 5);
    near(13, cover.at(499, 499), [212, 255, 90, 255], 5);

    for (row, source, options, outside, inside, colour) in [
        (
            22,
            "jpeg 1080x720",
            "width=1080,height=1080,fit=pad",
            (540, 176),
            (540, 184),
            [255; 4],
        ),
        (
            23,
            "jpeg 1080x720",
            "width=1080,height=900,fit=pad,background=red",
            (540, 86),
            (540, 94),
            [255, 0, 0, 255],
        ),
        (
            24,
            "png 200x100",
            "width=100,height=100,fit=pad,format=png-force",
            (0, 0),
            (50, 26),
            [255; 4],
        ),
        (
            25,
            "png 200x100",
            "width=100,height=100,fit=pad,background=%2300ff00,format=png-force",
            (0, 0),
            (50, 26),
            [0, 255, 0, 255],
        ),
        (
            26,
            "jpeg 50x50",
            "width=200,height=100,fit=pad",
            (44, 50),
            (56, 50),
            [255; 4],
        ),
    ] {
        let shown = Picture::of(&render(sources.get(source), options, NONE).bytes);
        near(row, shown.at(outside.0, outside.1), colour, 6);
        assert!(shown.at(inside.0, inside.1)[2] < 130, "row {row}");
    }

    // Row 42: what was at the upper left is at the upper right.
    let turned = render(sources.get("jpeg 1200x800"), "rotate=90", NONE);
    near(
        42,
        Picture::of(&turned.bytes).at(799, 0),
        [0, 0, 90, 255],
        5,
    );
    // Row 54: the region starts at (30, 40).
    let options = "trim.width=678,trim.height=678,trim.left=30,trim.top=40";
    let region = render(sources.get("jpeg 1000x1000"), options, NONE);
    near(54, Picture::of(&region.bytes).at(0, 0), [7, 10, 90, 255], 4);
    // Row 62: the first row is row 320 of the source.
    let options = "width=1080,height=400,fit=cover,gravity=bottom";
    let bottom = render(sources.get("jpeg 1080x720"), options, NONE);
    near(
        62,
        Picture::of(&bottom.bytes).at(0, 0),
        [0, 113, 90, 255],
        4,
    );
    // Row 80: half transparent becomes half white.
    let flat = render(sources.get("clear-png 400x300"), "format=jpeg", NONE);
    near(
        80,
        Picture::of(&flat.bytes).at(0, 0),
        [127, 127, 172, 255],
        5,
    );
}

#[test]
fn columns_are_cut_where_gravity_says() {
    // The column is in red, and its high bits in green.
    let columns = png(900, 900, |x, _| [x as u8, (x >> 8) as u8 * 80, 0, 255]);
    for (row, gravity, first) in [
        (65, "gravity=0.33x0.5,", 198),
        (66, "g=0x1,", 0),
        (67, "", 300),
    ] {
        let options = format!("{gravity}width=300,height=900,fit=cover,format=png-force");
        let shown = Picture::of(&render(&columns, &options, NONE).bytes);
        let pixel = shown.at(0, 400);
        let column = u32::from(pixel[0]) + u32::from(pixel[1]) / 80 * 256;
        assert_eq!(column, first, "row {row}");
    }
    let halves = png(
        200,
        100,
        |_, y| if y < 50 { [255; 4] } else { [255, 0, 0, 255] },
    );
    for (row, gravity, colour) in [(63, "top", [255; 4]), (64, "bottom", [255, 0, 0, 255])] {
        let options = format!("width=200,height=20,fit=cover,gravity={gravity},format=png-force");
        let shown = Picture::of(&render(&halves, &options, NONE).bytes);
        let all = shown.data.chunks(4).all(|pixel| pixel == colour);
        assert!(all, "row {row}");
    }
}

/// Row 46: flip comes before rotate, wherever they stand.
#[test]
fn the_order_of_options_does_not_matter() {
    let corners = png(4, 2, |x, y| [(x / 2 * 200) as u8, (y * 200) as u8, 77, 255]);
    let one = render(&corners, "flip=h,rotate=90,format=png-force", NONE);
    let other = render(&corners, "rotate=90,flip=h,format=png-force", NONE);
    assert_eq!(one.bytes, other.bytes);
    assert_eq!((one.width, one.height), (2, 4));
    // Mirrored, the right corners are left; turned clockwise, the lower left one is upper left.
    near(46, Picture::of(&one.bytes).at(0, 0), [200, 200, 77, 255], 0);
}

#[test]
fn borders_are_trimmed_as_the_table_says() {
    let framed = |shade: fn(u32, u32) -> u8| {
        png(100, 100, move |x, y| {
            if (20..80).contains(&x) && (30..70).contains(&y) {
                [255, 0, 0, 255]
            } else {
                let shade = shade(x, y);
                [shade, shade, shade, 255]
            }
        })
    };
    let white = framed(|_, _| 255);
    let varied = framed(|x, y| 250 + ((x * 7 + y * 3) % 6) as u8);
    for (row, source, options, size) in [
        (58, &white, "trim=border", (60, 40)),
        (59, &white, "trim=border,trim.border.keep=5", (70, 50)),
        (60, &white, "trim.border.color=%23000000", (100, 100)),
        (61, &varied, "trim=border,trim.border.tolerance=5", (60, 40)),
    ] {
        let rendition = render(source, options, NONE);
        assert_eq!((rendition.width, rendition.height), size, "row {row}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let mut sources = Sources::default();
    // Row 41.
    let error = try_render(
        sources.get("jpeg 1000x10000"),
        "fit=contain,width=5000",
        NONE,
    );
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("5000×50000") && text.contains("12000"),
        "{text}"
    );
    // Row 57.
    let error = try_render(sources.get("jpeg 1000x800"), "trim=400;0;400;0", NONE);
    assert_eq!(error.unwrap_err(), Error::Empty);
    // Rows 88 and 89.
    for format in ["jpg", "mp4"] {
        let error = format!("format={format}").parse::<Transform>().unwrap_err();
        let expected = format!(
            "'{format}' is not a supported output format. Use 'jpeg', 'webp', 'avif', or 'json'"
        );
        assert_eq!(error.to_string(), expected);
    }
    // Row 137.
    let html = b"<!doctype html><html><body>Not found</body></html>";
    assert_eq!(
        try_render(html, "width=5", NONE).unwrap_err(),
        Error::NotAnImage
    );
    // Rows 138 and 139: refused when they come in.
    for (bytes, format) in [
        (&b"II\x2a\0\x08\0\0\0"[..], MediaType::Tiff),
        (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", MediaType::Bmp),
    ] {
        let error = Engine::default().verify(bytes, &Cancel::never());
        assert_eq!(error.unwrap_err(), Error::NotAccepted(format));
    }
    // Row 145: judged by the header, before anything is allocated.
    let mut huge = map(8, 8, 255);
    huge[16..20].copy_from_slice(&20_000_u32.to_be_bytes());
    huge[20..24].copy_from_slice(&10_000_u32.to_be_bytes());
    let error = try_render(&huge, "width=5", NONE).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

/// Row 68. There is no detector, so that saliency decides, which finds nothing in one colour.
#[test]
fn without_faces_the_centre_is_kept() {
    let grey = png(300, 200, |_, _| [120, 120, 120, 255]);
    let options = |gravity| format!("width=100,height=100,fit=cover,{gravity}format=png-force");
    let face = render(&grey, &options("gravity=face,"), NONE);
    assert_eq!(face.bytes, render(&grey, &options(""), NONE).bytes);
}

#[test]
fn lossless_webp_and_palettes_are_as_the_table_says() {
    // Row 82.
    let source = map(120, 80, 255);
    let webp = render(&source, "format=webp,quality=100", NONE).bytes;
    assert!(webp.windows(4).any(|chunk| chunk == b"VP8L"));
    assert_eq!(Picture::of(&webp).data, Picture::of(&source).data);
    // Row 87: the colour type is in byte 25, and 3 is a palette.
    let palette = render(&map(120, 80, 128), "quality=50", NONE);
    assert_eq!(palette.format.as_str(), "image/png");
    assert_eq!(palette.bytes[25], 3);
}

#[test]
fn descriptions_are_those_of_the_table() {
    let mut sources = Sources::default();
    for (row, source, format) in [
        (90, "png 200x100", "image/png"),
        (91, "avif 200x100", "image/avif"),
    ] {
        let bytes = sources.get(source);
        let size = bytes.len();
        let json = render(bytes, "width=50,height=50,format=json", NONE);
        let expected = format!(
            "{{\"width\":50,\"height\":25,\"original\":{{\"file_size\":{size},\"width\":200,\
             \"height\":100,\"format\":\"{format}\"}}}}"
        );
        assert_eq!(
            String::from_utf8(json.bytes).unwrap(),
            expected,
            "row {row}"
        );
        assert_eq!(json.format.as_str(), "application/json");
    }
    // Row 92.
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>x()</script><rect width="9" height="9"/></svg>"#;
    let clean = render(svg, "width=50,format=webp", NONE);
    let text = String::from_utf8(clean.bytes).unwrap();
    assert_eq!(clean.format.as_str(), "image/svg+xml");
    assert!(text.contains("<rect") && !text.contains("x()"), "{text}");
}

/// Little-endian EXIF with an orientation, a copyright notice and a place.
fn exif(orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II\x2a\0\x08\0\0\0\x03\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    exif.extend([0x98, 0x82, 2, 0, 11, 0, 0, 0, 50, 0, 0, 0]);
    exif.extend([0x25, 0x88, 4, 0, 1, 0, 0, 0, 62, 0, 0, 0]);
    exif.extend([0; 4]);
    exif.extend(b"(c) Nobody\0\0");
    // One entry: a latitude in the north.
    exif.extend([1, 0, 1, 0, 2, 0, 2, 0, 0, 0, b'N', 0, 0, 0, 0, 0, 0, 0]);
    exif
}

#[test]
fn orientation_and_metadata_are_as_the_table_says() {
    let jpeg = render(&map(1200, 800, 255), "format=jpeg", NONE).bytes;
    // Row 47.
    let turned = render(&with_segment(&jpeg, 0xe1, &exif(6)), "width=400", NONE);
    assert_eq!((turned.width, turned.height), (400, 600));
    near(
        47,
        Picture::of(&turned.bytes).at(399, 0),
        [0, 0, 90, 255],
        6,
    );
    // Row 48.
    let upright = render(&with_segment(&jpeg, 0xe1, &exif(3)), "metadata=none", NONE);
    near(
        48,
        Picture::of(&upright.bytes).at(1199, 799),
        [0, 0, 90, 255],
        6,
    );
    // Rows 94 to 97. A directory of GPS is tag 0x8825.
    let source = with_segment(&jpeg, 0xe1, &exif(3));
    let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    for (row, options, copyright, gps, exif) in [
        (94, "width=100", true, false, true),
        (95, "width=100,metadata=keep", true, true, true),
        (96, "width=100,metadata=none", false, false, false),
        (
            97,
            "width=100,metadata=keep,format=webp",
            false,
            false,
            false,
        ),
    ] {
        let bytes = render(&source, options, NONE).bytes;
        assert_eq!(has(&bytes, b"(c) Nobody"), copyright, "row {row}");
        assert_eq!(has(&bytes, &[0x25, 0x88, 4, 0]), gps, "row {row}");
        assert_eq!(
            has(&bytes, b"Exif") || has(&bytes, b"EXIF"),
            exif,
            "row {row}"
        );
        // The picture stands the right way up, and nothing turns it once more.
        near(row, Picture::of(&bytes).at(99, 66), [0, 0, 90, 255], 8);
    }
}

#[test]
fn animations_are_treated_as_the_table_says() {
    let source = gif(500, 10);
    let engine = Engine::default();
    let mut delays = Vec::new();
    let mut options = gif::DecodeOptions::new();
    options.skip_frame_decoding(true);
    // Row 99.
    let small = render(&source, "width=250", NONE);
    let mut decoder = options.read_info(&small.bytes[..]).unwrap();
    while let Some(frame) = decoder.next_frame_info().unwrap() {
        delays.push(frame.delay);
    }
    assert_eq!(delays, [5, 6, 7, 8, 9, 10, 11, 5, 6, 7]);
    assert_eq!(decoder.repeat(), gif::Repeat::Finite(3));
    for (row, options, accepts, size, frames, format) in [
        (99, "width=250", NONE, 250, 10, MediaType::Gif),
        (100, "width=250,anim=false", NONE, 250, 1, MediaType::Jpeg),
        (101, "width=250,format=auto", WEBP, 250, 10, MediaType::Webp),
        (102, "width=250,format=auto", AVIF, 250, 10, MediaType::Webp),
        (103, "format=auto", NONE, 500, 10, MediaType::Gif),
    ] {
        let rendition = render(&source, options, accepts);
        let header = engine.inspect(&rendition.bytes).unwrap();
        assert_eq!((header.width, header.height), (size, size), "row {row}");
        assert_eq!(
            (header.frames, header.format),
            (frames, format),
            "row {row}"
        );
        near(
            row,
            Picture::of(&rendition.bytes).at(9, 9),
            [200, 30, 30, 255],
            6,
        );
    }
    // Row 106.
    let webp = render(&gif(200, 5), "format=webp", NONE).bytes;
    let small = render(&webp, "width=100,format=webp", NONE);
    let header = engine.inspect(&small.bytes).unwrap();
    assert_eq!(
        (header.width, header.frames, header.format),
        (100, 5, MediaType::Webp)
    );
}

#[test]
fn animations_over_the_limits_are_untouched_or_refused() {
    // Row 104.
    let source = gif(1000, 60);
    let rendition = render(&source, "width=100,format=webp", NONE);
    assert_eq!(rendition.bytes, source);
    assert_eq!(rendition.format.as_str(), "image/gif");
    // Row 105.
    let error = try_render(&gif(1000, 101), "width=100", NONE).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}
