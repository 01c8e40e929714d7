//! The answers of a registry that are errors, as far as their bodies can be read.
//!
//! Main type: [`Answer`], part of most errors.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// One entry of a registry's error list (distribution-spec, "Error codes").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, `MANIFEST_UNKNOWN`.
    pub code: String,
    /// The registry's message and its detail, in one line.
    pub message: String,
}

/// An answer with another status than the expected ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The entries of the JSON error list; empty if the body was something else.
    pub codes: Vec<Code>,
    /// The beginning of a body that was plain text.
    pub text: String,
    /// The pause the registry asked for.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Reads the error list or the text of a body, as far as there is any.
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
            html if html.starts_with('<') => {
                "an HTML page instead of a registry's answer".to_owned()
            }
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

    /// Returns whether the error list has a code.
    pub fn has_code(&self, code: &str) -> bool {
        self.codes.iter().any(|c| c.code == code)
    }

    /// Returns whether the text or a message has a word, in any case.
    pub(super) fn mentions(&self, word: &str) -> bool {
        self.text.to_lowercase().contains(word)
            || (self.codes.iter()).any(|c| c.message.to_lowercase().contains(word))
    }
}

/// Returns a text as one line of at most 300 characters without control characters.
pub(super) fn printable(text: &str) -> String {
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
            write!(f, "{lead}{}", code.code)?;
            if !code.message.is_empty() {
                write!(f, ": {}", code.message)?;
            }
        }
        if self.codes.len() > 3 {
            write!(f, " and {} more", self.codes.len() - 3)?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, ", retry after {} s", wait.as_secs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> String {
        Answer::read(400, None, body.as_bytes()).to_string()
    }

    #[test]
    fn an_answer_shows_its_codes_or_its_text() {
        assert_eq!(
            answer(r#"{"errors": [{"code": "A", "message": "m", "detail": "d"}, {"code": "B"}]}"#),
            "400 A: m (d); B"
        );
        assert_eq!(answer("plain\n words\u{7}"), "400 plain words");
        assert_eq!(
            answer("<html>"),
            "400 an HTML page instead of a registry's answer"
        );
        assert_eq!(answer(""), "400");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let codes = [r#"{"code": "A"}"#; 5].join(",");
        assert_eq!(
            answer(&format!(r#"{{"errors": [{codes}]}}"#)),
            "400 A; A; A and 2 more"
        );
        assert_eq!(answer(&"é".repeat(400)).chars().count(), "400 ".len() + 301);
    }

    #[test]
    fn an_answer_shows_the_pause() {
        let wait = Some(Duration::from_secs(7));
        assert_eq!(
            Answer::read(429, wait, b"").to_string(),
            "429, retry after 7 s"
        );
    }
}
