use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::checkout::{BlobId, CommittedFile, CommittedKind};

mod cloned;
mod repositories;

/// As the function of this name, without its warnings.
async fn read_checkout<T: AsRef<str>>(
    folder: &Utf8Path,
    files: &[T],
    read: Option<ReadFiles<'_>>,
) -> Result<Option<(Checkout, Tracked)>, Error> {
    super::read_checkout(folder, files, read, &Warnings::default()).await
}

/// As the function of this name, without its warnings.
async fn read_work_tree(
    folder: &Utf8Path,
    spec: &str,
    images: &Utf8Path,
) -> Result<Option<WorkTree>, Error> {
    super::read_work_tree(folder, spec, images, &Warnings::default()).await
}

/// A repository in a temporary folder.
struct Repository(tempfile::TempDir);

impl Repository {
    async fn new() -> Self {
        let repository = Self(tempfile::tempdir().expect("a folder"));
        repository
            .git(&["init", "--quiet", "--initial-branch=main"])
            .await;
        repository
    }

    fn path(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).expect("UTF-8")
    }

    async fn git(&self, arguments: &[&str]) {
        let git = Git::in_folder(self.path())
            .setting("user.name=x")
            .setting("user.email=x@example.org")
            .setting("protocol.file.allow=always");
        git.read("prepare a test", arguments).await.expect("done");
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs_err::write(path, text).expect("written");
    }

    async fn add_submodule(&self, inner: &Self, path: &str) {
        let url = inner.path().as_str();
        self.git(&["submodule", "--quiet", "add", url, path]).await;
    }

    async fn commit(&self) {
        self.git(&["add", "--all"]).await;
        let commit = ["commit", "--quiet", "--allow-empty", "-m", "x"];
        self.git(&commit).await;
    }

    /// Returns the changes of `specs.yml` and `images`, as they are shown.
    async fn changes(&self) -> Vec<String> {
        let files = ["specs.yml", "images"];
        let found = read_checkout(self.path(), &files, None).await;
        let found = found.expect("read");
        let tree = read_work_tree(self.path(), "specs.yml", Utf8Path::new("images")).await;
        let tree = tree.expect("read").expect("a repository");
        let blobs = self.blobs(&tree);
        let read = ReadFiles {
            all: &tree.files,
            blobs: &blobs,
        };
        let compared = read_checkout(self.path(), &files, Some(read)).await;
        assert_eq!(
            compared.expect("read"),
            found,
            "git need not look for files"
        );
        let (checkout, tracked) = found.expect("a commit");
        if self.is_of_commit(&tree).await {
            assert_eq!(checkout.changes, [], "the files are those of the commit");
        }
        if !checkout.is_dirty() {
            let Tracked {
                mut files,
                mut modes,
                ..
            } = tracked;
            files.retain(|path| path.starts_with("images"));
            modes.retain(|path, _| path.starts_with("images"));
            assert_eq!(files, tree.files);
            assert_eq!(modes, tree.modes);
        }
        checkout.changes.iter().map(ToString::to_string).collect()
    }

    /// Returns how git names the files of a tree as they are.
    fn blobs(&self, tree: &WorkTree) -> HashMap<PathBuf, BlobId> {
        let blobs = tree.files.iter().filter_map(|path| {
            let place = self.path().as_std_path().join(path);
            let is_file = place.symlink_metadata().is_ok_and(|it| it.is_file());
            let content = fs_err::read(&place).ok().filter(|_| is_file)?;
            Some((path.clone(), BlobId::of(tree.objects, &content)))
        });
        blobs.collect()
    }

    /// Whether the commit has the spec and the files of a tree, byte for byte.
    async fn is_of_commit(&self, tree: &WorkTree) -> bool {
        let committed = read_committed(self.path(), &["specs.yml", "images"]).await;
        let Some(committed) = committed.expect("read") else {
            return false;
        };
        let is_same = |(path, file): (&String, &CommittedFile)| {
            let place = self.path().join(path);
            let Ok(metadata) = place.symlink_metadata() else {
                return false;
            };
            let content = if metadata.is_symlink() {
                let target = fs_err::read_link(&place).expect("a link");
                target.into_os_string().into_encoded_bytes()
            } else {
                fs_err::read(&place).expect("read")
            };
            let on_disk = metadata.permissions().mode() & 0o100 != 0;
            let is_executable = tree.modes.get(Path::new(path)).copied();
            let is_executable = is_executable.unwrap_or(on_disk);
            let is_mode = match file.kind {
                CommittedKind::Regular { executable } => executable == is_executable,
                CommittedKind::Link => metadata.is_symlink(),
            };
            is_mode && BlobId::of(tree.objects, &content) == file.blob
        };
        committed.files.len() == tree.files.len() + 1 && committed.files.iter().all(is_same)
    }

    async fn files(&self) -> Vec<String> {
        let images = Utf8Path::new("images");
        let tree = read_work_tree(self.path(), "specs.yml", images).await;
        let tree = tree.expect("read").expect("a repository");
        let shown = tree.files.iter().map(|path| path.display().to_string());
        let mut shown: Vec<String> = shown.collect();
        shown.sort();
        shown
    }
}

