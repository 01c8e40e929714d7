//! What can go wrong with a registry, told apart where a caller does something else.

use crate::name::Digest;

/// Why a request to a registry failed. `what` names the operation and the repository.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: cannot reach {host}: {reason}")]
    Unreachable {
        what: String,
        host: String,
        reason: String,
    },
    #[error("{what}: {host} wants to know who asks{}; run `docker login {host}`", because(.reason))]
    Unauthorized {
        what: String,
        host: String,
        reason: String,
    },
    #[error("{what}: {host} refuses: {reason}; the credentials in use may not do this")]
    Denied {
        what: String,
        host: String,
        reason: String,
    },
    #[error("{what}: the tag is immutable and on another digest: {reason}")]
    Immutable { what: String, reason: String },
    #[error("{what}: the registry answered {status}: {reason}")]
    Status {
        what: String,
        status: u16,
        reason: String,
    },
    #[error("{what}: the bytes have the digest {found}, not {expected}")]
    Corrupt {
        what: String,
        expected: Digest,
        found: Digest,
    },
    #[error("{what}: {reason}")]
    Protocol { what: String, reason: String },
    #[error("credentials for {host}: {reason}")]
    Credentials { host: String, reason: String },
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(" ({reason})"),
    }
}

impl Error {
    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => is_temporary(*status),
            _ => false,
        }
    }
}

/// Statuses worth another try (registry notes §4; 499 and 522 come from proxies).
pub(super) fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

/// What a registry says of an error: the codes and messages of its JSON, else the start of the text.
pub(super) fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        code: Option<String>,
        message: Option<String>,
        detail: Option<serde_json::Value>,
    }
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(body) {
        let entries: Vec<String> = envelope
            .errors
            .into_iter()
            .map(|entry| {
                let mut text = entry.code.unwrap_or_default();
                if let Some(message) = entry.message.filter(|m| !m.is_empty()) {
                    text.push_str(": ");
                    text.push_str(&message);
                }
                if let Some(serde_json::Value::String(detail)) = entry.detail {
                    text.push_str(&format!(" ({detail})"));
                }
                text
            })
            .collect();
        return entries.join("; ");
    }
    let text = String::from_utf8_lossy(body);
    let line: String = text.trim().chars().take(200).collect();
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_come_from_json_or_any_text() {
        let json =
            br#"{"errors":[{"code":"DENIED","message":"no"},{"code":"X","detail":"sha256:1"}]}"#;
        assert_eq!(reason(json), "DENIED: no; X (sha256:1)");
        assert_eq!(reason(b"<html>\nbad</html>"), "<html> bad</html>");
        assert_eq!(reason(b""), "");
    }
}
