//! What can go wrong at a registry, told apart by what a caller does about it.
//!
//! Made by the transport from an answer or a failed connection; no message holds a secret or a URL
//! with a query (upload states and signed addresses of storage are secrets).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::credentials::CredentialError;

/// What was tried, on what; reads as "cannot read the manifest of ghcr.io/a/b:c".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub operation: &'static str,
    pub reference: String,
    /// The registry's host, as `docker login` wants it.
    pub host: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.reference)
    }
}

/// One entry of a registry's error list (distribution-spec, "Error codes").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    pub code: String,
    pub message: String,
}

/// An answer that is not the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// What the JSON error list said; empty when the body was something else.
    pub codes: Vec<Code>,
    /// The beginning of a body that was plain text.
    pub text: String,
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Reads what can be read of a body; nothing of it is needed.
    pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Box<Self> {
        #[derive(Deserialize)]
        struct Envelope {
            errors: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            code: serde_json::Value,
            #[serde(default)]
            message: serde_json::Value,
            #[serde(default)]
            detail: serde_json::Value,
        }
        let shown = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => printable(text),
            serde_json::Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let codes = match serde_json::from_slice::<Envelope>(body) {
            Ok(envelope) => envelope
                .errors
                .iter()
                .map(|entry| {
                    let (message, detail) = (shown(&entry.message), shown(&entry.detail));
                    Code {
                        code: shown(&entry.code),
                        message: match (message.is_empty(), detail.is_empty()) {
                            (false, false) => format!("{message} ({detail})"),
                            (true, _) => detail,
                            (_, true) => message,
                        },
                    }
                })
                .collect(),
            Err(_) => Vec::new(),
        };
        let text = String::from_utf8_lossy(&body[..body.len().min(2000)]);
        let text = match text.trim_start() {
            html if html.starts_with('<') => "an HTML page, not a registry's answer".to_owned(),
            _ if !codes.is_empty() => String::new(),
            text => printable(text),
        };
        Box::new(Self {
            status,
            codes,
            text,
            retry_after,
        })
    }

    pub fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c.code == code)
    }

    fn mentions(&self, word: &str) -> bool {
        self.text.to_lowercase().contains(word)
            || (self.codes.iter()).any(|c| c.message.to_lowercase().contains(word))
    }
}

/// One line of at most 300 characters without control characters.
fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ");
    let mut line: String = line.chars().filter(|c| !c.is_control()).collect();
    if let Some((cut, _)) = line.char_indices().nth(300) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        // A manifest with many missing blobs brings one entry a blob.
        for (position, code) in self.codes.iter().take(3).enumerate() {
            let lead = if position == 0 { " " } else { "; " };
            match code.message.is_empty() {
                true => write!(f, "{lead}{}", code.code)?,
                false => write!(f, "{lead}{}: {}", code.code, code.message)?,
            }
        }
        if self.codes.len() > 3 {
            write!(f, " and {} more", self.codes.len() - 3)?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, ", to be tried again in {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{attempt}: the registry does not have it ({answer})")]
    NotFound {
        attempt: Attempt,
        answer: Box<Answer>,
    },

    #[error("{attempt}: {} ({answer})", unauthorized(attempt, *with_credentials))]
    Unauthorized {
        attempt: Attempt,
        answer: Box<Answer>,
        with_credentials: bool,
    },

    #[error(
        "{attempt}: access denied ({answer}); give the account used by `docker login {}` the rights for it, or log in with another", attempt.host
    )]
    Denied {
        attempt: Attempt,
        answer: Box<Answer>,
    },

    #[error(
        "{attempt}: the tag cannot be written: the registry says that it is immutable ({answer})"
    )]
    Immutable {
        attempt: Attempt,
        answer: Box<Answer>,
    },

    #[error("{attempt}: the registry answered {answer}")]
    Refused {
        attempt: Attempt,
        answer: Box<Answer>,
    },

    #[error("{attempt}: the token server {server} answered {answer}")]
    TokenServer {
        attempt: Attempt,
        server: String,
        answer: Box<Answer>,
    },

    #[error("{attempt}: {server} cannot be reached: {reason}")]
    Unreachable {
        attempt: Attempt,
        server: String,
        reason: String,
        /// False where trying again cannot help: a certificate nobody vouches for.
        temporary: bool,
    },

    #[error("{attempt}: its digest is {found}, not {expected}")]
    WrongDigest {
        attempt: Attempt,
        expected: String,
        found: String,
    },

    #[error("{attempt}: written, but another writer has moved it to {found}, and ours is {ours}")]
    Overwritten {
        attempt: Attempt,
        ours: String,
        found: String,
    },

    #[error("{attempt}: it is larger than {limit} bytes")]
    TooLarge { attempt: Attempt, limit: u64 },

    /// An answer that breaks the protocol.
    #[error("{attempt}: {problem}")]
    Protocol { attempt: Attempt, problem: String },

    #[error("{attempt}: {source}")]
    Credential {
        attempt: Attempt,
        source: CredentialError,
    },

    /// The client cannot be made: a file of certificates that is none.
    #[error("{0}")]
    Setup(String),
}

fn unauthorized(attempt: &Attempt, with_credentials: bool) -> String {
    let host = &attempt.host;
    match with_credentials {
        true => {
            format!(
                "{host} does not accept the credentials for this; log in again with `docker login {host}`, or with an account that has the rights"
            )
        }
        false => format!("{host} wants credentials; log in with `docker login {host}`"),
    }
}

/// Answers after which the same request may succeed (registry.md §4).
fn is_temporary(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502 | 503 | 504 | 522)
}

impl Error {
    /// The error an answer means.
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
            409 | 412 if attempt.operation == super::WRITE_MANIFEST => {
                Self::Immutable { attempt, answer }
            }
            400 if answer.mentions("immutable") => Self::Immutable { attempt, answer },
            _ => Self::Refused { attempt, answer },
        }
    }

    /// True where the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { answer, .. } | Self::TokenServer { answer, .. } => {
                is_temporary(answer.status)
            }
            Self::Unreachable { temporary, .. } => *temporary,
            _ => false,
        }
    }

    /// How long the registry asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.answer().and_then(|answer| answer.retry_after)
    }

    pub fn status(&self) -> Option<u16> {
        self.answer().map(|answer| answer.status)
    }

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

/// The causes of a failed request in one line, without its URL.
pub(super) fn reason_of(error: reqwest::Error) -> (String, bool) {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let temporary = !(text.contains("certificate") || error.is_redirect() || error.is_builder());
    (printable(&text), temporary)
}
