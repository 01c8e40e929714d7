//! Inputs of fuzzers; see `fuzzing`.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue, LINK, RETRY_AFTER, WWW_AUTHENTICATE};

use super::answer::Answer;
use super::auth::{Challenge, challenge, read_token, token_request};
use super::credential::CredentialError;
use super::credentials::{CredentialSource, look_up};
use super::host::retry_after;
use super::tag_list::next_page;

/// Headers, one a line, and a body: challenges, pages, pauses, tokens and errors.
pub fn challenges(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value.clone());
            headers.append(LINK, value.clone());
            headers.insert(RETRY_AFTER, value);
        }
    }
    let base = Url::parse("https://a.example/v2/b/tags/list?n=2").expect("a URL");
    let _page = next_page(&headers, &base);
    let pause = retry_after(&headers);
    if let Some(Challenge::Bearer {
        realm,
        service,
        scopes,
    }) = challenge(&headers)
    {
        assert!(scopes.iter().all(|scope| !scope.is_empty()));
        if let Ok(realm) = Url::parse(&realm) {
            let client = reqwest::Client::new();
            let request = token_request(&client, &realm, service.as_deref(), &scopes, None);
            let _request = request.build();
        }
    }
    if let Ok(token) = read_token(bytes, false) {
        let value = format!("Bearer {}", token.value);
        assert!(HeaderValue::from_str(&value).is_ok());
    }
    let shown = Answer::read(401, pause, bytes).to_string();
    assert!(
        !shown.contains(char::is_control) && shown.len() < 20_000,
        "{shown}"
    );
}

/// A docker config. Its errors do not quote it.
pub fn credentials(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let source = CredentialSource::Text {
        name: "DOCKER_AUTH_CONFIG",
        text,
    };
    for (host, path) in [
        ("docker.io", "library/x"),
        ("ghcr.io", "a/b"),
        ("a.example:5000", ""),
    ] {
        if let Err(error) = look_up(&source, host, path) {
            let known = matches!(
                error,
                CredentialError::Unreadable { .. } | CredentialError::Malformed { .. }
            );
            assert!(known && error.to_string().len() < 300, "{error}");
        }
    }
}
