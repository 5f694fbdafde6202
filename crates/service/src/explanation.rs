//! How a rendition came to be, for whoever asks.

use std::time::Duration;

use model::transform::Format;

use crate::deliver::Delivered;
use crate::remote::RemoteImage;
use crate::rendering::{Job, Rendered, hex};

/// What a rendition was made of, and for whom.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The options in their canonical form.
    pub options: String,
    /// How many bytes the source has.
    pub source_bytes: u64,
    /// Its media type, where it is known without reading it.
    pub source_format: Option<&'static str>,
    format: Format,
    accepts_any: bool,
    key: [u8; 32],
}

/// Where the time of a rendering went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Waiting for a turn.
    pub queue: Duration,
    /// Reading the source.
    pub load: Duration,
    /// Decoding, transforming and encoding, waiting for a thread and for memory included.
    pub render: Duration,
}

impl Times {
    /// Each part, by its name.
    pub fn parts(&self) -> [(&'static str, Duration); 3] {
        [
            ("queue", self.queue),
            ("load", self.load),
            ("render", self.render),
        ]
    }
}

impl Explanation {
    fn of(job: &Job, source_bytes: u64, source_format: Option<&'static str>) -> Self {
        Self {
            options: job.transform.to_string(),
            source_bytes,
            source_format,
            format: job.transform.format,
            accepts_any: job.accepts.avif || job.accepts.webp,
            key: job.key.transform,
        }
    }

    /// The digest under which a rendition is kept.
    pub fn key(&self, rendered: &Rendered) -> String {
        hex(&rendered.substitute.unwrap_or(self.key))
    }

    /// Why its format was chosen.
    pub fn why(&self, rendered: &Rendered) -> &'static str {
        let is_best = matches!(rendered.media_type, "image/avif" | "image/webp");
        match self.format {
            _ if rendered.media_type == "image/svg+xml" => "SVG is sanitised and stays SVG",
            _ if rendered.is_substitute() => {
                "AVIF is chosen for this client, and not ready in time or left out under load"
            }
            Format::Auto if is_best => "the best which the client names in Accept",
            Format::Auto if self.accepts_any => {
                "what the client names in Accept does not suit this picture"
            }
            Format::Auto => "the client names neither AVIF nor WebP in Accept",
            Format::Standard => "no format was asked for: the pixels decide",
            Format::Json => "a description was asked for",
            _ => "it was asked for by name, as far as it suits the picture",
        }
    }
}

impl Delivered {
    /// How what is delivered came to be.
    pub fn explanation(&self) -> Explanation {
        let format = Some(self.source.format.as_str());
        Explanation::of(&self.job, self.source.bytes, format)
    }
}

impl RemoteImage {
    /// How what is delivered came to be.
    pub fn explanation(&self) -> Explanation {
        Explanation::of(&self.job, self.known.record.length, None)
    }
}
