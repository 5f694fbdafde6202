use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread::{self, available_parallelism};
use std::time::Instant;

use model::transform::{Asset, Format};
use model::{MediaType, Transform};
use pixels::{Accepts, Assets, Cancel, Engine, Rendition, RenditionFormat, Request};
use serde_json::json;

use super::output::{self, Output};
use super::setting_flags::QuietFlags;
use super::{Error, Variables};

#[derive(clap::Args)]
#[command(
    override_usage = "calotype transform [FLAGS] INPUT OUTPUT [OPTIONS]\n       \
                            calotype transform [FLAGS] --into FOLDER [--options OPTIONS] INPUT..."
)]
pub(super) struct Arguments {
    /// INPUT and OUTPUT, `-` for the standard streams, and OPTIONS as they stand in a delivery URL,
    /// like `width=400,fit=cover`, or as the JSON object of `cf.image`, whose overlays and fonts are
    /// files here; with --into any number of inputs. The extension of OUTPUT is the format, unless the
    /// options name one
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Write a file for each input into this folder, named like the input
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    /// The options, for many inputs
    #[arg(long, value_name = "OPTIONS", default_value = "", requires = "into")]
    options: String,
    #[command(flatten)]
    report: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let config = self.settings.config(variables)?;
        let engine = Engine::new(config.limits.clone(), config.policy());
        if let Some(folder) = &self.into {
            let transform = transform(&self.options)?;
            return into_folder(&engine, &self.files, folder, &transform, self.report);
        }
        let (input, output, options) = match self.files.as_slice() {
            [input, output] => (input, output, ""),
            [input, output, options] => (input, output, options.as_str()),
            _ => {
                return Err(Error::Usage(
                    "one INPUT, one OUTPUT and the OPTIONS are wanted; several inputs go --into a \
                     folder"
                        .to_owned(),
                ));
            }
        };
        let (input, output) = (Path::new(input), Path::new(output));
        let mut transform = transform(options)?;
        if transform.format == Format::Standard {
            transform.format = format_of(output)?;
        }
        let rendition = render(&engine, input, &transform)?;
        for warning in &rendition.warnings {
            output::note(format_args!("warning: {warning}"));
        }
        if output == Path::new("-") {
            return output::bytes(&rendition.bytes);
        }
        if let RenditionFormat::Image(made) = rendition.format
            && extension_format(output).is_some_and(|wanted| wanted != made)
        {
            let name = output.display();
            output::note(format_args!("warning: {name} holds {made}"));
        }
        write(output, &rendition)?;
        report(self.report, output, &rendition)
    }
}

fn render(engine: &Engine, input: &Path, transform: &Transform) -> Result<Rendition, Error> {
    let source = read(input)?;
    // The file is for whoever opens it, and only what was named may be in it.
    let accepts = Accepts {
        avif: transform.format == Format::Avif,
        webp: transform.format == Format::Webp,
    };
    let cancel = Cancel::at(Instant::now() + engine.limits().render_deadline);
    let request = Request {
        source: &source,
        transform,
        accepts,
    };
    let files = transform.assets().into_iter().map(asset);
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let mut assets = Assets::new();
    for (address, bytes) in &files {
        assets.insert(address, bytes);
    }
    Ok(engine.render_with(&request, &assets, &cancel)?)
}

/// Here the addresses of overlays and fonts are names of files.
fn asset(asset: Asset<'_>) -> Result<(&str, Vec<u8>), Error> {
    let (Asset::Image(address) | Asset::Font(address)) = asset;
    let path = address.strip_prefix("file://").unwrap_or(address);
    Ok((address, read(Path::new(path))?))
}

fn write(output: &Path, rendition: &Rendition) -> Result<(), Error> {
    std::fs::write(output, &rendition.bytes)
        .map_err(|error| Error::Io(format!("{} cannot be written", output.display()), error))
}

fn report(report: Output, output: &Path, rendition: &Rendition) -> Result<(), Error> {
    let json = json!({
        "output": output.display().to_string(),
        "format": rendition.format.as_str(),
        "width": rendition.width,
        "height": rendition.height,
        "bytes": rendition.bytes.len(),
    });
    let text = format!(
        "{}: {}, {} × {}, {} bytes",
        output.display(),
        rendition.format,
        rendition.width,
        rendition.height,
        rendition.bytes.len(),
    );
    report.item(&json, text)
}

