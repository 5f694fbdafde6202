//! What renderings take of the memory which Rust hands out, against what is estimated and allowed
//! before. A program of its own, because its allocator counts for all of it; decoders and encoders in C
//! have memory of their own, which `memory.rs` sees.

mod allocator;
#[path = "../rendering/bombs.rs"]
mod bombs;

use std::fs;
use std::path::{Path, PathBuf};

use model::{Limits, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Request};

/// Bytes which do not grow with a picture: tables, and what the standard library keeps.
const SPARE: u64 = 1024 * 1024;

fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("CALOTYPE_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let folder = named.unwrap_or(beside);
    if folder.join("MANIFEST.tsv").is_file() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a skipped test should say so")]
    {
        eprintln!("skipped: there is no corpus");
    }
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    let paths = manifest.lines().skip(1);
    paths
        .map(|line| folder.join(line.split('\t').next().unwrap()))
        .collect()
}

fn engine() -> Engine {
    let policy = Policy {
        accept_more: true,
        animate_png: true,
        rasterize_svg: true,
        ..Policy::default()
    };
    let limits = Limits {
        avif_side_max: 12_000,
        ..Limits::default()
    };
    Engine::new(limits, policy)
}

/// One test, as threads of others would be counted too.
#[test]
fn memory_is_bounded_and_given_back() {
    no_job_keeps_memory();
    small_files_claim_no_memory();
    no_file_takes_more_than_was_estimated_or_is_allowed();
}

fn no_job_keeps_memory() {
    const ROUNDS: u64 = 100;
    let engine = engine();
    let never = Cancel::never();
    let photo = include_bytes!("../golden/sources/photo.png");
    for format in ["avif", "webp", "jpeg", "png-force", "gif"] {
        let make = |source: &[u8], options: &str| {
            let transform: Transform = options.parse().unwrap();
            let request = Request {
                source,
                transform: &transform,
                accepts: Accepts::default(),
            };
            engine.render(&request, &never).unwrap().bytes
        };
        let source = make(photo, &format!("width=20,format={format}"));
        let work = || {
            engine.verify(&source, &never).unwrap();
            make(&source, "width=10,format=webp");
        };
        // What grows each time, and not what is made once and kept, or is about to be given back by a
        // thread which has done its work.
        let kept = (0..5).map(|_| {
            let before = allocator::held();
            (0..ROUNDS).for_each(|_| work());
            allocator::held().saturating_sub(before)
        });
        let kept = kept.min().unwrap_or_default();
        assert!(kept < ROUNDS, "{format}: {kept} bytes are left");
    }
}

/// A TIFF of one grey pixel with another entry: tag, type and number of values, which it lacks.
fn tiff_claiming(tag: u16, kind: u16, count: u32) -> Vec<u8> {
    let mut entries: Vec<[u32; 4]> = [256, 257, 258, 259, 262, 273, 277, 278, 279]
        .iter()
        .zip([1, 1, 8, 1, 1, 8, 1, 1, 1])
        .filter(|(of, _)| **of != u32::from(tag))
        .map(|(of, value)| [*of, 3, 1, value])
        .collect();
    entries.push([tag.into(), kind.into(), count, 8]);
    entries.sort_unstable();
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for [tag, kind, count, value] in entries {
        file.extend((tag as u16).to_le_bytes());
        file.extend((kind as u16).to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file
}

/// Found by fuzzing: what a header claims is not believed.
fn small_files_claim_no_memory() {
    let engine = engine();
    // Bits of samples, strips, their bytes, tables of JPEG.
    let tiffs = [(258, 3), (273, 4), (279, 1), (347, 7)].map(|(tag, kind)| {
        // As many as the decoder would make room for by itself.
        tiff_claiming(tag, kind, 8 * 1024 * 1024)
    });
    for source in tiffs {
        let estimate = engine.verifying_bytes(&source);
        assert!(estimate > 0, "the header is sound");
        let verify = || engine.verify(&source, &Cancel::never());
        let (verified, peak) = allocator::peak_of(verify);
        assert!(verified.is_err());
        assert!(peak <= estimate + SPARE, "{peak}, estimated {estimate}");
    }
}

fn no_file_takes_more_than_was_estimated_or_is_allowed() {
    let Some(folder) = corpus() else { return };
    let engine = engine();
    let never = Cancel::never();
    // What is made once and kept.
    let warm = engine.verify(&fs::read(folder.join("jpeg/gen_q1.jpg")).unwrap(), &never);
    assert!(warm.is_ok());
    let (mut complaints, mut shares) = (Vec::new(), Vec::new());
    for path in files(&folder) {
        let source = fs::read(&path).unwrap();
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        let estimate = engine.verifying_bytes(&source);
        let (verified, peak) = allocator::peak_of(|| engine.verify(&source, &never));
        // What is refused by its header has no estimate, and some text or table is read of it.
        let allowed = estimate + SPARE + source.len() as u64;
        if peak > allowed {
            complaints.push(format!(
                "{name}: verified with {peak}, estimated {estimate}"
            ));
        }
        assert!(
            peak <= engine.limits().render_bytes_max + SPARE,
            "{name}: {peak}"
        );
        if verified.is_err() {
            continue;
        }
        for options in [
            "width=100,format=jpeg",
            "format=png-force",
            "width=64,height=64,fit=cover,gravity=auto,format=webp",
            "width=300,quality=high,format=webp",
        ] {
            let transform: Transform = options.parse().unwrap();
            let request = Request {
                source: &source,
                transform: &transform,
                accepts: Accepts::default(),
            };
            let estimate = engine.rendering_bytes(&source, &transform);
            let (rendered, peak) = allocator::peak_of(|| engine.render(&request, &never));
            let Ok(rendition) = rendered else { continue };
            let made = rendition.bytes.len() as u64;
            if peak > estimate + SPARE + 2 * made {
                complaints.push(format!("{name}, {options}: {peak}, estimated {estimate}"));
            }
            if peak > 2 * SPARE {
                shares.push(estimate as f64 / peak as f64);
            }
        }
    }
    let bombs = bombs::bombs().into_iter().map(|(_, source)| source);
    for (number, source) in bombs::heavy().into_iter().chain(bombs).enumerate() {
        for options in ["format=webp", "width=1500,fit=contain,format=webp"] {
            let transform: Transform = options.parse().unwrap();
            let request = Request {
                source: &source,
                transform: &transform,
                accepts: Accepts::default(),
            };
            let estimate = engine.rendering_bytes(&source, &transform);
            let (_, peak) = allocator::peak_of(|| engine.render(&request, &never));
            if peak > estimate + SPARE {
                complaints.push(format!(
                    "drawing {number}, {options}: {peak}, estimated {estimate}"
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    // Bounds which are far off would keep others waiting for nothing.
    shares.sort_by(f64::total_cmp);
    assert!(
        shares.len() > 20,
        "{} renderings of some size",
        shares.len()
    );
    let median = shares[shares.len() / 2];
    assert!(median < 6.0, "estimates are {median} times what is taken");
}
