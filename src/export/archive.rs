//! A tar archive that is written without blocking: its reader may stop reading, and whoever waits for it can give up.

use std::fs::File;
use std::io::{self, Read};

use tokio::io::AsyncWriteExt as _;

/// The size of a block of a tar archive, bytes.
const BLOCK: usize = 512;

/// As much of a file as is written at once, bytes.
const CHUNK: usize = 1 << 20;

/// An archive that is being written. Its file is closed when it is dropped.
pub(super) struct Archive(tokio::fs::File);

impl Archive {
    /// Begins an archive in a file.
    pub fn new(file: File) -> Self {
        Self(tokio::fs::File::from_std(file))
    }

    /// Writes a regular file. Its header has nothing of this machine or moment, so equal images give equal archives.
    /// `content` must have `size` bytes.
    pub async fn put(&mut self, name: &str, size: u64, mut content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).await?;
        let mut chunk = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)).max(1)];
        let mut written = 0;
        loop {
            let read = content.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            self.0.write_all(&chunk[..read]).await?;
            written += read as u64;
        }
        if written != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
        if over > 0 {
            self.0.write_all(&[0; BLOCK][over..]).await?;
        }
        Ok(())
    }

    /// Writes the end of the archive.
    pub async fn finish(mut self) -> io::Result<()> {
        // Before the end is written, everything else is: whoever reads no further than the end has read all of it.
        self.0.flush().await?;
        self.0.write_all(&[0; 2 * BLOCK]).await?;
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek as _;

    use super::*;

    #[tokio::test]
    async fn an_archive_is_that_of_the_tar_crate() {
        let files: [(&str, Vec<u8>); 4] = [
            ("empty", Vec::new()),
            ("blobs/sha256/x", b"text".to_vec()),
            ("block", vec![7; BLOCK]),
            ("large", vec![9; CHUNK + 1]),
        ];
        let mut file = tempfile::tempfile().expect("a file");
        let mut archive = Archive::new(file.try_clone().expect("a file"));
        let mut expected = tar::Builder::new(Vec::new());
        for (name, bytes) in &files {
            let put = archive.put(name, bytes.len() as u64, &**bytes);
            put.await.expect("written");
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            let appended = expected.append_data(&mut header, name, &**bytes);
            appended.expect("written");
        }
        archive.finish().await.expect("written");
        file.rewind().expect("rewound");
        let mut found = Vec::new();
        file.read_to_end(&mut found).expect("read");
        assert!(found == expected.into_inner().expect("written"));
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        let mut archive = Archive::new(file);
        let error = archive.put("x", 3, &b"ab"[..]).await.expect_err("short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
