//! Fetches files of an index of Python packages (PEP 503 or 691).

use std::path::PathBuf;
use std::time::Duration;

use crate::name::Digest;

/// How often a download is tried.
const ATTEMPTS: u32 = 3;

/// Where a download may stall before it is tried again.
const SILENCE: Duration = Duration::from_secs(60);

/// The largest answer of an index, and the largest wheel, bytes.
const LARGEST: usize = 64 << 20;

/// A file of an index.
#[derive(Clone, Copy, Debug)]
pub struct IndexFile {
    /// The project that has it, as it is part of a URL.
    pub project: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Of its content, SHA-256.
    pub digest: &'static str,
}

/// Returns the content of a file, whose digest is the known one. `index` has no `/` at its end.
pub async fn fetch(file: &IndexFile, index: &str) -> Result<Vec<u8>, String> {
    let client = reqwest::Client::builder()
        .user_agent(concat!("laminate/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE);
    let client = add_certificates(client)?.build().map_err(text)?;
    let mut reason = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match fetch_once(&client, file, index).await {
            Ok(bytes) => return checked(file, bytes),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// Adds the certificates of `SSL_CERT_FILE` to those of the system.
fn add_certificates(client: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, String> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(client);
    };
    let pem = fs_err::read(PathBuf::from(path)).map_err(|error| error.to_string())?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(text)?;
    Ok(client.tls_certs_merge(certificates))
}

async fn fetch_once(
    client: &reqwest::Client,
    file: &IndexFile,
    index: &str,
) -> Result<Vec<u8>, String> {
    let index = format!("{index}/{}/", file.project);
    let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
    let answer = client.get(&index).header("Accept", accept).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(text)?;
    let base = answer.url().clone();
    let body = body(answer).await?;
    let url = url_of(file.name, &String::from_utf8_lossy(&body));
    let url = url.ok_or_else(|| format!("{} is not in the index", file.name))?;
    let url = base.join(&url).map_err(|error| error.to_string())?;
    let answer = client.get(url).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    self::body(answer.map_err(text)?).await
}

async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(text)? {
        if bytes.len() + piece.len() > LARGEST {
            return Err(format!("an answer is larger than {} MiB", LARGEST >> 20));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Returns the URL of a file in an index, JSON (PEP 691) or HTML (PEP 503).
pub fn url_of(file: &str, index: &str) -> Option<String> {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(index) {
        let mut files = json["files"].as_array()?.iter();
        let found = files.find(|entry| entry["filename"] == file)?;
        return Some(found["url"].as_str()?.to_owned());
    }
    let mut links = index.split("href=").skip(1);
    links.find_map(|link| {
        let mark = link.chars().next().filter(|mark| "\"'".contains(*mark))?;
        let link = link[1..].split(mark).next()?;
        let path = link.split(['#', '?']).next()?;
        (path.rsplit('/').next() == Some(file)).then(|| link.replace("&amp;", "&"))
    })
}

fn checked(file: &IndexFile, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let found = Digest::of(&bytes);
    if found.hex() == file.digest {
        return Ok(bytes);
    }
    let IndexFile { name, digest, .. } = file;
    Err(format!(
        "{name} has the digest {found}, not sha256:{digest}"
    ))
}

/// Returns an error with its causes, without a URL, which can have credentials.
fn text(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Returns the URL of an index without user and password.
pub fn without_credentials(index: &str) -> String {
    match index.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => index.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_an_index_of_either_form() {
        let json = r#"{"files":[{"filename":"a.whl","url":"../a"},{"filename":"b.whl","url":"https://x/b.whl"}]}"#;
        assert_eq!(url_of("b.whl", json).as_deref(), Some("https://x/b.whl"));
        assert_eq!(url_of("c.whl", json), None);
        let html =
            "<a href='../../a.whl#sha256=1'>a</a> <a class=x href=\"/p/b.whl?a=1&amp;b=2\">b</a>";
        assert_eq!(
            url_of("a.whl", html).as_deref(),
            Some("../../a.whl#sha256=1")
        );
        assert_eq!(url_of("b.whl", html).as_deref(), Some("/p/b.whl?a=1&b=2"));
    }

    #[test]
    fn bytes_with_another_digest_are_refused() {
        let file = IndexFile {
            project: "x",
            name: "x.whl",
            digest: "00",
        };
        let reason = checked(&file, b"x".to_vec()).expect_err("it is another one");
        assert!(reason.contains("has the digest sha256:"), "{reason}");
    }

    #[test]
    fn credentials_of_an_index_are_not_shown() {
        assert_eq!(
            without_credentials("https://u:p@x.org/simple"),
            "https://x.org/simple"
        );
        assert_eq!(without_credentials("https://x.org"), "https://x.org/");
    }
}
