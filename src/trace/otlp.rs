//! Entries as spans of OpenTelemetry, and their way to a collector.
//!
//! The variables are those of <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>; `opentelemetry-otlp` reads all but
//! those that decide whether anything is sent.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, Key, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use super::{Entry, Track};

/// How many spans are sent at once: the default of OpenTelemetry's SDKs (`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`).
const BATCH: usize = 512;

/// How long the collector may take in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The trace that the spans of this process belong to.
#[derive(Clone, Debug)]
pub(super) struct Link {
    trace: TraceId,
    /// The span that this process is a part of.
    parent: SpanId,
    /// The ID of the first entry; the others follow.
    first: u64,
}

impl Link {
    /// Returns the trace that `TRACEPARENT` names, or a new one; nothing if the environment names no collector or turns traces off.
    pub(super) fn new(environment: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let value = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
        value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| value("OTEL_EXPORTER_OTLP_ENDPOINT"))?;
        let is_off =
            value("OTEL_SDK_DISABLED").is_some_and(|is| is.trim().eq_ignore_ascii_case("true"));
        let is_elsewhere = value("OTEL_TRACES_EXPORTER")
            .is_some_and(|list| list.split(',').all(|exporter| exporter.trim() != "otlp"));
        if is_off || is_elsewhere {
            return None;
        }
        let header = value("TRACEPARENT").unwrap_or_default();
        let carrier = HashMap::from([("traceparent".to_owned(), header)]);
        let context = TraceContextPropagator::new().extract(&carrier);
        let caller = context.span().span_context().clone();
        if caller.is_valid() && !caller.is_sampled() {
            return None;
        }
        let random = || u128::from(fastrand::u64(1..)) << 64 | u128::from(fastrand::u64(..));
        Some(Self {
            trace: if caller.is_valid() {
                caller.trace_id()
            } else {
                TraceId::from(random())
            },
            parent: caller.span_id(),
            // None of them is 0, which would be no ID.
            first: fastrand::u64(1..=u64::MAX / 2),
        })
    }

    /// Returns the ID of an entry.
    fn id(&self, index: usize) -> SpanId {
        SpanId::from(self.first + index as u64)
    }

    /// Returns the header `traceparent` of what is a part of an entry.
    pub(super) fn header(&self, index: usize) -> String {
        format!("00-{}-{}-01", self.trace, self.id(index))
    }

    /// Returns entries that have ended as spans. One is a part of the innermost phase of the command in which it began.
    pub(super) fn spans(&self, entries: Vec<Entry>) -> Vec<SpanData> {
        let phases: Vec<(usize, Duration, Duration)> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.track == Track::Command)
            .map(|(index, entry)| (index, entry.start, entry.until()))
            .collect();
        let parent = |index: usize, entry: &Entry| {
            // A phase begins after the one that it is a part of.
            let around = phases.iter().rev().find(|(phase, start, end)| {
                *phase != index
                    && (entry.track != Track::Command || *phase < index)
                    && *start <= entry.start
                    && entry.start < *end
            });
            // The clock of the engine can be another.
            let around = around.or_else(|| phases.first().filter(|(phase, ..)| *phase < index));
            around.map_or(self.parent, |(phase, ..)| self.id(*phase))
        };
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        let parents: Vec<SpanId> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| parent(index, entry))
            .collect();
        let spans = entries.into_iter().zip(parents).enumerate();
        spans
            .map(|(index, (entry, parent))| self.span(self.id(index), parent, entry, scope.clone()))
            .collect()
    }

    fn span(
        &self,
        id: SpanId,
        parent: SpanId,
        entry: Entry,
        scope: InstrumentationScope,
    ) -> SpanData {
        let at = |since: Duration| SystemTime::UNIX_EPOCH + since;
        let notes = entry.notes.iter().map(|(name, value)| {
            let name = format!("laminate.{}", name.replace(' ', "_"));
            KeyValue::new(name, value.clone())
        });
        let track = KeyValue::new("laminate.track", entry.track.title());
        SpanData {
            span_context: SpanContext::new(
                self.trace,
                id,
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: parent,
            parent_span_is_remote: parent == self.parent,
            span_kind: match entry.track {
                Track::Registry => SpanKind::Client,
                _ => SpanKind::Internal,
            },
            start_time: at(entry.start),
            end_time: at(entry.until()),
            attributes: std::iter::once(track).chain(notes).collect(),
            name: Cow::Owned(entry.name),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: entry.fault.map_or(Status::Unset, Status::error),
            instrumentation_scope: scope,
        }
    }
}

