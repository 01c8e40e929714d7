//! Challenges and tokens: what a registry wants in `Authorization`, fetched once for all who wait.
//!
//! Main type: [`Tokens`], one a registry host, used by `transport`. There is no ping: a request is
//! sent as it is, and only a 401 tells what the host wants (distribution-spec leaves it to
//! RFC 7235; the token flow is distribution's `docs/spec/auth`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credentials::Credential;

/// What a host wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        /// What the refused request needed.
        scopes: Vec<String>,
    },
}

/// Reads `WWW-Authenticate`; a token is preferred to a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        for (scheme, parameters) in schemes(text) {
            match scheme.to_ascii_lowercase().as_str() {
                "bearer" => {
                    let Some(realm) = parameters.get("realm") else {
                        continue;
                    };
                    let scopes = parameters.get("scope").map(String::as_str);
                    return Some(Challenge::Bearer {
                        realm: realm.clone(),
                        service: parameters.get("service").cloned(),
                        scopes: (scopes.unwrap_or_default().split(' '))
                            .filter(|scope| !scope.is_empty())
                            .map(str::to_owned)
                            .collect(),
                    });
                }
                "basic" => basic = true,
                _ => {}
            }
        }
    }
    basic.then_some(Challenge::Basic)
}

/// Splits a header into schemes and their parameters; quoted values may hold commas.
fn schemes(text: &str) -> Vec<(String, HashMap<String, String>)> {
    let mut found: Vec<(String, HashMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', '=', ',']).unwrap_or(rest.len());
        let word = rest[..end].to_owned();
        rest = rest[end..].trim_start_matches([' ', '\t']);
        let Some(after) = rest.strip_prefix('=') else {
            found.push((word, HashMap::new()));
            continue;
        };
        let mut value = String::new();
        match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut characters = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((at, character)) = characters.next() {
                    match character {
                        '"' => {
                            end = at + 1;
                            break;
                        }
                        '\\' => value.extend(characters.next().map(|(_, c)| c)),
                        other => value.push(other),
                    }
                }
                rest = &quoted[end..];
            }
            None => {
                let end = after.find([' ', ',']).unwrap_or(after.len());
                value.push_str(after[..end].trim());
                rest = &after[end..];
            }
        }
        if let Some((_, parameters)) = found.last_mut() {
            parameters.insert(word.to_ascii_lowercase(), value);
        }
    }
}

#[derive(Clone)]
pub(super) struct Token {
    pub value: String,
    expires: Instant,
    with_credentials: bool,
}

/// The value of `Authorization`, and what it was made of.
#[derive(Clone)]
pub(super) struct Authorization {
    pub value: String,
    pub with_credentials: bool,
}

/// One failure is told to all who were waiting for the same token.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    failed: Option<(Instant, super::Error)>,
}

/// The tokens of one host, by scopes.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Slot>>>>,
}

impl Tokens {
    fn slot(&self, key: &str) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(key.to_owned()).or_default().clone()
    }

    /// The token for these scopes, fetched if there is none that lives; whoever asks meanwhile waits
    /// for the same answer. When a waiting caller is dropped, the next one fetches.
    pub(super) async fn get(
        &self,
        scopes: &[String],
        fetch: impl AsyncFnOnce() -> Result<Token, super::Error>,
    ) -> Result<Authorization, super::Error> {
        let asked = Instant::now();
        let slot = self.slot(&scopes.join(" "));
        let mut slot = slot.lock().await;
        let alive = |token: &&Token| token.expires > Instant::now();
        let token = match slot.token.as_ref().filter(alive) {
            Some(token) => token.clone(),
            None => {
                if let Some((at, error)) = &slot.failed
                    && *at >= asked
                {
                    return Err(error.clone());
                }
                match fetch().await {
                    Ok(token) => slot.token.insert(token).clone(),
                    Err(error) => {
                        slot.failed = Some((Instant::now(), error.clone()));
                        return Err(error);
                    }
                }
            }
        };
        Ok(Authorization {
            value: format!("Bearer {}", token.value),
            with_credentials: token.with_credentials,
        })
    }

    /// Forgets a token the registry did not accept, unless it was replaced meanwhile.
    pub(super) async fn forget(&self, scopes: &[String], refused: &str) {
        let slot = self.slot(&scopes.join(" "));
        let mut slot = slot.lock().await;
        let same = |token: &Token| refused.strip_prefix("Bearer ") == Some(token.value.as_str());
        if slot.token.as_ref().is_some_and(same) {
            slot.token = None;
        }
    }
}

pub(super) fn basic(credential: &Credential) -> Authorization {
    let pair = format!("{}:{}", credential.username, credential.secret);
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    Authorization {
        value: format!("Basic {encoded}"),
        with_credentials: true,
    }
}

/// The request for a token.
pub(super) fn token_request(
    client: &reqwest::Client,
    realm: &Url,
    service: Option<&str>,
    scopes: &[String],
    credential: Option<&Credential>,
) -> reqwest::RequestBuilder {
    if let Some(credential) = credential
        && credential.username.is_empty()
    {
        // distribution docs/spec/auth/oauth.md: the scopes are one field here.
        let mut form = Url::parse("form:/").expect("a legal URL");
        (form.query_pairs_mut())
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", service.unwrap_or_default())
            .append_pair("client_id", "laminate")
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", &credential.secret);
        let body = Bytes::from(form.query().unwrap_or_default().to_owned());
        return (client.post(realm.clone()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
    }
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for scope in scopes {
            query.append_pair("scope", scope);
        }
    }
    let request = client.get(url);
    match credential {
        Some(credential) => request.header(AUTHORIZATION, basic(credential).value),
        None => request,
    }
}

/// Reads a token server's answer.
pub(super) fn read_token(body: &[u8], with_credentials: bool) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<f64>,
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "the token server's answer is not a token")?;
    let full = |text: &String| !text.is_empty();
    let value = (answer.token.filter(full))
        .or(answer.access_token.filter(full))
        .ok_or("the token server's answer has no token in it")?;
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the token server's token has characters no header can hold");
    }
    // 60 s is the default of the token specification; a tenth is left for the way.
    let lifetime = answer.expires_in.filter(|s| *s >= 1.0).unwrap_or(60.0);
    let lifetime = Duration::from_secs_f64(lifetime.min(86_400.0) * 0.9);
    Ok(Token {
        value,
        expires: Instant::now() + lifetime,
        with_credentials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().expect("a header"));
        }
        challenge(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |service: Option<&str>, scopes: &[&str]| {
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: service.map(str::to_owned),
                scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            })
        };
        assert_eq!(
            read(&[
                r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push repository:c:pull",error="invalid_token""#
            ]),
            bearer(
                Some("r"),
                &["repository:a/b:pull,push", "repository:c:pull"]
            )
        );
        assert_eq!(
            read(&[r#"Basic realm="x, y=z", bearer realm = "https://auth.example/token""#]),
            bearer(None, &[])
        );
        assert_eq!(
            read(&[
                "Basic realm=\"x\"",
                "Bearer realm=https://auth.example/token"
            ]),
            bearer(None, &[])
        );
        assert_eq!(read(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(read(&["Bearer"]), None);
        assert_eq!(read(&["Negotiate abc="]), None);
        assert!(read(&[r#"Bearer realm="unclosed"#]).is_some());
        assert_eq!(read(&[]), None);
    }
}
