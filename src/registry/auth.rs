//! Tokens for registries that ask for them.
//!
//! A request is sent as it is; a 401 tells how to come back (RFC 9110 §11.6.1 and the distribution
//! project's token specification). What was learned of a host is kept, so that it is asked once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Mutex;

use super::credentials::{Credential, Credentials};
use super::{Error, error};

/// What a registry said in `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: String },
}

/// Reads the header; the first scheme that is known counts.
pub(super) fn challenge(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut fields = parameters(rest);
    Some(Challenge::Bearer {
        realm: fields.remove("realm")?,
        service: fields.remove("service").unwrap_or_default(),
    })
}

/// `name="value"` pairs; a value may hold commas.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        fields.insert(name, value.to_owned());
        rest = next;
    }
    fields
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    until: Instant,
}

/// One place for a token; whoever finds it empty fetches while the others wait.
type Slot = Arc<Mutex<Option<Token>>>;

/// By host and scopes.
type Tokens = HashMap<(String, Vec<String>), Slot>;

/// What is known of hosts' authentication.
#[derive(Clone, Debug, Default)]
pub(super) struct Auth {
    pub credentials: Credentials,
    challenges: Arc<Mutex<HashMap<String, Challenge>>>,
    tokens: Arc<Mutex<Tokens>>,
}

impl Auth {
    /// The `Authorization` header for a request, `None` if the host never asked for one.
    pub async fn header(
        &self,
        http: &reqwest::Client,
        host: &str,
        scopes: &[String],
    ) -> Result<Option<String>, Error> {
        let challenge = self.challenges.lock().await.get(host).cloned();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => match self.credentials.get(host).await? {
                Some(Credential::Password { user, password }) => {
                    let pair = STANDARD.encode(format!("{user}:{password}"));
                    Ok(Some(format!("Basic {pair}")))
                }
                Some(Credential::Identity(_)) | None => Ok(None),
            },
            Some(Challenge::Bearer { realm, service }) => {
                let slot = {
                    let mut tokens = self.tokens.lock().await;
                    let key = (host.to_owned(), scopes.to_vec());
                    tokens.entry(key).or_default().clone()
                };
                let mut token = slot.lock().await;
                if let Some(token) = token.as_ref().filter(|t| t.until > Instant::now()) {
                    return Ok(Some(format!("Bearer {}", token.text)));
                }
                let fresh = self.fetch(http, host, &realm, &service, scopes).await?;
                let header = format!("Bearer {}", fresh.text);
                *token = Some(fresh);
                Ok(Some(header))
            }
        }
    }

    /// Keeps what a host asked for and forgets the token it did not take.
    pub async fn learn(&self, host: &str, challenge: Challenge, scopes: &[String]) {
        self.challenges
            .lock()
            .await
            .insert(host.to_owned(), challenge);
        let key = (host.to_owned(), scopes.to_vec());
        self.tokens.lock().await.remove(&key);
    }

    async fn fetch(
        &self,
        http: &reqwest::Client,
        host: &str,
        realm: &str,
        service: &str,
        scopes: &[String],
    ) -> Result<Token, Error> {
        #[derive(serde::Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let what = format!("asking for a token for {host}");
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            what: what.clone(),
            host: realm.to_owned(),
            reason: super::cause(&error),
        };
        let request = match self.credentials.get(host).await? {
            Some(Credential::Identity(token)) => {
                let scope = scopes.join(" ");
                http.post(realm).form(&[
                    ("grant_type", "refresh_token"),
                    ("service", service),
                    ("client_id", "laminate"),
                    ("scope", scope.as_str()),
                    ("refresh_token", token.as_str()),
                ])
            }
            credential => {
                let mut query = Vec::new();
                if !service.is_empty() {
                    query.push(("service", service));
                }
                // The scope to push stands first: some registries look at the first alone.
                query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                let request = http.get(realm).query(&query);
                match credential {
                    Some(Credential::Password { user, password }) => {
                        request.basic_auth(user, Some(password))
                    }
                    _ => request,
                }
            }
        };
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(unreachable)?;
        if matches!(status, 401 | 403) {
            return Err(Error::Unauthorized {
                what,
                host: host.to_owned(),
                reason: error::reason(&body),
            });
        }
        if status != 200 {
            return Err(Error::Status {
                what,
                status,
                reason: error::reason(&body),
            });
        }
        let protocol = |reason: String| Error::Protocol {
            what: what.clone(),
            reason,
        };
        let answer: Answer = serde_json::from_slice(&body)
            .map_err(|error| protocol(format!("the token server's answer is no JSON: {error}")))?;
        let text = answer.token.or(answer.access_token).unwrap_or_default();
        if text.is_empty() {
            return Err(protocol("the token server gave no token".to_owned()));
        }
        // Without a time it is 60 seconds (token specification); a little less, for clocks and ways.
        let seconds = answer.expires_in.unwrap_or(60).max(60);
        Ok(Token {
            text,
            until: Instant::now() + Duration::from_secs(seconds - 10),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_commas_in_values() {
        let header =
            r#"Bearer realm="https://auth.x/token",service="x",scope="repository:a:pull,push""#;
        assert_eq!(
            challenge(header),
            Some(Challenge::Bearer {
                realm: "https://auth.x/token".to_owned(),
                service: "x".to_owned()
            })
        );
        assert_eq!(challenge("Basic realm=x"), Some(Challenge::Basic));
        assert_eq!(challenge("Negotiate"), None);
        assert_eq!(challenge("Bearer service=x"), None);
    }
}
