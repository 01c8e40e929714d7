//! The files that are copied and written.

use std::collections::BTreeSet;
use std::path::Path;

use camino::Utf8Path;

use super::unreadable;
use crate::cli::paths::below;
use crate::cli::{Exit, Failure};
use crate::disk::AtomicFile;
use crate::import::Imported;

/// Leaves out copies of files to themselves: the spec is in the folder of the import, or below it. Fails if a copy would
/// replace the original of another one.
pub fn settle(imported: &mut Imported, folder: &Utf8Path, to: &Utf8Path) -> Result<(), Failure> {
    let real = |path: &Utf8Path| path.canonicalize_utf8().ok();
    let (Some(folder), Some(to)) = (real(folder), real(to)) else {
        return Ok(());
    };
    let Ok(inner) = to.strip_prefix(&folder) else {
        return Ok(());
    };
    let (own, copies): (Vec<_>, Vec<_>) = std::mem::take(&mut imported.copies)
        .into_iter()
        .partition(|copy| inner.join(&copy.to) == copy.from);
    imported.copies = copies;
    for image in &mut imported.images {
        image.is_read |= own.iter().any(|copy| copy.from == image.dockerfile);
    }
    let copies = own.iter().chain(&imported.copies);
    let originals: BTreeSet<&str> = copies.map(|copy| copy.from.as_str()).collect();
    for copy in &imported.copies {
        let target = inner.join(&copy.to);
        if originals.contains(target.as_str()) {
            let (from, to) = (&copy.from, &copy.to);
            let text = format!("cannot copy `{from}` to `{to}`: another image uses that file");
            let help = "rename the folder that has it, or the image; or use --to FOLDER";
            return Err(Failure::new(Exit::Spec, text).help(help));
        }
    }
    Ok(())
}

/// Copies the files, then writes the spec.
pub fn write(
    folder: &Utf8Path,
    to: &Utf8Path,
    spec: &str,
    imported: &Imported,
) -> Result<(), Failure> {
    fs_err::create_dir_all(to).map_err(unreadable)?;
    for copy in &imported.copies {
        let (from, target) = (below(folder, &copy.from), below(to, &copy.to));
        if let Some(above) = target.parent() {
            fs_err::create_dir_all(above).map_err(unreadable)?;
        }
        if from.is_symlink() {
            let link = fs_err::read_link(&from).map_err(unreadable)?;
            let _replaced = fs_err::remove_file(&target);
            fs_err::os::unix::fs::symlink(link, &target).map_err(unreadable)?;
        } else {
            fs_err::copy(&from, &target).map_err(unreadable)?;
        }
    }
    for (path, text) in &imported.written {
        let target = below(to, path);
        if let Some(above) = target.parent() {
            fs_err::create_dir_all(above).map_err(unreadable)?;
        }
        save(target.as_std_path(), text.as_bytes()).map_err(unreadable)?;
    }
    save(below(to, "specs.yml").as_std_path(), spec.as_bytes()).map_err(unreadable)
}

fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let file = AtomicFile::create(path)?;
    file.as_file().write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::super::originals::tests::nothing;
    use super::*;
    use crate::import::{Copied, ImportedImage};

    #[test]
    fn no_file_is_copied_to_itself_and_no_original_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Utf8Path::from_path(folder.path()).expect("UTF-8");
        fs_err::create_dir(root.join("g")).expect("a folder");
        let copied = |from: &str, to: &str| Copied {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let image = ImportedImage {
            name: "web".to_owned(),
            target: "web".to_owned(),
            dockerfile: "g/images/web/Dockerfile".to_owned(),
            based_on: None,
            is_read: false,
        };
        let mut imported = nothing();
        imported.images = vec![image];
        imported.copies = vec![
            copied("g/images/web/Dockerfile", "images/web/Dockerfile"),
            copied("shared/x", "images/web/x"),
        ];
        settle(&mut imported, root, &root.join("g")).expect("settled");
        assert_eq!(imported.copies, [copied("shared/x", "images/web/x")]);
        assert!(imported.images[0].is_read);
        imported
            .copies
            .push(copied("g/images/web/x", "images/app/x"));
        assert!(settle(&mut imported, root, &root.join("g")).is_err());
        settle(&mut imported, root, root).expect("another folder");
        assert_eq!(imported.copies.len(), 2);
    }
}
