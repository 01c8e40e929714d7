//! The requests the fake registry answers, as distribution answers them.

use std::time::Instant;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;

use super::{Mounts, State, answer, digest, refusal};

impl State {
    /// Does what a request asks for, and answers it.
    pub(super) fn work(
        &mut self,
        method: &str,
        uri: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let url: axum::http::Uri = uri.parse().expect("valid");
        let query: Vec<(String, String)> = pairs(url.query().unwrap_or_default());
        let get = |name: &str| {
            query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        };
        if url.path() == "/token" {
            return self.token(method, &query, headers, &body);
        }
        let Some(rest) = url.path().strip_prefix("/v2/") else {
            return answer(404, &[], "404 page not found");
        };
        let Some((name, what, at)) = ["/manifests/", "/blobs/uploads/", "/blobs/", "/tags/list"]
            .iter()
            .find_map(|what| rest.split_once(what).map(|(name, at)| (name, *what, at)))
        else {
            return answer(404, &[], "404 page not found");
        };
        let action = match (method, what) {
            ("GET" | "HEAD", _) => "pull",
            ("DELETE", "/manifests/") => "delete",
            _ => "push",
        };
        if let Some(refused) = self.unauthorized(action, name, get("from"), headers) {
            return refused;
        }
        match (method, what) {
            ("GET" | "HEAD", "/manifests/") => self.read_manifest(method, name, at, headers),
            ("PUT", "/manifests/") => self.write_manifest(name, at, headers, body),
            ("DELETE", "/manifests/") => self.delete_manifest(name, at),
            ("GET" | "HEAD", "/blobs/") => self.read_blob(name, at),
            ("POST", "/blobs/uploads/") => {
                let mount = get("mount").zip(get("from"));
                let mounted = mount.and_then(|(blob, from)| self.mount(name, &blob, &from));
                mounted.unwrap_or_else(|| self.begin_upload(name))
            }
            ("PUT", "/blobs/uploads/") => self.end_upload(name, at, get("digest"), body),
            ("DELETE", "/blobs/uploads/") => {
                self.open_uploads.retain(|upload| upload != at);
                answer(204, &[], "")
            }
            ("GET", "/tags/list") => self.list(name, get("last")),
            _ => refusal(405, "UNSUPPORTED", "not supported"),
        }
    }

    fn read_blob(&self, name: &str, at: &str) -> Response {
        let Some(bytes) = self.repositories.get(name).and_then(|r| r.blobs.get(at)) else {
            return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry");
        };
        let length = bytes.len().to_string();
        answer(200, &[("content-length", &length)], bytes.clone())
    }

    /// `None` where an upload is opened instead.
    fn mount(&mut self, name: &str, blob: &str, from: &str) -> Option<Response> {
        if let Mounts::Status(status) = self.mounts {
            return Some(refusal(status, "DENIED", "mounting is not allowed"));
        }
        let bytes = self.repositories.get(from)?.blobs.get(blob)?.clone();
        if self.mounts != Mounts::Work {
            return None;
        }
        let to = self.repositories.entry(name.to_owned()).or_default();
        to.blobs.insert(blob.to_owned(), bytes);
        Some(answer(201, &[("docker-content-digest", blob)], ""))
    }

    fn begin_upload(&mut self, name: &str) -> Response {
        self.uploads += 1;
        let path = format!("/v2/{name}/blobs/uploads/{}?_state=x", self.uploads);
        self.open_uploads.push(self.uploads.to_string());
        // Every other address is relative: both are valid.
        let absolute = self.uploads.is_multiple_of(2);
        let base = if absolute { self.base.as_str() } else { "" };
        answer(202, &[("location", &format!("{base}{path}"))], "")
    }

