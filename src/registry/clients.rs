//! The HTTP clients: who is asked through a proxy, whose certificates count, which redirects are followed.
//!
//! Main type: [`Clients`], owned by `transport`.

use std::time::Duration;

use reqwest::Url;

use super::Options;
use super::error::{Error, reason_of};

/// A loopback address is never asked of a proxy, as in Go's clients; a token server's redirect is
/// not followed, since the request may hold a refresh token.
pub(super) struct Clients {
    outside: reqwest::Client,
    loopback: reqwest::Client,
    outside_tokens: reqwest::Client,
    loopback_tokens: reqwest::Client,
}

impl Clients {
    pub fn new(options: &Options) -> Result<Self, Error> {
        let none = reqwest::redirect::Policy::none;
        Ok(Self {
            outside: client(options, false, follow())?,
            loopback: client(options, true, follow())?,
            outside_tokens: client(options, false, none())?,
            loopback_tokens: client(options, true, none())?,
        })
    }

    /// The client for an address; `tokens` for a token server.
    pub fn of(&self, url: &Url, tokens: bool) -> &reqwest::Client {
        match (is_loopback(url.host_str().unwrap_or_default()), tokens) {
            (false, false) => &self.outside,
            (true, false) => &self.loopback,
            (false, true) => &self.outside_tokens,
            (true, true) => &self.loopback_tokens,
        }
    }
}

fn follow() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(|url| url.scheme().to_owned());
        if attempt.previous().len() > 10 {
            attempt.error("more than 10 redirects")
        } else if from.as_deref() == Some("https") && attempt.url().scheme() != "https" {
            attempt.error("a redirect from https to plain http")
        } else {
            attempt.follow()
        }
    })
}

fn client(
    options: &Options,
    loopback: bool,
    policy: reqwest::redirect::Policy,
) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(options.user_agent.as_str())
        .connect_timeout(Duration::from_secs(10))
        .redirect(policy);
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.ca_file {
        let pem = std::fs::read(path)
            .map_err(|e| Error::Setup(format!("{} cannot be read: {e}", path.display())))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            let problem = format!("{} holds no PEM certificates", path.display());
            return Err(Error::Setup(problem));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder
        .build()
        .map_err(|e| Error::Setup(format!("no HTTP client: {}", reason_of(e).0)))
}

/// Whether a host is this machine; such registries are spoken to without TLS, as Docker and
/// BuildKit do.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_known() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "10.0.0.1:5000",
            "[::2]",
            "example:5000",
            "ghcr.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
