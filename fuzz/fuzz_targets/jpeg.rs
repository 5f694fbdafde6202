//! Our own decoder, at every scale: planes of the size it says, no more memory than allowed, and
//! nothing which is sound at one scale and damaged at another.

#![no_main]

use fuzz::{SPARE, peak_of, set_panic_hook};
use jpeg::{Error, Limits, Picture, SCALES, check, decode, scaled};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    pixels_max: 128 * 1024,
    coefficient_bytes_max: 768 * 1024,
    scans_max: 64,
};

fuzz_target!(init: set_panic_hook(), |source: &[u8]| {
    let checked = check(source, &LIMITS, &mut || true);
    let mut sizes = Vec::new();
    for eighths in SCALES {
        // Planes of up to three samples a pixel, edges up to whole blocks of the largest sampling.
        let planes = LIMITS.pixels_max * 3 + 64 * 1024;
        let allowed = planes + LIMITS.coefficient_bytes_max + SPARE;
        let (decoded, peak) = peak_of(|| decode(source, eighths, &LIMITS, &mut || true));
        assert!(peak <= allowed, "{eighths} eighths took {peak} bytes");
        match decoded {
            Ok(picture) => {
                judge(&picture);
                sizes.push((eighths, picture.width, picture.height));
            }
            Err(error) => assert!(checked.is_err(), "{eighths} eighths: {error}"),
        }
    }
    // The last scale is the whole picture.
    if let Some((8, width, height)) = sizes.last().copied() {
        for (eighths, ..) in &sizes {
            let expected = (*eighths, scaled(width, *eighths), scaled(height, *eighths));
            assert!(sizes.contains(&expected), "{expected:?} of {sizes:?}");
        }
    }
    let mut rows = 3;
    let stopped = decode(source, 8, &LIMITS, &mut || {
        rows -= 1;
        rows > 0
    });
    assert!(rows > 0 || matches!(stopped, Err(Error::Stopped)));
});

fn judge(picture: &Picture) {
    let planes = [Some(&picture.luma)].into_iter().flatten();
    for plane in planes.chain(picture.chroma.iter().flatten()) {
        assert_eq!(
            plane.data.len(),
            plane.width as usize * plane.height as usize
        );
    }
    assert_eq!(
        (picture.luma.width, picture.luma.height),
        (picture.width, picture.height)
    );
}
