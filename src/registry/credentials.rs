//! User names and passwords from the Docker configuration.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use tokio::sync::Mutex;

use super::Error;

/// What is presented to a registry or its token server.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token, exchanged at the token server.
    Identity(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never a secret in a log.
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Identity(_) => "Identity",
        })
    }
}

/// Helpers give tokens that end soon; what they say is asked for again after this time.
const KEPT: Duration = Duration::from_secs(4 * 60 + 50);

type Known = HashMap<String, (Instant, Option<Credential>)>;

/// Looks credentials up; cheap to clone. One helper runs at a time: keychains hang otherwise.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    known: Arc<Mutex<Known>>,
}

impl Credentials {
    /// Those for a registry's host; `None` if nobody has logged in there. `DOCKER_AUTH_CONFIG` goes
    /// before the configuration file.
    pub async fn get(&self, host: &str) -> Result<Option<Credential>, Error> {
        let mut known = self.known.lock().await;
        if let Some((since, credential)) = known.get(host)
            && since.elapsed() < KEPT
        {
            return Ok(credential.clone());
        }
        let name = host.to_owned();
        let failed = |reason: String| Error::Credentials {
            host: host.to_owned(),
            reason,
        };
        let found = tokio::task::spawn_blocking(move || look_up(&name))
            .await
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)?;
        known.insert(host.to_owned(), (Instant::now(), found.clone()));
        Ok(found)
    }
}

/// The name Docker keeps a host's credentials under.
fn config_key(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
        host => host,
    }
}

fn look_up(host: &str) -> Result<Option<Credential>, String> {
    let key = config_key(host);
    let found = match std::env::var("DOCKER_AUTH_CONFIG") {
        Ok(text) if !text.trim().is_empty() => {
            match docker_credential::get_credential_from_reader(text.as_bytes(), key) {
                Err(CredentialRetrievalError::NoCredentialConfigured) => {
                    docker_credential::get_credential(key)
                }
                found => found,
            }
        }
        _ => docker_credential::get_credential(key),
    };
    match found {
        Ok(DockerCredential::UsernamePassword(user, token)) if user == "<token>" => {
            Ok(Some(Credential::Identity(token)))
        }
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(Some(Credential::Password { user, password }))
        }
        Ok(DockerCredential::IdentityToken(token)) => Ok(Some(Credential::Identity(token))),
        Err(
            CredentialRetrievalError::NoCredentialConfigured
            | CredentialRetrievalError::ConfigNotFound
            | CredentialRetrievalError::ConfigReadError,
        ) => Ok(None),
        Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
            if stdout.contains("not found") || stderr.contains("not found") =>
        {
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}
