//! Names that are valid by construction: images, tags, digests, repositories, references, commits.
//!
//! Main types: [`Repository`], [`Reference`], [`Digest`] and [`Tag`]. Used by every other module.
//! The grammar of tags, digests and repositories is that of the OCI distribution specification
//! (v1.1, "Pulling manifests"), narrowed to ASCII; a short reference is completed as Docker does
//! (`debian` is `docker.io/library/debian:latest`).

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Why a name is invalid: what to use instead. Completes "invalid image name `x`: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidName(String);

fn invalid<T>(reason: impl Into<String>) -> Result<T, InvalidName> {
    Err(InvalidName(reason.into()))
}

/// Parses a name when it is read; `$kind` is for the error.
macro_rules! deserialize {
    ($kind:literal, $name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(|reason| {
                    let kind = $kind;
                    serde::de::Error::custom(format!("invalid {kind} `{text}`: {reason}"))
                })
            }
        }
    };
}

macro_rules! name {
    ($kind:literal, $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text of the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        deserialize!($kind, $name);
    };
}

name!(
    "image name",
    /// An image of the stack; also the last part of its repository.
    ImageName
);
name!(
    "stack name",
    /// The name of a stack; also the last part of the default staging repository.
    StackName
);
name!(
    "variant name",
    /// A variant of the stack, `2021.2`.
    VariantName
);
name!(
    "tag",
    /// A tag of a registry: at most 128 of `[A-Za-z0-9_.-]`, not beginning with `.` or `-`.
    Tag
);
name!(
    "digest",
    /// A content digest, `sha256:` and 64 lower-case hex digits.
    Digest
);

name!(
    "commit",
    /// The hash of a git commit, 7 to 64 lower-case hex digits; fewer than 40 are an abbreviation that
    /// the user wrote.
    Commit
);

/// Returns whether a text is one component of a repository: lower-case letters and digits, separated by `.`, `_`, `__` or `-`s.
fn is_component(text: &str) -> bool {
    let bytes = text.as_bytes();
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if bytes.is_empty() || !alnum(bytes[0]) || !alnum(bytes[bytes.len() - 1]) {
        return false;
    }
    text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .filter(|separator| !separator.is_empty())
        .all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

/// What a component is made of, for messages.
const COMPONENT: &str = "lower-case letters and digits, with `.`, `_` or `-` between them";

/// Returns the first character that is not allowed, for the end of a message; empty if there is none.
fn found_in(text: &str, is_allowed: impl Fn(char) -> bool) -> String {
    match text.chars().find(|c| !is_allowed(*c)) {
        None => String::new(),
        Some(' ') => "; found a blank".to_owned(),
        Some(c) if c.is_ascii_uppercase() => format!("; found the upper-case letter `{c}`"),
        Some(c) => format!("; found `{}`", c.escape_debug()),
    }
}

/// Returns the reason why a component is invalid.
fn component_reason(text: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    format!("use {COMPONENT}{}", found_in(text, is_allowed))
}

impl ImageName {
    /// Parses the name of an image.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if !is_component(text) {
            return invalid(component_reason(text));
        }
        Ok(Self(text.into()))
    }
}

impl Borrow<str> for ImageName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl StackName {
    /// Parses the name of a stack.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if !is_component(text) {
            return invalid(component_reason(text));
        }
        Ok(Self(text.into()))
    }
}

impl VariantName {
    /// Parses the name of a variant, which can be a tag.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        Ok(Self(Tag::parse(text)?.0))
    }
}

impl Tag {
    /// Parses a tag.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.is_empty() || text.len() > 128 {
            return invalid("use 1 to 128 characters");
        }
        if !text.starts_with(first) {
            return invalid("begin with a letter, a digit or `_`");
        }
        let found = found_in(text, |c| first(c) || c == '.' || c == '-');
        if !found.is_empty() {
            return invalid(format!("use letters, digits, `.`, `_` and `-`{found}"));
        }
        Ok(Self(text.into()))
    }
}

/// Adds bytes to a text, as lower-case hex digits. Large stacks have many hashes: `write!` takes longer than to hash a file.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
}

impl Digest {
    /// Parses a digest.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let good = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !good {
            return invalid("use `sha256:` and 64 lower-case hex digits");
        }
        Ok(Self(text.into()))
    }

    /// Returns the digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self::from_sha256(sha2::Sha256::new_with_prefix(bytes))
    }

    /// Returns the digest of what was hashed piece by piece.
    pub fn from_sha256(hash: sha2::Sha256) -> Self {
        use sha2::Digest as _;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        push_hex(&mut text, &hash.finalize());
        Self(text.into())
    }

    /// Returns the first 12 hex digits, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// Returns the 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl Commit {
    /// Parses a hash or the beginning of one.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let is_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if !(7..=64).contains(&text.len()) || !text.bytes().all(is_hex) {
            return invalid("use 7 to 64 lower-case hex digits");
        }
        Ok(Self(text.into()))
    }

    /// Returns the first 12 hex digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// Returns the first 7 hex digits, as git abbreviates: for tags.
    pub fn abbreviated(&self) -> &str {
        &self.0[..7]
    }
}

