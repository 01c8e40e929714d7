//! Errors of an engine, and the typed details in them (v0.32.2, solver/errdefs).
//!
//! [`Error`] is what every call returns; [`Failure`] is an operation that failed.

use bollard_buildkit_proto::google::rpc::Status as RpcStatus;
use prost::Message as _;
use serde::Deserialize;
use tonic::Code;

use super::MESSAGE_LIMIT;

/// An engine that cannot be used, or an operation that it refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The address has none of the forms that are supported.
    #[error("invalid engine address `{text}`: {reason}")]
    Address {
        /// The address.
        text: String,
        /// What is expected.
        reason: String,
    },
    /// Nothing answers.
    #[error("cannot connect to the engine at {address}: {reason}")]
    Connect {
        /// The engine's address.
        address: String,
        /// The innermost cause.
        reason: String,
    },
    /// The engine lacks what a build needs.
    #[error("buildkitd {version} is too old: it lacks {missing} (v0.32 has all that is needed)")]
    TooOld {
        /// Its version.
        version: String,
        /// Capabilities, separated by commas.
        missing: String,
    },
    /// An operation failed.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// A message is too large.
    #[error(
        "{what} have {} MiB, and an engine accepts {} MiB",
        size.div_ceil(1 << 20),
        MESSAGE_LIMIT >> 20
    )]
    TooLarge {
        /// What it has, a plural.
        what: &'static str,
        /// Its size, bytes.
        size: usize,
    },
    /// The engine has no space left.
    #[error("the engine's disk is full: {reason}")]
    DiskFull {
        /// The engine's text.
        reason: String,
    },
    /// The address is one of another machine, and the connection would be neither encrypted nor authenticated.
    #[error(
        "refusing the engine at {address}: secrets and passwords would be sent over the network unencrypted"
    )]
    Insecure {
        /// The engine's address.
        address: String,
    },
    /// The engine is gone.
    #[error("lost the connection to the engine: {reason}")]
    Lost {
        /// The cause.
        reason: String,
    },
    /// The caller cancelled the build.
    #[error("interrupted")]
    Cancelled,
    /// An answer that breaks the protocol.
    #[error("unexpected answer of the engine: {reason}")]
    Protocol {
        /// What is unexpected.
        reason: String,
    },
}

/// An operation that failed.
#[derive(Clone, Debug, Default)]
pub struct Failure {
    /// The daemon's text: `process "/bin/sh -c …" did not complete successfully: exit code: 7`.
    pub message: String,
    /// The digest of the operation, if the daemon reported it.
    pub vertex: Option<String>,
    /// The exit code of its process, if it had one.
    pub exit_code: Option<u32>,
    /// The name the operation was given (`llb.customname`).
    pub name: Option<String>,
    /// Its place by the source map.
    pub place: Option<SourceLocation>,
    /// What each mount of the operation had when it failed, by IDs that are known in the same build; empty for mounts
    /// without files of the engine.
    pub mounts: Vec<String>,
    /// As received, to be returned unchanged.
    status: RpcStatus,
}

/// The first range of a failed operation in the source map; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// The name of the file in the source map.
    pub file: String,
    /// The first line.
    pub line: u32,
    /// The first column.
    pub column: u32,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Returns a text of the daemon without the command that it quotes,
/// `process "…" did not complete successfully: REASON`, without the names that it gives to what a file
/// is copied from, `failed to compute cache key: failed to calculate checksum of ref A::B: "/x": not found`, without
/// the line of a Dockerfile, `dockerfile parse error on line 4: REASON`, which is in
/// [`Failure::place`], and with paths of the image where it has those of its own folders.
pub fn reason(message: &str) -> String {
    let missing = message.rsplit_once("failed to calculate checksum of ref ");
    if let Some((_, (_, reason))) = missing.and_then(|(a, rest)| Some((a, rest.split_once(": ")?)))
    {
        return reason.to_owned();
    }
    let parsed = message.strip_prefix("dockerfile parse error on line ");
    if let Some((_, reason)) = parsed.and_then(|rest| rest.split_once(": ")) {
        return reason.to_owned();
    }
    let end = "did not complete successfully: ";
    let at = message
        .rfind(end)
        .filter(|_| message.starts_with("process "));
    let reason = at.map_or(message, |at| &message[at + end.len()..]);
    of_folder(&without_mounts(reason))
}

/// How the paths go on at which the daemon mounts an image for operations on files, before a number and the
/// path in the image (`LocalMounterWithMounts` in snapshot/localmounter_linux.go of v0.32.2).
const MOUNTS: [&str; 2] = ["/cachemounts/buildkit", "/buildkit-mount"];

