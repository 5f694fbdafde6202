//! Our decoder beside the other one.

use model::Limits;
use proptest::prelude::*;
use turbojpeg_sys as sys;

use super::turbojpeg::{Decompressor, compress_as};
use super::{SCALES, own_limits};
use crate::planes::{Plane, Planes};

/// Waves with some noise on them, so that blocks of all kinds occur.
fn picture((width, height): (u32, u32), noise: u32, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| [(x, 31.0), (y, 47.0), (x + 2 * y, 83.0)])
        .map(|(place, period)| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let wave = 128.0 + 90.0 * (f64::from(place) / period).sin();
            (wave + f64::from(state % (noise + 1)) - f64::from(noise) / 2.0) as u8
        })
        .collect()
}

fn ours(source: &[u8], eighths: u32) -> Result<Planes, ::jpeg::Error> {
    ::jpeg::decode(
        source,
        eighths,
        &own_limits(&Limits::default()),
        &mut || true,
    )
    .map(Planes::from)
}

fn theirs(source: &[u8], eighths: u32) -> Option<Planes> {
    let mut decompressor = Decompressor::new(source, &Limits::default()).ok()?;
    decompressor.scale(eighths).ok()?;
    decompressor.planes().ok()?
}

/// The mean and the largest difference of the samples which both have.
fn difference(ours: &Plane, theirs: &Plane) -> (f64, u8) {
    assert!(ours.width <= theirs.width && ours.height <= theirs.height);
    let rows = theirs.data.chunks_exact(theirs.width as usize);
    let (mut sum, mut largest) = (0.0, 0);
    for (ours, theirs) in ours.data.chunks_exact(ours.width as usize).zip(rows) {
        for (a, b) in ours.iter().zip(theirs) {
            sum += f64::from(a.abs_diff(*b));
            largest = largest.max(a.abs_diff(*b));
        }
    }
    (sum / ours.data.len() as f64, largest)
}

fn differences(ours: &Planes, theirs: &Planes) -> Vec<(f64, u8)> {
    assert_eq!(ours.size(), theirs.size());
    assert_eq!(ours.subsampling, theirs.subsampling);
    let planes = |planes: &Planes| {
        let chroma = planes.chroma.clone().into_iter().flatten();
        std::iter::once(planes.luma.clone())
            .chain(chroma)
            .collect::<Vec<Plane>>()
    };
    let (ours, theirs) = (planes(ours), planes(theirs));
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().zip(&theirs);
    pairs
        .map(|(ours, theirs)| difference(ours, theirs))
        .collect()
}

/// 4:4:4, 4:2:2, 4:2:0, grey, 4:4:0, 4:1:1.
const LAYOUTS: std::ops::Range<i32> = 0..6;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_decoders_see_the_same(
        size in (1_u32..140, 1_u32..90),
        layout in LAYOUTS,
        quality in 1..=100_i32,
        restart in 0..4_i32,
        optimised in any::<bool>(),
        progressive in any::<bool>(),
        noise in prop::sample::select(vec![0_u32, 8, 120]),
        seed in any::<u32>(),
    ) {
        let source = compress_as(&picture(size, noise, seed), size, &[
            (sys::TJPARAM_TJPARAM_SUBSAMP, layout),
            (sys::TJPARAM_TJPARAM_QUALITY, quality),
            (sys::TJPARAM_TJPARAM_RESTARTBLOCKS, restart),
            (sys::TJPARAM_TJPARAM_OPTIMIZE, optimised.into()),
            (sys::TJPARAM_TJPARAM_PROGRESSIVE, progressive.into()),
        ]);
        for eighths in SCALES {
            let ours = ours(&source, eighths).unwrap();
            let theirs = theirs(&source, eighths).unwrap();
            for (mean, largest) in differences(&ours, &theirs) {
                match eighths {
                    1 => prop_assert_eq!(largest, 0),
                    // What lies in the middle is rounded up or, there, as its steps have it.
                    3 | 8 => prop_assert!(largest <= 1 && mean < 0.3 + 200.0 / f64::from(size.0 * size.1), "{}: {}, {}", eighths, mean, largest),
                    // Ours gives edges a tenth more there.
                    2 => prop_assert!(mean < 5.0 + f64::from(noise) / 6.0, "{}: {}", eighths, mean),
                    // The other one also takes parts of higher frequencies in, as a mean of the
                    // samples would have it.
                    _ => prop_assert!(mean < 2.0 + f64::from(noise) / 8.0, "{}: {}", eighths, mean),
                }
            }
        }
    }
}

/// Damage of a few kinds, told by a number.
fn damaged(source: &[u8], number: u32) -> Vec<u8> {
    let mut state = number.wrapping_mul(2_654_435_761) ^ 0x5bd1_e995;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below.max(1)
    };
    let mut bytes = source.to_vec();
    for _ in 0..=next(3) {
        // Half of it near the front, where the tables are.
        let end = if next(2) == 0 {
            bytes.len().min(700)
        } else {
            bytes.len()
        };
        let at = next(end);
        match next(6) {
            0 => bytes[at] ^= 1 << next(8),
            1 => bytes[at] = [0, 0xff, 0x80, 1][next(4)],
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, next(256) as u8),
            4 => bytes.truncate(at.max(2)),
            _ => {
                let length = next(40).min(bytes.len() - at);
                let part = bytes[at..at + length].to_vec();
                let to = next(bytes.len() - length + 1);
                bytes[to..to + length].copy_from_slice(&part);
            }
        }
    }
    bytes
}

#[test]
fn what_we_make_of_damaged_files_the_other_one_makes_of_them() {
    let size = (97, 70);
    let (mut accepted, mut odd) = (0, 0);
    for (layout, restart, progressive) in [
        (2, 0, 0),
        (0, 3, 0),
        (3, 1, 0),
        (1, 0, 0),
        (2, 0, 1),
        (3, 0, 1),
    ] {
        let source = compress_as(
            &picture(size, 30, 7),
            size,
            &[
                (sys::TJPARAM_TJPARAM_SUBSAMP, layout),
                (sys::TJPARAM_TJPARAM_QUALITY, 85),
                (sys::TJPARAM_TJPARAM_RESTARTBLOCKS, restart),
                (sys::TJPARAM_TJPARAM_PROGRESSIVE, progressive),
            ],
        );
        for number in 0..1500 {
            let bytes = damaged(&source, number);
            for eighths in [1, 3] {
                let Ok(ours) = ours(&bytes, eighths) else {
                    continue;
                };
                // Damage in a scan which the size does not need is not seen. Uploads are read as a whole.
                if ::jpeg::check(&bytes, &own_limits(&Limits::default()), &mut || true).is_err() {
                    continue;
                }
                accepted += 1;
                let theirs = theirs(&bytes, eighths);
                let theirs = theirs.unwrap_or_else(|| panic!("only we take {layout}, {number}"));
                let differences = differences(&ours, &theirs);
                odd += u32::from(differences.iter().any(|(mean, _)| *mean > 1.0));
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
    // Values far out of range wrap around there, and are clamped here.
    assert!(odd * 50 < accepted, "{odd} of {accepted}");
}
