//! uv, which laminate brings into steps: fetched once to this machine, from an index of Python packages,
//! and proven by its digest.
//!
//! It is fetched here and not in a step, so that neither the image's pip nor its settings count, and an
//! image needs no pip. The binaries are linked statically and run in every image of their architecture.

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::{NamedTempFile, TempPath};

use crate::compile::{Brought, UV_VERSION};
use crate::disk::write_atomically;
use crate::event::{Event, Events};
use crate::name::Digest;

/// How often a download is tried.
const ATTEMPTS: u32 = 3;

/// Where a download may stall before it is tried again.
const SILENCE: Duration = Duration::from_secs(60);

/// The largest answer of an index, and the largest wheel, bytes.
const LARGEST: usize = 64 << 20;

/// One build of uv, as PyPI has it.
struct Wheel {
    /// As in `uname -m`.
    architecture: &'static str,
    /// Its file name.
    file: &'static str,
    /// Of the wheel, SHA-256.
    wheel: &'static str,
    /// Of the program in it, SHA-256.
    program: &'static str,
}

const WHEELS: [Wheel; 2] = [
    Wheel {
        architecture: "amd64",
        file: "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
        wheel: "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25",
        program: "edbfb9a3d00dc84148e6691cd8740781fdc32db6505d7ef88ba6c3e569d5bec9",
    },
    Wheel {
        architecture: "arm64",
        file: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        wheel: "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
        program: "bbecb5ac518030bb5e84f1999c577228460192832ac24a92bd772735682979f4",
    },
];

/// Where tools come from.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The folder they are kept in; `None` keeps nothing.
    pub cache: Option<PathBuf>,
    /// The index of Python packages (PEP 503 or 691), without a `/` at its end.
    pub index: String,
    /// Fetch nothing.
    pub offline: bool,
}

/// A program on this machine.
#[derive(Debug)]
pub struct Tool {
    /// The program, as steps get it.
    pub brought: Brought,
    /// Removes it in the end if there is no folder to keep it in.
    _temporary: Option<TempPath>,
}

/// Why a tool cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No build of it is known for the platform.
    #[error("no uv for the architecture `{architecture}`")]
    Architecture {
        /// As in an image's config.
        architecture: String,
    },
    /// It is not on this machine, and nothing may be fetched.
    #[error("uv {UV_VERSION} was not fetched before, and nothing is fetched offline")]
    Offline,
    /// The index or its files cannot be read.
    #[error("cannot fetch uv {UV_VERSION} from {index}: {reason}")]
    Fetch {
        /// The index, without credentials.
        index: String,
        /// Why not.
        reason: String,
    },
    /// It cannot be written to this machine.
    #[error("cannot write uv {UV_VERSION}: {0}")]
    Write(std::io::Error),
}

/// Returns uv for a platform: from the cache, or fetched and kept there.
pub async fn uv(architecture: &str, settings: &Settings, events: &Events) -> Result<Tool, Error> {
    let mut wheels = WHEELS.iter();
    let wheel = wheels.find(|wheel| wheel.architecture == architecture);
    let wheel = wheel.ok_or_else(|| Error::Architecture {
        architecture: architecture.to_owned(),
    })?;
    let kept = settings.cache.as_ref();
    let kept = kept.map(|folder| folder.join(format!("uv-{UV_VERSION}-{architecture}")));
    if let Some(path) = &kept
        && let Some(tool) = kept_tool(path, wheel)
    {
        return Ok(tool);
    }
    if settings.offline {
        return Err(Error::Offline);
    }
    events.send(Event::Phase {
        text: format!("fetching uv {UV_VERSION}"),
    });
    let program = fetch(wheel, settings)
        .await
        .map_err(|reason| Error::Fetch {
            index: without_credentials(&settings.index),
            reason,
        })?;
    if let Some(path) = kept
        && keep(&path, &program).is_ok()
    {
        return Ok(Tool::new(path, &program, None));
    }
    let file = NamedTempFile::new().map_err(Error::Write)?;
    fs_err::write(file.path(), &program).map_err(Error::Write)?;
    let path = file.path().to_owned();
    Ok(Tool::new(path, &program, Some(file.into_temp_path())))
}