/// Returns a text without the folders of [`MOUNTS`].
fn without_mounts(text: &str) -> String {
    let (mut done, mut rest) = (String::new(), text);
    let next = |rest: &str| {
        let found = MOUNTS
            .iter()
            .filter_map(|mount| Some((rest.find(mount)?, mount.len())));
        found.min()
    };
    while let Some((at, length)) = next(rest) {
        let begin = rest[..at]
            .rfind([' ', '"', ':'])
            .map_or(0, |before| before + 1);
        done.push_str(&rest[..begin]);
        rest = rest[at + length..].trim_start_matches(|c: char| c.is_ascii_digit());
        if !rest.starts_with('/') {
            done.push('/');
        }
    }
    done + rest
}

/// Returns what the daemon reports of a folder where a file should be, in other words: `open` of a new file, and
/// fsutil's copy/copy.go.
fn of_folder(text: &str) -> String {
    let opened = text.strip_prefix("open ");
    let opened = opened.and_then(|rest| rest.strip_suffix(": is a directory"));
    let copied = text.strip_prefix("cannot replace to directory ");
    let copied = copied.and_then(|rest| rest.strip_suffix(" with file"));
    match (opened, copied) {
        (Some(path), _) => format!("cannot replace the folder {path} by a file"),
        (_, Some(path)) => format!("cannot replace the folder {path} by a file or a link"),
        (None, None) => text.to_owned(),
    }
}

impl Error {
    /// Reads a call's status; typed details are JSON behind the type's name.
    pub(super) fn from_status(status: tonic::Status) -> Self {
        let lost = matches!(status.code(), Code::Unavailable) && status.details().is_empty();
        // tonic reports Unknown for a broken connection, with the cause as its source.
        let broken = std::error::Error::source(&status).is_some();
        if lost || broken {
            return Self::Lost {
                reason: status.message().to_owned(),
            };
        }
        if status.code() == Code::Cancelled {
            return Self::Cancelled;
        }
        let failure = Failure::from_status(&status);
        // The daemon has no code for it; this is how Go ends the text of ENOSPC (syscall/zerrors_linux_amd64.go). A
        // step that reports it itself has an exit code.
        if failure.exit_code.is_none() && failure.message.ends_with("no space left on device") {
            return Self::DiskFull {
                reason: failure.message,
            };
        }
        Self::Failed(Box::new(failure))
    }

    /// Returns the status that reports this error to the daemon; its code is never 0, which would mean
    /// success.
    pub(super) fn into_status(self) -> RpcStatus {
        match self {
            Self::Failed(failure) if failure.status.code != 0 => failure.status,
            other => RpcStatus {
                code: Code::Unknown as i32,
                message: other.to_string(),
                details: Vec::new(),
            },
        }
    }
}

#[derive(Deserialize)]
struct SolveDetail {
    #[serde(default)]
    description: std::collections::BTreeMap<String, String>,
    #[serde(default, rename = "mountIDs")]
    mounts: Vec<String>,
}

#[derive(Deserialize)]
struct VertexDetail {
    digest: String,
}

#[derive(Deserialize)]
struct ExitDetail {
    #[serde(rename = "Code")]
    code: u32,
}

#[derive(Deserialize)]
struct SourceDetail {
    info: Option<SourceFile>,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct SourceFile {
    #[serde(default)]
    filename: String,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: u32,
    #[serde(default)]
    character: u32,
}

impl Failure {
    /// A failure on our side of the gateway, for the daemon's record of the build.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// Whether a file or folder that was asked for is missing. The daemon has no code for it, only this text: Unknown, "open /x:
    /// no such file or directory".
    pub fn is_missing_file(&self) -> bool {
        self.message.contains("no such file")
    }

    fn from_status(status: &tonic::Status) -> Self {
        let decoded = RpcStatus::decode(status.details()).unwrap_or_default();
        let whole = match decoded.code {
            0 => RpcStatus {
                code: status.code() as i32,
                message: status.message().to_owned(),
                details: decoded.details,
            },
            _ => decoded,
        };
        let mut failure = Self {
            message: status.message().to_owned(),
            ..Self::default()
        };
        for detail in &whole.details {
            let name = detail.type_url.rsplit('/').next().unwrap_or_default();
            failure.add(name, &detail.value);
        }
        failure.status = whole;
        failure
    }

