//! Downloads of blobs into files.
//!
//! An operation of [`Registry`].

use std::fs::File;
use std::io::{Seek as _, Write as _};

use futures_util::StreamExt as _;

use super::client::Registry;
use super::error::Error;
use crate::name::{Digest, Repository};

impl Registry {
    /// Downloads a blob into a file from its beginning, and returns its size, bytes. A download that is cut is repeated.
    /// The inner error is of the file.
    pub async fn download(
        &self,
        repository: &Repository,
        digest: &Digest,
        file: &mut File,
    ) -> Result<std::io::Result<u64>, Error> {
        let mut retries = self.transport.retries();
        loop {
            let error = match self.download_once(repository, digest, file).await {
                Ok(written) => return Ok(written),
                Err(error) => error,
            };
            let (transport, host) = (&self.transport, repository.host());
            if !transport.wait_for_retry(&mut retries, host, &error).await {
                return Err(error);
            }
        }
    }

    async fn download_once(
        &self,
        repository: &Repository,
        digest: &Digest,
        file: &mut File,
    ) -> Result<std::io::Result<u64>, Error> {
        let mut stream = self.blob_stream(repository, digest).await?;
        let mut size = 0;
        if let Err(error) = file.rewind().and_then(|()| file.set_len(0)) {
            return Ok(Err(error));
        }
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            size += piece.len() as u64;
            if let Err(error) = file.write_all(&piece) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(size))
    }
}
