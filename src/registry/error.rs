//! The errors of a registry, by what a caller does about them.
//!
//! Main type: [`Error`], made from an answer or a failed connection. No message contains a secret, nor
//! a URL with a query (upload states and signed URLs of storage are secrets).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::answer::{Answer, printable};
use super::credential::CredentialError;

/// An operation on a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A HEAD of a manifest.
    LookUpManifest,
    /// A GET of a manifest.
    ReadManifest,
    /// A PUT of a manifest.
    WriteManifest,
    /// A DELETE of a manifest's tag.
    DeleteTag,
    /// A list of the tags of a repository.
    ListTags,
    /// A HEAD of a blob.
    LookUpBlob,
    /// A GET of a blob.
    ReadBlob,
    /// A mount of another repository's blob.
    MountBlob,
    /// An upload of a blob.
    UploadBlob,
    /// An upload that is opened to see whether it may be.
    CheckPush,
    /// The end of an upload without its blob.
    CancelUpload,
    /// A read of a document: its manifest, then its one layer.
    ReadDocument,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LookUpManifest => "look up the manifest",
            Self::ReadManifest => "read the manifest",
            Self::WriteManifest => "write the manifest",
            Self::DeleteTag => "delete the tag",
            Self::ListTags => "list the tags of",
            Self::LookUpBlob => "look up the blob",
            Self::ReadBlob => "read the blob",
            Self::MountBlob => "mount the blob",
            Self::UploadBlob => "upload the blob",
            Self::CheckPush => "push to",
            Self::CancelUpload => "cancel an upload to",
            Self::ReadDocument => "read the document",
        })
    }
}

