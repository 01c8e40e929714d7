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

/// A page of the list (distribution-spec, "Listing Tags").
#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Lists the tags of a repository, sorted; empty for one that does not exist or has none. A page that is
    /// missing is never taken for the end: it is asked for once more by its first tag, and is an error then.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let attempt = attempt(Operation::ListTags, repository, "");
        let mut url = self.transport.url(repository, "tags/list?n=1000");
        let problem = |problem: &str| Error::Protocol {
            attempt: attempt.clone(),
            problem: problem.to_owned(),
        };
        let mut seen = HashSet::new();
        let mut tags = BTreeSet::new();
        let (mut last, mut empty) = (None::<String>, 0);
        loop {
            if !seen.insert(url.clone()) {
                return Err(problem("the list of tags has a page twice"));
            }
            let mut call = self.call(Method::GET, url.clone(), attempt.clone());
            call.scopes = vec![pull_scope(repository)];
            call.expected = &[200, 404];
            let reply = self.transport.send(&call).await?;
            if reply.status == 404 {
                let Some(last) = &last else {
                    return Ok(Vec::new());
                };
                let mut next = self.transport.url(repository, "tags/list?n=1000");
                next.query_pairs_mut().append_pair("last", last);
                if seen.contains(&next) {
                    return Err(problem(
                        "the registry has no next page of tags, although it refers to one",
                    ));
                }
                url = next;
                continue;
            }
            let page: Page = serde_json::from_slice(&reply.body)
                .map_err(|_| problem("the registry's answer is not a list of tags"))?;
            let listed = page.tags.unwrap_or_default();
            let before = tags.len();
            // An invalid tag can be neither read nor written.
            tags.extend(listed.iter().filter_map(|tag| Tag::parse(tag).ok()));
            last = listed.last().cloned().or(last);
            if tags.len() == before {
                empty += 1;
            }
            match next_page(&reply.headers, &url) {
                Some(_) if empty > MOST_EMPTY => {
                    return Err(problem("the list of tags does not end"));
                }
                Some(next) if next.origin() == url.origin() => url = next,
                Some(_) => return Err(problem("the list of tags continues on another host")),
                None => return Ok(tags.into_iter().collect()),
            }
        }
    }
}

/// Returns the target of `Link: <…>; rel="next"` (distribution-spec, "Listing Tags").
pub(super) fn next_page(headers: &HeaderMap, base: &Url) -> Option<Url> {
    let links = headers.get_all("link").iter();
    let links = links.filter_map(|value| value.to_str().ok());
    for link in links.flat_map(|text| text.split(",<").flat_map(|part| part.split(", <"))) {
        let Some((target, parameters)) = link.trim().trim_start_matches('<').split_once('>') else {
            continue;
        };
        let next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        if next {
            return base.join(target).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(links: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append("link", link.parse().expect("a header"));
        }
        let base = Url::parse("https://a.example/v2/b/tags/list?n=2").expect("a URL");
        next_page(&headers, &base).map(|url| url.to_string())
    }

    #[test]
    fn the_next_page_may_be_relative() {
        let link = r#"</v2/b/tags/list?n=2&last=x>; rel="next""#;
        let url = "https://a.example/v2/b/tags/list?n=2&last=x";
        assert_eq!(next(&[link]).as_deref(), Some(url));
        let link = "<https://b.example/x>; rel=next";
        assert_eq!(next(&[link]).as_deref(), Some("https://b.example/x"));
    }

    #[test]
    fn other_links_are_passed_over() {
        let links = r#"</first>; rel="first", </next>; title="x"; REL="next""#;
        assert_eq!(next(&[links]).as_deref(), Some("https://a.example/next"));
        assert_eq!(next(&["</first>; rel=first", "</x>"]), None);
        let broken = ["broken", "</next>; rel=next"];
        assert_eq!(next(&broken).as_deref(), Some("https://a.example/next"));
        assert_eq!(next(&["broken"]), None);
        assert_eq!(next(&[]), None);
    }
}
