//! How much memory a rendering takes. Alone in its process, as the whole of it is measured.

use std::fs;

use model::{Limits, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Request};

const SIDE: u16 = 256;

/// A square wanders over stripes.
fn animated_gif(frames: u16) -> Vec<u8> {
    let palette: Vec<u8> = (0..64_u8)
        .flat_map(|value| [value * 4, 255 - value, 90])
        .collect();
    let mut encoder = gif::Encoder::new(Vec::new(), SIDE, SIDE, &palette).unwrap();
    for number in 0..frames {
        let pixel = |x: u16, y: u16| {
            let inside = x.abs_diff(number * 7 % SIDE) < 20 && y.abs_diff(number % SIDE) < 20;
            if inside { 63 } else { (x / 4 % 60) as u8 }
        };
        let rows = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| pixel(x, y)));
        let frame = gif::Frame {
            width: SIDE,
            height: SIDE,
            delay: 5,
            buffer: rows.collect(),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).unwrap();
    }
    encoder.into_inner().unwrap()
}

/// Kilobytes of the process at its peak since it was told to forget the last one; `None` where the
/// system does not count them.
fn peak_of(work: impl FnOnce()) -> Option<u64> {
    fs::write("/proc/self/clear_refs", "5").ok()?;
    work();
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[test]
fn the_length_of_an_animation_costs_no_memory() {
    let engine = Engine::new(Limits::default(), Policy::default());
    // Both sources are there throughout.
    let (short, long) = (animated_gif(40), animated_gif(400));
    for options in ["width=200", "width=200,format=webp"] {
        let transform: Transform = options.parse().unwrap();
        let render = |source: &[u8]| {
            let request = Request {
                source,
                transform: &transform,
                accepts: Accepts::default(),
            };
            let rendition = engine.render(&request, &Cancel::never()).unwrap();
            rendition.bytes.len() as u64
        };
        // What the first rendering sets up stays.
        render(&short);
        let mut written = [0; 2];
        let short = peak_of(|| written[0] = render(&short));
        let long = peak_of(|| written[1] = render(&long));
        let Some((short, long)) = short.zip(long) else {
            return;
        };
        // A picture of 400 frames has more bytes, which grow by doubling; all its frames would be 60 MB.
        let bytes = written[1].saturating_sub(written[0]) / 1024;
        assert!(
            long < short + 3 * bytes + 4 * 1024,
            "{options}: {short} kB, {long} kB for {bytes} kB more"
        );
    }
}
