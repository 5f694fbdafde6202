//! Runs over the test picture corpus: `CALOTYPE_CORPUS`, or `shared/corpus` beside the workspace.
//! Without it nothing is tested here.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::{Limits, MediaType, Policy, Transform};
use pixels::{Accepts, Cancel, Engine, Error, Request, inspect, sanitise_svg};

/// One file may take this long on a busy machine; most take a hundredth of it.
const SLOW: Duration = Duration::from_secs(20);

struct Entry {
    path: String,
    valid: String,
    format: String,
    width: Option<u32>,
    height: Option<u32>,
    frames: Option<u32>,
    orientation: u8,
    note: String,
}

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("CALOTYPE_CORPUS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    Some(named.unwrap_or(beside)).filter(|folder| folder.join("MANIFEST.tsv").is_file())
}

fn entries(folder: &Path) -> Vec<Entry> {
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    manifest
        .lines()
        .skip(1)
        .map(|line| {
            let field: Vec<&str> = line.split('\t').collect();
            Entry {
                path: field[0].to_owned(),
                valid: field[3].to_owned(),
                format: field[4].to_owned(),
                width: field[5].parse().ok(),
                height: field[6].parse().ok(),
                frames: field[7].parse().ok(),
                orientation: field[8].parse().unwrap_or(1),
                note: field[10].to_owned(),
            }
        })
        .collect()
}

fn engine() -> Engine {
    let policy = Policy {
        accept_more: true,
        ..Policy::default()
    };
    Engine::new(limits(), policy)
}

/// Larger than the defaults where those would hide sound files: AVIF's, and two of 20,000 pixels.
fn limits() -> Limits {
    Limits {
        avif_side_max: 12_000,
        side_max: 21_000,
        output_side_max: 21_000,
        ..Limits::default()
    }
}

