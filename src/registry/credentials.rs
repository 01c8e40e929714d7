//! The credentials of `docker login` and `podman login`, looked up once for each host and kept for a
//! short time.
//!
//! Main type: [`Credentials`]. Called by `authorize`, and by `run`, whose BuildKit session gives the
//! same credentials to the engine.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docker_credential::{CredentialRetrievalError, DockerCredential};

/// How long a look-up is kept. Tokens of clouds are valid for five minutes and more; BuildKit keeps
/// them as long (session/auth/authprovider in moby/buildkit 0.32).
const KEPT: Duration = Duration::from_secs(290);

/// The key of Docker Hub in a docker config.
const HUB: &str = "https://index.docker.io/v1/";

/// A user's secret for one host. An identity token (OAuth2 refresh token) has an empty `username`,
/// as in BuildKit's session.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user's name; empty for an identity token.
    pub username: String,
    /// The password or the identity token.
    pub secret: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, …)", self.username)
    }
}

/// Why credentials cannot be looked up; no message has a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A docker config cannot be read.
    #[error("cannot read `{origin}`: {reason}")]
    Unreadable {
        /// The file or variable.
        origin: String,
        /// The cause.
        reason: String,
    },
    /// A docker config has an entry without a credential.
    #[error(
        "invalid entry for `{host}` in `{origin}`: not a credential; log in again with `docker login {host}`"
    )]
    Malformed {
        /// The file or variable.
        origin: String,
        /// The registry's host.
        host: String,
    },
    /// A credential helper failed.
    #[error(
        "the credential helper `docker-credential-{helper}` failed for `{host}`; try `echo {host} | docker-credential-{helper} get`"
    )]
    Helper {
        /// The helper's name, without its prefix.
        helper: String,
        /// The registry's host.
        host: String,
    },
}

/// A source of credentials.
#[derive(Clone)]
enum CredentialSource {
    Text { name: &'static str, text: String },
    File(PathBuf),
}

/// The results of look-ups, and their times, by host.
type Found = HashMap<String, (Instant, Option<Credential>)>;

/// Finds credentials; clones share what was found.
#[derive(Clone)]
pub struct Credentials {
    sources: Arc<Vec<CredentialSource>>,
    /// Locked during a look-up as well: key chains hang when two helpers run at once.
    found: Arc<tokio::sync::Mutex<Found>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Returns the credentials of docker and podman: `DOCKER_AUTH_CONFIG`, docker's `config.json`,
    /// podman's `auth.json`; the first with an entry for a host is used.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut sources = Vec::new();
        if let Some(text) = variable("DOCKER_AUTH_CONFIG") {
            sources.push(CredentialSource::Text {
                name: "DOCKER_AUTH_CONFIG",
                text: text.to_string_lossy().into_owned(),
            });
        }
        let docker = variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".docker")));
        sources.extend(docker.map(|folder| CredentialSource::File(folder.join("config.json"))));
        let podman = variable("REGISTRY_AUTH_FILE")
            .map(PathBuf::from)
            .or_else(|| {
                variable("XDG_RUNTIME_DIR")
                    .map(|folder| PathBuf::from(folder).join("containers/auth.json"))
            });
        sources.extend(podman.map(CredentialSource::File));
        Self::at(sources)
    }

    /// Returns credentials that have none for any host.
    pub fn none() -> Self {
        Self::at(Vec::new())
    }

    /// Returns the credentials in the text of a docker `config.json`.
    #[cfg(test)]
    pub(super) fn from_text(text: impl Into<String>) -> Self {
        Self::at(vec![CredentialSource::Text {
            name: "DOCKER_AUTH_CONFIG",
            text: text.into(),
        }])
    }

    fn at(sources: Vec<CredentialSource>) -> Self {
        Self {
            sources: Arc::new(sources),
            found: Arc::default(),
        }
    }

    /// Returns the credential for a registry's host; `None` without a login. `docker.io` and Docker
    /// Hub's other hosts are one. Look-ups are kept for 4 min 50 s.
    pub async fn credentials(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        let key = match host {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB,
            other => other,
        };
        let mut found = self.found.lock().await;
        if let Some((at, credential)) = found.get(key)
            && at.elapsed() < KEPT
        {
            return Ok(credential.clone());
        }
        let (sources, wanted) = (self.sources.clone(), key.to_owned());
        let credential = tokio::task::spawn_blocking(move || {
            for origin in sources.iter() {
                if let Some(credential) = look_up(origin, &wanted)? {
                    return Ok(Some(credential));
                }
            }
            Ok(None)
        })
        .await
        .expect("a look-up does not panic and is never aborted")?;
        found.insert(key.to_owned(), (Instant::now(), credential.clone()));
        Ok(credential)
    }
}