/// A repository on a registry: `ghcr.io/ucsd-ets/datahub`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    text: Arc<str>,
    /// The length of the host, bytes.
    host: usize,
}

impl Repository {
    /// Parses a full name; the first part is a host when it has a `.` or a `:` or is `localhost`,
    /// else the host is `docker.io`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if let Some((scheme @ ("http" | "https"), _)) = text.split_once("://") {
            return invalid(format!("leave out `{scheme}://`"));
        }
        if !text.contains('/') && text.contains(':') {
            return invalid(format!(
                "a name must follow the host, as in `{text}/campus`"
            ));
        }
        let (host, path) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest.to_owned()),
            Some(_) => ("docker.io", text.to_owned()),
            None => ("docker.io", format!("library/{text}")),
        };
        let host = match host {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        };
        if !is_valid_host(host) {
            return invalid(format!("`{host}` is not a host"));
        }
        Self::at(host, &path)
    }

    /// Returns the repository at a path of a valid host; fails if the path is invalid.
    fn at(host: &str, path: &str) -> Result<Self, InvalidName> {
        if path.len() > 255 || !path.split('/').all(is_component) {
            let is_allowed =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
            return invalid(format!(
                "use parts joined by `/`, each of {COMPONENT}{}",
                found_in(path, is_allowed)
            ));
        }
        Ok(Self {
            text: [host, "/", path].concat().into(),
            host: host.len(),
        })
    }

    /// Returns whether a text has a host: its first part has a `.` or a `:`, or is `localhost`.
    pub fn names_host(text: &str) -> bool {
        text.split_once('/')
            .is_some_and(|(first, _)| is_host(first))
    }

    /// Returns the registry's host, with the port if one was given.
    pub fn host(&self) -> &str {
        &self.text[..self.host]
    }

    /// Returns the path in the registry, without the host.
    pub fn path(&self) -> &str {
        &self.text[self.host + 1..]
    }

    /// Returns the full name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the repository `name` below this one.
    pub fn join(&self, name: &str) -> Result<Self, InvalidName> {
        Self::at(self.host(), &[self.path(), "/", name].concat())
    }
}

fn is_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

/// Returns whether requests can be sent to a host. It is parsed as requests parse it: `10.0.0.256` has the
/// form of a host and is none, and `127.1` would become another one.
fn is_valid_host(host: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    if !host.chars().all(is_allowed) {
        return false;
    }
    let Ok(url) = url::Url::parse(&format!("https://{host}/")) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((_, "")) => return false,
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    };
    match url.host() {
        Some(url::Host::Domain(domain)) => {
            domain.eq_ignore_ascii_case(name) && !name.split('.').any(str::is_empty)
        }
        Some(url::Host::Ipv4(address)) => address.to_string() == name,
        Some(url::Host::Ipv6(_)) => true,
        None => false,
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Those of one host are together.
impl Ord for Repository {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.host(), self.path()).cmp(&(other.host(), other.path()))
    }
}

impl PartialOrd for Repository {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl serde::Serialize for Repository {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

deserialize!("repository", Repository);

/// A reference to an image: a repository with a tag, a digest, or both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The tag; `None` only if there is a digest.
    pub tag: Option<Tag>,
    /// The digest; with a tag as well, the digest is what is read.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference as Docker does; with neither tag nor digest the tag is `latest`.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => {
                let parsed = Tag::parse(tag);
                let parsed = parsed.or_else(|error| invalid(format!("in tag `{tag}`, {error}")))?;
                (name, Some(parsed))
            }
            _ => (rest, None),
        };
        if name.is_empty() {
            return invalid("begin with a repository");
        }
        let repository = Repository::parse(name)?;
        let tag = match (&digest, tag) {
            (None, None) => Some(Tag::parse("latest").expect("`latest` is a tag")),
            (_, tag) => tag,
        };
        Ok(Self {
            repository,
            tag,
            digest,
        })
    }

    /// Returns whether a text has a tag or a digest.
    pub fn is_exact(text: &str) -> bool {
        let last = text.rsplit('/').next().unwrap_or(text);
        last.contains([':', '@'])
    }

    /// Returns the same reference, pinned to `digest`.
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl serde::Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

deserialize!("image reference", Reference);

impl std::str::FromStr for Reference {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
