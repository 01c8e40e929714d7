//! A tar archive that is written without blocking: its reader may stop reading, and whoever waits for it can give up.
//!
//! Only whole blocks are written: GNU tar 1.34 ends with "Unaligned block" if a read from a FIFO returns a part of one.

use std::fs::File;
use std::io::{self, Read};

use tokio::io::AsyncWriteExt as _;

/// The size of a block of a tar archive, bytes.
const BLOCK: usize = 512;

/// As much as is written at once, bytes; a multiple of [`BLOCK`].
const CHUNK: usize = 1 << 20;

/// An archive that is being written. Its file is closed when it is dropped.
pub(super) struct Archive {
    file: tokio::fs::File,
    /// What is not yet written.
    pending: Vec<u8>,
}

impl Archive {
    /// Begins an archive in a file.
    pub fn new(file: File) -> Self {
        Self {
            file: tokio::fs::File::from_std(file),
            pending: Vec::new(),
        }
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
        self.pending.extend_from_slice(header.as_bytes());
        let mut copied = 0;
        loop {
            if self.pending.len() >= CHUNK {
                self.write().await?;
            }
            let begin = self.pending.len();
            self.pending.resize(CHUNK, 0);
            let read = content.read(&mut self.pending[begin..])?;
            self.pending.truncate(begin + read);
            if read == 0 {
                break;
            }
            copied += read as u64;
        }
        if copied != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = self.pending.len().next_multiple_of(BLOCK);
        self.pending.resize(end, 0);
        Ok(())
    }

    /// Writes the end of the archive.
    pub async fn finish(mut self) -> io::Result<()> {
        // Before the end is written, everything else is: whoever reads no further than the end has read all of it.
        self.write().await?;
        self.file.flush().await?;
        self.pending.resize(2 * BLOCK, 0);
        self.write().await?;
        self.file.flush().await
    }

    /// Writes all blocks that are complete.
    async fn write(&mut self) -> io::Result<()> {
        let whole = self.pending.len() / BLOCK * BLOCK;
        self.file.write_all(&self.pending[..whole]).await?;
        self.pending.drain(..whole);
        Ok(())
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
    async fn a_pipe_gets_whole_blocks() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 20 * BLOCK];
            let mut total = 0;
            loop {
                let read = reader.read(&mut buffer).expect("read");
                assert_eq!(read % BLOCK, 0, "after {total} bytes");
                total += read;
                if read == 0 {
                    return total;
                }
            }
        });
        let mut archive = Archive::new(File::from(std::os::fd::OwnedFd::from(writer)));
        for size in [1, 6000, 6000, 70_000, CHUNK + 7, 3] {
            let content = vec![1; size];
            let put = archive.put("x", size as u64, &*content);
            put.await.expect("written");
        }
        archive.finish().await.expect("written");
        assert!(reading.join().expect("whole blocks") > CHUNK);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error() {
        let file = tempfile::tempfile().expect("a file");
        let mut archive = Archive::new(file);
        let error = archive.put("x", 3, &b"ab"[..]).await.expect_err("short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
