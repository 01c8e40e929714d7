//! The folder of an engine's socket: new for each run, and in a place where no other user can exchange it.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};
use tempfile::TempDir;

use super::EngineError;

/// How the names of these folders begin.
const PREFIX: &str = "laminate-";
/// The longest path of a socket, bytes (unix(7)).
const LONGEST: usize = 107;
/// The path of the longest socket below the parent of a runtime folder.
const SOCKET: &str = "/laminate-12345678/buildkitd.sock";
/// The file in the state that has the path of the runtime folder.
const RECORD: &str = "runtime";

/// Creates a folder in the first of the parents that is safe.
pub(super) fn create(parents: &[PathBuf]) -> Result<TempDir, EngineError> {
    let mut reasons = Vec::new();
    for parent in parents {
        match create_in(parent) {
            Ok(folder) => return Ok(folder),
            Err(reason) => reasons.push(format!("{} {reason}", parent.display())),
        }
    }
    Err(EngineError::NoRuntimeFolder { reasons })
}

fn create_in(parent: &Path) -> Result<TempDir, String> {
    let unusable = |error: std::io::Error| format!("cannot be used: {error}");
    let parent = parent.canonicalize().map_err(unusable)?;
    for folder in parent.ancestors() {
        let metadata = fs::symlink_metadata(folder).map_err(unusable)?;
        if let Some(reason) = danger(&metadata) {
            return Err(if folder == parent {
                reason.to_owned()
            } else {
                format!("is in {}, which {reason}", folder.display())
            });
        }
    }
    if parent.as_os_str().len() + SOCKET.len() > LONGEST {
        return Err("has a path that is too long for a socket".to_owned());
    }
    let builder = &mut tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(8);
    builder.permissions(Permissions::from_mode(0o700));
    builder.tempdir_in(&parent).map_err(unusable)
}

/// Returns how another user could exchange a folder that is in this one.
fn danger(metadata: &Metadata) -> Option<&'static str> {
    let (user, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    let is_sticky = mode & 0o1000 != 0;
    let is_own_group = group == 0 || group == getegid().as_raw();
    if user != 0 && user != geteuid().as_raw() {
        Some("belongs to another user")
    } else if mode & 0o002 != 0 && !is_sticky {
        Some("can be written by every user")
    } else if mode & 0o020 != 0 && !is_sticky && !is_own_group {
        Some("can be written by a group of users")
    } else {
        None
    }
}

/// Creates the folder of the state, which only we can read. Fails for one that another user could have put
/// there, or can change: files in it are written as they are named, and programs that it names are ended.
pub(super) fn create_state(state: &Path) -> std::io::Result<()> {
    if let Some(parent) = state.parent() {
        fs::create_dir_all(parent)?;
        // The home folder of another user is fine, as with `sudo -E`: it was chosen. One of everybody is not.
        for folder in parent.canonicalize()?.ancestors() {
            let mode = fs::metadata(folder)?.mode();
            if mode & 0o002 != 0 && mode & 0o1000 == 0 {
                let reason = format!("is in {}, which every user can write", folder.display());
                return Err(std::io::Error::other(format!("it {reason}")));
            }
        }
    }
    if let Err(error) = fs::DirBuilder::new().mode(0o700).create(state)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    // A link may be there, but not one of another user.
    let link = fs::symlink_metadata(state)?;
    let other = link.is_symlink() && link.uid() != 0 && link.uid() != geteuid().as_raw();
    let reason = other.then_some("is a link of another user");
    match reason.or(danger(&fs::metadata(state)?)) {
        Some(reason) => Err(std::io::Error::other(format!("it {reason}"))),
        None => Ok(()),
    }
}

/// Notes the folder in the state, so that the next run can remove it if this one is killed.
pub(super) fn record(state: &Path, runtime: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    fs::write(state.join(RECORD), runtime.as_os_str().as_bytes())
}

