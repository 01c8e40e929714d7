//! The address of a buildkitd, as [`Client`](super::Client) takes it.

use std::fmt;
use std::net::IpAddr;
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

impl Address {
    /// Returns whether bytes reach the engine over a network, where others can read and change them.
    pub fn is_remote(&self) -> bool {
        let Self::Tcp(host) = self else {
            return false;
        };
        let name = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let address = name.parse::<IpAddr>();
        !(name == "localhost" || address.is_ok_and(|address| address.is_loopback()))
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Address {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(invalid(
                    "a socket needs an absolute path, for example `unix:///run/buildkit/buildkitd.sock`",
                ));
            }
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err(invalid(
                    "expected a host and a port, for example `tcp://host:1234`",
                ));
            }
            return Ok(Self::Tcp(rest.to_owned()));
        }
        let known = text
            .split_once("://")
            .is_some_and(|(scheme, _)| scheme.contains("container") || scheme == "kube-pod");
        Err(invalid(if known {
            "engines in containers are not supported: use their socket or port"
        } else {
            "expected `unix://` or `tcp://` at its beginning"
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
    fn an_address_is_shown_as_it_was_written() {
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
    fn only_addresses_of_this_machine_are_local() {
        let is_remote = |text: &str| text.parse::<Address>().expect("an address").is_remote();
        for local in [
            "unix:///x",
            "tcp://localhost:1",
            "tcp://127.0.0.1:1",
            "tcp://[::1]:1",
        ] {
            assert!(!is_remote(local), "{local}");
        }
        for remote in [
            "tcp://builder:1",
            "tcp://10.0.0.1:1",
            "tcp://[fe80::1]:1",
            "tcp://localhost.example:1",
        ] {
            assert!(is_remote(remote), "{remote}");
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        let why = |text: &str| {
            text.parse::<Address>()
                .expect_err("it is invalid")
                .to_string()
        };
        insta::assert_snapshot!(why("/run/x.sock"), @"invalid engine address `/run/x.sock`: expected `unix://` or `tcp://` at its beginning");
        insta::assert_snapshot!(why("unix://x"), @"invalid engine address `unix://x`: a socket needs an absolute path, for example `unix:///run/buildkit/buildkitd.sock`");
        insta::assert_snapshot!(why("tcp://host"), @"invalid engine address `tcp://host`: expected a host and a port, for example `tcp://host:1234`");
    }
}
