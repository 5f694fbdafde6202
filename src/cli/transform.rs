use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use model::transform::Format;
use model::{MediaType, Transform};
use pixels::{Accepts, Cancel, Engine, RenditionFormat, Request};
use serde_json::json;

use super::output::{self, Output};
use super::setting_flags::QuietFlags;
use super::{Error, Variables};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The image; `-` is the standard input
    input: PathBuf,
    /// The file to write; its extension is the format, unless the options name one. `-` is the
    /// standard output
    output: PathBuf,
    /// The options as they stand in a delivery URL, like `width=400,fit=cover`
    #[arg(default_value = "")]
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
        let mut transform = transform(&self.options)?;
        if transform.format == Format::Standard {
            transform.format = format_of(&self.output)?;
        }
        let source = read(&self.input)?;
        // The file is for whoever opens it, and only what was named may be in it.
        let accepts = Accepts {
            avif: transform.format == Format::Avif,
            webp: transform.format == Format::Webp,
        };
        let cancel = Cancel::at(Instant::now() + engine.limits().render_deadline);
        let request = Request {
            source: &source,
            transform: &transform,
            accepts,
        };
        let rendition = engine.render(&request, &cancel)?;
        for warning in &rendition.warnings {
            output::note(format_args!("warning: {warning}"));
        }
        if self.output == Path::new("-") {
            return output::bytes(&rendition.bytes);
        }
        if let RenditionFormat::Image(made) = rendition.format
            && extension_format(&self.output).is_some_and(|wanted| wanted != made)
        {
            let name = self.output.display();
            output::note(format_args!("warning: {name} holds {made}"));
        }
        std::fs::write(&self.output, &rendition.bytes).map_err(|error| {
            Error::Io(
                format!("{} cannot be written", self.output.display()),
                error,
            )
        })?;
        let json = json!({
            "output": self.output.display().to_string(),
            "format": rendition.format.as_str(),
            "width": rendition.width,
            "height": rendition.height,
            "bytes": rendition.bytes.len(),
        });
        let text = format!(
            "{}: {}, {} × {}, {} bytes",
            self.output.display(),
            rendition.format,
            rendition.width,
            rendition.height,
            rendition.bytes.len(),
        );
        self.report.item(&json, text)
    }
}

/// Reads the options; an option which makes no sense is an error here, for nobody else will see it.
fn transform(options: &str) -> Result<Transform, Error> {
    if options.is_empty() {
        return Ok(Transform::default());
    }
    let usage = |reason: String| Error::Usage(format!("options {options:?}: {reason}"));
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

fn extension(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default();
    extension.to_string_lossy().to_ascii_lowercase()
}