    /// Adds a typed detail. The innermost comes first and counts; one that cannot be read is left out.
    fn add(&mut self, name: &str, json: &[u8]) {
        match name {
            "errdefs.Vertex+json" => {
                if let Ok(detail) = serde_json::from_slice::<VertexDetail>(json) {
                    self.vertex.get_or_insert(detail.digest);
                }
            }
            "gatewayapi.ExitMessage+json" => {
                if let Ok(detail) = serde_json::from_slice::<ExitDetail>(json) {
                    self.exit_code.get_or_insert(detail.code);
                }
            }
            "errdefs.Solve+json" => {
                if let Ok(mut detail) = serde_json::from_slice::<SolveDetail>(json) {
                    if self.mounts.is_empty() {
                        self.mounts = detail.mounts;
                    }
                    if let Some(name) = detail.description.remove("llb.customname") {
                        self.name.get_or_insert(name);
                    }
                }
            }
            "errdefs.Source+json" => {
                if let Ok(detail) = serde_json::from_slice::<SourceDetail>(json)
                    && let Some(file) = detail.info
                    && let Some(Some(start)) = detail.ranges.into_iter().next().map(|r| r.start)
                {
                    self.place.get_or_insert(SourceLocation {
                        file: file.filename,
                        line: start.line,
                        column: start.character,
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_details_are_read_and_returned_unchanged() {
        let detail = |name: &str, json: &str| {
            let mut any = bollard_buildkit_proto::google::rpc::Status::default();
            any.details.push(Default::default());
            let mut detail = any.details.remove(0);
            detail.type_url = format!("github.com/moby/buildkit/{name}+json");
            detail.value = json.as_bytes().to_vec();
            detail
        };
        let sent = RpcStatus {
            code: 2,
            message: "inner".to_owned(),
            details: vec![
                detail("stack.Stack", r#"{"frames":[]}"#),
                detail("gatewayapi.ExitMessage", r#"{"Code":7}"#),
                detail(
                    "errdefs.Solve",
                    r#"{"inputIDs":["a"],"mountIDs":["b",""],"description":{"llb.customname":"sci: run x"}}"#,
                ),
                detail(
                    "errdefs.Source",
                    r#"{"info":{"filename":"specs.yml","data":"eA=="},"ranges":[{"start":{"line":9,"character":5},"end":{"line":9}}]}"#,
                ),
                detail("errdefs.Vertex", r#"{"digest":"sha256:11"}"#),
                detail("errdefs.Vertex", "not JSON"),
            ],
        };
        let status =
            tonic::Status::with_details(Code::Unknown, "exit code: 7", sent.encode_to_vec().into());
        let Error::Failed(failure) = Error::from_status(status) else {
            panic!("a failure");
        };
        assert_eq!(failure.exit_code, Some(7));
        assert_eq!(failure.vertex.as_deref(), Some("sha256:11"));
        assert_eq!(failure.name.as_deref(), Some("sci: run x"));
        assert_eq!(failure.mounts, ["b", ""]);
        let place = SourceLocation {
            file: "specs.yml".to_owned(),
            line: 9,
            column: 5,
        };
        assert_eq!(failure.place, Some(place));
        assert_eq!(Error::Failed(failure).into_status(), sent);
    }

    #[test]
    fn the_reason_of_a_failure_is_without_its_command() {
        let quoted = r#"process "/bin/sh -c set -e" did not complete successfully: runc: no file"#;
        assert_eq!(reason(quoted), "runc: no file");
        assert_eq!(reason("no such file"), "no such file");
        let internal = r#"failed to compute cache key: failed to calculate checksum of ref a::b: "/x": not found"#;
        assert_eq!(reason(internal), r#""/x": not found"#);
    }

    #[test]
    fn the_reason_of_a_failure_has_paths_of_the_image() {
        for (text, expected) in [
            (
                "dockerfile parse error on line 4: unknown flag: --x",
                "unknown flag: --x",
            ),
            (
                "cannot replace to directory /var/lib/buildkit/runc-overlayfs/cachemounts/buildkit1741579522/opt/x with file",
                "cannot replace the folder /opt/x by a file or a link",
            ),
            (
                "open /x: is a directory",
                "cannot replace the folder /x by a file",
            ),
            (
                "lstat /tmp/buildkit-mount77/a/b: no such file",
                "lstat /a/b: no such file",
            ),
            ("cannot write to /tmp/buildkit-mount77", "cannot write to /"),
        ] {
            assert_eq!(reason(text), expected);
        }
    }

    #[test]
    fn an_error_of_ours_is_never_returned_as_success() {
        assert_ne!(Error::Cancelled.into_status().code, 0);
        let failure = Failure::new("no image was built");
        let status = Error::Failed(Box::new(failure)).into_status();
        assert_eq!(status.message, "no image was built");
        assert_ne!(status.code, 0);
    }

    #[test]
    fn a_full_disk_is_the_engines_fault() {
        let text = "write /state/executor/hosts.tmp: no space left on device";
        let error = Error::from_status(tonic::Status::new(Code::Unknown, text));
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        let text = r#"push failed: 500: {"message": "no space left on device"}"#;
        let error = Error::from_status(tonic::Status::new(Code::Unknown, text));
        assert!(matches!(error, Error::Failed(_)), "{error}");
    }
}
