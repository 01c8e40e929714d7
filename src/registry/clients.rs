//! The HTTP clients: proxies, certificates and redirects.
//!
//! Main type: [`Clients`], used by `authorize` and `transport`.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::Url;

use super::error::{Error, reason};
use super::host::is_loopback;
use super::options::Options;

/// The clients by where a request goes. A loopback address is never requested through a proxy, as in
/// Go's clients; a token server's redirect is not followed, since the request may hold a refresh token.
///
/// Each client is made when it is first used, because each reads all certificates of the system, and few
/// commands need more than two.
pub(super) struct Clients {
    user_agent: String,
    /// Those of the user's file, besides the system's.
    certificates: Vec<reqwest::Certificate>,
    remote: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    remote_tokens: OnceLock<reqwest::Client>,
    loopback_tokens: OnceLock<reqwest::Client>,
}

impl Clients {
    /// Reads the user's certificates; fails if they cannot be read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let certificates = options.ca_file.as_deref().map(certificates).transpose()?;
        Ok(Self {
            user_agent: options.user_agent.clone(),
            certificates: certificates.unwrap_or_default(),
            remote: OnceLock::new(),
            loopback: OnceLock::new(),
            remote_tokens: OnceLock::new(),
            loopback_tokens: OnceLock::new(),
        })
    }

    /// Returns the client for a registry's URL, or one it redirects to.
    pub fn registry(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        if is_loopback(url.host_str().unwrap_or_default()) {
            self.client(&self.loopback, true, follow)
        } else {
            self.client(&self.remote, false, follow)
        }
    }

    /// Returns the client for a token server's URL.
    pub fn token_server(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        let none = reqwest::redirect::Policy::none;
        if is_loopback(url.host_str().unwrap_or_default()) {
            self.client(&self.loopback_tokens, true, none)
        } else {
            self.client(&self.remote_tokens, false, none)
        }
    }

    /// Returns this client, made if it is not yet; fails if the certificates of the system cannot be read.
    fn client<'a>(
        &self,
        client: &'a OnceLock<reqwest::Client>,
        loopback: bool,
        policy: fn() -> reqwest::redirect::Policy,
    ) -> Result<&'a reqwest::Client, Error> {
        if let Some(made) = client.get() {
            return Ok(made);
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(self.user_agent.as_str())
            .connect_timeout(Duration::from_secs(10))
            .redirect(policy());
        if loopback {
            builder = builder.no_proxy();
        }
        if !self.certificates.is_empty() {
            builder = builder.tls_certs_merge(self.certificates.iter().cloned());
        }
        let made = builder.build().map_err(|error| Error::HttpClient {
            reason: reason(error).0,
        })?;
        Ok(client.get_or_init(|| made))
    }
}

/// Returns the certificates of a file in PEM.
fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    let pem = std::fs::read(path).map_err(|error| Error::CaFile {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::NoCertificates {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
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