/// Calls the function for every file; what it says is wrong is collected, so that one run shows all.
fn check_each(
    wanted: impl Fn(&Entry) -> bool,
    check: impl Fn(&Entry, &[u8]) -> Result<(), String>,
) {
    let Some(folder) = folder() else {
        #[expect(clippy::print_stderr, reason = "a skipped test should say so")]
        {
            eprintln!("skipped: there is no corpus");
        }
        return;
    };
    let mut wrong = Vec::new();
    for entry in entries(&folder).into_iter().filter(wanted) {
        let source = fs::read(folder.join(&entry.path)).unwrap();
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&entry, &source)));
        let result = outcome.unwrap_or_else(|_| Err("panic".to_owned()));
        if let Err(reason) = result {
            wrong.push(format!("{}: {reason} ({})", entry.path, entry.note));
        }
        if start.elapsed() > SLOW {
            wrong.push(format!("{}: took {:?}", entry.path, start.elapsed()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} files:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn rendered(source: &[u8], options: &str) -> Result<pixels::Rendition, Error> {
    let transform: Transform = options.parse().unwrap();
    let request = Request {
        source,
        transform: &transform,
        accepts: Accepts::default(),
    };
    engine().render(&request, &Cancel::never())
}

#[test]
fn sound_images_have_the_size_of_the_manifest() {
    check_each(
        |entry| entry.valid == "yes" && entry.format != "SVG",
        |entry, source| {
            let header = inspect(source, &limits()).map_err(|error| error.to_string())?;
            let still = matches!(
                header.format,
                MediaType::Png | MediaType::Avif | MediaType::Heic
            );
            // A JPEG which holds another one is still one picture.
            let still = still || header.format == MediaType::Jpeg;
            let frames = if still { Some(1) } else { entry.frames };
            let turned = header.orientation >= 5;
            let stored = if turned {
                (header.height, header.width)
            } else {
                (header.width, header.height)
            };
            let same = (Some(stored.0), Some(stored.1)) == (entry.width, entry.height);
            // Whether AVIF, HEIC and JPEG XL are listed before or after their turn differs.
            let other = (Some(stored.1), Some(stored.0)) == (entry.width, entry.height);
            let boxed = matches!(
                header.format,
                MediaType::Avif | MediaType::Heic | MediaType::Jxl
            );
            // So does that of TIFF.
            let either = boxed || header.format == MediaType::Tiff;
            if !(same || either && other) {
                return Err(format!("{stored:?}"));
            }
            if frames.is_some_and(|frames| frames != header.frames) {
                return Err(format!("{} frames", header.frames));
            }
            // Some lists have a 0, which stands for 1.
            if !boxed && header.orientation != entry.orientation.max(1) {
                return Err(format!("orientation {}", header.orientation));
            }
            engine()
                .verify(source, &Cancel::never())
                .map(drop)
                .map_err(|error| error.to_string())
        },
    );
}

#[test]
fn sound_images_render() {
    check_each(
        |entry| entry.valid == "yes" && entry.format != "SVG",
        |_, source| {
            let header = inspect(source, &limits()).map_err(|error| error.to_string())?;
            for options in [
                "w=64,h=64,f=jpeg",
                "w=64,h=64,f=webp",
                "w=64,h=64",
                "w=64,h=64,f=avif",
                "f=png-force,w=9",
            ] {
                let rendition =
                    rendered(source, options).map_err(|error| format!("{options}: {error}"))?;
                let out = inspect(&rendition.bytes, &limits())
                    .map_err(|error| format!("{options}: {error}"))?;
                if (out.width, out.height) != (rendition.width, rendition.height) {
                    return Err(format!("{options}: is {}x{}", out.width, out.height));
                }
                if rendition.width > header.width || rendition.height > header.height {
                    return Err(format!("{options}: grew"));
                }
                engine()
                    .verify(&rendition.bytes, &Cancel::never())
                    .map_err(|error| format!("{options}: out: {error}"))?;
                if options == "w=64,h=64" && header.frames > 1 && out.frames < 2 {
                    return Err("the animation is lost".to_owned());
                }
            }
            Ok(())
        },
    );
}

/// The list calls most of these doubtful, because few programs read them.
#[test]
fn sequences_of_avif_keep_their_frames() {
    check_each(
        |entry| entry.path.starts_with("animated/") && entry.path.contains(".avif"),
        |entry, source| {
            let header = engine()
                .verify(source, &Cancel::never())
                .map_err(|error| error.to_string())?;
            if header.frames != entry.frames.unwrap_or(5) {
                return Err(format!("{} frames", header.frames));
            }
            for (options, frames) in [("f=webp,w=40", header.frames), ("f=jpeg,w=40", 1)] {
                let rendition = rendered(source, options).map_err(|error| error.to_string())?;
                let out =
                    inspect(&rendition.bytes, &limits()).map_err(|error| error.to_string())?;
                if out.frames != frames {
                    return Err(format!("{options}: {} frames", out.frames));
                }
            }
            Ok(())
        },
    );
}

#[test]
fn unsound_images_are_refused() {
    check_each(
        // SVG is not rasterised, so that the size it claims costs nothing.
        |entry| entry.valid == "no" && !entry.path.starts_with("svg-attacks/gen_size_"),
        |_, source| match engine().verify(source, &Cancel::never()) {
            // This cannot be decoded here, so only its header is judged.
            Ok(header) if header.format == MediaType::Heic => match rendered(source, "w=64") {
                Ok(_) => Err("rendered".to_owned()),
                Err(_) => Ok(()),
            },
            Ok(header) => Err(format!("accepted as {header:?}")),
            Err(_) => Ok(()),
        },
    );
}

#[test]
fn doubtful_images_do_no_harm() {
    check_each(
        |entry| entry.valid == "maybe",
        |_, source| {
            let _ = engine().verify(source, &Cancel::never());
            for options in ["w=64,h=64,f=jpeg", "w=64,h=64,f=webp"] {
                if let Ok(rendition) = rendered(source, options) {
                    inspect(&rendition.bytes, &limits())
                        .map_err(|error| format!("{options}: {error}"))?;
                }
            }
            Ok(())
        },
    );
}

#[test]
fn sanitised_svg_has_nothing_active() {
    check_each(
        |entry| entry.path.starts_with("svg"),
        |entry, source| {
            let sanitised = match sanitise_svg(source, &limits()) {
                Ok(sanitised) => String::from_utf8_lossy(&sanitised).to_lowercase(),
                // Without its namespace no browser shows it as an image.
                Err(_) if entry.valid == "yes" && text_of(source).contains("xmlns") => {
                    return Err("refused".to_owned());
                }
                Err(_) => return Ok(()),
            };
            if !sanitised.contains("<svg xmlns=\"http://www.w3.org/2000/svg\"") {
                return Err("has no namespace".to_owned());
            }
            let sanitised = sanitised.replace("&apos;", "'").replace("&quot;", "\"");
            let outside = sanitised.split(" href=\"").skip(1);
            if let Some(reference) = outside.into_iter().find(|reference| {
                !reference.starts_with('#') && !reference.starts_with("data:image/")
            }) {
                return Err(format!(
                    "names {}",
                    reference.get(..40).unwrap_or(reference)
                ));
            }
            let mut active = vec![
                "<script",
                "<foreignobject",
                "<iframe",
                "<!",
                "<?xml-",
                "@import",
                "image-set(",
            ];
            for open in ["href=\"", "href='", "url(", "url('", "url(\""] {
                for target in [
                    "http",
                    "//",
                    "javascript",
                    "file:",
                    "data:text",
                    "data:image/svg",
                ] {
                    active.push(format!("{open}{target}").leak());
                }
            }
            let tags: String = sanitised
                .split('<')
                .filter_map(|tag| tag.split_once('>'))
                .flat_map(|(tag, _)| ["<", tag, ">"])
                .collect();
            let styles: String = sanitised
                .split("<style")
                .skip(1)
                .filter_map(|style| style.split_once("</style"))
                .map(|(style, _)| style)
                .collect();
            if has_event(&tags) {
                return Err("has an event attribute".to_owned());
            }
            let sanitised = tags + &styles;
            match active.into_iter().find(|text| sanitised.contains(text)) {
                Some(text) => Err(format!("has {text}")),
                None => Ok(()),
            }
        },
    );
}

fn text_of(source: &[u8]) -> String {
    String::from_utf8_lossy(source).into_owned()
}

/// Whether a word that begins with `on` is given a value: so all events are called.
fn has_event(tags: &str) -> bool {
    tags.split(" on").skip(1).any(|rest| {
        let name = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        name > 0 && rest[name..].starts_with('=')
    })
}

#[test]
fn animated_png_has_the_frames_of_the_manifest() {
    let policy = Policy {
        animate_png: true,
        ..Policy::default()
    };
    let engine = Engine::new(limits(), policy);
    check_each(
        |entry| entry.format == "PNG" && entry.frames.is_some_and(|frames| frames > 1),
        |entry, source| {
            let transform: Transform = "format=gif".parse().unwrap();
            let request = Request {
                source,
                transform: &transform,
                accepts: Accepts::default(),
            };
            let rendition = engine.render(&request, &Cancel::never());
            match (entry.valid.as_str(), rendition) {
                ("yes", Err(error)) => Err(error.to_string()),
                ("yes", Ok(rendition)) => {
                    let header = inspect(&rendition.bytes, &limits()).unwrap();
                    // The manifest also counts a default image which is no part of the animation.
                    let frames = [Some(header.frames), Some(header.frames + 1)];
                    (frames.contains(&entry.frames))
                        .then_some(())
                        .ok_or(format!("{} frames", header.frames))
                }
                ("no", Ok(_)) => Err("accepted".to_owned()),
                _ => Ok(()),
            }
        },
    );
}
