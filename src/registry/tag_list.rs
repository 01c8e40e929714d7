//! The list of a repository's tags, over all its pages.
//!
//! An operation of [`Registry`].

use std::collections::{BTreeSet, HashSet};

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::client::{Registry, attempt, pull_scope};
use super::error::{Error, Operation};
use crate::name::{Repository, Tag};

/// How many pages without a new tag are read before the list is taken to have no end.
const MOST_EMPTY: usize = 10;

/// Pages of registries that give no link to the next one have a round number of tags. The spec requires the link; a page
/// with so many tags, or a multiple, is not taken for the last one without asking.
const ROUND: usize = 50;

/// A page of the list (distribution-spec, "Listing Tags").
#[derive(Deserialize)]
struct Page {
    /// `null` for none; an answer without it is not a list.
    #[serde(deserialize_with = "Option::deserialize")]
    tags: Option<Vec<String>>,
}

/// The list as far as it was read.
#[derive(Default)]
struct List {
    seen: HashSet<Url>,
    tags: BTreeSet<Tag>,
    /// The last tag of the last page with any.
    last: Option<String>,
    /// Pages in a row without a new tag.
    empty: usize,
}

/// What follows a page.
enum Next {
    /// Another page.
    Page(Url),
    /// The page at the same address behind the last tag, if there is any tag.
    ByLast,
    /// Perhaps nothing: the registry gives no link, and the page may be full.
    Unsure,
    End,
}

impl List {
    /// Adds the tags of a page; returns how many the page has.
    fn add(&mut self, page: Page) -> usize {
        let listed = page.tags.unwrap_or_default();
        let before = self.tags.len();
        // An invalid tag can be neither read nor written.
        let valid = listed.iter().filter_map(|tag| Tag::parse(tag).ok());
        self.tags.extend(valid);
        self.last = listed.last().cloned().or(self.last.take());
        let is_new = self.tags.len() > before;
        self.empty = if is_new { 0 } else { self.empty + 1 };
        listed.len()
    }
}

impl Registry {
    /// Lists the tags behind another, which may be missing, as far as `is_wanted` has them: those follow each other in the
    /// list. `None` if one page does not show all of them, or the registry lists tags in another way: then all must be
    /// listed.
    pub async fn tags_behind(
        &self,
        repository: &Repository,
        tag: &Tag,
        is_wanted: impl Fn(&Tag) -> bool,
    ) -> Result<Option<Vec<Tag>>, Error> {
        let mut url = self
            .transport
            .url(repository, &format!("tags/list?n={ROUND}"));
        url.query_pairs_mut().append_pair("last", tag.as_str());
        let attempt = attempt(Operation::ListTags, repository, "");
        let mut call = self.call(Method::GET, url.clone(), attempt);
        call.scopes = vec![pull_scope(repository)];
        call.expected = &[200, 404];
        let reply = self.transport.send(&call).await?;
        let Ok(page) = serde_json::from_slice::<Page>(&reply.body) else {
            return Ok(None);
        };
        let listed = page.tags.unwrap_or_default();
        let is_ordered =
            listed.is_sorted() && listed.first().is_none_or(|first| **first > *tag.as_str());
        let is_whole = listed.len() < ROUND && matches!(next_page(&reply.headers, &url), Ok(None));
        let tags = listed.iter().map_while(|tag| Tag::parse(tag).ok());
        let wanted: Vec<Tag> = tags.take_while(is_wanted).collect();
        let is_complete = is_ordered && (is_whole || wanted.len() < listed.len());
        Ok(is_complete.then_some(wanted))
    }

    /// Lists the tags of a repository, sorted; empty for one that does not exist or has none. A page that is
    /// missing is never taken for the end: it is asked for once more by the tag before it, and is an error then.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let attempt = attempt(Operation::ListTags, repository, "");
        let first = self.transport.url(repository, "tags/list?n=1000");
        let problem = |problem: &str| Error::Protocol {
            attempt: attempt.clone(),
            problem: problem.to_owned(),
        };
        let mut list = List::default();
        let mut url = first.clone();
        let mut is_unsure = false;
        loop {
            let is_first = list.seen.is_empty();
            if !list.seen.insert(url.clone()) {
                return Err(problem("the list of tags has a page twice"));
            }
            let mut call = self.call(Method::GET, url.clone(), attempt.clone());
            call.scopes = vec![pull_scope(repository)];
            call.expected = &[200, 404];
            let reply = self.transport.send(&call).await?;
            let next = if reply.status == 404 {
                if is_first && is_error_of_registry(&reply.body) {
                    return Ok(Vec::new());
                }
                if is_first {
                    return Err(problem("the answer 404 is not a registry's"));
                }
                if is_unsure { Next::End } else { Next::ByLast }
            } else {
                let page: Page = serde_json::from_slice(&reply.body)
                    .map_err(|_| problem("the registry's answer is not a list of tags"))?;
                let count = list.add(page);
                let link = next_page(&reply.headers, &url);
                match link.map_err(&problem)? {
                    Some(_) if list.empty > MOST_EMPTY => {
                        return Err(problem("the list of tags does not end"));
                    }
                    Some(next) => Next::Page(next),
                    // A header that has no next page may have lost it on its way.
                    None if count > 0
                        && list.empty == 0
                        && (count % ROUND == 0 || reply.headers.contains_key("link")) =>
                    {
                        Next::Unsure
                    }
                    None => Next::End,
                }
            };
            is_unsure = matches!(next, Next::Unsure);
            url = match (next, &list.last) {
                (Next::End, _) => return Ok(list.tags.into_iter().collect()),
                (Next::Page(next), _) => next,
                (Next::ByLast | Next::Unsure, Some(last)) => {
                    let mut next = first.clone();
                    next.query_pairs_mut().append_pair("last", last);
                    if is_unsure && list.seen.contains(&next) {
                        return Ok(list.tags.into_iter().collect());
                    }
                    if list.seen.contains(&next) {
                        return Err(problem(NO_PAGE));
                    }
                    next
                }
                (Next::ByLast | Next::Unsure, None) => return Err(problem(NO_PAGE)),
            };
        }
    }
}

