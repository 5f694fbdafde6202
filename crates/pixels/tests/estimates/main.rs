//! What renderings take of the memory which Rust hands out, against what is estimated and allowed
//! before. A program of its own, because its allocator counts for all of it; decoders and encoders in C
//! have memory of their own, which `memory.rs` sees.

mod allocator;

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