    fn end_upload(
        &mut self,
        name: &str,
        at: &str,
        expected: Option<String>,
        body: Bytes,
    ) -> Response {
        let Some(open) = self.open_uploads.iter().position(|upload| upload == at) else {
            return refusal(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
        };
        self.open_uploads.remove(open);
        let found = digest(&body);
        if expected.as_deref() != Some(&found) {
            return refusal(400, "DIGEST_INVALID", "digest does not match");
        }
        let to = self.repositories.entry(name.to_owned()).or_default();
        to.blobs.insert(found.clone(), body);
        answer(201, &[("docker-content-digest", &found)], "")
    }

    fn read_manifest(&self, method: &str, name: &str, at: &str, headers: &HeaderMap) -> Response {
        let unknown = || refusal(404, "MANIFEST_UNKNOWN", "manifest unknown");
        let Some(repository) = self.repositories.get(name) else {
            return unknown();
        };
        let stale = repository
            .stale
            .get(at)
            .filter(|(_, until)| *until > Instant::now());
        let digest = match stale {
            Some((old, _)) if method == "HEAD" => old.clone(),
            _ if at.starts_with("sha256:") => Some(at.to_owned()),
            _ => repository.tags.get(at).cloned(),
        };
        let found = digest.and_then(|d| repository.manifests.get(&d).map(|m| (d, m)));
        let Some((digest, (kind, bytes))) = found else {
            return unknown();
        };
        let accepted = headers
            .get("accept")
            .is_some_and(|a| a.to_str().expect("valid in this test").contains(kind));
        if !accepted {
            return refusal(404, "MANIFEST_UNKNOWN", "accept header does not support it");
        }
        let length = bytes.len().to_string();
        let headers = [
            ("content-type", kind.as_str()),
            ("content-length", &length),
            ("docker-content-digest", &digest),
        ];
        answer(200, &headers, bytes.clone())
    }

    fn write_manifest(
        &mut self,
        name: &str,
        at: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let found = digest(&body);
        let text = String::from_utf8_lossy(&body);
        if self.refuses.is_some_and(|part| text.contains(part)) {
            return refusal(400, "MANIFEST_INVALID", "manifest invalid");
        }
        let immutable = self.immutable.clone();
        let immutable = immutable.filter(|_| at.starts_with(self.immutable_prefix));
        let until = Instant::now() + self.stale_for;
        let repository = self.repositories.entry(name.to_owned()).or_default();
        let kind = headers
            .get("content-type")
            .expect("valid in this test")
            .to_str()
            .expect("valid in this test")
            .to_owned();
        if at.starts_with("sha256:") {
            if at != found {
                return refusal(400, "DIGEST_INVALID", "digest does not match");
            }
        } else {
            let old = repository.tags.get(at).cloned();
            if let (Some((status, message)), Some(_)) = (immutable, &old) {
                return refusal(status, "TAG_INVALID", &message);
            }
            repository.stale.insert(at.to_owned(), (old, until));
            repository.tags.insert(at.to_owned(), found.clone());
        }
        repository.manifests.insert(found.clone(), (kind, body));
        let location = format!("/v2/{name}/manifests/{found}");
        let headers = [("docker-content-digest", &*found), ("location", &location)];
        answer(201, &headers, "")
    }

    /// Deletes a tag; by digest the manifest and every tag that is at it.
    fn delete_manifest(&mut self, name: &str, at: &str) -> Response {
        if let Some(status) = self.keeps_tags {
            return refusal(status, "UNSUPPORTED", "not supported");
        }
        let Some(repository) = self.repositories.get_mut(name) else {
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let was_there = if at.starts_with("sha256:") {
            repository.tags.retain(|_, digest| digest != at);
            repository.manifests.remove(at).is_some()
        } else {
            let old = repository.tags.remove(at);
            let until = Instant::now() + self.stale_for;
            let was_there = old.is_some();
            repository.stale.insert(at.to_owned(), (old, until));
            was_there
        };
        if was_there {
            answer(202, &[], "")
        } else {
            refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")
        }
    }

    fn list(&self, name: &str, last: Option<String>) -> Response {
        let Some(repository) = self.repositories.get(name) else {
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let after = |tag: &&String| last.as_ref().is_none_or(|last| *tag > last);
        let rest: Vec<&String> = repository.tags.keys().filter(after).collect();
        let page: Vec<&String> = rest
            .iter()
            .take(self.page.unwrap_or(usize::MAX))
            .copied()
            .collect();
        let link = format!(
            "</v2/{name}/tags/list?n=1000&last={}>; rel=\"next\"",
            page.last().map_or("", |tag| tag)
        );
        let tags = if rest.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::json!(page)
        };
        let body = serde_json::json!({"name": name, "tags": tags}).to_string();
        let headers: &[(&str, &str)] = if page.len() < rest.len() {
            &[("link", &link)]
        } else {
            &[]
        };
        answer(200, headers, body)
    }

    fn token(
        &mut self,
        method: &str,
        query: &[(String, String)],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response {
        let auth = self.auth.clone().unwrap_or_default();
        let form = pairs(std::str::from_utf8(body).expect("valid in this test"));
        let form_of = |name: &str| {
            form.iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        let mut scopes: Vec<String> = match method {
            "POST" => form_of("scope")
                .unwrap_or_default()
                .split(' ')
                .map(str::to_owned)
                .collect(),
            _ => query
                .iter()
                .filter(|(n, _)| n == "scope")
                .map(|(_, v)| v.clone())
                .collect(),
        };
        let good = if auth.refresh_only {
            method == "POST" && form_of("refresh_token") == Some("refresh")
        } else {
            // user:secret
            let basic = headers.get("authorization");
            basic.map_or(!auth.no_anonymous, |value| {
                value == "Basic dXNlcjpzZWNyZXQ="
            })
        };
        if !good {
            return refusal(401, "UNAUTHORIZED", "incorrect username or password");
        }
        if auth.first_scope_only {
            scopes.truncate(1);
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), scopes);
        let mut body = serde_json::json!({"token": token});
        if let Some(seconds) = auth.expires_in {
            body["expires_in"] = seconds.into();
        }
        answer(200, &[], body.to_string())
    }

    fn unauthorized(
        &self,
        action: &str,
        name: &str,
        from: Option<String>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let auth = self.auth.as_ref()?;
        let mut needed = vec![(name.to_owned(), action)];
        needed.extend(from.map(|from| (from, "pull")));
        let given = headers
            .get("authorization")
            .map(|v| v.to_str().expect("valid in this test"));
        if auth.basic {
            let good = given == Some("Basic dXNlcjpzZWNyZXQ=");
            let challenge = [("www-authenticate", "Basic realm=\"fake\"")];
            return (!good).then(|| answer(401, &challenge, ""));
        }
        let scopes = given.and_then(|g| self.tokens.get(g.strip_prefix("Bearer ")?));
        let has = |(name, action): &(String, &str)| {
            scopes.into_iter().flatten().any(|scope| {
                scope
                    .strip_prefix(&format!("repository:{name}:"))
                    .is_some_and(|actions| actions.split(',').any(|a| a == *action))
            })
        };
        if needed.iter().all(has) {
            return None;
        }
        let challenge = format!(
            "Bearer realm=\"{}/token\",service=\"fake\",scope=\"repository:{name}:{action}\"",
            self.base
        );
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(answer(401, &[("www-authenticate", &challenge)], body))
    }
}

/// The pairs of a query or form.
fn pairs(text: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("form:/?{text}")).expect("valid in this test");
    url.query_pairs()
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect()
}
