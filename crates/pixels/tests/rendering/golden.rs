//! Golden pictures: each folder of `golden/` is a case, with the name of its source, its transform as
//! a list or as `cf.image`, how far a channel may be off on average, and the picture which is expected. A failure leaves
//! `diff.png` beside it, in which grey is agreement; `make golden-accept` renews what is expected,
//! after a look.

use std::fs;
use std::path::{Path, PathBuf};

use model::transform::Format;
use model::{Limits, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Request};

use crate::pictures::{Picture, png};

/// A single channel may be so many times further off than all are on average.
const OUTLIER: u32 = 12;

/// What a folder holds.
struct Case {
    folder: PathBuf,
    source: Vec<u8>,
    transform: String,
    /// Mean difference of a channel, of 255.
    tolerance: f64,
}

impl Case {
    fn read(golden: &Path, folder: PathBuf) -> Self {
        let text = fs::read_to_string(folder.join("case.txt")).unwrap();
        let value = |name: &str| {
            let prefix = format!("{name} = ");
            let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
            line.unwrap_or_else(|| panic!("{}: no {name}", folder.display()))
        };
        let source = golden.join("sources").join(value("source"));
        Self {
            source: fs::read(source).unwrap(),
            transform: value("transform").to_owned(),
            tolerance: value("tolerance").parse().unwrap(),
            folder,
        }
    }

    fn render(&self) -> Vec<u8> {
        let transform: Transform = if self.transform.starts_with('{') {
            let object = serde_json::from_str(&self.transform).unwrap();
            Transform::from_json(&object).unwrap().unwrap()
        } else {
            self.transform.parse().unwrap()
        };
        let request = Request {
            source: &self.source,
            transform: &Transform {
                format: Format::PngForce,
                ..transform
            },
            accepts: Accepts::default(),
        };
        let policy = Policy {
            rasterize_svg: true,
            ..Policy::default()
        };
        let engine = Engine::new(Limits::default(), policy);
        let rendition = engine.render(&request, &Cancel::never());
        rendition
            .unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()))
            .bytes
    }

    /// Why the picture is not the expected one, if it is not.
    fn complaint(&self, found: &[u8]) -> Option<String> {
        let name = self.folder.file_name()?.to_string_lossy().into_owned();
        let Ok(expected) = fs::read(self.folder.join("expected.png")) else {
            return Some(format!("{name}: no expected.png; `make golden-accept`"));
        };
        let (size, found) = rgba(found);
        let (expected_size, expected) = rgba(&expected);
        if size != expected_size {
            return Some(format!("{name}: {size:?} and not {expected_size:?}"));
        }
        let off = || found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = off().map(u64::from).sum();
        let mean = sum as f64 / found.len() as f64;
        let worst = off().max().unwrap_or_default();
        let diff = self.folder.join("diff.png");
        if mean <= self.tolerance && f64::from(worst) <= self.tolerance * f64::from(OUTLIER) {
            // What an earlier failure left.
            let _ = fs::remove_file(diff);
            return None;
        }
        fs::write(diff, difference(size, &found, &expected)).unwrap();
        Some(format!(
            "{name}: off by {mean:.2} on average and {worst} at worst"
        ))
    }
}

/// Size and pixels, four bytes each.
fn rgba(png: &[u8]) -> ((u32, u32), Vec<u8>) {
    let mut picture = Picture::of_png(png);
    // What cannot be seen has no colour.
    for pixel in picture.data.chunks_mut(4).filter(|pixel| pixel[3] == 0) {
        pixel.fill(0);
    }
    ((picture.width, picture.height), picture.data)
}

/// Grey where both agree, lighter and darker by four times what they differ.
fn difference((width, height): (u32, u32), found: &[u8], expected: &[u8]) -> Vec<u8> {
    png(width, height, |x, y| {
        let at = (y * width + x) as usize * 4;
        let (found, expected) = (&found[at..], &expected[at..]);
        let alpha = i32::from(found[3]) - i32::from(expected[3]);
        [0, 1, 2].map(|channel| {
            let off = i32::from(found[channel]) - i32::from(expected[channel]) + alpha;
            (128 + 4 * off).clamp(0, 255) as u8
        })
    })
}

#[test]
fn pictures_are_those_which_were_looked_at() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let accept = std::env::var_os("ACCEPT").is_some();
    let mut folders: Vec<PathBuf> = fs::read_dir(&golden)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("case.txt").exists())
        .collect();
    folders.sort();
    assert!(folders.len() >= 36, "{} cases", folders.len());
    let mut complaints = Vec::new();
    for folder in folders {
        let case = Case::read(&golden, folder);
        let found = case.render();
        if let Some(complaint) = case.complaint(&found) {
            if accept {
                fs::write(case.folder.join("expected.png"), &found).unwrap();
                let _ = fs::remove_file(case.folder.join("diff.png"));
            } else {
                complaints.push(complaint);
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
