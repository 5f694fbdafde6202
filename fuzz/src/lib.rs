//! What the fuzz targets share: an engine within tight bounds, and a watch over what it takes.

mod allocator;

use std::backtrace::Backtrace;
use std::panic;
use std::sync::LazyLock;

use model::{GammaDirection, Limits, Policy, ResizeLight};
use pixels::{Engine, Error, Rendition};

pub use allocator::peak_of;

/// Bytes which do not grow with a picture: tables, and what the standard library keeps.
pub const SPARE: u64 = 2 * 1024 * 1024;

/// Bytes which one job may take. `scripts/fuzz.sh` also holds each allocation of the libraries in C
/// to it.
pub const RENDER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Everything is accepted, as long as it is small.
fn limits(output_side_max: u32) -> Limits {
    Limits {
        upload_bytes_max: 1024 * 1024,
        side_max: 4_096,
        avif_side_max: 4_096,
        pixels_max: 1024 * 1024,
        animation_transform_pixels_max: 1024 * 1024,
        output_side_max,
        render_bytes_max: RENDER_BYTES_MAX,
        ..Limits::default()
    }
}

fn policy() -> Policy {
    Policy {
        accept_more: true,
        animate_png: true,
        // libaom, which is always there: what is found today can be repeated tomorrow.
        svt_av1: Some("/nowhere".into()),
        // It is ten times as slow as the others.
        avif_side_auto: 128,
        avif_side_explicit: 128,
        rasterize_svg: true,
        ..Policy::default()
    }
}

/// For decoding at full size.
pub static DECODER: LazyLock<Engine> = LazyLock::new(|| Engine::new(limits(4_096), policy()));

/// For rendering with the preferences of most servers, and with all the other ones.
pub static RENDERERS: LazyLock<[Engine; 2]> = LazyLock::new(|| {
    let other = Policy {
        gamma: GammaDirection::Legacy,
        resize_light: ResizeLight::Linear,
        strict_png: true,
        animate_png: false,
        wide_gamut: true,
        ..policy()
    };
    [policy(), other].map(|policy| Engine::new(limits(512), policy))
});

/// Lets panics pass which `pixels` expects of a decoder and makes errors of. Those in our own code
/// end the run at once, and so does any which nobody expects, when it arrives at the target;
/// `RUST_BACKTRACE=1` shows where it came from.
pub fn set_panic_hook() {
    let fatal = panic::take_hook();
    let loud = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    panic::set_hook(Box::new(move |info| {
        let file = info.location().map_or("", |place| place.file());
        let others = file.contains("/registry/src/") || file.starts_with("/rustc/");
        if !others {
            fatal(info);
        } else if loud {
            eprintln!("{info}\n{}", Backtrace::force_capture());
        }
    }));
}

/// Does the work and insists that it took no more than was estimated before.
#[track_caller]
pub fn bounded<T>(estimate: u64, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let (done, peak) = peak_of(work);
    judge(peak, estimate);
    done
}

/// The same for a rendition, whose bytes no estimate counts.
#[track_caller]
pub fn rendered(
    estimate: u64,
    work: impl FnOnce() -> Result<Rendition, Error>,
) -> Result<Rendition, Error> {
    let (done, peak) = peak_of(work);
    // A vector which grows is there twice for a moment.
    let made = done.as_ref().map_or(0, |made| made.bytes.len() as u64 * 2);
    judge(peak, estimate + made);
    done
}

#[track_caller]
fn judge(peak: u64, estimate: u64) {
    assert!(
        peak <= estimate + SPARE,
        "took {peak} bytes, estimated {estimate}"
    );
}
