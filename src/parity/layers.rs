//! Layers as files: tar archives with the changes of each (OCI image specification v1.1, layer.md).

use std::collections::BTreeMap;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::packages::DPKG;
use super::{Entry, Files, Kind};
use crate::name::Digest;
use crate::path::clean;

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressed {
    /// Not at all.
    No,
    /// gzip, also estargz.
    Gzip,
    /// Zstandard, also `zstd:chunked`.
    Zstd,
}

/// The name of a file that stands for one that is removed.
const REMOVED: &str = ".wh.";

/// The name of a file in a folder of which nothing below counts.
const OPAQUE: &str = ".wh..wh..opq";

/// The prefix of records with extended attributes (star(4)).
const ATTRIBUTE: &str = "SCHILY.xattr.";

impl Compressed {
    /// Returns how a layer of a media type is stored.
    pub fn of(media_type: &str) -> Self {
        if media_type.ends_with("gzip") {
            Self::Gzip
        } else if media_type.ends_with("zstd") {
            Self::Zstd
        } else {
            Self::No
        }
    }
}

/// Adds the changes of a layer to the files of an image.
pub fn add_layer(files: &mut Files, layer: impl Read, compressed: Compressed) -> io::Result<()> {
    match compressed {
        Compressed::No => add(files, layer),
        Compressed::Gzip => add(files, flate2::read::MultiGzDecoder::new(layer)),
        Compressed::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(layer);
            add(files, decoder.map_err(io::Error::other)?)
        }
    }
}

fn add(files: &mut Files, layer: impl Read) -> io::Result<()> {
    let mut archive = tar::Archive::new(layer);
    // What is removed was in a layer below, wherever the archive names it.
    let mut added: BTreeMap<String, Entry> = BTreeMap::new();
    let mut hard_links = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = clean(&String::from_utf8_lossy(&entry.path_bytes()));
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == OPAQUE {
            files.remove_below(folder);
            continue;
        }
        if let Some(removed) = name.strip_prefix(REMOVED) {
            let removed = if folder.is_empty() {
                removed.to_owned()
            } else {
                format!("{folder}/{removed}")
            };
            files.remove(&removed);
            continue;
        }
        if path.is_empty() {
            continue;
        }
        let header = entry.header();
        let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
        let kind = header.entry_type();
        let target = entry.link_name_bytes();
        let target = target.map(|target| String::from_utf8_lossy(&target).into_owned());
        let attributes = attributes(&mut entry)?;
        if kind.is_hard_link() {
            hard_links.push((path, clean(&target.unwrap_or_default())));
            continue;
        }
        let kind = match kind {
            tar::EntryType::Directory => Kind::Folder,
            tar::EntryType::Symlink => Kind::Link(target.unwrap_or_default()),
            tar::EntryType::Fifo => Kind::Other("FIFO"),
            tar::EntryType::Char | tar::EntryType::Block => Kind::Other("device"),
            _ => {
                let text = (path == DPKG).then(Vec::new);
                let (kind, text) = content(&mut entry, text)?;
                if let Some(text) = text {
                    files.texts.insert(path.clone(), text);
                }
                kind
            }
        };
        let made = Entry {
            kind,
            mode,
            uid,
            gid,
            attributes,
        };
        added.insert(path, made);
    }
    for (path, target) in hard_links {
        let found = added
            .get(&target)
            .or_else(|| files.entries.get(&target))
            .cloned();
        if let Some(found) = found {
            added.insert(path, found);
        }
    }
    for (path, entry) in added {
        if entry.kind != Kind::Folder {
            files.remove_below(&path);
        }
        files.entries.insert(path, entry);
    }
    Ok(())
}

/// Reads a file; also returns its bytes if they are asked for.
fn content(from: &mut impl Read, text: Option<Vec<u8>>) -> io::Result<(Kind, Option<Vec<u8>>)> {
    let mut hash = Sha256::new();
    let mut text = text;
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(&buffer[..count]);
        size += count as u64;
        if let Some(text) = &mut text {
            text.extend_from_slice(&buffer[..count]);
        }
    }
    let digest = Digest::from_sha256(hash);
    Ok((Kind::File { size, digest }, text))
}

fn attributes(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        let name = extension.key().unwrap_or_default();
        if let Some(name) = name.strip_prefix(ATTRIBUTE) {
            found.insert(name.to_owned(), extension.value_bytes().to_vec());
        }
    }
    Ok(found)
}

impl Files {
    fn remove(&mut self, path: &str) {
        self.entries.remove(path);
        self.texts.remove(path);
        self.remove_below(path);
    }

    /// Removes what is in a folder.
    fn remove_below(&mut self, folder: &str) {
        let first = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let below = self.entries.range(first.clone()..);
        let below: Vec<String> = below
            .map(|(path, _)| path.clone())
            .take_while(|path| path.starts_with(&first))
            .collect();
        for path in below {
            self.entries.remove(&path);
            self.texts.remove(&path);
        }
    }
}