/// An operation and its object; reads as "cannot read the manifest `ghcr.io/a/b:c`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The operation.
    pub operation: Operation,
    /// A repository, tag or digest, `ghcr.io/a/b:c`.
    pub reference: String,
    /// The registry's host, as in `docker login HOST`.
    pub host: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`", self.operation, self.reference)
    }
}

/// Why an operation on a registry failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The registry does not have the object.
    #[error("{attempt}: not found ({answer})")]
    NotFound {
        /// The operation.
        attempt: Attempt,
        /// The registry's answer.
        answer: Box<Answer>,
    },

    /// The registry or its token server rejects the credentials, or requires some.
    #[error("{attempt}: {} ({answer})", unauthorized(attempt, *with_credentials))]
    Unauthorized {
        /// The operation.
        attempt: Attempt,
        /// The registry's answer.
        answer: Box<Answer>,
        /// The request had the user's credentials.
        with_credentials: bool,
    },

    /// The account lacks the right.
    #[error(
        "{attempt}: access denied ({answer}); give the account of `docker login {}` access, or log in with another", attempt.host
    )]
    Denied {
        /// The operation.
        attempt: Attempt,
        /// The registry's answer.
        answer: Box<Answer>,
    },

    /// The tag exists and cannot be overwritten.
    #[error("{attempt}: the tag is immutable in this registry ({answer})")]
    Immutable {
        /// The operation.
        attempt: Attempt,
        /// The registry's answer.
        answer: Box<Answer>,
    },

    /// The registry refuses for another reason.
    #[error("{attempt}: the registry answered {answer}")]
    Refused {
        /// The operation.
        attempt: Attempt,
        /// The registry's answer.
        answer: Box<Answer>,
    },

    /// The token server does not answer with a token.
    #[error("{attempt}: the token server `{server}` answered {answer}")]
    TokenServer {
        /// The operation.
        attempt: Attempt,
        /// The token server's host.
        server: String,
        /// Its answer.
        answer: Box<Answer>,
    },

    /// A connection failed or ended.
    #[error("{attempt}: cannot reach `{server}`: {reason}")]
    Unreachable {
        /// The operation.
        attempt: Attempt,
        /// The host that was connected to.
        server: String,
        /// The causes, in one line.
        reason: String,
        /// False where a retry cannot help: a certificate that no authority has signed.
        temporary: bool,
    },

    /// The user stopped the command; a write may have been applied.
    #[error("{attempt}: interrupted")]
    Interrupted {
        /// The operation.
        attempt: Attempt,
    },

    /// Bytes have another digest than they must have.
    #[error("{attempt}: wrong digest: expected {expected}, found {found}")]
    WrongDigest {
        /// The operation.
        attempt: Attempt,
        /// The digest the bytes must have.
        expected: String,
        /// The digest they have, or that the registry reports.
        found: String,
    },

    /// A tag is at another manifest just after it was written.
    #[error(
        "{attempt}: another writer moved the tag to {found} just after it was written as {ours}"
    )]
    Overwritten {
        /// The operation.
        attempt: Attempt,
        /// The digest that was written.
        ours: String,
        /// The digest the tag is at.
        found: String,
    },

    /// A body is larger than expected.
    #[error("{attempt}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// The operation.
        attempt: Attempt,
        /// The limit, bytes.
        limit: u64,
    },

    /// An answer that breaks the protocol.
    #[error("{attempt}: {problem}")]
    Protocol {
        /// The operation.
        attempt: Attempt,
        /// The part of the protocol that is broken.
        problem: String,
    },

    /// The user's credentials cannot be read.
    #[error("{attempt}: {source}")]
    Credential {
        /// The operation.
        attempt: Attempt,
        /// The cause.
        source: CredentialError,
    },

    /// The file of certificates cannot be read.
    #[error("cannot read the certificates in `{}`: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },

    /// The file of certificates has none.
    #[error("`{}` contains no PEM certificates", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
    },

    /// The HTTP client cannot be made.
    #[error("cannot create an HTTP client: {reason}")]
    HttpClient {
        /// The causes, in one line.
        reason: String,
    },
}

fn unauthorized(attempt: &Attempt, with_credentials: bool) -> String {
    let host = &attempt.host;
    if with_credentials {
        format!(
            "`{host}` rejects the credentials; log in again with `docker login {host}`, or with an account that has access"
        )
    } else {
        format!("`{host}` requires credentials; log in with `docker login {host}`")
    }
}

/// Returns whether the same request may succeed after an answer with this status.
fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

impl Error {
    /// Returns the error for an answer.
    pub(super) fn of(attempt: Attempt, answer: Box<Answer>, with_credentials: bool) -> Self {
        match answer.status {
            401 => Self::Unauthorized {
                attempt,
                answer,
                with_credentials,
            },
            // Some registries call a missing right 400 or 404 with the code DENIED.
            _ if answer.has_code("DENIED") && answer.status < 429 => {
                Self::Denied { attempt, answer }
            }
            403 => Self::Denied { attempt, answer },
            404 => Self::NotFound { attempt, answer },
            409 | 412 if attempt.operation == Operation::WriteManifest => {
                Self::Immutable { attempt, answer }
            }
            400 if answer.mentions("immutable") => Self::Immutable { attempt, answer },
            _ => Self::Refused { attempt, answer },
        }
    }

    /// Returns whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { answer, .. } | Self::TokenServer { answer, .. } => {
                is_temporary(answer.status)
            }
            Self::Unreachable { temporary, .. } => *temporary,
            _ => false,
        }
    }

    /// Returns whether what was to be read is broken or lacks a part, as opposed to a registry that fails.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::NotFound { .. }
                | Self::Protocol { .. }
                | Self::WrongDigest { .. }
                | Self::TooLarge { .. }
        )
    }

    /// Returns the pause the registry asked for.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer().and_then(|answer| answer.retry_after)
    }

    /// Returns the HTTP status; `None` if there was no answer.
    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

    /// Returns the answer; `None` if there was none.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::NotFound { answer, .. }
            | Self::Unauthorized { answer, .. }
            | Self::Denied { answer, .. }
            | Self::Immutable { answer, .. }
            | Self::Refused { answer, .. }
            | Self::TokenServer { answer, .. } => Some(answer),
            _ => None,
        }
    }
}

/// Returns the error of a request that was not answered.
pub(super) fn unreachable(attempt: &Attempt, url: &Url, error: reqwest::Error) -> Error {
    let (mut reason, mut temporary) = reason(error);
    let host = &attempt.host;
    if url.scheme() == "https" && reason.contains("InvalidContentType") {
        temporary = false;
        reason = format!(
            "it does not use TLS ({reason}); if that is intended, set LAMINATE_HTTP_REGISTRIES={host}"
        );
    } else if url.scheme() == "http" && reason.contains("invalid HTTP version") {
        temporary = false;
        reason =
            format!("it does not use plain HTTP ({reason}); set LAMINATE_TLS_REGISTRIES={host}");
    } else if reason.contains("UnknownIssuer") {
        reason.push_str(
            "; if a private authority signed the certificate, set SSL_CERT_FILE to that of the authority, also for the engine",
        );
    }
    Error::Unreachable {
        attempt: attempt.clone(),
        server: url.authority().to_owned(),
        reason,
        temporary,
    }
}

/// Leaves out the causes that only name the part of the client which passed the next one on.
fn without_layers(causes: Vec<String>) -> Vec<String> {
    const LAYERS: [&str; 4] = [
        "error sending request",
        "client error (",
        "tcp connect error",
        "dns error",
    ];
    let is_layer = |cause: &String| LAYERS.iter().any(|layer| cause.starts_with(layer));
    match causes.iter().position(|cause| !is_layer(cause)) {
        Some(first) => causes.into_iter().skip(first).collect(),
        None => causes,
    }
}

/// Returns the causes of a failed request in one line, without its URL, and whether a retry may help.
pub(super) fn reason(error: reqwest::Error) -> (String, bool) {
    use std::error::Error as _;
    let error = error.without_url();
    let mut causes: Vec<String> = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !causes.iter().any(|known| known.contains(&text)) {
            causes.push(text);
        }
        source = cause.source();
    }
    let text = without_layers(causes).join(": ");
    // A resolver that is down for a moment fails in another way (EAI_AGAIN, getaddrinfo(3)).
    let is_unknown_host = text.contains("Name or service not known");
    let is_final = text.contains("certificate") || is_unknown_host;
    let temporary = !(is_final || error.is_redirect() || error.is_builder());
    (printable(&text), temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(operation: Operation, status: u16, body: &str) -> Error {
        let attempt = Attempt {
            operation,
            reference: "a.example/b:c".to_owned(),
            host: "a.example".to_owned(),
        };
        Error::of(attempt, Answer::read(status, None, body.as_bytes()), false)
    }

    #[test]
    fn causes_begin_where_they_say_something() {
        let shown = |causes: &[&str]| {
            without_layers(causes.iter().map(|&it| it.to_owned()).collect()).join(": ")
        };
        let refused = "Connection refused (os error 111)";
        let layers = [
            "error sending request",
            "client error (Connect)",
            "tcp connect error",
        ];
        assert_eq!(shown(&[layers.as_slice(), &[refused]].concat()), refused);
        assert_eq!(
            shown(&layers[..2]),
            "error sending request: client error (Connect)"
        );
        assert_eq!(
            shown(&["error decoding", layers[1], "x"]),
            "error decoding: client error (Connect): x"
        );
    }

    #[test]
    fn a_conflict_means_immutable_for_writes_of_manifests_only() {
        for status in [409, 412] {
            let written = error(Operation::WriteManifest, status, "");
            assert!(matches!(written, Error::Immutable { .. }), "{written}");
            let mounted = error(Operation::MountBlob, status, "");
            assert!(matches!(mounted, Error::Refused { .. }), "{mounted}");
        }
        let spoken = error(Operation::WriteManifest, 400, "the tag is IMMUTABLE");
        assert!(matches!(spoken, Error::Immutable { .. }), "{spoken}");
    }

    #[test]
    fn a_missing_right_is_denied_whatever_its_status() {
        let body = r#"{"errors": [{"code": "DENIED"}]}"#;
        for status in [400, 403, 404] {
            let denied = error(Operation::ReadManifest, status, body);
            assert!(matches!(denied, Error::Denied { .. }), "{denied}");
        }
        let busy = error(Operation::ReadManifest, 503, body);
        assert!(busy.is_temporary(), "{busy}");
    }

    #[test]
    fn an_error_starts_with_the_operation() {
        assert_eq!(
            error(Operation::ListTags, 404, "").to_string(),
            "cannot list the tags of `a.example/b:c`: not found (404)"
        );
    }
}
