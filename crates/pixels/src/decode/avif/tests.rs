use super::*;
use crate::decode::Plays;
use crate::encode::avif::Encoders;
use crate::encode::{self, Target};
use crate::heif::tests::boxed;

/// The pixels at some places are within a few steps of those of libavif.
fn assert_near(raster: &Raster, expected: &[((u32, u32), &[u8])]) {
    for ((x, y), expected) in expected {
        let at = (y * raster.width + x) as usize * raster.channels;
        let found = &raster.data[at..at + raster.channels];
        let near = found.len() == expected.len()
            && found
                .iter()
                .zip(*expected)
                .all(|(a, b)| a.abs_diff(*b) <= 8);
        assert!(near, "{found:?} at {x}, {y} is not {expected:?}");
    }
}

fn decoded(source: &[u8]) -> Raster {
    let header = crate::inspect(source, &Limits::default()).unwrap();
    decode(
        source,
        &header,
        Gamuts::Srgb,
        &Limits::default(),
        &Cancel::never(),
    )
    .unwrap()
}

#[test]
fn depths_subsamplings_and_ranges_give_the_same_colours() {
    macro_rules! picture {
        ($name:literal) => {
            include_bytes!(concat!("../../../../../tests/pictures/", $name)).as_slice()
        };
    }
    for (source, expected) in [
        (
            // BT.709, 10 bits, 4:2:0, limited range.
            picture!("ten_bits.avif"),
            [
                ((10, 8), &[200, 30, 40][..]),
                ((60, 8), &[20, 180, 60]),
                ((10, 32), &[30, 60, 210]),
                ((60, 32), &[128, 128, 128]),
            ],
        ),
        (
            picture!("gray_limited.avif"),
            [
                ((3, 3), &[57, 57, 57][..]),
                ((59, 3), &[70, 70, 70]),
                ((3, 57), &[118, 118, 118]),
                ((59, 57), &[149, 149, 149]),
            ],
        ),
        (
            picture!("subsampled_422.avif"),
            [
                ((3, 3), &[12, 58, 169][..]),
                ((59, 3), &[82, 56, 90]),
                ((3, 57), &[17, 175, 84]),
                ((59, 57), &[80, 175, 175]),
            ],
        ),
        (
            picture!("subsampled_444.avif"),
            [
                ((3, 3), &[12, 57, 173][..]),
                ((59, 3), &[83, 56, 86]),
                ((3, 57), &[16, 175, 88]),
                ((59, 57), &[81, 175, 171]),
            ],
        ),
        (
            // As stored: it is turned by a step.
            picture!("orientation_6.avif"),
            [
                ((3, 3), &[10, 57, 174][..]),
                ((36, 3), &[57, 57, 19]),
                ((3, 20), &[8, 94, 222]),
                ((36, 20), &[55, 94, 63]),
            ],
        ),
    ] {
        assert_near(&decoded(source), &expected);
    }
    let turned = crate::inspect(picture!("orientation_6.avif"), &Limits::default()).unwrap();
    assert_eq!(
        (turned.width, turned.height, turned.orientation),
        (24, 40, 6)
    );
}