fn look_up(origin: &CredentialSource, host: &str) -> Result<Option<Credential>, CredentialError> {
    let (name, text) = match origin {
        CredentialSource::Text { name, text } => ((*name).to_owned(), text.clone()),
        CredentialSource::File(path) => match std::fs::read_to_string(path) {
            Ok(text) => (path.display().to_string(), text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(CredentialError::Unreadable {
                    origin: path.display().to_string(),
                    reason: error.to_string(),
                });
            }
        },
    };
    // The parser's own message may quote the text, which holds secrets: only the line is shown.
    let config: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| CredentialError::Unreadable {
            origin: name.clone(),
            reason: format!("line {} is not JSON", error.line()),
        })?;
    let key = key_for(&config, host);
    let shown = if host == HUB { "docker.io" } else { host };
    match docker_credential::get_credential_from_reader(text.as_bytes(), &key) {
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential {
            username: String::new(),
            secret: token,
        })),
        Ok(DockerCredential::UsernamePassword(username, secret)) => {
            let secret = secret.trim_end_matches('\0').to_owned();
            let usable = !username.is_empty() && !secret.is_empty();
            Ok(usable.then_some(Credential { username, secret }))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure {
            helper,
            stdout,
            stderr,
        }) => {
            let nothing = |text: &str| text.contains("credentials not found");
            if nothing(&stdout) || nothing(&stderr) {
                return Ok(None);
            }
            Err(CredentialError::Helper {
                helper,
                host: shown.to_owned(),
            })
        }
        Err(
            CredentialRetrievalError::HelperCommunicationError
            | CredentialRetrievalError::MalformedHelperResponse,
        ) => Err(CredentialError::Helper {
            helper: helper_for(&config, &key),
            host: shown.to_owned(),
        }),
        Err(_) => Err(CredentialError::Malformed {
            origin: name,
            host: shown.to_owned(),
        }),
    }
}

/// Returns the key of a host in a config: the host itself, else the host with a scheme or a path.
fn key_for(config: &serde_json::Value, host: &str) -> String {
    let known: Vec<&str> = ["credHelpers", "auths"]
        .iter()
        .filter_map(|section| config[*section].as_object())
        .flat_map(|entries| entries.keys().map(String::as_str))
        .collect();
    if known.contains(&host) {
        return host.to_owned();
    }
    let bare = |key: &str| -> String {
        let key = key.split_once("://").map_or(key, |(_, rest)| rest);
        key.split('/').next().unwrap_or_default().to_owned()
    };
    let same = known.into_iter().find(|key| match host {
        HUB => matches!(bare(key).as_str(), "docker.io" | "index.docker.io"),
        _ => bare(key) == host,
    });
    same.unwrap_or(host).to_owned()
}

/// Returns the name of the credential helper for a host's key.
fn helper_for(config: &serde_json::Value, key: &str) -> String {
    let name = (config["credHelpers"][key].as_str()).or(config["credsStore"].as_str());
    name.unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, host: &str) -> Result<Option<(String, String)>, String> {
        let credentials = Credentials::from_text(config);
        match credentials.credentials(host).await {
            Ok(found) => Ok(found.map(|c| (c.username, c.secret))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn pair(username: &str, secret: &str) -> Result<Option<(String, String)>, String> {
        Ok(Some((username.to_owned(), secret.to_owned())))
    }

    #[tokio::test]
    async fn entries_are_found_under_every_spelling() {
        let config = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "https://ghcr.io/v2/": {"auth": "YzpkOmU="},
            "azure.example": {"identitytoken": "refresh"},
            "empty.example": {}
        }}"#;
        assert_eq!(found(config, "docker.io").await, pair("a", "b"));
        assert_eq!(found(config, "registry-1.docker.io").await, pair("a", "b"));
        assert_eq!(found(config, "ghcr.io").await, pair("c", "d:e"));
        assert_eq!(found(config, "azure.example").await, pair("", "refresh"));
        assert_eq!(found(config, "empty.example").await, Ok(None));
        assert_eq!(found(config, "quay.io").await, Ok(None));
        assert_eq!(found("{}", "quay.io").await, Ok(None));
    }

    #[tokio::test]
    async fn errors_of_a_broken_config_show_no_secrets() {
        assert_eq!(
            found(
                "{\"auths\": {\"a.example\": {\"auth\": \"c2VjcmV0\"",
                "a.example"
            )
            .await,
            Err("cannot read `DOCKER_AUTH_CONFIG`: line 1 is not JSON".to_owned())
        );
        let config = r#"{"auths": {"a.example": {"auth": "c2VjcmV0"}}}"#;
        assert_eq!(
            found(config, "a.example").await,
            Err(
                "invalid entry for `a.example` in `DOCKER_AUTH_CONFIG`: not a credential; \
                 log in again with `docker login a.example`"
                    .to_owned()
            )
        );
        let config = r#"{"credHelpers": {"a.example": "laminate-absent"}}"#;
        assert_eq!(
            found(config, "a.example").await,
            Err(
                "the credential helper `docker-credential-laminate-absent` failed for `a.example`; \
                 try `echo a.example | docker-credential-laminate-absent get`"
                    .to_owned()
            )
        );
    }

    #[test]
    fn a_credential_does_not_show_its_secret() {
        let credential = Credential {
            username: "a".to_owned(),
            secret: "hidden".to_owned(),
        };
        assert_eq!(format!("{credential:?}"), "Credential(a, …)");
    }
}
