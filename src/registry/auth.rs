//! Challenges and tokens, each token fetched once for all who wait for it.
//!
//! Main type: [`Tokens`], one for each host. There is no ping: a request is sent without
//! `Authorization`, and a 401 brings the challenge (distribution-spec leaves it to RFC 7235; the token
//! flow is distribution's `docs/spec/auth`). Used by `authorize`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::Bytes;
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::credential::Credential;
use super::error::Error;

/// How a host authorizes requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// By a username and password.
    Basic,
    /// By a token.
    Bearer {
        /// The URL of the token server.
        realm: String,
        /// The registry's name at the token server.
        service: Option<String>,
        /// The rights the refused request needed.
        scopes: Vec<String>,
    },
}

/// Reads `WWW-Authenticate` (RFC 7235); a token is preferred to a password.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = false;
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    // What is before a broken part of a header is valid.
    let challenges = values.flat_map(|text| ChallengeParser::new(text).map_while(Result::ok));
    for challenge in challenges {
        if challenge.scheme.eq_ignore_ascii_case("bearer") {
            let bearer = bearer(&challenge);
            if bearer.is_some() {
                return bearer;
            }
        }
        basic |= challenge.scheme.eq_ignore_ascii_case("basic");
    }
    if basic {
        return Some(Challenge::Basic);
    }
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(unquoted)
}

/// Reads a `Bearer` challenge whose values are not quoted, as some registries send it: `:` and `/` are not
/// allowed without quotes (RFC 9110 §5.6.2).
fn unquoted(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let parameter = |name: &str| {
        let mut parameters = rest.split(',').filter_map(|part| part.split_once('='));
        let (_, value) = parameters.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim().trim_matches('"').to_owned())
    };
    let realm = parameter("realm").filter(|realm| Url::parse(realm).is_ok())?;
    let scopes = parameter("scope").unwrap_or_default();
    Some(Challenge::Bearer {
        realm,
        service: parameter("service"),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
    })
}

