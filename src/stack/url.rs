//! Credentials in URLs: they would be stored in image histories, records and wiki pages.

use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::source::{Span, part_of};
use crate::spec::node::{Node, Value};

/// Characters that end the part of a URL in which a user can be. Others, such as `;` and `,`, can be part
/// of a password.
const ENDS: [char; 9] = ['/', '?', '#', '\\', '"', '\'', '`', '<', '>'];

/// Returns where a text has a user name or a password for something that is fetched: in a URL, or in a
/// text that is a proxy without a scheme, `user:password@host:port`. Neither a variable of a shell or of
/// pip is a secret itself, nor the user name alone of `ssh://`.
pub fn user_info(text: &str) -> Option<Range<usize>> {
    if !text.contains('@') {
        return None;
    }
    let in_url = text
        .match_indices("://")
        .find_map(|(at, mark)| user_of_url(text, at, at + mark.len()));
    in_url.or_else(|| user_of_proxy(text))
}

/// Returns the place of the user in the URL whose scheme ends at `colon` and whose authority starts at
/// `start`.
fn user_of_url(text: &str, colon: usize, start: usize) -> Option<Range<usize>> {
    let is_scheme = |b: &u8| b.is_ascii_alphanumeric();
    let length = text[..colon].bytes().rev().take_while(is_scheme).count();
    // Without what precedes it, as in `git+https://` and `git config url.https://`.
    let scheme = text[colon - length..colon].to_ascii_lowercase();
    let is_end = |c: char| c.is_whitespace() || ENDS.contains(&c);
    let end = text[start..].find(is_end).map_or(text.len(), |n| start + n);
    let length = text[start..end].rfind('@')?;
    let user = &text[start..start + length];
    let (name, password) = split(user);
    let is_secret = match scheme.as_str() {
        "http" | "https" | "ftp" | "ftps" | "socks4" | "socks5" | "socks5h" => {
            is_written(password.unwrap_or(name))
        }
        "ssh" | "sftp" | "git" | "rsync" => password.is_some_and(is_written),
        _ => false,
    };
    is_secret.then_some(start..start + length)
}

/// Returns the place of the user if the whole text is `user:password@host:port`.
fn user_of_proxy(text: &str) -> Option<Range<usize>> {
    let (user, host) = text.rsplit_once('@')?;
    let (host, port) = host.rsplit_once(':')?;
    let (name, password) = split(user);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_proxy = !name.is_empty()
        && !user.contains(|c: char| c.is_whitespace() || c == '/')
        && password.is_some_and(is_written)
        && !host.is_empty()
        && host.chars().all(is_plain)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit());
    is_proxy.then_some(0..user.len())
}

/// Returns the name and the password of a user. A colon of `${env:NAME}` is not between them.
fn split(user: &str) -> (&str, Option<&str>) {
    let mut depth = 0;
    for (at, c) in user.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ':' if depth <= 0 => return (&user[..at], Some(&user[at + 1..])),
            _ => {}
        }
    }
    (user, None)
}

/// Whether a part of a text is written out: more than variables such as `$NAME`, `${NAME}` and `$(…)`, and
/// placeholders such as `{name}`.
fn is_written(part: &str) -> bool {
    let mut left = part;
    while !left.is_empty() {
        match variable(left) {
            Some(length) => left = &left[length..],
            None => return true,
        }
    }
    false
}

/// Returns the length of the variable at the start of a text.
fn variable(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('$').unwrap_or(text);
    let sign = text.len() - rest.len();
    let length = match rest.chars().next()? {
        '{' => rest.find('}')? + 1,
        '(' if sign == 1 => rest.find(')')? + 1,
        _ => {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        }
    };
    let is_variable = length > 0 && (sign == 1 || rest.starts_with('{'));
    is_variable.then_some(sign + length)
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
            ("https://user:p;w,(x)@host/", "user:p;w,(x)"),
            ("https://user:p|w^@host/", "user:p|w^"),
            ("https://$USER:pw@host/", "$USER:pw"),
            ("https://user:pa$word@host/", "user:pa$word"),
            ("https://user:${A}pw@host/", "user:${A}pw"),
            ("git config url.https://u:pw@host/.insteadOf x", "u:pw"),
            ("socks5h://u:pw@proxy:1080", "u:pw"),
            ("user:pw@proxy:3128", "user:pw"),
        ] {
            assert_eq!(found(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn many_variables_are_read_one_after_another() {
        let variables = "$a".repeat(1 << 20);
        assert_eq!(found(&format!("https://u:{variables}@host")), None);
        assert!(found(&format!("https://u:{variables}.@host")).is_some());
    }

    #[test]
    fn other_urls_have_no_secret() {
        for text in [
            "https://host/simple",
            "https://host/@scope/x",
            "https://host/x?y=a@b",
            "git+ssh://git@github.com/x/y.git",
            "https://$USER:$TOKEN@host/",
            "https://oauth2:$TOKEN@host/",
            "https://$(cat /run/secrets/x)@host/",
            "https://{user}:{token}@host/",
            "https://${env:USER}:${env:TOKEN}@host/",
            "https://${USER}:${TOKEN}@host/simple",
            "postgres://app:app@db/app",
            "user@host:path",
            "https://@host/",
            "see https://host, or a@b",
            "git@host:22",
            "debian:12@sha256:0123456789",
            "$USER:$TOKEN@proxy:3128",
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