/// An item of a file made here.
struct Piece {
    kind: [u8; 4],
    size: (u32, u32),
    properties: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

/// A file of these items, of which the first is shown; their numbers begin with 1, and each lies in
/// two extents of `idat`.
fn file(pieces: &[Piece], references: &[([u8; 4], u8, &[u8])]) -> Vec<u8> {
    let (mut infos, mut declared) = (vec![0, 0, 0, 0, 0, pieces.len() as u8], Vec::new());
    let mut associations = numbers(&[0, pieces.len() as u32]);
    let mut places = vec![1, 0, 0, 0, 0x44, 0, 0, pieces.len() as u8];
    let mut property = 0;
    let mut bytes = Vec::new();
    for (piece, id) in pieces.iter().zip(1..) {
        let info = [&[2, 0, 0, 0, 0, id, 0, 0], &piece.kind[..], &[0]].concat();
        infos.extend(boxed(*b"infe", &info));
        let ispe = boxed(*b"ispe", &numbers(&[0, piece.size.0, piece.size.1]));
        associations.extend([0, id, piece.properties.len() as u8 + 1]);
        for body in [&[ispe], piece.properties.as_slice()].concat() {
            property += 1;
            associations.push(property);
            declared.extend(body);
        }
        let (first, half) = (bytes.len() as u32, piece.bytes.len() as u32 / 2);
        places.extend([0, id, 0, 1, 0, 0, 0, 2]);
        let rest = piece.bytes.len() as u32 - half;
        places.extend(numbers(&[first, half, first + half, rest]));
        bytes.extend(&piece.bytes);
    }
    let references: Vec<u8> = references
        .iter()
        .flat_map(|(kind, from, to)| {
            let to = to.iter().flat_map(|to| [0, *to]);
            let head = [0, *from, 0, to.clone().count() as u8 / 2];
            boxed(*kind, &head.into_iter().chain(to).collect::<Vec<u8>>())
        })
        .collect();
    let properties = [boxed(*b"ipco", &declared), boxed(*b"ipma", &associations)].concat();
    let meta = [
        vec![0; 4],
        boxed(*b"pitm", &[0, 0, 0, 0, 0, 1]),
        boxed(*b"iinf", &infos),
        boxed(*b"iloc", &places),
        boxed(*b"iref", &[&[0; 4], references.as_slice()].concat()),
        boxed(*b"iprp", &properties),
        boxed(*b"idat", &bytes),
    ];
    let meta = boxed(*b"meta", &meta.concat());
    [boxed(*b"ftyp", b"avif\0\0\0\0"), meta].concat()
}

fn alpha_kind() -> Vec<u8> {
    boxed(
        *b"auxC",
        b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
    )
}

/// The AV1 of a picture of one colour, and that of its alpha.
fn coded(size: (u32, u32), colour: [u8; 4]) -> (Vec<u8>, Vec<u8>) {
    let pixels = colour.repeat(size.0 as usize * size.1 as usize);
    let raster = Raster::new(size.0, size.1, 4, pixels);
    let encoders = Encoders::find(Some("/nowhere".as_ref()));
    let bytes = encode::picture(
        raster,
        Target::Avif { quality: 95 },
        None,
        &crate::metadata::Metadata::default(),
        &encoders,
        &Cancel::never(),
    )
    .unwrap();
    let heif = Heif::read(&bytes).unwrap();
    let alpha = heif.alpha_of(heif.primary).unwrap();
    let bytes = |item| heif.bytes(item).unwrap().into_owned();
    (bytes(heif.primary), bytes(alpha))
}

/// Two by two tiles of 64 by 64 pixels, of which 100 by 90 are shown.
fn grid(rows: u8, tiles: &[u8]) -> Vec<u8> {
    let colours = [
        [200, 30, 40, 255],
        [20, 180, 60, 200],
        [30, 60, 210, 100],
        [128, 128, 128, 50],
    ];
    let mut pieces = vec![Piece {
        kind: *b"grid",
        size: (100, 90),
        properties: Vec::new(),
        bytes: vec![0, 0, rows - 1, 1, 0, 100, 0, 90],
    }];
    let (tile_colours, tile_alphas): (Vec<_>, Vec<_>) = colours
        .iter()
        .map(|colour| coded((64, 64), *colour))
        .unzip();
    let tile = |bytes, properties| Piece {
        kind: *b"av01",
        size: (64, 64),
        properties,
        bytes,
    };
    pieces.extend(
        tile_colours
            .into_iter()
            .map(|bytes| tile(bytes, Vec::new())),
    );
    pieces.extend(
        tile_alphas
            .into_iter()
            .map(|bytes| tile(bytes, vec![alpha_kind()])),
    );
    let mut references = vec![(*b"dimg", 1, tiles)];
    let alphas: [(u8, &[u8]); 4] = [(6, &[2]), (7, &[3]), (8, &[4]), (9, &[5])];
    references.extend(alphas.map(|(from, to)| (*b"auxl", from, to)));
    file(&pieces, &references)
}

#[test]
fn tiles_lie_side_by_side_with_their_alpha() {
    let raster = decoded(&grid(2, &[2, 3, 4, 5]));
    assert_eq!(raster.size(), (100, 90));
    assert_near(
        &raster,
        &[
            ((32, 32), &[200, 30, 40, 255]),
            ((63, 63), &[200, 30, 40, 255]),
            ((64, 0), &[20, 180, 60, 200]),
            ((0, 64), &[30, 60, 210, 100]),
            ((99, 89), &[128, 128, 128, 50]),
        ],
    );
}

#[test]
fn a_grid_which_does_not_fit_is_refused() {
    for (rows, tiles) in [
        (2, &[2, 3, 4][..]),
        (1, &[2, 3]),
        (2, &[2, 3, 4, 99]),
        // Its own tile.
        (2, &[2, 3, 4, 1]),
        (3, &[2, 3, 4, 5, 2, 3]),
    ] {
        let file = grid(rows, tiles);
        let header = crate::inspect(&file, &Limits::default()).unwrap();
        let outcome = decode(
            &file,
            &header,
            Gamuts::Srgb,
            &Limits::default(),
            &Cancel::never(),
        );
        assert!(
            matches!(outcome, Err(Error::Corrupt(_))),
            "{rows} {tiles:?}"
        );
    }
}

#[test]
fn premultiplied_colours_are_divided_by_their_alpha() {
    let (colour, alpha) = coded((16, 16), [100, 50, 20, 128]);
    let piece = |bytes, properties| Piece {
        kind: *b"av01",
        size: (16, 16),
        properties,
        bytes,
    };
    let pieces = [piece(colour, Vec::new()), piece(alpha, vec![alpha_kind()])];
    let auxiliary: ([u8; 4], u8, &[u8]) = (*b"auxl", 2, &[1]);
    let straight = decoded(&file(&pieces, &[auxiliary]));
    assert_near(&straight, &[((8, 8), &[100, 50, 20, 128])]);
    let premultiplied = decoded(&file(&pieces, &[auxiliary, (*b"prem", 1, &[2])]));
    assert_near(&premultiplied, &[((8, 8), &[199, 100, 40, 128])]);
}

#[test]
fn a_sequence_has_its_pictures_alpha_delays_and_no_end() {
    let source = include_bytes!("../../../../../tests/pictures/animated_alpha.avif");
    let header = crate::inspect(source, &Limits::default()).unwrap();
    assert_eq!((header.width, header.height, header.frames), (63, 61, 4));
    let mut frames = Frames::new(source, &header).unwrap();
    assert_eq!(frames.plays(), Plays::Forever);
    for (delay, expected) in [
        (
            50,
            [[17, 64, 171, 237], [50, 117, 150, 128], [22, 159, 83, 216]],
        ),
        (
            100,
            [[78, 60, 76, 22], [50, 116, 143, 126], [16, 71, 188, 213]],
        ),
        (
            150,
            [[78, 173, 187, 19], [48, 117, 138, 126], [75, 73, 76, 40]],
        ),
        (
            200,
            [[19, 171, 80, 235], [47, 117, 143, 127], [71, 161, 177, 43]],
        ),
    ] {
        let frame = frames.next(&Cancel::never()).unwrap().unwrap();
        assert_eq!(frame.delay, delay);
        let [a, b, c] = &expected;
        assert_near(&frame.raster, &[((5, 5), a), ((31, 30), b), ((10, 50), c)]);
    }
    assert!(frames.next(&Cancel::never()).unwrap().is_none());
}
