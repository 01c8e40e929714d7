//! Tools that laminate brings into steps, uv and py-rattler: fetched once to this machine, from an index of
//! Python packages, and proven by their digests.
//!
//! They are fetched here and not in a step, so that neither the image's pip nor its settings count, and an
//! image needs no pip. uv is linked statically and runs in every image of its architecture. py-rattler needs
//! a python (`compile/scripts/conda_python.sh`) and glibc, as the packages of conda channels do.

mod index;
mod wheel;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tempfile::TempDir;

use self::index::{IndexFile, fetch, without_credentials};
use self::wheel::{kept_files, unpack};
use crate::compile::{Brought, RATTLER_DIGESTS, RATTLER_VERSION, UV_DIGESTS, UV_VERSION};
use crate::event::{Event, Events};

/// A tool for one architecture, as PyPI has it.
struct Wheel {
    /// As in the config of an image.
    architecture: &'static str,
    /// The file in the index.
    file: IndexFile,
    /// Of the list of its files, SHA-256. The list has their digests.
    record: &'static str,
}

/// A tool that laminate can bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// uv.
    Uv,
    /// py-rattler.
    Rattler,
}

const UV: [Wheel; 2] = [
    Wheel {
        architecture: "amd64",
        file: IndexFile {
            project: "uv",
            name: "uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl",
            digest: UV_DIGESTS[0],
        },
        record: "784fd81fd43c369df71968922d25f4cbca32d4a1bef95cc6dbfeee26246112eb",
    },
    Wheel {
        architecture: "arm64",
        file: IndexFile {
            project: "uv",
            name: "uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
            digest: UV_DIGESTS[1],
        },
        record: "135b5a28618e562aecd11371f1b1a9f98bf7a80d71d3d7fe95fba4b3f70ac468",
    },
];

const RATTLER: [Wheel; 2] = [
    Wheel {
        architecture: "amd64",
        file: IndexFile {
            project: "py-rattler",
            name: "py_rattler-0.28.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            digest: RATTLER_DIGESTS[0],
        },
        record: "a39632e0f066e62103718b8b5b27f07914bc4ec68f368b90a076ae600338755c",
    },
    Wheel {
        architecture: "arm64",
        file: IndexFile {
            project: "py-rattler",
            name: "py_rattler-0.28.0-cp310-abi3-manylinux_2_28_aarch64.whl",
            digest: RATTLER_DIGESTS[1],
        },
        record: "39f25ce94d16dda9323c1d24ba9cb095276985ad89668fd9fc92edf6221b7f7c",
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

/// A tool on this machine.
#[derive(Debug)]
pub struct Tool {
    /// Its files, by their paths in the tool's tree.
    pub files: BTreeMap<String, Brought>,
    /// Removes them in the end if there is no folder to keep them in.
    _temporary: Option<TempDir>,
}

/// Why a tool cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No build of it is known for the platform.
    #[error("no {} for the architecture `{architecture}`", kind.name())]
    Architecture {
        /// The tool.
        kind: Kind,
        /// As in an image's config.
        architecture: String,
    },
    /// It is not on this machine, and nothing may be fetched.
    #[error("{} was not fetched before, and nothing is fetched offline", kind.title())]
    Offline {
        /// The tool.
        kind: Kind,
    },
    /// The index or its files cannot be read.
    #[error("cannot fetch {} from {index}: {reason}", kind.title())]
    Fetch {
        /// The tool.
        kind: Kind,
        /// The index, without credentials.
        index: String,
        /// Why not.
        reason: String,
    },
    /// It cannot be written to this machine.
    #[error("cannot write {}: {error}", kind.title())]
    Write {
        /// The tool.
        kind: Kind,
        /// Why not.
        error: std::io::Error,
    },
}

impl Kind {
    /// Returns its name.
    fn name(self) -> &'static str {
        match self {
            Self::Uv => "uv",
            Self::Rattler => "py-rattler",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Uv => UV_VERSION,
            Self::Rattler => RATTLER_VERSION,
        }
    }

    /// Returns name and version.
    fn title(self) -> String {
        format!("{} {}", self.name(), self.version())
    }

    fn wheels(self) -> &'static [Wheel] {
        match self {
            Self::Uv => &UV,
            Self::Rattler => &RATTLER,
        }
    }

    /// Returns the path in the tree of a file of the wheel; `None` if it is not needed.
    fn place(self, file: &str) -> Option<String> {
        match self {
            Self::Uv => {
                let program = file.strip_prefix(&format!("uv-{UV_VERSION}.data/scripts/"))?;
                (program == "uv").then(|| "bin/uv".to_owned())
            }
            Self::Rattler => file.starts_with("rattler/").then(|| file.to_owned()),
        }
    }
}

