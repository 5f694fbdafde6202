//! What both benches of the program need.

use std::process::Child;
use std::time::Duration;

use bytes::Bytes;
use model::Transform;

#[path = "../../tests/support/noise.rs"]
mod noise;

/// A baseline JPEG of noise, of the lowest quality which gives so many bytes.
pub(crate) fn picture(width: u32, height: u32, bytes_least: usize) -> Bytes {
    let source = noise::png(width, height);
    for quality in 1..100 {
        let transform = format!("quality={quality},format=baseline-jpeg").parse::<Transform>();
        let transform = transform.expect("valid options");
        let request = pixels::Request {
            source: &source,
            transform: &transform,
            accepts: pixels::Accepts::default(),
        };
        let rendition = pixels::Engine::default().render(&request, &pixels::Cancel::never());
        let bytes = rendition.expect("a rendition").bytes;
        if bytes.len() >= bytes_least {
            return bytes.into();
        }
    }
    unreachable!("at the highest quality, noise has more bytes")
}

/// What a program has taken of the CPU so far.
pub(crate) fn cpu(child: &Child) -> Duration {
    let path = format!("/proc/{}/stat", child.id());
    let stat = std::fs::read_to_string(path).expect("the process is there");
    let fields = stat.rsplit(") ").next().expect("fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
