//! The git repository of a wiki: fetched into a temporary folder, committed to, pushed.
//!
//! Main types: [`Remote`] and its [`WikiClone`]. Called by `laminate docs --push-wiki`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use percent_encoding::percent_decode_str;

use super::super::{Exit, Failure};
use crate::git::{self, Git};

/// The branch of a repository without commits, as GitHub's wikis have it.
const BRANCH: &str = "master";

/// A repository, as the user gave it.
pub struct Remote {
    /// Without a password.
    url: String,
    /// The value of the header `Authorization`, if the URL had a password: git gets it by the environment,
    /// since a URL is in the list of processes.
    authorization: Option<String>,
    branch: Option<String>,
    /// Parts of the URL that no message shows.
    secrets: Vec<String>,
}

/// The wiki as it is, in a folder that is removed with this value.
pub struct WikiClone<'a> {
    remote: &'a Remote,
    folder: tempfile::TempDir,
    git: Git,
    /// The branch that is committed to.
    pub branch: String,
}

impl Remote {
    /// Returns the repository at a URL, or at a path relative to `folder`.
    pub fn new(url: &str, folder: &Utf8Path, branch: Option<&str>) -> Self {
        let path = folder.join(url);
        let url = match fs_err::canonicalize(&path) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => url.to_owned(),
        };
        let secrets = secrets(&url);
        let (url, authorization) = split_password(url);
        Self {
            secrets,
            url,
            authorization,
            branch: branch.filter(|name| !name.is_empty()).map(str::to_owned),
        }
    }

    /// Returns a git that can log in. Files are committed as they were written, whatever the user's
    /// settings are.
    fn git(&self, git: Git) -> Git {
        let git = git
            .setting("core.autocrlf=false")
            .setting("core.symlinks=false");
        match &self.authorization {
            Some(value) => git.secret_setting(
                format!("http.{}.extraHeader", self.url),
                format!("Authorization: {value}"),
            ),
            None => git,
        }
    }

    /// Returns a text with the secrets of the URL as `***`.
    fn redact(&self, text: &str) -> String {
        let redact = |text: String, secret: &String| text.replace(secret.as_str(), "***");
        self.secrets.iter().fold(text.to_owned(), redact)
    }

    fn failure(&self, error: git::Error) -> Failure {
        Failure::new(Exit::Environment, self.redact(&error.to_string()))
    }

    /// Returns the branch to commit to, and whether it exists.
    async fn branch(&self) -> Result<(String, bool), Failure> {
        let url = self.url.as_str();
        let arguments = ["ls-remote", "--symref", "--", url, "HEAD", "refs/heads/*"];
        let output = self
            .git(Git::anywhere())
            .read(&format!("read `{url}`"), &arguments)
            .await;
        let output = output.map_err(|error| {
            self.failure(error).help(
                "check that the repository exists and that you can read it; a wiki on GitHub exists once its first page was saved",
            )
        })?;
        let found = git::parse_remote_branches(&output);
        let branch = self.branch.clone().or(found.default);
        let branch = branch.unwrap_or_else(|| BRANCH.to_owned());
        let exists = found.names.contains(&branch);
        Ok((branch, exists))
    }

    /// Fetches and checks out the newest commit alone; nothing where the branch does not exist.
    pub async fn clone_branch(&self) -> Result<WikiClone<'_>, Failure> {
        let (branch, exists) = self.branch().await?;
        let folder = tempfile::tempdir().map_err(|error| {
            let text = format!("cannot create a folder for the wiki: {error}");
            Failure::new(Exit::Environment, text)
        })?;
        let wiki = WikiClone {
            remote: self,
            git: self.git(Git::in_folder(folder.path())),
            folder,
            branch,
        };
        let (url, branch) = (self.url.as_str(), wiki.branch.as_str());
        let reference = format!("refs/heads/{branch}");
        let task = "create a repository for the wiki";
        wiki.read(task, &["init", "--quiet"]).await?;
        if exists {
            let fetch = [
                "fetch",
                "--quiet",
                "--depth",
                "1",
                "--no-tags",
                "--",
                url,
                &reference,
            ];
            wiki.read("fetch the wiki", &fetch).await?;
            let switch = ["checkout", "--quiet", "-B", branch, "FETCH_HEAD"];
            wiki.read("check out the wiki", &switch).await?;
        } else {
            let switch = ["symbolic-ref", "HEAD", &reference];
            wiki.read("begin the wiki's branch", &switch).await?;
        }
        Ok(wiki)
    }
}

