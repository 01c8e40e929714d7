//! The files of a wheel on this machine, proven by its list of files (`RECORD`, PEP 376).

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Kind, Wheel};
use crate::compile::Brought;
use crate::name::Digest;

/// The name of the list beside the files.
const RECORD: &str = "RECORD";

/// Writes the files of a wheel that a step needs, and their list.
pub fn unpack(bytes: &[u8], kind: Kind, wheel: &Wheel, folder: &Path) -> Result<(), String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(text)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(text)?;
        let name = file.name().map_err(text)?.into_owned();
        let to = if name.ends_with(".dist-info/RECORD") {
            RECORD.to_owned()
        } else if let Some(place) = kind.place(&name) {
            place
        } else {
            continue;
        };
        if file.is_dir() {
            continue;
        }
        if name.split('/').any(|part| part == "..") || name.starts_with('/') {
            return Err(format!("{} has the path {name}", wheel.file.name));
        }
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(text)?;
        let to = folder.join(to);
        if let Some(above) = to.parent() {
            fs_err::create_dir_all(above).map_err(text)?;
        }
        fs_err::write(to, content).map_err(text)?;
    }
    Ok(())
}

/// Moves unpacked files to where they are kept, over others.
pub fn replace(folder: &Path, made: &Path) -> std::io::Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs_err::rename(made, folder)
}

/// Returns files that were kept, if their digests are the known ones.
pub fn kept_files(folder: &Path, kind: Kind, wheel: &Wheel) -> Option<BTreeMap<String, Brought>> {
    let record = fs_err::read(folder.join(RECORD)).ok()?;
    if Digest::of(&record).hex() != wheel.record {
        return None;
    }
    let record = String::from_utf8(record).ok()?;
    let mut files = BTreeMap::new();
    for line in record.lines() {
        let Some((name, digest)) = listed(line) else {
            continue;
        };
        let Some(place) = kind.place(name) else {
            continue;
        };
        let path = folder.join(&place);
        let content = fs_err::read(&path).ok()?;
        let found = Digest::of(&content);
        if found.hex() != digest {
            return None;
        }
        let file = Brought {
            path,
            size: content.len() as u64,
            digest: found,
        };
        files.insert(place, file);
    }
    Some(files)
}

/// Returns name and digest of a line of the list: `NAME,sha256=DIGEST,SIZE`.
fn listed(line: &str) -> Option<(&str, String)> {
    let mut parts = line.rsplitn(3, ',');
    let digest = parts.nth(1)?.strip_prefix("sha256=")?;
    let name = parts.next()?.trim_matches('"');
    let digest = URL_SAFE_NO_PAD.decode(digest).ok()?;
    Some((
        name,
        digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    ))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::tool::index::IndexFile;

    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            let options = zip::write::SimpleFileOptions::default();
            archive.start_file(*name, options).expect("in memory");
            archive.write_all(content.as_bytes()).expect("in memory");
        }
        archive.finish().expect("in memory").into_inner()
    }

    /// The list of one file with the content `x`.
    const LIST: &str =
        "rattler/a.py,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1\nx/RECORD,,\n";

    fn wheel(record: &'static str) -> Wheel {
        Wheel {
            architecture: "amd64",
            file: IndexFile {
                project: "x",
                name: "x.whl",
                digest: "",
            },
            record,
        }
    }

    fn kept(files: &[(&str, &str)], record: &'static str) -> Option<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let wheel = wheel(record);
        unpack(&zipped(files), Kind::Rattler, &wheel, folder.path()).expect("unpacked");
        let kept = kept_files(folder.path(), Kind::Rattler, &wheel)?;
        Some(kept.into_keys().collect())
    }

    #[test]
    fn files_are_kept_with_the_digests_of_their_list() {
        let known: &str = Digest::of(LIST.as_bytes()).hex().to_owned().leak();
        let list = ("x.dist-info/RECORD", LIST);
        let files = [("rattler/a.py", "x"), ("other/b", "y"), list];
        assert_eq!(kept(&files, known), Some(vec!["rattler/a.py".to_owned()]));
        assert_eq!(kept(&files, "00"), None, "another list");
        assert_eq!(kept(&[("rattler/a.py", "z"), list], known), None);
        assert_eq!(kept(&[list], known), None, "a missing file");
    }
}
