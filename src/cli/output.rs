//! What commands print. A reader who has left, as in `calotype images list | head`, is no failure.

use std::error::Error as _;
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use service::holdings::Watch;

use super::Error;

/// How a command prints.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output {
    /// Print one JSON line per item
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints an item: its JSON, or its text.
    pub(super) fn item(self, json: &Value, text: impl Display) -> Result<(), Error> {
        if self.json { line(json) } else { line(text) }
    }

    /// Whether items are printed as JSON.
    pub(super) const fn is_json(self) -> bool {
        self.json
    }
}

/// Prints a line.
pub(super) fn line(text: impl Display) -> Result<(), Error> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes as they are.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Io("the output cannot be written".to_owned(), error))
        }
        _ => Ok(()),
    }
}

/// Says something beside the output.
pub(super) fn note(text: impl Display) {
    // Without a standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints an error with its causes.
pub(super) fn error(error: &Error) {
    note(format_args!("error: {}", with_causes(error)));
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a `String` does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// What work on `total` items comes to. A single failure is the error of the command; several are
/// told one by one.
pub(super) fn conclude(total: usize, mut failures: Vec<(String, Error)>) -> Result<(), Error> {
    let failed = failures.len();
    match failures.pop() {
        None => Ok(()),
        Some((_, error)) if total == 1 => Err(error),
        Some(last) => {
            for (item, error) in failures.into_iter().chain([last]) {
                note(format_args!("{item}: {}", with_causes(&error)));
            }
            Err(Error::Failed(format!("{failed} of {total} failed")))
        }
    }
}

/// A bar which shows how far the work on a whole store has come.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {eta}");
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    /// Prints in between.
    pub(super) fn suspend<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    /// Nothing more is to come.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}

impl Watch for Bar {
    fn begin(&self, what: &'static str, steps: u64) {
        self.0.reset();
        self.0.set_length(steps);
        self.0.set_message(what);
    }

    fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }
}

/// A line which says how far it is, if somebody watches.
pub(super) fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
}

/// A bar over `total` items, if somebody watches and there is more than one.
pub(super) fn progress(total: usize) -> ProgressBar {
    if total < 2 || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