const NO_PAGE: &str = "the registry has no next page of tags, although it refers to one";

/// Whether a body is a registry's error, and not that of something before it (distribution-spec, "Error Codes").
fn is_error_of_registry(body: &[u8]) -> bool {
    let error = serde_json::from_slice::<serde_json::Value>(body);
    error.is_ok_and(|error| error["errors"].is_array())
}

/// Returns the target of `Link: <…>; rel="next"` (distribution-spec, "Listing Tags"; RFC 8288). Fails for a link that
/// cannot be read or followed.
pub(super) fn next_page(headers: &HeaderMap, base: &Url) -> Result<Option<Url>, &'static str> {
    let links = headers.get_all("link").iter();
    let links: Vec<&str> = links.filter_map(|value| value.to_str().ok()).collect();
    for link in links
        .iter()
        .flat_map(|text| text.split(",<").flat_map(|part| part.split(", <")))
    {
        let target = link.trim().trim_start_matches('<').split_once('>');
        let Some((target, parameters)) = target else {
            if link.to_ascii_lowercase().contains("next") {
                return Err("the link to the next page of tags cannot be read");
            }
            continue;
        };
        if parameters.split(';').any(is_next) {
            return follow(base, target).map(Some);
        }
    }
    Ok(None)
}

/// Whether a parameter of a link is the relation `next`, perhaps among others.
fn is_next(parameter: &str) -> bool {
    let parameter = parameter.trim().to_ascii_lowercase();
    let Some(value) = parameter.strip_prefix("rel") else {
        return false;
    };
    let value = value
        .trim_start()
        .strip_prefix('=')
        .unwrap_or_default()
        .trim();
    let value = value.trim_matches(['"', '\'']);
    value.split_whitespace().any(|relation| relation == "next")
}

/// Resolves a link. Behind a proxy that ends TLS a registry may write its own URL with `http`: it is followed with TLS.
fn follow(base: &Url, target: &str) -> Result<Url, &'static str> {
    let unreadable = "the link to the next page of tags cannot be read";
    let mut next = base.join(target).map_err(|_| unreadable)?;
    if next.origin() == base.origin() {
        return Ok(next);
    }
    let is_without_tls = base.scheme() == "https" && next.scheme() == "http";
    if !(is_without_tls && next.host() == base.host()) {
        return Err("the list of tags continues on another host");
    }
    let set = next.set_scheme(base.scheme());
    set.and_then(|()| next.set_port(base.port()))
        .map_err(|()| unreadable)?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(links: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append("link", link.parse().expect("a header"));
        }
        let base = Url::parse("https://a.example/v2/b/tags/list?n=2").expect("a URL");
        Ok(next_page(&headers, &base)?.map(|url| url.to_string()))
    }

    #[test]
    fn the_next_page_may_be_relative_or_on_the_same_host() {
        let url = "https://a.example/v2/b/tags/list?n=2&last=x";
        for link in [
            r#"</v2/b/tags/list?n=2&last=x>; rel="next""#,
            "</v2/b/tags/list?n=2&last=x>;rel=next",
            "<list?n=2&last=x>; rel='next'",
            r#"<?n=2&last=x>; rel="prev next""#,
            r#"<https://a.example/v2/b/tags/list?n=2&last=x>; REL = "Next""#,
            r#"<https://a.example:443/v2/b/tags/list?n=2&last=x>; rel="next""#,
            // A proxy ends TLS, and the registry does not know.
            r#"<http://a.example/v2/b/tags/list?n=2&last=x>; rel="next""#,
            r#"<http://a.example:80/v2/b/tags/list?n=2&last=x>; rel="next""#,
            r#"</first>; rel="first", </v2/b/tags/list?n=2&last=x>; title="a, b"; rel="next""#,
        ] {
            assert_eq!(next(&[link]), Ok(Some(url.to_owned())), "{link}");
        }
        let comma = r#"</v2/b/tags/list?last=a,b>; rel="next""#;
        let url = "https://a.example/v2/b/tags/list?last=a,b";
        assert_eq!(next(&[comma]), Ok(Some(url.to_owned())));
    }

    #[test]
    fn a_link_elsewhere_or_without_an_end_is_an_error() {
        for link in [
            "<https://b.example/x>; rel=next",
            "<//b.example/x>; rel=next",
            "<http://b.example/x>; rel=next",
            "<https://a.example:444/x>; rel=next",
            "</v2/b/tags/list?last=x; rel=next",
            "<https://[x>; rel=next",
        ] {
            assert!(next(&[link]).is_err(), "{link}");
        }
    }

    #[test]
    fn other_links_are_passed_over() {
        assert_eq!(next(&["</first>; rel=first", "</x>"]), Ok(None));
        assert_eq!(next(&["</first>; rel=nexton, </x>; title=next"]), Ok(None));
        assert_eq!(next(&["broken"]), Ok(None));
        assert_eq!(next(&[]), Ok(None));
        let late = next(&["broken", "</x>; rel=next"]);
        assert_eq!(late, Ok(Some("https://a.example/x".to_owned())));
    }
}
