//! Repositories in the repository of a stack, and files of them that the stack is made of.

use super::*;

impl Repository {
    /// Commits a file in a repository in this one.
    async fn commit_inside(&self, repository: &str, file: &str) {
        let inner = Git::in_folder(self.path().join(repository));
        let inner = inner.setting("user.name=x").setting("user.email=x@x");
        for arguments in [&["add", file][..], &["commit", "--quiet", "-m", "x"]] {
            inner.read("prepare a test", arguments).await.expect("done");
        }
    }

    /// Returns the changes of a stack whose files are `files`.
    async fn changes_of(&self, files: &[&str]) -> Vec<String> {
        let found = read_checkout(self.path(), files, None).await;
        let (checkout, _) = found.expect("read").expect("a commit");
        checkout.changes.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_named_file_in_another_repository_is_compared_there() {
    let inner = Repository::new().await;
    inner.write("specs.yml", "a");
    inner.write("other", "a");
    inner.commit().await;
    let repository = Repository::new().await;
    repository.write("x", "x");
    repository.add_submodule(&inner, "sub").await;
    repository.commit().await;
    let files = ["x", "sub/specs.yml"];
    assert_eq!(repository.changes_of(&files).await, [""; 0]);
    repository.write("sub/specs.yml", "b");
    assert_eq!(
        repository.changes_of(&files).await,
        ["sub/specs.yml (modified)"]
    );
    let files = ["x", "sub/lock.pyc"];
    repository.write("sub/lock.pyc", "b");
    assert_eq!(
        repository.changes_of(&files).await,
        ["sub/lock.pyc (untracked)"]
    );
}

#[tokio::test]
async fn a_named_file_in_a_repository_that_is_untracked_is_a_change() {
    let repository = Repository::new().await;
    repository.write("x", "x");
    repository.commit().await;
    repository.git(&["init", "--quiet", "n"]).await;
    repository.write("n/specs.yml", "a");
    let files = ["x", "n/specs.yml"];
    assert_eq!(repository.changes_of(&files).await, ["n/ (untracked)"]);
    repository.write(".git/info/exclude", "/n\n");
    let changes = repository.changes_of(&files).await;
    assert_eq!(changes, ["n/ (ignored by git)"]);
}

#[tokio::test]
async fn a_named_file_counts_whatever_its_name_is() {
    let repository = Repository::new().await;
    repository.write("x", "x");
    repository.commit().await;
    for name in ["s.pyc", ".tox/s.yml"] {
        repository.write(name, "a");
        let untracked = format!("{name} (untracked)");
        let changes = repository.changes_of(&["x", name]).await;
        assert_eq!(changes, [untracked]);
    }
}

#[tokio::test]
async fn files_in_a_folder_of_a_submodule_count() {
    let inner = Repository::new().await;
    inner.write("images/a/x", "x");
    inner.write("other", "x");
    inner.commit().await;
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.add_submodule(&inner, "sub").await;
    repository.commit().await;
    let images = Utf8Path::new("sub/images");
    repository.write("sub/images/a/new", "x");
    let tree = read_work_tree(repository.path(), "specs.yml", images).await;
    let tree = tree.expect("read").expect("a repository");
    let files = ["sub/images/a/new", "sub/images/a/x"].map(PathBuf::from);
    assert_eq!(tree.files, HashSet::from(files));
    let changes = repository.changes_of(&["specs.yml", "sub/images"]).await;
    assert_eq!(changes, ["sub/images/a/new (untracked)"]);
}

#[tokio::test]
async fn a_repository_that_no_clone_has_is_a_change() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write("images/a/x", "a");
    repository.git(&["init", "--quiet", "images/n"]).await;
    repository.write("images/n/x", "a");
    repository.commit_inside("images/n", "x").await;
    repository.commit().await;
    let kind = "a repository that `.gitmodules` of the commit does not name: add it with `git submodule add`";
    let expected = format!("images/n ({kind})");
    assert_eq!(repository.changes().await, [expected]);
}

#[tokio::test]
async fn a_file_that_an_untracked_repository_lost_is_no_change() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.write("images/a/x", "a");
    repository.commit().await;
    repository.git(&["init", "--quiet", "images/n"]).await;
    repository.write("images/n/x", "a");
    let inner = Git::in_folder(repository.path().join("images/n"));
    let add = inner.read("prepare a test", &["add", "x"]).await;
    add.expect("done");
    fs_err::remove_file(repository.path().join("images/n/x")).expect("removed");
    let tree = read_work_tree(repository.path(), "specs.yml", Utf8Path::new("images")).await;
    let tree = tree.expect("read").expect("a repository");
    let read = ReadFiles {
        all: &tree.files,
        blobs: &HashMap::new(),
    };
    let compared = read_checkout(repository.path(), &["specs.yml", "images"], Some(read)).await;
    let (checkout, tracked) = compared.expect("read").expect("a commit");
    assert_eq!(checkout.changes, []);
    assert_eq!(tree.files, HashSet::from([PathBuf::from("images/a/x")]));
    assert!(tracked.files.contains(Path::new("images/a/x")));
}

#[tokio::test]
async fn what_tools_leave_behind_in_a_submodule_is_no_change() {
    let inner = Repository::new().await;
    inner.write("file", "x");
    inner.commit().await;
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.add_submodule(&inner, "images/sub").await;
    repository.commit().await;
    repository.write("images/sub/x.pyc", "x");
    assert!(repository.changes().await.is_empty());
    repository.write("images/sub/x", "x");
    assert_eq!(repository.changes().await, ["images/sub/x (untracked)"]);
    repository.commit_inside("images/sub", "x").await;
    assert_eq!(repository.changes().await, ["images/sub (modified)"]);
}
