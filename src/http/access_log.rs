//! A line for each request. It has the form of other events of the log, and is written by hand: the
//! general way would cost a cached picture as much as the rest of its answer.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use model::Timestamp;
use service::Tier;

use super::clock;
use super::watch::Class;
use crate::log::Lines;

/// Where the lines go, and in which form; cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<(Lines, Form)>);

#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Pretty { colours: bool },
}

/// What is told of a request and its answer.
pub(super) struct Entry<'a> {
    pub(super) method: &'a str,
    pub(super) class: Class,
    /// Without what is secret.
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) bytes: u64,
    pub(super) time: Duration,
    pub(super) tier: Option<Tier>,
    pub(super) request_id: &'a str,
}

impl AccessLog {
    /// Nothing is logged.
    pub fn off() -> Self {
        Self(None)
    }

    /// JSON objects.
    pub fn json(lines: Lines) -> Self {
        Self(Some((lines, Form::Json)))
    }

    /// Lines for people.
    pub fn pretty(lines: Lines, colours: bool) -> Self {
        Self(Some((lines, Form::Pretty { colours })))
    }

    pub(super) fn write(&self, entry: &Entry<'_>) {
        let Some((lines, form)) = &self.0 else { return };
        lines.add(|line| match form {
            Form::Json => entry.write_json(line),
            Form::Pretty { colours } => entry.write_pretty(line, *colours),
        });
    }
}

impl Entry<'_> {
    fn milliseconds(&self) -> f64 {
        self.time.as_micros() as f64 / 1_000.0
    }

    // Writing to memory does not fail.
    fn write_json(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"timestamp\":\"");
        clock::write_moment(line, Timestamp::now());
        line.extend_from_slice(b"\",\"level\":\"INFO\",\"method\":");
        let _ = serde_json::to_writer(&mut *line, self.method);
        let route = self.class.as_str();
        let _ = write!(line, ",\"route\":\"{route}\",\"path\":");
        let _ = serde_json::to_writer(&mut *line, self.path);
        let (status, bytes, time) = (self.status, self.bytes, self.milliseconds());
        let _ = write!(
            line,
            ",\"status\":{status},\"bytes\":{bytes},\"duration_ms\":{time:?}"
        );
        if let Some(tier) = self.tier {
            let _ = write!(line, ",\"cache\":\"{}\"", tier.as_str());
        }
        // An id holds no letter which JSON would escape.
        let id = self.request_id;
        let _ = writeln!(
            line,
            ",\"target\":\"access\",\"span\":{{\"request_id\":\"{id}\",\"name\":\"request\"}}}}"
        );
    }

    fn write_pretty(&self, line: &mut Vec<u8>, colours: bool) {
        let (dim, green, plain) = if colours {
            ("\x1b[2m", "\x1b[32m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        line.extend_from_slice(dim.as_bytes());
        clock::write_moment(line, Timestamp::now());
        let mut text = String::with_capacity(256);
        let _ = write!(
            text,
            "{plain} {green} INFO{plain} request{{request_id={}}}: method={} route={:?} path={:?} status={} bytes={} duration_ms={:?}",
            self.request_id,
            self.method,
            self.class.as_str(),
            self.path,
            self.status,
            self.bytes,
            self.milliseconds(),
        );
        if let Some(tier) = self.tier {
            let _ = write!(text, " cache={:?}", tier.as_str());
        }
        line.extend_from_slice(text.as_bytes());
        line.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_whatever_the_path_holds() {
        let entry = Entry {
            method: "GET",
            class: Class::Delivery,
            path: "/a\"b\\c\u{1}é",
            status: 200,
            bytes: 5_000,
            time: Duration::from_micros(1_250),
            tier: Some(Tier::Memory),
            request_id: "r-1",
        };
        let mut line = Vec::new();
        entry.write_json(&mut line);
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["path"], entry.path);
        assert_eq!(line["duration_ms"], 1.25);
        assert_eq!(line["cache"], "memory");
        assert_eq!(line["span"]["request_id"], "r-1");
        let mut line = Vec::new();
        entry.write_pretty(&mut line, false);
        let line = String::from_utf8(line).unwrap();
        let rest = line.split_once(" INFO ").unwrap().1;
        let expected = "request{request_id=r-1}: method=GET route=\"delivery\" path=\"/a\\\"b\\\\c\\u{1}é\" status=200 bytes=5000 duration_ms=1.25 cache=\"memory\"\n";
        assert_eq!(rest, expected);
    }
}