/// Returns a tool for a platform: from the cache, or fetched and kept there.
pub async fn bring(
    kind: Kind,
    architecture: &str,
    settings: &Settings,
    events: &Events,
) -> Result<Tool, Error> {
    let mut wheels = kind.wheels().iter();
    let wheel = wheels.find(|wheel| wheel.architecture == architecture);
    let wheel = wheel.ok_or_else(|| Error::Architecture {
        kind,
        architecture: architecture.to_owned(),
    })?;
    let name = format!("{}-{}-{architecture}.files", kind.name(), kind.version());
    let kept = settings.cache.as_ref().map(|folder| folder.join(name));
    if let Some(folder) = &kept
        && let Some(files) = kept_files(folder, kind, wheel)
    {
        return Ok(Tool::new(files, None));
    }
    if settings.offline {
        return Err(Error::Offline { kind });
    }
    events.send(Event::Phase {
        text: format!("fetching {}", kind.title()),
    });
    let failed = |reason| Error::Fetch {
        kind,
        index: without_credentials(&settings.index),
        reason,
    };
    let bytes = fetch(&wheel.file, &settings.index).await.map_err(failed)?;
    let write = |error| Error::Write { kind, error };
    let above = kept.as_ref().and_then(|folder| folder.parent());
    // Without a place to keep it, it is fetched for this run.
    let made = above.and_then(|above| {
        fs_err::create_dir_all(above).ok()?;
        TempDir::with_prefix_in(".", above).ok()
    });
    let made = made.map_or_else(|| TempDir::new().map_err(write), Ok)?;
    unpack(&bytes, kind, wheel, made.path()).map_err(failed)?;
    let (folder, temporary) = match kept {
        // Another run may have been faster, and uses its files.
        Some(folder) if kept_files(&folder, kind, wheel).is_some() => (folder, None),
        Some(folder) if wheel::replace(&folder, made.path()).is_ok() => (folder, None),
        _ => (made.path().to_owned(), Some(made)),
    };
    let files = kept_files(&folder, kind, wheel);
    let files =
        files.ok_or_else(|| failed("its files changed while they were written".to_owned()))?;
    Ok(Tool::new(files, temporary))
}

impl Tool {
    fn new(files: BTreeMap<String, Brought>, temporary: Option<TempDir>) -> Self {
        Self {
            files,
            _temporary: temporary,
        }
    }
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    /// Indexes of packages: a file that is found is in the index.
    pub fn index(text: &str) {
        if let Some(url) = super::index::url_of("uv.whl", text) {
            assert!(url.len() <= text.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_files() {
        for (kind, prefix) in [(Kind::Uv, "uv-"), (Kind::Rattler, "py_rattler-")] {
            let start = format!("{prefix}{}-", kind.version());
            let mut wheels = kind.wheels().iter();
            assert!(
                wheels.all(|wheel| wheel.file.name.starts_with(&start)),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn only_the_files_that_a_step_needs_are_kept() {
        let uv = |file: &str| Kind::Uv.place(&format!("uv-{UV_VERSION}.{file}"));
        assert_eq!(uv("data/scripts/uv").as_deref(), Some("bin/uv"));
        assert_eq!(uv("data/scripts/uvx"), None);
        assert_eq!(uv("dist-info/METADATA"), None);
        let rattler = |file: &str| Kind::Rattler.place(file).is_some();
        assert!(rattler("rattler/rattler.abi3.so"));
        assert!(!rattler("py_rattler-0.28.0.dist-info/METADATA"));
    }

    #[tokio::test]
    async fn offline_and_unknown_platforms_are_errors() {
        let (events, _received) = Events::channel();
        let settings = Settings {
            offline: true,
            ..Settings::default()
        };
        let found = bring(Kind::Rattler, "amd64", &settings, &events).await;
        let text = found.expect_err("not kept").to_string();
        assert!(
            text.starts_with("py-rattler 0.28.0 was not fetched before"),
            "{text}"
        );
        let found = bring(Kind::Uv, "s390x", &settings, &events).await;
        let text = found.expect_err("unknown").to_string();
        assert_eq!(text, "no uv for the architecture `s390x`");
    }
}