/// Sends spans to the collector that the environment names. Fails with the reason if it does not take them within 10 seconds.
pub(super) async fn send(mut spans: Vec<SpanData>) -> Result<(), String> {
    let mut exporter = SpanExporter::builder()
        .build()
        .map_err(|error| error.to_string())?;
    exporter.set_resource(&resource());
    let sending = async {
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(BATCH));
            exporter
                .export(std::mem::replace(&mut spans, rest))
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    match tokio::time::timeout(PATIENCE, sending).await {
        Ok(sent) => sent,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// Returns what sends the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or the name of the program.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let found = Resource::builder().build().get(&Key::new("service.name"));
    match found {
        // OpenTelemetry calls a process without a name so.
        Some(name) if !name.as_str().starts_with("unknown_service") => builder.build(),
        _ => builder.with_service_name(env!("CARGO_PKG_NAME")).build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn link(variables: &[(&str, &str)]) -> Option<Link> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        Link::new(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn spans_are_sent_if_a_collector_is_named_and_nothing_turns_them_off() {
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        let only_traces = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://127.0.0.1:4318/x",
        );
        for on in [
            vec![named],
            vec![only_traces],
            vec![named, ("OTEL_SDK_DISABLED", "false")],
            vec![named, ("OTEL_TRACES_EXPORTER", "console, otlp")],
            vec![named, ("TRACEPARENT", CALLER)],
            vec![named, ("TRACEPARENT", "nonsense")],
        ] {
            assert!(link(&on).is_some(), "{on:?}");
        }
        let unsampled = CALLER.replace("-01", "-00");
        for off in [
            vec![],
            vec![("TRACEPARENT", CALLER)],
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            vec![named, ("OTEL_SDK_DISABLED", "True")],
            vec![named, ("OTEL_TRACES_EXPORTER", "none")],
            vec![named, ("TRACEPARENT", unsampled.as_str())],
        ] {
            assert!(link(&off).is_none(), "{off:?}");
        }
    }

    fn entry(track: Track, name: &str, start: u64, took: u64) -> Entry {
        Entry {
            track,
            name: name.to_owned(),
            start: Duration::from_millis(start),
            took: Some(Duration::from_millis(took)),
            notes: vec![("exit code", "5".to_owned())],
            fault: (name == "build").then(|| "it failed".to_owned()),
        }
    }

    #[test]
    fn a_span_is_a_part_of_the_phase_it_began_in() {
        let link = link(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"),
            ("TRACEPARENT", CALLER),
        ]);
        let link = link.expect("a collector is named");
        let spans = link.spans(vec![
            entry(Track::Command, "build", 1000, 100),
            entry(Track::Command, "load the stack", 1000, 20),
            entry(Track::Git, "git ls-files", 1000, 30),
            entry(Track::Command, "run the engine", 1020, 50),
            entry(Track::Engine, "solve", 1021, 40),
            entry(Track::Steps, "early by its clock", 10, 5),
            entry(Track::Registry, "GET /v2/", 1080, 5),
        ]);
        let name = |id: SpanId| {
            spans
                .iter()
                .find(|span| span.span_context.span_id() == id)
                .map(|span| &*span.name)
        };
        let parents: Vec<_> = spans
            .iter()
            .map(|span| (&*span.name, name(span.parent_span_id)))
            .collect();
        assert_eq!(
            parents,
            [
                ("build", None),
                ("load the stack", Some("build")),
                ("git ls-files", Some("load the stack")),
                ("run the engine", Some("build")),
                ("solve", Some("run the engine")),
                ("early by its clock", Some("build")),
                ("GET /v2/", Some("build")),
            ]
        );
        let root = &spans[0];
        assert_eq!(root.parent_span_id.to_string(), "b7ad6b7169203331");
        assert!(root.parent_span_is_remote && root.status == Status::error("it failed"));
        assert!(
            root.attributes
                .contains(&KeyValue::new("laminate.exit_code", "5"))
        );
        assert!(
            spans
                .iter()
                .all(|span| span.span_context.trace_id().to_string() == CALLER[3..35])
        );
        let header = format!(
            "00-{}-{}-01",
            &CALLER[3..35],
            spans[4].span_context.span_id()
        );
        assert_eq!(link.header(4), header);
    }
}
