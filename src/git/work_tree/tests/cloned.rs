//! Files that git takes for unchanged, and that a new clone has with another content.

use super::*;

const CHANGE: &str = " (a new clone has other line ends or another encoding: remove settings of this machine (`core.autocrlf`, `core.eol`, `.git/info/attributes`), remove the file, and check it out again)";

impl Repository {
    /// Removes the files of the stack and lets git write them again.
    async fn check_out_again(&self) {
        fs_err::remove_dir_all(self.path().join("images")).expect("removed");
        let checkout = ["checkout", "--quiet", "--force", "--", "images"];
        self.git(&checkout).await;
    }

    async fn set(&self, name: &str, value: &str) {
        self.git(&["config", name, value]).await;
    }

    /// Saves a file in the folder `images`, and lets git take it.
    async fn save(&self, name: &str, text: &str) {
        self.write(&format!("images/{name}"), text);
        self.git(&["add", "images"]).await;
    }

    /// Returns the names of files in `images` that a new clone has with another content.
    async fn not_as_cloned(&self) -> Vec<String> {
        let changes = self.changes().await.into_iter();
        let names = changes.map(|change| {
            let name = change.strip_suffix(CHANGE).map(str::to_owned);
            let name = name.unwrap_or_else(|| panic!("{change}"));
            name.strip_prefix("images/").unwrap_or(&name).to_owned()
        });
        names.collect()
    }
}

#[tokio::test]
async fn line_ends_that_this_machine_changed_are_a_change() {
    let repository = Repository::new().await;
    for name in ["own", "lf", "attribute"] {
        repository.write(&format!("images/{name}.sh"), "#!/bin/sh\n");
    }
    repository.write("images/crlf.sh", "x\r\n");
    let attributes = "attribute.sh text eol=crlf\nlf.sh text eol=lf\n";
    repository.write(".gitattributes", attributes);
    repository.commit().await;
    repository.check_out_again().await;
    repository.set("core.autocrlf", "true").await;
    assert!(repository.not_as_cloned().await.is_empty());
    repository.check_out_again().await;
    let own = fs_err::read_to_string(repository.path().join("images/own.sh"));
    assert_eq!(own.expect("there"), "#!/bin/sh\r\n");
    assert_eq!(repository.not_as_cloned().await, ["own.sh"]);
    repository.save("own.sh", "#!/bin/sh\r\nmixed\n").await;
    repository.commit().await;
    assert_eq!(repository.not_as_cloned().await, ["own.sh"]);
}

#[tokio::test]
async fn line_ends_that_git_removes_when_a_file_is_added_are_a_change() {
    for autocrlf in [false, true] {
        let repository = Repository::new().await;
        repository.write("images/ä\n.sh", "x\n");
        repository.write("images/same.sh", "x\n");
        if autocrlf {
            repository.set("core.autocrlf", "input").await;
        } else {
            repository.write(".gitattributes", "* text=auto\n");
        }
        repository.commit().await;
        assert!(repository.not_as_cloned().await.is_empty());
        repository.save("ä\n.sh", "x\r\n").await;
        assert_eq!(repository.not_as_cloned().await, ["ä\n.sh"]);
        repository.check_out_again().await;
        assert!(repository.not_as_cloned().await.is_empty());
    }
}

#[tokio::test]
async fn attributes_that_came_after_the_files_are_a_change() {
    let repository = Repository::new().await;
    for name in ["a.bat", "b.id", "c.utf16", "d.bin", "e.txt"] {
        repository.write(&format!("images/{name}"), "x $Id$\n");
    }
    repository.commit().await;
    repository.write(
        "images/.gitattributes",
        "*.bat text eol=crlf\n*.id ident\n*.utf16 working-tree-encoding=UTF-16LE\n*.bin filter=lfs ident\n",
    );
    repository.git(&["add", "images/.gitattributes"]).await;
    let commit = ["commit", "--quiet", "-m", "x"];
    repository.git(&commit).await;
    // As after `git add` of files without them: git has seen each of them.
    repository.set("core.safecrlf", "false").await;
    repository.git(&["add", "images/a.bat"]).await;
    let expected = ["a.bat", "b.id", "c.utf16", "d.bin"];
    assert_eq!(repository.not_as_cloned().await, expected);
    repository.check_out_again().await;
    let bat = fs_err::read_to_string(repository.path().join("images/a.bat"));
    assert_eq!(bat.expect("there"), "x $Id$\r\n");
    assert!(repository.not_as_cloned().await.is_empty());
}