/// Returns what a `Bearer` challenge requires; `None` if it has no realm.
fn bearer(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    let parameter = |name: &str| {
        let mut parameters = challenge.params.iter();
        // RFC 7235 forbids two of one name.
        let found = parameters.rfind(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let scopes = parameter("scope").unwrap_or_default();
    let scopes = scopes.split(' ').filter(|scope| !scope.is_empty());
    Some(Challenge::Bearer {
        realm: parameter("realm")?,
        service: parameter("service"),
        scopes: scopes.map(str::to_owned).collect(),
    })
}

/// A token, and until when it is used.
#[derive(Clone)]
pub(super) struct Token {
    /// The token.
    pub value: String,
    expires: Instant,
    with_credentials: bool,
}

/// The value of `Authorization`.
#[derive(Clone)]
pub(super) struct Authorization {
    /// The scheme and what follows it.
    pub value: String,
    /// It was made from the user's credentials.
    pub with_credentials: bool,
}

impl Token {
    fn authorization(&self) -> Authorization {
        Authorization {
            value: format!("Bearer {}", self.value),
            with_credentials: self.with_credentials,
        }
    }
}

/// A token or the last failure, which all who waited for the token get.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    failed: Option<(Instant, Error)>,
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

    /// Returns the token for these scopes, fetched if there is none that is valid; callers that come
    /// meanwhile wait for the same answer. When the fetching caller is dropped, the next one fetches.
    pub(super) async fn get(
        &self,
        scopes: &[String],
        fetch: impl AsyncFnOnce() -> Result<Token, Error>,
    ) -> Result<Authorization, Error> {
        let asked = Instant::now();
        let slot = self.slot(&scopes.join(" "));
        let mut slot = slot.lock().await;
        let alive = |token: &&Token| token.expires > Instant::now();
        if let Some(token) = slot.token.as_ref().filter(alive) {
            return Ok(token.authorization());
        }
        if let Some((at, error)) = &slot.failed
            && *at >= asked
        {
            return Err(error.clone());
        }
        match fetch().await {
            Ok(token) => Ok(slot.token.insert(token).authorization()),
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
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

/// Returns the authorization by a username and password (RFC 7617).
pub(super) fn basic(credential: &Credential) -> Authorization {
    let pair = format!("{}:{}", credential.username, credential.secret);
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    Authorization {
        value: format!("Basic {encoded}"),
        with_credentials: true,
    }
}

/// Returns the request for a token; an identity token is exchanged by POST.
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
        // distribution, docs/spec/auth/oauth.md: the scopes are one field here.
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

/// Reads a token server's answer (distribution, docs/spec/auth/token.md).
pub(super) fn read_token(body: &[u8], with_credentials: bool) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<f64>,
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "the token server's answer is not JSON")?;
    let full = |text: &String| !text.is_empty();
    let value = (answer.token.filter(full))
        .or(answer.access_token.filter(full))
        .ok_or("the token server's answer has no token")?;
    if !value.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("the token server's token has characters that are invalid in a header");
    }
    // 60 s is the default of the token specification; the last tenth is left for the request.
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

    fn wants_token(service: Option<&str>, scopes: &[&str]) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: "https://auth.example/token".to_owned(),
            service: service.map(str::to_owned),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
        })
    }

    #[test]
    fn a_token_challenge_has_its_service_and_scopes() {
        assert_eq!(
            read(&[
                r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push repository:c:pull",error="invalid_token""#
            ]),
            wants_token(
                Some("r"),
                &["repository:a/b:pull,push", "repository:c:pull"]
            )
        );
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let both = r#"Basic realm="x, y=z", bearer realm = "https://auth.example/token""#;
        assert_eq!(read(&[both]), wants_token(None, &[]));
        let bearer = r#"Bearer realm="https://auth.example/token""#;
        assert_eq!(read(&["Basic realm=\"x\"", bearer]), wants_token(None, &[]));
    }

    #[test]
    fn a_password_needs_no_parameter() {
        assert_eq!(read(&["Basic"]), Some(Challenge::Basic));
        assert_eq!(read(&["Basic, Negotiate"]), Some(Challenge::Basic));
    }

    #[test]
    fn escaped_quotes_are_part_of_a_value() {
        let escaped = r#"Bearer realm="https://auth.example/token", service="a \"b\"""#;
        assert_eq!(read(&[escaped]), wants_token(Some("a \"b\""), &[]));
    }

    #[test]
    fn a_token_challenge_without_a_realm_is_passed_over() {
        assert_eq!(read(&["Bearer"]), None);
        assert_eq!(
            read(&[r#"Bearer service="x""#, "Basic"]),
            Some(Challenge::Basic)
        );
    }

    #[test]
    fn a_realm_without_quotes_is_read() {
        assert_eq!(
            read(&["Bearer realm=https://auth.example/token,service=r"]),
            wants_token(Some("r"), &[])
        );
        assert_eq!(read(&["Bearer realm=/no/host,service=r"]), None);
    }

    #[test]
    fn a_broken_or_unknown_challenge_hides_no_other() {
        assert_eq!(read(&["Negotiate abc="]), None);
        assert_eq!(
            read(&[r#"Basic realm="x", Bearer realm="unclosed"#]),
            Some(Challenge::Basic)
        );
        assert_eq!(read(&["=", "Basic"]), Some(Challenge::Basic));
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn a_token_is_read_under_either_of_its_names() {
        let value = |body: &str| read_token(body.as_bytes(), false).map(|token| token.value);
        assert_eq!(value(r#"{"token": "a"}"#).as_deref(), Ok("a"));
        assert_eq!(value(r#"{"access_token": "b"}"#).as_deref(), Ok("b"));
        assert_eq!(
            value(r#"{"token": "", "access_token": "b"}"#).as_deref(),
            Ok("b")
        );
        assert!(value(r#"{"token": ""}"#).is_err());
        assert!(value(r#"{"token": "a\nb"}"#).is_err());
        assert!(value("<html>").is_err());
    }

    #[test]
    fn a_token_lives_nine_tenths_of_its_time() {
        let left = |body: &str| {
            let token = read_token(body.as_bytes(), false).map_err(str::to_owned)?;
            Ok::<_, String>(token.expires.duration_since(Instant::now()).as_secs_f64())
        };
        for (body, seconds) in [
            (r#"{"token": "a", "expires_in": 100}"#, 90.0),
            (r#"{"token": "a"}"#, 54.0),
            (r#"{"token": "a", "expires_in": 0}"#, 54.0),
            (r#"{"token": "a", "expires_in": 1e9}"#, 77_760.0),
        ] {
            let left = left(body).expect("a token");
            assert!((left - seconds).abs() < 1.0, "{body}: {left}");
        }
    }

    #[test]
    fn a_password_is_encoded() {
        let credential = Credential {
            username: "user".to_owned(),
            secret: "secret".to_owned(),
        };
        assert_eq!(basic(&credential).value, "Basic dXNlcjpzZWNyZXQ=");
    }
}