#[test]
fn a_head_is_a_hash_and_a_time() {
    let hash = "a".repeat(40);
    let read = |time: &str| parse_head(&format!("{hash} {time}\n"));
    let commit = Commit::parse(&hash).expect("a hash");
    assert_eq!(read("1700000000"), Some((commit, 1_700_000_000)));
    assert_eq!(read("yesterday"), None);
    assert_eq!(parse_head(""), None);
}

#[tokio::test]
async fn a_folder_without_commits_has_no_checkout() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = Utf8Path::from_path(folder.path()).expect("UTF-8");
    assert_eq!(
        read_checkout(path, &["."], None).await.expect("no error"),
        None
    );
    assert_eq!(super::super::branch(path).await, None);
    let repository = Repository::new().await;
    let path = repository.path();
    assert_eq!(
        read_checkout(path, &["."], None).await.expect("no error"),
        None
    );
    let branch = super::super::branch(path).await;
    assert_eq!(branch.as_deref(), Some("refs/heads/main"));
}

#[tokio::test]
async fn changes_that_a_filter_hides_are_changes() {
    let repository = Repository::new().await;
    for (name, command) in [
        ("strip.clean", "sed /^secret/d"),
        ("strip.smudge", "cat"),
        ("crypt.clean", "tr b-z a-y"),
        ("crypt.smudge", "tr a-y b-z"),
        ("lfs.clean", "cat"),
    ] {
        let name = format!("filter.{name}");
        repository.git(&["config", &name, command]).await;
    }
    repository.write(
        ".gitattributes",
        "*.ipynb filter=strip\n*.key filter=crypt\n*.bin filter=lfs\n*.none filter=none\n*.id ident\n",
    );
    for name in [
        "a b.ipynb",
        "same.ipynb",
        "b.key",
        "c.bin",
        "d.none",
        "e.id",
    ] {
        repository.write(&format!("images/{name}"), "bc\n");
    }
    repository.commit().await;
    assert!(repository.changes().await.is_empty());
    repository.write("images/a b.ipynb", "bc\nsecret\n");
    repository.git(&["add", "images"]).await;
    assert_eq!(
        repository.changes().await,
        ["images/a b.ipynb (a git filter hides its changes: remove it, and check it out again)"]
    );
}

#[tokio::test]
async fn changes_are_those_of_the_files_that_count() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write("images/a/x", "x");
    repository.write("images/a/y", "y");
    repository.commit().await;
    repository.write("README", "new");
    assert!(repository.changes().await.is_empty());
    repository.write("images/a/x", "changed");
    repository.write("images/a/new", "");
    fs_err::remove_file(repository.path().join("images/a/y")).expect("removed");
    let expected = [
        "images/a/new (untracked)",
        "images/a/x (modified)",
        "images/a/y (deleted)",
    ];
    assert_eq!(repository.changes().await, expected);
}

#[tokio::test]
async fn paths_are_relative_to_the_stack() {
    let repository = Repository::new().await;
    repository.write("stacks/one/specs.yml", "a");
    repository.commit().await;
    repository.write("stacks/one/images/a/x", "x");
    let folder = repository.path().join("stacks/one");
    let found = read_checkout(&folder, &["specs.yml", "images"], None).await;
    let found = found.expect("read").expect("a commit");
    assert_eq!(found.0.changes[0].path, "images/a/x");
    let tree = read_work_tree(&folder, "specs.yml", Utf8Path::new("images")).await;
    let tree = tree.expect("read").expect("a repository");
    assert_eq!(tree.files, HashSet::from([PathBuf::from("images/a/x")]));
}

#[tokio::test]
async fn settings_of_the_user_hide_nothing() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write("images/a/assumed", "x");
    repository.write("images/a/skipped", "x");
    repository.commit().await;
    for (name, value) in [
        ("status.showUntrackedFiles", "no"),
        ("log.showSignature", "true"),
        ("core.ignoreStat", "true"),
        ("core.quotePath", "true"),
    ] {
        repository.git(&["config", name, value]).await;
    }
    let assume = ["update-index", "--assume-unchanged", "images/a/assumed"];
    repository.git(&assume).await;
    let skip = ["update-index", "--skip-worktree", "images/a/skipped"];
    repository.git(&skip).await;
    assert!(repository.changes().await.is_empty());
    repository.write("images/a/assumed", "y");
    repository.write("images/a/skipped", "y");
    repository.write("images/a/ä\n", "");
    let expected = [
        "images/a/assumed (modified)",
        "images/a/skipped (modified)",
        "images/a/ä\n (untracked)",
    ];
    assert_eq!(repository.changes().await, expected);
    fs_err::remove_file(repository.path().join("images/a/skipped")).expect("removed");
    assert_eq!(repository.changes().await[1], "images/a/skipped (deleted)");
}