impl Tool {
    fn new(path: PathBuf, program: &[u8], temporary: Option<TempPath>) -> Self {
        let brought = Brought {
            path,
            size: program.len() as u64,
            digest: Digest::of(program),
        };
        Self {
            brought,
            _temporary: temporary,
        }
    }
}

fn keep(path: &Path, program: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    write_atomically(path, program)
}

/// Returns a program that was kept, if its digest is the known one.
fn kept_tool(path: &Path, wheel: &Wheel) -> Option<Tool> {
    let program = fs_err::read(path).ok()?;
    let tool = Tool::new(path.to_owned(), &program, None);
    (tool.brought.digest.hex() == wheel.program).then_some(tool)
}

async fn fetch(wheel: &Wheel, settings: &Settings) -> Result<Vec<u8>, String> {
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
        match fetch_once(&client, wheel, settings).await {
            Ok(bytes) => return unpack(wheel, &bytes),
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
    wheel: &Wheel,
    settings: &Settings,
) -> Result<Vec<u8>, String> {
    let index = format!("{}/uv/", settings.index);
    let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1";
    let answer = client.get(&index).header("Accept", accept).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let answer = answer.map_err(text)?;
    let base = answer.url().clone();
    let body = body(answer).await?;
    let url = url_of(wheel.file, &String::from_utf8_lossy(&body));
    let url = url.ok_or_else(|| format!("{} is not in the index", wheel.file))?;
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
fn url_of(file: &str, index: &str) -> Option<String> {
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

/// Returns the program of a wheel whose digest is the known one.
fn unpack(wheel: &Wheel, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let found = Digest::of(bytes);
    if found.hex() != wheel.wheel {
        return Err(format!(
            "{} has the digest {found}, not sha256:{}",
            wheel.file, wheel.wheel
        ));
    }
    let name = format!("uv-{UV_VERSION}.data/scripts/uv");
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let mut file = archive.by_name(&name).map_err(|e| e.to_string())?;
    let mut program = Vec::new();
    file.read_to_end(&mut program).map_err(|e| e.to_string())?;
    if Digest::of(&program).hex() != wheel.program {
        return Err(format!("{name} in {} has another digest", wheel.file));
    }
    Ok(program)
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

fn without_credentials(index: &str) -> String {
    match index.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => index.to_owned(),
    }
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    /// Indexes of packages: a file that is found is in the index.
    pub fn index(text: &str) {
        if let Some(url) = super::url_of("uv.whl", text) {
            assert!(url.len() <= text.len());
        }
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
        let reason = unpack(&WHEELS[0], b"x").expect_err("it is not the wheel");
        assert!(reason.contains("has the digest sha256:"), "{reason}");
    }

    #[test]
    fn a_changed_file_in_the_cache_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("uv");
        assert!(kept_tool(&path, &WHEELS[0]).is_none());
        keep(&path, b"x").expect("written");
        assert!(kept_tool(&path, &WHEELS[0]).is_none());
    }

    #[test]
    fn the_version_is_that_of_the_files() {
        assert!(
            WHEELS
                .iter()
                .all(|wheel| wheel.file.starts_with(&format!("uv-{UV_VERSION}-")))
        );
    }

    #[test]
    fn credentials_of_an_index_are_not_shown() {
        assert_eq!(
            without_credentials("https://u:p@x.org/simple"),
            "https://x.org/simple"
        );
        assert_eq!(without_credentials("https://x.org"), "https://x.org/");
    }

    #[tokio::test]
    async fn offline_and_unknown_platforms_are_errors() {
        let (events, _received) = Events::channel();
        let settings = Settings {
            offline: true,
            ..Settings::default()
        };
        let found = uv("amd64", &settings, &events).await.expect_err("not kept");
        assert!(matches!(found, Error::Offline));
        let found = uv("s390x", &settings, &events).await.expect_err("unknown");
        assert_eq!(found.to_string(), "no uv for the architecture `s390x`");
    }
}
