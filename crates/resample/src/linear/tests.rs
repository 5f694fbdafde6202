use super::*;

fn whole(width: u32, height: u32) -> Region {
    Region {
        left: 0.0,
        top: 0.0,
        width: width.into(),
        height: height.into(),
    }
}

fn resized(
    (width, height): (u32, u32),
    channels: usize,
    data: &[u8],
    region: Region,
    size: (u32, u32),
) -> Vec<u8> {
    let samples = Samples {
        width,
        height,
        channels,
        data,
    };
    resize_light(samples, region, size, Filter::between(region, size)).unwrap()
}

proptest::proptest! {
    #[test]
    fn one_colour_stays_it(
        size in (1_u32..60, 1_u32..60),
        target in (1_u32..60, 1_u32..60),
        colour in proptest::array::uniform4(0_u8..=255),
        channels in proptest::sample::select(vec![1_usize, 3, 4]),
        part in (0.0_f64..0.9, 0.0_f64..0.9),
    ) {
        let [red, green, blue, _] = colour;
        let colour = &[red, green, blue, 255][..channels];
        let data = colour.repeat((size.0 * size.1) as usize);
        let (width, height) = (f64::from(size.0), f64::from(size.1));
        let region = Region {
            left: part.0 * width,
            top: part.1 * height,
            width: width * (1.0 - part.0),
            height: height * (1.0 - part.1),
        };
        let found = resized(size, channels, &data, region, target);
        let expected = colour.repeat((target.0 * target.1) as usize);
        proptest::prop_assert_eq!(found, expected);
    }
}

#[test]
fn black_and_white_give_half_of_the_light() {
    // A chessboard whose fields are single pixels: 188 shines half as bright as 255.
    let board: Vec<u8> = (0..64 * 64)
        .map(|at| if (at % 64 + at / 64) % 2 == 0 { 0 } else { 255 })
        .collect();
    let found = resized((64, 64), 1, &board, whole(64, 64), (16, 16));
    assert!(
        found.iter().all(|sample| sample.abs_diff(188) <= 1),
        "{found:?}"
    );
}

#[test]
fn what_cannot_be_seen_has_no_colour() {
    let data = [255_u8, 0, 0, 0, 0, 0, 255, 255];
    let found = resized((2, 1), 4, &data, whole(2, 1), (1, 1));
    assert_eq!(found, [0, 0, 255, 128]);
    let clear = resized((2, 1), 4, &[9, 9, 9, 0, 8, 8, 8, 0], whole(2, 1), (1, 1));
    assert_eq!(clear, [0; 4]);
}

#[test]
fn a_part_is_taken_where_it_lies() {
    let data: Vec<u8> = (0..100).flat_map(|value| [value; 3]).collect();
    let region = Region {
        left: 40.0,
        width: 20.0,
        ..whole(100, 1)
    };
    assert_eq!(resized((100, 1), 3, &data, region, (20, 1)), data[120..180]);
    let rows: Vec<u8> = (0..100).collect();
    let region = Region {
        top: 40.0,
        height: 20.0,
        ..whole(1, 100)
    };
    assert_eq!(resized((1, 100), 1, &rows, region, (1, 20)), rows[40..60]);
}

#[test]
fn contradictions_are_errors() {
    let samples = |channels, data| Samples {
        width: 2,
        height: 2,
        channels,
        data,
    };
    for samples in [
        samples(3, &[0_u8; 11][..]),
        samples(2, &[0; 8]),
        samples(1, &[]),
    ] {
        assert!(resize_light(samples, whole(2, 2), (1, 1), Filter::Lanczos3).is_err());
    }
}
