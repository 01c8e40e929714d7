//! Reports of an engine on its work (`Control.Status`) as plain data: [`Update`].

use std::collections::HashSet;
use std::time::Duration;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{self, StatusResponse};

/// One report of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The whole state of an operation; it replaces earlier ones.
    Vertex(Vertex),
    /// Bytes that a step wrote; they can end inside a line or a character.
    Log {
        /// The operation's digest.
        vertex: String,
        /// Whether it was written to standard error.
        is_error: bool,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Progress of a part of an operation.
    Progress {
        /// The operation's digest.
        vertex: String,
        /// The part: a layer, a download.
        what: String,
        /// Bytes done.
        current: u64,
        /// Bytes in all; 0 if unknown.
        total: u64,
    },
    /// A warning of a frontend, for people.
    Warning(String),
}

/// An operation. It can start and complete several times: cache probing, lazy pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vertex {
    /// The digest of its definition; synthetic for an export and the like.
    pub digest: String,
    /// Its name for people.
    pub name: String,
    /// When it started, since 1970, by the daemon's clock.
    pub started: Option<Duration>,
    /// When it completed, by the same clock.
    pub completed: Option<Duration>,
    /// Whether its result came from the cache.
    pub cached: bool,
    /// Its error; empty if none, `context canceled` for one that was dropped with its build.
    pub error: String,
}

/// Warnings already passed on: a response split by its size repeats them (client/status.go).
#[derive(Debug, Default)]
pub struct Warnings(HashSet<(String, Vec<u8>)>);

fn since_epoch(time: &Option<Timestamp>) -> Option<Duration> {
    let time = time.as_ref()?;
    let seconds = u64::try_from(time.seconds).ok()?;
    Some(Duration::new(
        seconds,
        u32::try_from(time.nanos).unwrap_or(0),
    ))
}

impl Warnings {
    /// Returns what a response contains; a vertex comes before its logs.
    pub fn updates(&mut self, response: StatusResponse) -> Vec<Update> {
        let mut list: Vec<Update> = response.vertexes.into_iter().map(vertex).collect();
        for status in response.statuses {
            list.push(Update::Progress {
                vertex: status.vertex,
                what: if status.name.is_empty() {
                    status.id
                } else {
                    status.name
                },
                current: u64::try_from(status.current).unwrap_or(0),
                total: u64::try_from(status.total).unwrap_or(0),
            });
        }
        for log in response.logs {
            list.push(Update::Log {
                vertex: log.vertex,
                // 1 is standard output, 2 standard error (util/progress/logs/logs.go).
                is_error: log.stream == 2,
                bytes: log.msg,
            });
        }
        for warning in response.warnings {
            let text = warning_text(&warning);
            // Level 0 is the exporter comparing platforms, which stand for images here
            // (exporter/verifier/platforms.go); frontends warn from level 1 on.
            if warning.level > 0 && self.0.insert((warning.vertex, warning.short)) {
                list.push(Update::Warning(text));
            }
        }
        list
    }
}

/// Returns a warning with the place it is about, as `FILE:LINE: TEXT`.
fn warning_text(warning: &v1::VertexWarning) -> String {
    let text = String::from_utf8_lossy(&warning.short).into_owned();
    let start = warning
        .ranges
        .first()
        .and_then(|range| range.start.as_ref());
    let (Some(file), Some(start)) = (&warning.info, start) else {
        return text;
    };
    let line = start.line;
    // The text ends with the line as well.
    let end = format!(" (line {line})");
    let text = text.strip_suffix(&end).unwrap_or(&text);
    format!("{}:{line}: {text}", file.filename)
}

fn vertex(vertex: v1::Vertex) -> Update {
    Update::Vertex(Vertex {
        started: since_epoch(&vertex.started),
        completed: since_epoch(&vertex.completed),
        digest: vertex.digest,
        name: vertex.name,
        cached: vertex.cached,
        error: vertex.error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_reported_once_and_those_about_platforms_never() {
        let warning = |level, text: &str| v1::VertexWarning {
            vertex: "v".to_owned(),
            level,
            short: text.as_bytes().to_vec(),
            ..Default::default()
        };
        let response = StatusResponse {
            warnings: vec![
                warning(1, "old"),
                warning(0, "platforms"),
                warning(1, "old"),
            ],
            logs: vec![v1::VertexLog {
                vertex: "v".to_owned(),
                msg: b"half a li".to_vec(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut warnings = Warnings::default();
        let log = Update::Log {
            vertex: "v".to_owned(),
            is_error: false,
            bytes: b"half a li".to_vec(),
        };
        let old = Update::Warning("old".to_owned());
        assert_eq!(warnings.updates(response.clone()), [log.clone(), old]);
        assert_eq!(warnings.updates(response), [log]);
    }
}