#[tokio::test]
async fn attributes_of_this_machine_are_a_change() {
    let repository = Repository::new().await;
    repository.write("images/a.sh", "x\n");
    repository.write("images/b.bat", "x\n");
    repository.write(".gitattributes", "*.bat text eol=crlf\n");
    repository.commit().await;
    let own = repository.path().join(".git/info/attributes");
    fs_err::write(&own, "*.sh text eol=crlf\n*.bat -text -eol\n").expect("written");
    repository.check_out_again().await;
    assert_eq!(repository.not_as_cloned().await, ["a.sh", "b.bat"]);
    fs_err::remove_file(&own).expect("removed");
    repository.check_out_again().await;
    assert!(repository.not_as_cloned().await.is_empty());
}

#[tokio::test]
async fn attributes_of_the_folders_above_belong_to_a_stack() {
    let repository = Repository::new().await;
    repository.write("stacks/one/specs.yml", "a");
    repository.write("stacks/one/images/a/x.bat", "x\n");
    repository.write("stacks/two/x", "x\n");
    repository.write("stacks/.gitattributes", "*.bat text eol=crlf\n");
    repository.commit().await;
    let folder = repository.path().join("stacks/one");
    let changes = async || {
        let found = read_checkout(&folder, &["specs.yml", "images"], None).await;
        let (checkout, tracked) = found.expect("read").expect("a commit");
        let files = ["specs.yml", "images/a/x.bat"].map(PathBuf::from);
        assert_eq!(tracked.files, HashSet::from(files));
        let paths = checkout.changes.into_iter().map(|change| change.path);
        paths.collect::<Vec<_>>()
    };
    // It is still as it was written, with LF.
    assert_eq!(changes().await, ["images/a/x.bat"]);
    fs_err::remove_dir_all(&folder).expect("removed");
    let checkout = ["checkout", "--quiet", "--force", "--", "stacks"];
    repository.git(&checkout).await;
    assert!(changes().await.is_empty());
    repository.write("stacks/two/x", "changed");
    repository.write("stacks/two/.gitattributes", "");
    assert!(changes().await.is_empty());
    repository.write("stacks/.gitattributes", "*.bat text eol=crlf\n#\n");
    repository.write(".gitattributes", "");
    assert_eq!(
        changes().await,
        ["../../.gitattributes", "../.gitattributes"]
    );
}

#[tokio::test]
async fn files_of_submodules_are_compared_with_a_clone() {
    let inner = Repository::new().await;
    inner.write("run.sh", "x\n");
    inner.write(".gitattributes", "* text=auto\n");
    inner.commit().await;
    let repository = Repository::new().await;
    repository.add_submodule(&inner, "images/sub").await;
    repository.commit().await;
    assert!(repository.not_as_cloned().await.is_empty());
    repository.write("images/sub/run.sh", "x\r\n");
    let git = Git::in_folder(repository.path().join("images/sub"));
    let add = ["add", "run.sh"];
    git.read("prepare a test", &add).await.expect("added");
    assert_eq!(repository.not_as_cloned().await, ["sub/run.sh"]);
}

#[tokio::test]
async fn files_of_a_repository_with_sha256_are_compared_with_a_clone() {
    let repository = Repository(tempfile::tempdir().expect("a folder"));
    let init = ["init", "--quiet", "--object-format=sha256"];
    repository.git(&init).await;
    repository.write("images/a.sh", "x\n");
    repository.write(".gitattributes", "* text=auto\n");
    repository.commit().await;
    repository.save("a.sh", "x\r\n").await;
    assert_eq!(repository.not_as_cloned().await, ["a.sh"]);
}

