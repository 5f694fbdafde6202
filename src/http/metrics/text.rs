use std::fmt::{Display, Write as _};

use service::Histogram;

/// A page of metrics, written family by family: a head, then its samples.
#[derive(Default)]
pub(super) struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    pub(super) fn counter(&mut self, name: &'static str, help: &str) {
        self.family(name, "counter", help);
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &str) {
        self.family(name, "gauge", help);
    }

    pub(super) fn histogram(&mut self, name: &'static str, help: &str) {
        self.family(name, "histogram", help);
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A sample of the family. Labels are words of ours and need no escape.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.suffixed("", labels, value);
    }

    /// All samples of a histogram.
    pub(super) fn times(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let (below, all) = histogram.cumulated();
        for (bound, count) in Histogram::BOUNDS.into_iter().zip(below) {
            let bound = (bound as f64 / 1_000.0).to_string();
            self.suffixed("_bucket", &[labels, &[("le", &bound)]].concat(), count);
        }
        self.suffixed("_bucket", &[labels, &[("le", "+Inf")]].concat(), all);
        self.suffixed("_sum", labels, histogram.sum().as_secs_f64());
        self.suffixed("_count", labels, all);
    }

    fn suffixed(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let name = self.name;
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        if labels.is_empty() {
            self.line(format_args!("{name}{suffix} {value}"));
        } else {
            let labels = labels.join(",");
            self.line(format_args!("{name}{suffix}{{{labels}}} {value}"));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_histogram_is_written_as_prometheus_reads_it() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(2));
        histogram.observe(Duration::from_secs(40));
        let mut page = Page::default();
        page.histogram("t_seconds", "Times.");
        page.times(&[("route", "api")], &histogram);
        let text = page.into_text();
        assert!(text.starts_with("# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"));
        for line in [
            "t_seconds_bucket{route=\"api\",le=\"0.001\"} 0",
            "t_seconds_bucket{route=\"api\",le=\"0.002\"} 1",
            "t_seconds_bucket{route=\"api\",le=\"30\"} 1",
            "t_seconds_bucket{route=\"api\",le=\"+Inf\"} 2",
            "t_seconds_sum{route=\"api\"} 40.002",
            "t_seconds_count{route=\"api\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
