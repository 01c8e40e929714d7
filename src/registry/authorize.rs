//! Makes the `Authorization` of requests: the user's credentials, or a token for them.
//!
//! Main type: [`Authorizer`], below `transport`. It sends requests to token servers alone.

use std::sync::PoisonError;

use reqwest::Url;

use super::answer::Answer;
use super::auth::{self, Authorization, Challenge};
use super::clients::Clients;
use super::credential::Credential;
use super::credentials::Credentials;
use super::error::{Attempt, Error, unreachable};
use super::host::{Host, Hosts, retry_after};
use super::options::Options;
use crate::event::{Event, Events};

/// The largest answer of a token server that is read, bytes.
const TOKEN_LIMIT: u64 = 1 << 20;

/// The user's credentials, and what is needed to exchange them for tokens.
pub(super) struct Authorizer {
    /// The HTTP clients.
    pub clients: Clients,
    /// The hosts, with their challenges and tokens.
    pub hosts: Hosts,
    credentials: Credentials,
    events: Events,
}

impl Authorizer {
    /// Returns an authorizer without tokens. Fails if the certificates cannot be read.
    pub fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self {
            clients: Clients::new(options)?,
            hosts: Hosts::new(options),
            credentials: options.credentials.clone(),
            events: options.events.clone(),
        })
    }

    /// Returns what the last challenge of a host requires; `None` if there was none, or if the user
    /// has no credentials.
    pub async fn authorize(
        &self,
        host: &Host,
        attempt: &Attempt,
        scopes: &[String],
    ) -> Result<Option<Authorization>, Error> {
        let challenge = host
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => {
                let credential = self.credential(host, attempt, scopes).await;
                let usable = credential.filter(|c| !c.username.is_empty());
                Ok(usable.as_ref().map(auth::basic))
            }
            Some(Challenge::Bearer { realm, service, .. }) => {
                let fetch = async || {
                    self.fetch(host, attempt, &realm, service.as_deref(), scopes)
                        .await
                };
                host.tokens.get(scopes, fetch).await.map(Some)
            }
        }
    }

    /// Returns the user's credential for the repository of a request. Where it cannot be looked up the request
    /// is sent without: it may not need one, and if it does, the host keeps why there is none.
    async fn credential(
        &self,
        host: &Host,
        attempt: &Attempt,
        scopes: &[String],
    ) -> Option<Credential> {
        // `repository:a/b:pull`
        let scope = scopes.first();
        let scope = scope.and_then(|scope| scope.strip_prefix("repository:"));
        let path = scope.and_then(|scope| scope.rsplit_once(':'));
        let path = path.map_or("", |(path, _)| path);
        let found = self.credentials.credentials_for(&attempt.host, path);
        match found.await {
            Ok(found) => found,
            Err(error) => {
                if host.lacks_credential(error.clone()) {
                    let text = format!("{error}; continuing without credentials");
                    self.events.send(Event::Warning { text });
                }
                None
            }
        }
    }

    /// Fetches a token.
    async fn fetch(
        &self,
        host: &Host,
        attempt: &Attempt,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<auth::Token, Error> {
        let problem = |problem: String| Error::Protocol {
            attempt: attempt.clone(),
            problem,
        };
        let plain_ok = self.hosts.base(&attempt.host).scheme() == "http";
        let realm = token_server(realm, plain_ok).map_err(problem)?;
        let credential = self.credential(host, attempt, scopes).await;
        let with_credentials = credential.is_some();
        let client = self.clients.token_server(&realm)?;
        let request = auth::token_request(client, &realm, service, scopes, credential.as_ref());
        let response = (request.send().await).map_err(|e| unreachable(attempt, &realm, e))?;
        let status = response.status().as_u16();
        let wait = retry_after(response.headers());
        let body = read_at_most(response, TOKEN_LIMIT).await;
        let body = body.map_err(|e| unreachable(attempt, &realm, e))?;
        let Some(body) = body else {
            return Err(Error::TooLarge {
                attempt: attempt.clone(),
                limit: TOKEN_LIMIT,
            });
        };
        match status {
            200 => auth::read_token(&body, with_credentials).map_err(|p| problem(p.to_owned())),
            401 | 403 => Err(host.explain(Error::Unauthorized {
                attempt: attempt.clone(),
                answer: Answer::read(status, wait, &body),
                with_credentials,
            })),
            _ => Err(Error::TokenServer {
                attempt: attempt.clone(),
                server: realm.authority().to_owned(),
                answer: Answer::read(status, wait, &body),
            }),
        }
    }
}

/// Reads a body; `None` if it is larger than `limit`, bytes.
async fn read_at_most(
    mut response: reqwest::Response,
    limit: u64,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Returns the URL of a token server; an error if credentials would be sent to it without TLS,
/// unless the registry itself is without.
fn token_server(realm: &str, plain_ok: bool) -> Result<Url, String> {
    let url = Url::parse(realm)
        .map_err(|_| format!("the registry's token server `{realm}` is not a URL"))?;
    if url.scheme() == "https" || url.scheme() == "http" && plain_ok {
        return Ok(url);
    }
    Err(format!(
        "the registry's token server `{}` does not use TLS; no credentials were sent",
        url.authority()
    ))
}

/// Returns whether the scopes `have` include `needed` (`repository:a:pull,push`).
pub(super) fn covered(have: &[String], needed: &str) -> bool {
    let Some((name, actions)) = needed.rsplit_once(':') else {
        return have.iter().any(|scope| scope == needed);
    };
    have.iter()
        .filter_map(|scope| scope.rsplit_once(':'))
        .any(|(n, a)| {
            n == name
                && actions
                    .split(',')
                    .all(|action| a.split(',').any(|x| x == action))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_scopes_cover_narrower_ones() {
        let have = ["repository:a/b:pull,push".to_owned()];
        assert!(covered(&have, "repository:a/b:pull"));
        assert!(covered(&have, "repository:a/b:push,pull"));
        assert!(!covered(&have, "repository:a/b:delete"));
        assert!(!covered(&have, "repository:a:pull"));
    }

    #[test]
    fn a_scope_without_actions_is_covered_by_itself_alone() {
        let have = ["all".to_owned()];
        assert!(covered(&have, "all"));
        assert!(!covered(&have, "other"));
    }

    #[test]
    fn credentials_are_sent_with_tls_or_where_the_registry_has_none() {
        assert!(token_server("https://auth.example/token", false).is_ok());
        assert!(token_server("http://127.0.0.1:1/token", true).is_ok());
        let refused = token_server("http://auth.example/token?secret=x", false);
        assert_eq!(
            refused.expect_err("refused"),
            "the registry's token server `auth.example` does not use TLS; no credentials were sent"
        );
        assert!(token_server("ftp://auth.example/", true).is_err());
        assert!(token_server("token", true).is_err());
    }
}
