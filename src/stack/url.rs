//! Credentials in URLs: they would be stored in image histories, records and wiki pages.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::{Span, part_of};
use crate::spec::node::{Node, Value};

/// Characters that end the part of a URL in which a user can be.
const ENDS: [char; 15] = [
    '/', '?', '#', '\\', '"', '\'', '`', '<', '>', '(', ')', ',', ';', '|', '^',
];

/// Returns where a text has a user name or a password in a URL that something is fetched from. One with
/// `$` is a variable of a shell or of pip, and not a secret itself. Neither is the user name alone of
/// `ssh://`.
pub fn user_info(text: &str) -> Option<Range<usize>> {
    text.match_indices("://").find_map(|(at, mark)| {
        let before = text[..at]
            .bytes()
            .rev()
            .take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
            .count();
        let scheme = text[at - before..at].to_ascii_lowercase();
        let transport = scheme.rsplit('+').next().unwrap_or_default();
        let start = at + mark.len();
        let is_end = |c: char| c.is_whitespace() || ENDS.contains(&c);
        let end = text[start..].find(is_end).map_or(text.len(), |n| start + n);
        let length = text[start..end].rfind('@')?;
        let user = &text[start..start + length];
        let is_secret = match transport {
            "http" | "https" | "ftp" | "ftps" => !user.is_empty(),
            "ssh" | "sftp" | "git" | "rsync" => user
                .split_once(':')
                .is_some_and(|(_, word)| !word.is_empty()),
            _ => false,
        };
        (is_secret && !user.contains('$')).then(|| start..start + length)
    })
}

/// Calls `found` with the place of each value and key that has credentials in a URL.
pub fn find_all(node: &Node, found: &mut dyn FnMut(Span)) {
    let mut check = |text: &str, span: Span| {
        if let Some(range) = user_info(text) {
            found(part_of(span, text, range.start, range.end));
        }
    };
    match &node.value {
        Value::Scalar { text, .. } => check(text, node.span),
        Value::List(list) => list.iter().for_each(|node| find_all(node, found)),
        Value::Map(entries) => {
            for entry in entries {
                check(&entry.key.text, entry.key.span);
            }
            for entry in entries {
                find_all(&entry.value, found);
            }
        }
    }
}

/// Returns the error for credentials at a place.
pub fn in_url(span: Span) -> Diagnostic {
    Diagnostic::error("user name or password in a URL")
        .at(span, "stored in the history of the image and in records")
        .help(
            "remove it from the URL: put it into a netrc file, and mount that with \
             `secrets: { netrc: /root/.netrc }`",
        )
}

/// Whether a channel is a URL with a token, as `https://host/t/TOKEN/channel`.
pub fn has_token(channel: &str) -> bool {
    let Some((_, rest)) = channel.split_once("://") else {
        return false;
    };
    let mut parts = rest.split('/').skip(1);
    parts.next() == Some("t") && parts.next().is_some_and(|token| !token.starts_with('$'))
}

/// Returns the error for a token at a place.
pub fn token_in_url(span: Span) -> Diagnostic {
    Diagnostic::error("token in the URL of a channel")
        .at(span, "stored in the history of the image and in records")
        .help(
            "remove `/t/TOKEN` from the URL: put the credentials into a netrc file, and mount that with \
             `secrets: { netrc: /root/.netrc }`",
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        user_info(text).map(|range| &text[range])
    }

    #[test]
    fn users_and_passwords_of_urls_are_found() {
        for (text, expected) in [
            ("https://user:pw@host/simple", "user:pw"),
            ("https://token@host/simple", "token"),
            ("pkg @ git+https://user:pw@host/x.git@v1", "user:pw"),
            ("curl -L 'HTTP://u:p@host'", "u:p"),
            ("https://host/a and ftp://u@host", "u"),
            ("ssh://git:pw@host/x", "git:pw"),
            ("https://user:p@ss@host/", "user:p@ss"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_urls_have_no_secret() {
        for text in [
            "https://host/simple",
            "https://host/@scope/x",
            "https://host/x?y=a@b",
            "git+ssh://git@github.com/x/y.git",
            "https://$USER:$TOKEN@host/",
            "https://${USER}:${TOKEN}@host/simple",
            "postgres://app:app@db/app",
            "user@host:path",
            "https://@host/",
            "see https://host, or a@b",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn tokens_of_channels_are_found() {
        for (channel, expected) in [
            ("https://host/t/word/channel", true),
            ("https://host/t/$TOKEN/channel", false),
            ("https://host/conda/t", false),
            ("conda-forge", false),
            ("/opt/t/word", false),
        ] {
            assert_eq!(has_token(channel), expected, "{channel}");
        }
    }
}
