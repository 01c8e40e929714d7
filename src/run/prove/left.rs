//! What a suite, or a command of `info:`, left in its folder.
//!
//! Main type: [`Left`]. The engine mounts the folder for each question, so it is listed once.

use crate::buildkit::{self, FileEntry, FileKind, Gateway, Ref};
use crate::compile::LEFT;

/// A folder at or below [`LEFT`].
pub struct Left<'a> {
    gateway: &'a Gateway,
    files: &'a Ref,
    folder: String,
    entries: Vec<FileEntry>,
}

impl<'a> Left<'a> {
    /// Lists the folder that a suite left.
    pub async fn of_suite(gateway: &'a Gateway, files: &'a Ref) -> Result<Self, buildkit::Error> {
        Self::list(gateway, files, LEFT.to_owned()).await
    }

    /// Lists the folder that a command of `info:` left.
    pub async fn of_command(
        gateway: &'a Gateway,
        files: &'a Ref,
        name: &str,
    ) -> Result<Self, buildkit::Error> {
        Self::list(gateway, files, format!("{LEFT}/{name}")).await
    }

    async fn list(
        gateway: &'a Gateway,
        files: &'a Ref,
        folder: String,
    ) -> Result<Self, buildkit::Error> {
        let entries = match gateway.read_folder(files, folder.as_bytes()).await {
            // A command that did not begin has no folder.
            Err(buildkit::Error::Failed(failure)) if failure.is_missing_file() => Vec::new(),
            entries => entries?,
        };
        Ok(Self {
            gateway,
            files,
            entries,
            folder,
        })
    }

    /// Returns the last `most` bytes of a file as text; `None` if it is missing. Bytes that are not UTF-8 are replaced.
    pub async fn text(&self, name: &str, most: u64) -> Result<Option<String>, buildkit::Error> {
        let mut entries = self.entries.iter();
        let Some(entry) = entries.find(|entry| entry.name == name.as_bytes()) else {
            return Ok(None);
        };
        let path = format!("{}/{name}", self.folder);
        let gateway = self.gateway;
        let bytes = match entry.kind {
            FileKind::Regular => {
                let bytes = gateway.read_end_of(self.files, &path, entry.size, most);
                Some(bytes.await?)
            }
            _ => gateway.read_end(self.files, &path, most).await?,
        };
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Whether there is a file.
    pub fn has(&self, name: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.name == name.as_bytes())
    }
}