#[tokio::test]
async fn an_attribute_without_a_value_is_one() {
    let repository = Repository::new().await;
    for (name, command) in [("clean", "cat"), ("smudge", "cat")] {
        let name = format!("filter.same.{name}");
        repository.set(&name, command).await;
    }
    for name in ["a.empty", "b.empty", "c.bat", "d.same"] {
        repository.write(&format!("images/{name}"), "x\n");
    }
    let attributes = "*.empty filter=\n*.bat text eol=crlf\n*.same filter=same\n";
    repository.write(".gitattributes", attributes);
    repository.commit().await;
    assert_eq!(repository.not_as_cloned().await, ["c.bat"]);
}

#[tokio::test]
async fn only_pointers_of_git_lfs_are_the_same_as_their_content() {
    let repository = Repository::new().await;
    let attributes = "*.txt text filter=lfs\n*.bin -text filter=lfs\n";
    repository.write(".gitattributes", attributes);
    repository.write("images/a.txt", "x\n");
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 4\n",
        "a".repeat(64)
    );
    repository.write("images/b.bin", &pointer);
    repository.commit().await;
    repository.save("a.txt", "x\r\n").await;
    // As git-lfs cleans a file.
    let lines = pointer.trim_end().replace('\n', "\\n");
    let clean = format!("sed 's|^data$|{lines}|'");
    repository.set("filter.lfs.clean", &clean).await;
    repository.save("b.bin", "data\n").await;
    assert_eq!(repository.not_as_cloned().await, ["a.txt"]);
}

#[tokio::test]
async fn attributes_that_git_does_not_watch_are_a_change() {
    let repository = Repository::new().await;
    repository.write("images/a.bat", "x\n");
    repository.write(".gitattributes", "*.bat text eol=crlf\n");
    repository.commit().await;
    repository.check_out_again().await;
    for flag in ["--assume-unchanged", "--skip-worktree"] {
        let hide = ["update-index", flag, ".gitattributes"];
        repository.git(&hide).await;
        repository.write(".gitattributes", "#\n");
        let changes = repository.changes().await;
        assert!(
            changes.contains(&".gitattributes (modified)".to_owned()),
            "{changes:?}"
        );
    }
}

#[tokio::test]
async fn an_empty_folder_named_git_is_no_repository() {
    let repository = Repository::new().await;
    repository.write("stack/specs.yml", "a");
    repository.write("stack/images/a.bat", "x\n");
    repository.write(".gitattributes", "*.bat text eol=crlf\n");
    repository.commit().await;
    let folder = repository.path().join("stack");
    fs_err::create_dir(folder.join(".git")).expect("made");
    let files = ["specs.yml", "images"];
    let found = read_checkout(&folder, &files, None).await.expect("read");
    let paths = found.expect("a commit").0.changes.into_iter();
    let paths: Vec<String> = paths.map(|change| change.path).collect();
    assert_eq!(paths, ["images/a.bat"]);
}

#[tokio::test]
async fn a_content_of_the_same_size_is_a_change_if_it_was_read() {
    let repository = Repository::new().await;
    repository.write("specs.yml", "a");
    repository.set("filter.next.clean", "tr b-z a-y").await;
    repository.set("filter.next.smudge", "tr a-y b-z").await;
    repository.write(".gitattributes", "*.key filter=next\n");
    repository.write("images/a.key", "bc\n");
    repository.write("images/b.key", "12\n");
    for name in ["a.key", "b.key"] {
        let path = repository.path().join("images").join(name);
        let file = fs_err::OpenOptions::new().write(true).open(path);
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        file.expect("a file")
            .set_modified(long_ago)
            .expect("its time");
    }
    repository.commit().await;
    // git sees that neither was written since, and reads none.
    let unset = ["config", "--remove-section", "filter.next"];
    repository.git(&unset).await;
    let tree = read_work_tree(repository.path(), "specs.yml", Utf8Path::new("images")).await;
    let tree = tree.expect("read").expect("a repository");
    let blobs = repository.blobs(&tree);
    let read = ReadFiles {
        all: &tree.files,
        blobs: &blobs,
    };
    let found = read_checkout(repository.path(), &["specs.yml", "images"], Some(read)).await;
    let changes = found.expect("read").expect("a commit").0.changes;
    let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(changes, [format!("images/a.key{CHANGE}")]);
}