impl WikiClone<'_> {
    /// Returns the folder of the clone.
    pub fn path(&self) -> Utf8PathBuf {
        let path = self.folder.path().to_string_lossy().into_owned();
        Utf8PathBuf::from(path)
    }

    async fn read(&self, task: &str, arguments: &[&str]) -> Result<String, Failure> {
        let output = self.git.read(task, arguments).await;
        output.map_err(|error| self.remote.failure(error))
    }

    /// Adds files to the next commit, also ignored ones; returns whether there is anything to commit.
    pub async fn add(&self, files: &[&str]) -> Result<bool, Failure> {
        if files.is_empty() {
            return Ok(false);
        }
        let mut add = vec!["add", "--all", "--force", "--"];
        add.extend(files);
        self.read("add the pages", &add).await?;
        let status = ["status", "--porcelain", "--untracked-files=no"];
        let changes = self.read("list the changed pages", &status).await?;
        Ok(!changes.trim().is_empty())
    }

    /// Commits with the author git has in `folder`, the stack's, else with laminate as the author.
    /// Returns the commit's hash.
    pub async fn commit(&self, folder: &Utf8Path, message: &str) -> Result<String, Failure> {
        let stack = self.remote.git(Git::in_folder(folder));
        let setting = async |name: &str| {
            let output = stack.run(&["config", "--get", name]).await;
            let output = output.map_err(|error| self.remote.failure(error))?;
            let value = output.stdout.trim();
            Ok::<_, Failure>((output.success && !value.is_empty()).then(|| value.to_owned()))
        };
        let (name, email) = match (setting("user.name").await?, setting("user.email").await?) {
            (Some(name), Some(email)) => (name, email),
            _ => ("laminate".to_owned(), "laminate@localhost".to_owned()),
        };
        let author = (self.git.clone())
            .setting(format!("user.name={name}"))
            .setting(format!("user.email={email}"));
        let commit = ["commit", "--quiet", "--message", message];
        let committed = author.read("commit the pages", &commit).await;
        committed.map_err(|error| self.remote.failure(error))?;
        let hash = self.read("read the commit", &["rev-parse", "HEAD"]).await?;
        Ok(hash.trim().to_owned())
    }

    /// Pushes the commit. Returns the reason if the repository rejects it, as it does when another
    /// writer has pushed.
    pub async fn push(&self) -> Result<Option<String>, Failure> {
        let target = format!("HEAD:refs/heads/{}", self.branch);
        let push = ["push", "--porcelain", "--", &self.remote.url, &target];
        let output = self.git.run(&push).await;
        let output = output.map_err(|error| self.remote.failure(error))?;
        if output.success {
            return Ok(None);
        }
        if let Some(reason) = git::parse_rejection(&output.stdout) {
            return Ok(Some(self.remote.redact(reason)));
        }
        Err(self.remote.failure(output.error("push the wiki")))
    }
}

/// Returns a URL for HTTP without its user and password, and the header with these. Any other URL stays as it
/// is: without a password, git asks its helpers.
fn split_password(url: String) -> (String, Option<String>) {
    let whole = url.clone();
    let parts = || {
        let (scheme, rest) = url.split_once("://")?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (user, host) = rest[..end].rsplit_once('@')?;
        let (name, password) = user.split_once(':')?;
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let login = [decoded(name), b":".to_vec(), decoded(password)].concat();
        let is_http = matches!(scheme, "http" | "https") && !password.is_empty();
        is_http.then(|| {
            let url = format!("{scheme}://{host}{}", &rest[end..]);
            (url, format!("Basic {}", STANDARD.encode(login)))
        })
    };
    match parts() {
        Some((url, header)) => (url, Some(header)),
        None => (whole, None),
    }
}

/// Returns the password of a URL, as written and decoded. Some hosts take a token as the user's name.
fn secrets(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let Some((user, _)) = authority.rsplit_once('@') else {
        return Vec::new();
    };
    let secret = match user.split_once(':') {
        Some((_, password)) => password,
        None if scheme.starts_with("http") => user,
        None => return Vec::new(),
    };
    let decoded = percent_decode_str(secret).decode_utf8_lossy();
    let mut list = vec![secret.to_owned(), decoded.into_owned()];
    list.retain(|secret| !secret.is_empty());
    list.dedup();
    // The longer first: it may begin with the other.
    list.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_a_header_and_not_in_the_url() {
        for (url, expected, header) in [
            (
                "https://me:s%2Fcret@example.org/x.git",
                "https://example.org/x.git",
                Some("Basic bWU6cy9jcmV0"),
            ),
            ("https://me@example.org/x", "https://me@example.org/x", None),
            ("ssh://a:b@example.org/x", "ssh://a:b@example.org/x", None),
            ("git@example.org:x.git", "git@example.org:x.git", None),
        ] {
            let (url, found) = split_password(url.to_owned());
            assert_eq!((url.as_str(), found.as_deref()), (expected, header));
        }
    }

    #[test]
    fn the_password_of_a_url_is_not_shown() {
        for (url, shown) in [
            (
                "https://me:s%2Fcret@example.org/x.wiki.git",
                "https://me:***@example.org/x.wiki.git",
            ),
            ("https://token@example.org/x", "https://***@example.org/x"),
            ("ssh://git@example.org/x", "ssh://git@example.org/x"),
            (
                "git@example.org:org/x.wiki.git",
                "git@example.org:org/x.wiki.git",
            ),
            ("https://example.org/@x", "https://example.org/@x"),
            ("https://a:b@c@example.org/x", "https://a:***@example.org/x"),
        ] {
            let remote = Remote::new(url, Utf8Path::new(""), None);
            assert_eq!(remote.redact(url), shown);
        }
        let remote = Remote::new("https://me:s%2Fcret@example.org/x", Utf8Path::new(""), None);
        assert_eq!(remote.redact("for s/cret and s%2Fcret"), "for *** and ***");
    }
}