#[tokio::test]
async fn ignored_files_are_not_listed() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write(".gitignore", ".env\ndist/\nforced\n");
    repository.write("images/a/x", "x");
    repository.write("images/a/forced", "x");
    repository.git(&["add", "--force", "images/a/forced"]).await;
    repository.commit().await;
    repository.write("images/a/.env", "secret");
    repository.write("images/a/dist/x", "x");
    repository.write("images/a/new", "x");
    repository.write("images/.pytest_cache/x", "x");
    let expected = ["images/a/forced", "images/a/new", "images/a/x"];
    assert_eq!(repository.files().await, expected);
    assert_eq!(repository.changes().await, ["images/a/new (untracked)"]);
}

#[tokio::test]
async fn the_rule_that_ignores_a_file_decides_what_is_ignored() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write(".gitignore", "*.log\ndist/\n");
    repository.commit().await;
    repository.write("images/a/logs/x.log", "x");
    repository.write("images/a/dist/x", "x");
    let images = Utf8Path::new("images");
    let tree = read_work_tree(repository.path(), "specs.yml", images).await;
    let tree = tree.expect("read").expect("a repository");
    let ignored: Vec<&Path> = tree.ignored.iter().map(PathBuf::as_path).collect();
    // Not `images/a/logs`, although git lists it.
    let expected = ["images/a/dist", "images/a/logs/x.log"].map(Path::new);
    assert_eq!(ignored, expected);
}

#[tokio::test]
async fn a_spec_that_git_ignores_is_not_in_the_repository() {
    let repository = Repository::new().await;
    repository.write(".gitignore", "out/\n");
    repository.commit().await;
    repository.write("out/specs.yml", "a");
    let folder = repository.path().join("out");
    let tree = read_work_tree(&folder, "specs.yml", Utf8Path::new("images")).await;
    assert_eq!(tree.expect("read"), None);
    let found = read_checkout(&folder, &["specs.yml", "images"], None).await;
    let changes = found.expect("read").expect("a commit").0.changes;
    assert_eq!(changes[0].to_string(), "specs.yml (ignored by git)");
}

#[tokio::test]
async fn files_of_submodules_count_whatever_is_configured() {
    let inner = Repository::new().await;
    inner.write("file", "x");
    inner.commit().await;
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.add_submodule(&inner, "images/sub").await;
    repository.commit().await;
    let ignore = ["config", "submodule.images/sub.ignore", "all"];
    repository.git(&ignore).await;
    assert_eq!(repository.files().await, ["images/sub/file"]);
    assert!(repository.changes().await.is_empty());
    repository.write("images/sub/file", "y");
    assert_eq!(repository.changes().await, ["images/sub/file (modified)"]);
    let folder = repository.path().join("images/sub");
    let git = Git::in_folder(&folder);
    let assume = ["update-index", "--assume-unchanged", "file"];
    git.read("prepare a test", &assume).await.expect("done");
    assert_eq!(repository.changes().await, ["images/sub/file (modified)"]);
    let deinit = ["submodule", "--quiet", "deinit", "--force", "images/sub"];
    repository.git(&deinit).await;
    assert_eq!(
        repository.changes().await,
        ["images/sub (a submodule that is not checked out: run `git submodule update --init`)"]
    );
}

#[tokio::test]
async fn without_file_modes_the_index_knows_what_is_executable() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write("images/a/run", "x");
    repository.write("images/a/x", "x");
    repository.commit().await;
    repository.git(&["config", "core.fileMode", "false"]).await;
    let set = ["update-index", "--chmod=+x", "images/a/run"];
    repository.git(&set).await;
    let images = Utf8Path::new("images");
    let tree = read_work_tree(repository.path(), "specs.yml", images).await;
    let tree = tree.expect("read").expect("a repository");
    let mode = |path: &str| tree.modes.get(Path::new(path)).copied();
    assert_eq!(mode("images/a/run"), Some(true));
    assert_eq!(mode("images/a/x"), Some(false));
    let commit = ["commit", "--quiet", "-m", "x"];
    repository.git(&commit).await;
    assert!(repository.changes().await.is_empty());
}

#[tokio::test]
async fn ancestors_are_found() {
    let repository = Repository::new().await;
    repository.commit().await;
    let path = repository.path();
    let (commit, _) = read_head(path).await.expect("read").expect("a commit");
    let elsewhere = Commit::parse(&"0".repeat(40)).expect("a hash");
    let is_ancestor = super::super::is_ancestor;
    assert!(is_ancestor(path, &commit, &commit).await.expect("known"));
    assert!(is_ancestor(path, &elsewhere, &commit).await.is_err());
}
