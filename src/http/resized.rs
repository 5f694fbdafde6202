//! What `Cf-Resized` says of a picture which is delivered (transformations.md, section 5.2).

use std::fmt::Write as _;

use service::{Found, Rendered, Tier};

/// `internal=<state>/<source cache> …`. Hosted images have no source elsewhere, and what the client has
/// already is not rendered.
pub(super) fn words(found: Option<&Found>, rendered: Option<&Rendered>) -> String {
    let source = match found {
        Some(Found::Fetched(_)) => "m",
        Some(Found::Fresh) => "h",
        Some(Found::Unchanged) => "r",
        None => "-",
    };
    let from_memory = rendered.is_some_and(|rendered| rendered.tier == Tier::Memory);
    let state = if from_memory { "ram" } else { "ok" };
    let mut words = format!("internal={state}/{source}");
    let times = rendered.and_then(|rendered| rendered.times);
    if let Some(times) = times {
        let _ = write!(words, " q={}", times.queue.as_millis());
    }
    if let Some(Found::Fetched([head, body])) = found {
        let _ = write!(words, " n={}+{}", head.as_millis(), body.as_millis());
    }
    if let Some(times) = times {
        let _ = write!(words, " c={}", times.render.as_millis());
    }
    words.push_str(concat!(" v=", env!("CARGO_PKG_VERSION")));
    if let Some(rendered) = rendered {
        let _ = write!(words, " l={}", rendered.bytes.len());
    }
    words
}
