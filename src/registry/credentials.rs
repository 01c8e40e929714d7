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
use serde_json::Value;

use super::credential::{Credential, CredentialError};
use super::credential_helper::{self, Helper};

/// How long a look-up is kept. Tokens of clouds are valid for five minutes and more; BuildKit keeps
/// them as long (session/auth/authprovider in moby/buildkit 0.32).
const KEPT: Duration = Duration::from_secs(290);

/// The key of Docker Hub in a docker config, also for helpers.
const HUB: &str = "https://index.docker.io/v1/";
/// Docker Hub's host.
const HUB_HOST: &str = "docker.io";

/// A source of credentials.
#[derive(Clone)]
pub(super) enum CredentialSource {
    /// The text of a config, and where it is from.
    Text {
        /// The name of its variable.
        name: &'static str,
        /// All of it.
        text: String,
    },
    /// A file, which may be missing.
    File(PathBuf),
}

/// The answers of helpers, and their times.
type Found = HashMap<Helper, (Instant, Option<Credential>)>;

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

    /// Returns the credential for a repository of a registry, given by its path: of several entries for the
    /// host the one with the longest path counts (containers-auth.json(5)). `None` without a login. `docker.io`
    /// and Docker Hub's other hosts are one. Answers of helpers are kept for 4 min 50 s.
    pub async fn credentials_for(
        &self,
        host: &str,
        path: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let host = match host {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB_HOST,
            other => other,
        };
        let mut found = self.found.lock().await;
        for source in self.sources.iter() {
            let helper = match look_up(source, host, path)? {
                None => continue,
                Some(Entry::Credential(credential)) => return Ok(Some(credential)),
                Some(Entry::Helper(helper)) => helper,
            };
            let kept = found.get(&helper).filter(|(at, _)| at.elapsed() < KEPT);
            let credential = match kept {
                Some((_, credential)) => credential.clone(),
                None => {
                    let credential = credential_helper::ask(&helper, host, &source.name()).await?;
                    found.insert(helper, (Instant::now(), credential.clone()));
                    credential
                }
            };
            if credential.is_some() {
                return Ok(credential);
            }
        }
        Ok(None)
    }
}

/// What a config has for a repository.
pub(super) enum Entry {
    /// The credential itself.
    Credential(Credential),
    /// A helper to ask.
    Helper(Helper),
}

impl CredentialSource {
    fn name(&self) -> String {
        match self {
            Self::Text { name, .. } => (*name).to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Returns the text; `None` if there is no such file.
    fn read(&self) -> Result<Option<String>, CredentialError> {
        match self {
            Self::Text { text, .. } => Ok(Some(text.clone())),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(CredentialError::Unreadable {
                    origin: self.name(),
                    reason: error.to_string(),
                }),
            },
        }
    }
}

/// Returns what a config has for a repository: the helper of its host, else the entry with the longest path,
/// else the store.
pub(super) fn look_up(
    source: &CredentialSource,
    host: &str,
    path: &str,
) -> Result<Option<Entry>, CredentialError> {
    let Some(text) = source.read()? else {
        return Ok(None);
    };
    // The parser's own message may quote the text, which holds secrets: only the line is shown.
    let config: Value =
        serde_json::from_str(&text).map_err(|error| CredentialError::Unreadable {
            origin: source.name(),
            reason: format!("line {} is not JSON", error.line()),
        })?;
    let names = names(host, path);
    let helper = |name: &str, server: &str| {
        Entry::Helper(Helper {
            program: format!("docker-credential-{name}"),
            server: server.to_owned(),
        })
    };
    if let Some((key, name)) = entry(&config["credHelpers"], &names)
        && let Some(name) = name.as_str()
    {
        return Ok(Some(helper(name, key)));
    }
    for name in &names {
        let Some((key, auth)) = entry(&config["auths"], std::slice::from_ref(name)) else {
            continue;
        };
        if let Some(credential) = decode(auth, key, host, source)? {
            return Ok(Some(Entry::Credential(credential)));
        }
    }
    let server = if host == HUB_HOST { HUB } else { host };
    let store = config["credsStore"].as_str();
    let store = store.filter(|name| !name.is_empty());
    Ok(store.map(|name| helper(name, server)))
}

/// Returns the names an entry for a repository may have, the longest first: `host/a/b`, `host/a`, `host`.
fn names(host: &str, path: &str) -> Vec<String> {
    let mut names = vec![host.to_owned()];
    let mut name = host.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        name = format!("{name}/{part}");
        names.push(name.clone());
    }
    names.reverse();
    names
}

/// Returns the entry of a section with one of these names, in their order, and its key as written. A key may
/// have a scheme, and the path of the API behind its host.
fn entry<'a>(section: &'a Value, names: &[String]) -> Option<(&'a String, &'a Value)> {
    let entries = section.as_object()?;
    let bare = |key: &str| {
        let key = key.split_once("://").map_or(key, |(_, rest)| rest);
        let key = key.trim_end_matches('/');
        let api = key.strip_suffix("/v1").or(key.strip_suffix("/v2"));
        let key = api.unwrap_or(key);
        match key.strip_prefix("index.docker.io") {
            Some(rest) => format!("{HUB_HOST}{rest}"),
            None => key.to_owned(),
        }
    };
    names.iter().find_map(|name| {
        let exact = entries.get_key_value(name);
        exact.or_else(|| entries.iter().find(|(key, _)| bare(key) == *name))
    })
}

/// Reads an entry of `auths`; `None` for one without a credential.
fn decode(
    auth: &Value,
    key: &str,
    host: &str,
    source: &CredentialSource,
) -> Result<Option<Credential>, CredentialError> {
    let alone = serde_json::json!({ "auths": { key: auth } }).to_string();
    match docker_credential::get_credential_from_reader(alone.as_bytes(), key) {
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
        Err(_) => Err(CredentialError::Malformed {
            origin: source.name(),
            host: host.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, host: &str) -> Result<Option<(String, String)>, String> {
        let credentials = Credentials::from_text(config);
        match credentials.credentials_for(host, "").await {
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
                "the credential helper `docker-credential-laminate-absent` for `a.example` is not on PATH; \
                 install it, or remove it from `DOCKER_AUTH_CONFIG`"
                    .to_owned()
            )
        );
    }

    #[tokio::test]
    async fn the_entry_with_the_longest_path_counts() {
        // a:b, c:d:e, e:f
        let config = r#"{"auths": {
            "host.example/orga": {"auth": "YTpi"},
            "host.example/orgb": {"auth": "YzpkOmU="},
            "host.example/orgb/team": {"auth": "ZTpm"}
        }}"#;
        let credentials = Credentials::from_text(config);
        let user = async |path: &str| {
            let found = credentials.credentials_for("host.example", path).await;
            found.expect("read").map(|found| found.username)
        };
        assert_eq!(user("orga/x").await.as_deref(), Some("a"));
        assert_eq!(user("orgb/x").await.as_deref(), Some("c"));
        assert_eq!(user("orgb/team/x").await.as_deref(), Some("e"));
        assert_eq!(user("orgbteam").await, None, "a path ends at a slash");
        assert_eq!(user("").await, None);
    }
}
