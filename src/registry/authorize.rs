//! Gets what a host wants in `Authorization`: the user's credentials, or a token for them.
//!
//! The part of [`Transport`] that meets the token server; `auth` holds the protocol's words.

use std::sync::PoisonError;

use reqwest::Url;

use super::auth::{self, Authorization, Challenge};
use super::counts::Kind;
use super::error::{Answer, Attempt, Error};
use super::host::{Host, retry_after};
use super::transport::{Transport, unreachable};
use super::{Credential, Repository};

impl Transport {
    pub(super) fn home(&self, host: &str) -> Url {
        let repository = Repository::parse(&format!("{host}/x"));
        self.url(&repository.expect("the host of a repository is a host"), "")
    }

    /// What the host wants in `Authorization`, as far as it has told.
    pub(super) async fn authorize(
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
        let Some(challenge) = challenge else {
            return Ok(None);
        };
        match challenge {
            Challenge::Basic => {
                let credential = self.credential(attempt).await?;
                let usable = credential.filter(|c| !c.username.is_empty());
                Ok(usable.as_ref().map(auth::basic))
            }
            Challenge::Bearer { realm, service, .. } => {
                let fetch = async || {
                    self.fetch(attempt, &realm, service.as_deref(), scopes)
                        .await
                };
                host.tokens.get(scopes, fetch).await.map(Some)
            }
        }
    }

    async fn credential(&self, attempt: &Attempt) -> Result<Option<Credential>, Error> {
        let found = self.options.credentials.credentials(&attempt.host).await;
        found.map_err(|source| Error::Credential {
            attempt: attempt.clone(),
            source,
        })
    }

    async fn fetch(
        &self,
        attempt: &Attempt,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<auth::Token, Error> {
        let problem = |problem: String| Error::Protocol {
            attempt: attempt.clone(),
            problem,
        };
        let realm = Url::parse(realm)
            .map_err(|_| problem("the registry names a token server that is not a URL".into()))?;
        let plain_ok = self.home(&attempt.host).scheme() == "http";
        if !(realm.scheme() == "https" || realm.scheme() == "http" && plain_ok) {
            return Err(problem(format!(
                "the registry names a token server without TLS, {}; no credentials were sent",
                realm.authority()
            )));
        }
        let credential = self.credential(attempt).await?;
        let with_credentials = credential.is_some();
        let client = self.clients.of(&realm, true);
        let request = auth::token_request(client, &realm, service, scopes, credential.as_ref());
        self.counter.sent(Kind::Token);
        let response = (request.send().await).map_err(|e| unreachable(attempt, &realm, e))?;
        let status = response.status().as_u16();
        let wait = retry_after(response.headers());
        let body = (response.bytes().await).map_err(|e| unreachable(attempt, &realm, e))?;
        match status {
            200 => auth::read_token(&body, with_credentials).map_err(|p| problem(p.to_owned())),
            401 | 403 => Err(Error::Unauthorized {
                attempt: attempt.clone(),
                answer: Answer::read(status, wait, &body),
                with_credentials,
            }),
            _ => Err(Error::TokenServer {
                attempt: attempt.clone(),
                server: realm.authority().to_owned(),
                answer: Answer::read(status, wait, &body),
            }),
        }
    }
}

/// Whether the scopes `have` give what `wanted` (`repository:a:pull,push`) names.
pub(super) fn covered(have: &[String], wanted: &str) -> bool {
    let Some((name, actions)) = wanted.rsplit_once(':') else {
        return have.iter().any(|scope| scope == wanted);
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
}
