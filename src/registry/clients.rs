//! The HTTP clients: proxies, certificates and redirects.
//!
//! Main type: [`Clients`], used by `authorize` and `transport`.

use std::time::Duration;

use reqwest::Url;

use super::error::{Error, reason};
use super::host::is_loopback;
use super::options::Options;

/// The clients by where a request goes. A loopback address is never requested through a proxy, as in
/// Go's clients; a token server's redirect is not followed, since the request may hold a refresh token.
pub(super) struct Clients {
    remote: reqwest::Client,
    loopback: reqwest::Client,
    remote_tokens: reqwest::Client,
    loopback_tokens: reqwest::Client,
}

impl Clients {
    /// Returns the clients; fails if the certificates cannot be read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let none = reqwest::redirect::Policy::none;
        Ok(Self {
            remote: client(options, false, follow())?,
            loopback: client(options, true, follow())?,
            remote_tokens: client(options, false, none())?,
            loopback_tokens: client(options, true, none())?,
        })
    }

    /// Returns the client for a registry's URL, or one it redirects to.
    pub fn registry(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url.host_str().unwrap_or_default()) {
            &self.loopback
        } else {
            &self.remote
        }
    }

    /// Returns the client for a token server's URL.
    pub fn token_server(&self, url: &Url) -> &reqwest::Client {
        if is_loopback(url.host_str().unwrap_or_default()) {
            &self.loopback_tokens
        } else {
            &self.remote_tokens
        }
    }
}

/// Follows at most 10 redirects, and none out of TLS.
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
        let pem = std::fs::read(path).map_err(|error| Error::CaFile {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(Error::NoCertificates { path: path.clone() });
        }
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|error| Error::HttpClient {
        reason: reason(error).0,
    })
}

/// Returns whether two URLs have the same scheme, host and port.
pub(super) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| {
            let url = |text: &str| Url::parse(text).expect("a URL");
            same_origin(&url(a), &url(b))
        };
        assert!(same("https://a.example/x", "https://a.example:443/y"));
        assert!(!same("https://a.example/", "http://a.example/"));
        assert!(!same("https://a.example/", "https://a.example:444/"));
        assert!(!same("https://a.example/", "https://b.a.example/"));
    }

    fn with_certificates(path: &std::path::Path) -> Result<Clients, Error> {
        Clients::new(&Options {
            ca_file: Some(path.to_owned()),
            ..Options::default()
        })
    }

    #[test]
    fn a_file_of_certificates_must_hold_some() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        let error = with_certificates(&path).err().expect("the file is missing");
        assert!(matches!(error, Error::CaFile { .. }), "{error}");
        std::fs::write(&path, "no certificate").expect("written");
        let error = with_certificates(&path).err().expect("the file is empty");
        let expected = format!("`{}` contains no PEM certificates", path.display());
        assert_eq!(error.to_string(), expected);
    }
}
