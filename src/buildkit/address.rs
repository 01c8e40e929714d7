//! Where a buildkitd listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Error;

/// An address as `BUILDKIT_HOST` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:///run/buildkit/buildkitd.sock`
    Unix(PathBuf),
    /// `tcp://host:port`, without TLS.
    Tcp(String),
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Address {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong("a socket is named by an absolute path"));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(wrong("a host and a port are wanted, `tcp://host:1234`"));
            }
            return Ok(Self::Tcp(rest.to_owned()));
        }
        let known = text
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.contains("container") || scheme == "kube-pod");
        Err(wrong(match known {
            true => "engines in containers are not reached yet; give their socket or port",
            false => "it begins with neither `unix://` nor `tcp://`",
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_were_written() {
        for text in [
            "unix:///run/buildkit/buildkitd.sock",
            "tcp://127.0.0.1:1234",
            "tcp://[::1]:99",
        ] {
            let address: Address = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        let why = |text: &str| text.parse::<Address>().expect_err("no address").to_string();
        insta::assert_snapshot!(why("/run/x.sock"), @"`/run/x.sock` is no address of an engine: it begins with neither `unix://` nor `tcp://`");
        insta::assert_snapshot!(why("unix://x"), @"`unix://x` is no address of an engine: a socket is named by an absolute path");
        insta::assert_snapshot!(why("tcp://host"), @"`tcp://host` is no address of an engine: a host and a port are wanted, `tcp://host:1234`");
    }
}