/// Removes the folder of a run that was killed. The caller holds the lock of the state.
pub(super) fn remove_left(state: &Path) {
    let record = state.join(RECORD);
    let Ok(path) = fs::read_to_string(&record) else {
        return;
    };
    let path = Path::new(&path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_ours = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
    if path.is_absolute() && name.starts_with(PREFIX) && is_ours {
        // What cannot be removed is in a folder for temporary files.
        let _left = fs::remove_dir_all(path);
    }
    let _left = fs::remove_file(record);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(mode: u32) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("set");
        folder
    }

    #[test]
    fn the_folder_is_new_and_private() {
        let parent = parent(0o700);
        let parents = [parent.path().to_owned()];
        let (one, two) = (create(&parents), create(&parents));
        let (one, two) = (one.expect("created"), two.expect("created"));
        assert_ne!(one.path(), two.path());
        let mode = fs::metadata(one.path()).expect("there").mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn a_parent_that_others_can_write_is_refused() {
        let (open, sticky) = (parent(0o777), parent(0o1777));
        let refused = create(&[open.path().to_owned()]).expect_err("refused");
        assert!(
            refused.to_string().contains("can be written by every user"),
            "{refused}"
        );
        let inner = open.path().join("inner");
        fs::create_dir(&inner).expect("created");
        let refused = create(&[inner]).expect_err("refused");
        assert!(
            refused.to_string().contains("which can be written"),
            "{refused}"
        );
        let both = [open.path().to_owned(), sticky.path().to_owned()];
        let created = create(&both).expect("in the second one");
        assert!(
            created
                .path()
                .starts_with(sticky.path().canonicalize().expect("a path"))
        );
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let folder = parent(0o700);
        let other = nix::unistd::Uid::from_raw(geteuid().as_raw() + 1);
        // Only root can give a folder away.
        if nix::unistd::chown(folder.path(), Some(other), None).is_ok() {
            let refused = create(&[folder.path().to_owned()]).expect_err("refused");
            assert!(refused.to_string().contains("another user"), "{refused}");
        }
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_refused() {
        let folder = parent(0o700);
        let long = folder.path().join("x".repeat(100));
        fs::create_dir(&long).expect("created");
        let refused = create(&[long]).expect_err("refused");
        assert!(refused.to_string().contains("too long"), "{refused}");
    }

    #[test]
    fn the_state_is_private_and_of_no_other_user() {
        let parent = parent(0o700);
        let state = parent.path().join("laminate/engine");
        create_state(&state).expect("created");
        assert_eq!(fs::metadata(&state).expect("there").mode() & 0o777, 0o700);
        create_state(&state).expect("it is there");
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&state, &link).expect("a link");
        create_state(&link).expect("a link of our own");
        fs::set_permissions(&state, Permissions::from_mode(0o777)).expect("set");
        for path in [&state, &link] {
            let refused = create_state(path).expect_err("refused").to_string();
            assert_eq!(refused, "it can be written by every user");
        }
        fs::set_permissions(&state, Permissions::from_mode(0o700)).expect("set");
        let above = state.parent().expect("it has one");
        fs::set_permissions(above, Permissions::from_mode(0o777)).expect("set");
        let refused = create_state(&state).expect_err("refused").to_string();
        assert!(refused.ends_with("which every user can write"), "{refused}");
        fs::set_permissions(above, Permissions::from_mode(0o1777)).expect("set");
        create_state(&state).expect("sticky");
    }

    #[test]
    fn the_folder_of_a_killed_run_is_removed_and_nothing_else() {
        let (state, parent) = (parent(0o700), parent(0o700));
        let folder = create(&[parent.path().to_owned()]).expect("created").keep();
        record(state.path(), &folder).expect("noted");
        remove_left(state.path());
        assert!(!folder.exists());
        let other = parent.path().join("other");
        fs::create_dir(&other).expect("created");
        record(state.path(), &other).expect("noted");
        remove_left(state.path());
        assert!(other.exists());
        assert_eq!(fs::read_dir(state.path()).expect("a folder").count(), 0);
    }
}
