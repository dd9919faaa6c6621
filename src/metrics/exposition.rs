//! The two text formats: `OpenMetrics` 1.0.0, and Prometheus 0.0.4, in which a counter has the name of its sample,
//! `…_total`, and there is no end marker.

use prometheus_client::{encoding::text, registry::Registry};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
    /// `text/plain; version=0.0.4`.
    Prometheus,
}

impl Format {
    /// Negotiates the format for an `Accept` header: `OpenMetrics` if it is named, else Prometheus.
    pub fn accepted(accept: &str) -> Self {
        let mut kinds = accept
            .split(',')
            .map(|kind| kind.split(';').next().unwrap_or_default().trim());
        if kinds.any(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

pub(super) fn encode(registry: &Registry, format: Format) -> String {
    let mut text = String::new();
    text::encode(&mut text, registry).expect("a string takes any text");
    match format {
        Format::OpenMetrics => text,
        Format::Prometheus => to_prometheus(&text),
    }
}

fn to_prometheus(openmetrics: &str) -> String {
    let mut lines = Vec::new();
    let mut help = None;
    for line in openmetrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => {}
            // The name depends on the type, which comes on the next line.
            (Some("#"), Some("HELP"), Some(_), told) => help = told,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                if let Some(help) = help.take() {
                    lines.push(format!("# HELP {name}{suffix} {help}"));
                }
                lines.push(format!("# TYPE {name}{suffix} {kind}"));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn the_accept_header_selects_the_format() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for other in ["", "*/*", "text/plain", "application/json"] {
            assert_eq!(Format::accepted(other), Format::Prometheus, "{other}");
        }
    }

    #[test]
    fn counters_are_named_as_each_format_requires() {
        let metrics = Metrics::default();
        metrics.verification("valid");
        let text = metrics.encode(Format::OpenMetrics);
        assert!(text.contains("# TYPE hallpass_verifications counter\n"));
        assert!(text.contains("hallpass_verifications_total{result=\"valid\"} 1\n"));
        assert!(text.ends_with("# EOF\n"));

        let text = metrics.encode(Format::Prometheus);
        assert!(text.contains("# TYPE hallpass_verifications_total counter\n"));
        assert!(text.contains("hallpass_verifications_total{result=\"valid\"} 1\n"));
        assert!(text.contains("# TYPE hallpass_build_info gauge\n"));
        assert!(!text.contains("EOF") && !text.contains("UNIT"));
    }
}