/// Renders every input, one for each core at a time, and goes on after a failure. Fails at the end
/// if anything failed.
fn into_folder(
    engine: &Engine,
    inputs: &[String],
    folder: &Path,
    transform: &Transform,
    output: Output,
) -> Result<(), Error> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Error::Io(format!("{} cannot be made", folder.display()), error))?;
    let bar = output::progress(inputs.len());
    let next = AtomicUsize::new(0);
    let taken = Mutex::default();
    let work = &|| {
        let input = inputs.get(next.fetch_add(1, Ordering::Relaxed))?;
        let made = render(engine, Path::new(input), transform).and_then(|rendition| {
            let path = place(Path::new(input), folder, &rendition, &taken)?;
            write(&path, &rendition)?;
            Ok((path, rendition))
        });
        Some((input, made))
    };
    let threads = available_parallelism().map_or(1, usize::from);
    let mut failures = Vec::new();
    let (sender, receiver) = mpsc::sync_channel(threads);
    let printed: Result<(), Error> = thread::scope(|scope| {
        for _ in 0..threads.min(inputs.len()) {
            let sender = sender.clone();
            scope.spawn(move || {
                // Nobody receives any more when the output failed.
                while let Some(made) = work()
                    && sender.send(made).is_ok()
                {}
            });
        }
        drop(sender);
        let receiver = receiver;
        for (input, made) in receiver {
            bar.inc(1);
            match made {
                Ok((path, rendition)) => bar.suspend(|| {
                    for warning in &rendition.warnings {
                        output::note(format_args!("warning: {input}: {warning}"));
                    }
                    report(output, &path, &rendition)
                })?,
                Err(error) => failures.push((input.clone(), error)),
            }
        }
        Ok(())
    });
    bar.finish_and_clear();
    printed?;
    output::conclude(inputs.len(), failures)
}

/// Where a rendition goes: named like its input, with the extension of what it is. Neither an input
/// nor another rendition is replaced by it.
fn place(
    input: &Path,
    folder: &Path,
    rendition: &Rendition,
    taken: &Mutex<HashSet<PathBuf>>,
) -> Result<PathBuf, Error> {
    let name = input.file_stem().unwrap_or("image".as_ref());
    let mut name = name.to_owned();
    name.push(".");
    name.push(match rendition.format {
        RenditionFormat::Image(format) => extension_of(format),
        RenditionFormat::Json => "json",
        RenditionFormat::Rgb => "rgb",
        RenditionFormat::Rgba => "rgba",
    });
    let path = folder.join(name);
    if let (Ok(input), Ok(output)) = (input.canonicalize(), path.canonicalize())
        && input == output
    {
        return Err(Error::Failed(format!(
            "{} would replace its input",
            path.display()
        )));
    }
    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
    if taken.insert(path.clone()) {
        Ok(path)
    } else {
        let path = path.display();
        Err(Error::Failed(format!("{path} was made of another input")))
    }
}

/// Reads the options; an option which makes no sense is an error here, for nobody else will see it.
fn transform(options: &str) -> Result<Transform, Error> {
    if options.is_empty() {
        return Ok(Transform::default());
    }
    let usage = |reason: String| Error::Usage(format!("options {options:?}: {reason}"));
    if options.starts_with('{') {
        let object = serde_json::from_str(options).map_err(|error| usage(error.to_string()))?;
        let transform = Transform::from_json(&object).map_err(|error| usage(error.to_string()))?;
        return Ok(transform.unwrap_or_default());
    }
    let (transform, warnings) =
        Transform::parse_list(options).map_err(|error| usage(error.to_string()))?;
    match warnings.first() {
        Some(warning) => Err(usage(warning.to_string())),
        None => Ok(transform),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    bytes.map_err(|error| Error::Io(format!("{} cannot be read", path.display()), error))
}

/// The format which the name of the output asks for.
fn format_of(path: &Path) -> Result<Format, Error> {
    if path == Path::new("-") {
        return Ok(Format::Standard);
    }
    match (extension_format(path), extension(path).as_str()) {
        (Some(MediaType::Jpeg), _) => Ok(Format::Jpeg),
        (Some(MediaType::Png), _) => Ok(Format::PngForce),
        (Some(MediaType::Gif), _) => Ok(Format::Gif),
        (Some(MediaType::Webp), _) => Ok(Format::Webp),
        (Some(MediaType::Avif), _) => Ok(Format::Avif),
        (Some(MediaType::Svg), _) => Ok(Format::Svg),
        (_, "json") => Ok(Format::Json),
        _ => Err(Error::Usage(format!(
            "{} does not end in a known format; name one with format=",
            path.display()
        ))),
    }
}

fn extension_format(path: &Path) -> Option<MediaType> {
    match extension(path).as_str() {
        "jpg" | "jpeg" => Some(MediaType::Jpeg),
        "png" => Some(MediaType::Png),
        "gif" => Some(MediaType::Gif),
        "webp" => Some(MediaType::Webp),
        "avif" => Some(MediaType::Avif),
        "svg" => Some(MediaType::Svg),
        _ => None,
    }
}

/// The extension of files of a format.
fn extension_of(format: MediaType) -> &'static str {
    match format {
        MediaType::Jpeg => "jpg",
        MediaType::Png => "png",
        MediaType::Gif => "gif",
        MediaType::Webp => "webp",
        MediaType::Avif => "avif",
        MediaType::Heic => "heic",
        MediaType::Svg => "svg",
        MediaType::Jxl => "jxl",
        MediaType::Tiff => "tiff",
        MediaType::Bmp => "bmp",
        MediaType::Ico => "ico",
    }
}

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_ascii_lowercase()
}
