//! The git repository of a wiki: checked out into a folder of this run, committed to, pushed.
//! Credentials are git's own.

use std::process::{Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use percent_encoding::percent_decode_str;
use tokio::process::Command;

use super::super::{Exit, Failure};

/// The branch of a repository that has none.
const BRANCH: &str = "master";

/// A repository, as somebody named it.
pub struct Remote {
    url: String,
    branch: Option<String>,
    /// Parts of the URL nobody is to read.
    secrets: Vec<String>,
}

/// The wiki as it is, in a folder that goes with this value.
pub struct Checkout<'a> {
    remote: &'a Remote,
    folder: tempfile::TempDir,
    pub branch: String,
}

impl Remote {
    /// A path is one from `here`.
    pub fn new(url: &str, here: &Utf8Path, branch: Option<&str>) -> Self {
        let path = here.join(url);
        let url = match fs_err::canonicalize(&path) {
            Ok(path) => path.to_string_lossy().into_owned(),
            Err(_) => url.to_owned(),
        };
        Self {
            secrets: secrets(&url),
            url,
            branch: branch.filter(|name| !name.is_empty()).map(str::to_owned),
        }
    }

    fn hidden(&self, text: &str) -> String {
        let hide = |text: String, secret: &String| text.replace(secret.as_str(), "***");
        self.secrets.iter().fold(text.to_owned(), hide)
    }

    /// Runs git. Its words are in English, since some are compared.
    async fn run(
        &self,
        folder: Option<&std::path::Path>,
        arguments: &[&str],
    ) -> Result<Output, Failure> {
        let mut command = Command::new("git");
        if let Some(folder) = folder {
            command.arg("-C").arg(folder);
        }
        command
            // The files are what we wrote, whatever git does elsewhere.
            .args(["-c", "core.autocrlf=false", "-c", "core.symlinks=false"])
            .args(arguments)
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            // Set where git itself has called us, from a hook.
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
            .output()
            .await
            .map_err(|error| Failure::new(Exit::Environment, format!("git cannot be run: {error}")))
    }

    /// Runs git and returns what it says; `doing` names what failed otherwise.
    async fn ask(
        &self,
        folder: Option<&std::path::Path>,
        doing: &str,
        arguments: &[&str],
    ) -> Result<String, Failure> {
        let output = self.run(folder, arguments).await?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(self.failed(doing, &output)),
        }
    }

    fn failed(&self, doing: &str, output: &Output) -> Failure {
        let text = String::from_utf8_lossy(&output.stderr);
        let text = self.hidden(text.trim());
        Failure::new(Exit::Environment, format!("{doing} failed: {text}"))
    }

    /// The branch a wiki is on, and whether it is there.
    async fn branch(&self) -> Result<(String, bool), Failure> {
        let question = [
            "ls-remote",
            "--symref",
            "--",
            &self.url,
            "HEAD",
            "refs/heads/*",
        ];
        let doing = format!("reading {}", self.hidden(&self.url));
        let answer = self.ask(None, &doing, &question).await.map_err(|failure| {
            failure.help("does it exist, and may you read it? A wiki on GitHub exists once its first page was saved")
        })?;
        let lines = || answer.lines().filter_map(|line| line.split_once('\t'));
        let head = lines().find_map(|(value, name)| match name {
            "HEAD" => value.strip_prefix("ref: refs/heads/"),
            _ => None,
        });
        let branch = self.branch.as_deref().or(head).unwrap_or(BRANCH);
        let name = format!("refs/heads/{branch}");
        Ok((branch.to_owned(), lines().any(|(_, found)| found == name)))
    }

    /// Fetches the newest commit alone, and checks it out; nothing of a repository without commits.
    pub async fn checkout(&self) -> Result<Checkout<'_>, Failure> {
        let (branch, is_there) = self.branch().await?;
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::new(Exit::Environment, format!("a folder for the wiki: {error}"))
        })?;
        let checkout = Checkout {
            remote: self,
            folder,
            branch,
        };
        checkout.ask("git init", &["init", "--quiet"]).await?;
        let name = format!("refs/heads/{}", checkout.branch);
        match is_there {
            true => {
                let fetch = [
                    "fetch",
                    "--quiet",
                    "--depth",
                    "1",
                    "--no-tags",
                    "--",
                    &self.url,
                    &name,
                ];
                checkout.ask("fetching the wiki", &fetch).await?;
                let switch = ["checkout", "--quiet", "-B", &checkout.branch, "FETCH_HEAD"];
                checkout.ask("git checkout", &switch).await?;
            }
            false => {
                checkout
                    .ask("git symbolic-ref", &["symbolic-ref", "HEAD", &name])
                    .await?;
            }
        }
        Ok(checkout)
    }
}

impl Checkout<'_> {
    pub fn path(&self) -> Utf8PathBuf {
        let path = self.folder.path().to_string_lossy().into_owned();
        Utf8PathBuf::from(path)
    }

    async fn ask(&self, doing: &str, arguments: &[&str]) -> Result<String, Failure> {
        self.remote
            .ask(Some(self.folder.path()), doing, arguments)
            .await
    }

    /// Takes files for the next commit; whether there is anything to commit.
    pub async fn add(&self, files: &[&str]) -> Result<bool, Failure> {
        if files.is_empty() {
            return Ok(false);
        }
        // Whatever some .gitignore says.
        let mut add = vec!["add", "--all", "--force", "--"];
        add.extend(files);
        self.ask("git add", &add).await?;
        let status = self
            .ask(
                "git status",
                &["status", "--porcelain", "--untracked-files=no"],
            )
            .await?;
        Ok(!status.trim().is_empty())
    }

    /// Commits as whom git knows in `folder`, the stack's, else as laminate.
    pub async fn commit(&self, folder: &Utf8Path, message: &str) -> Result<String, Failure> {
        let known = async |name: &str| {
            let asked = ["config", "--get", name];
            let answer = self.remote.run(Some(folder.as_std_path()), &asked).await?;
            let text = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
            Ok::<_, Failure>((answer.status.success() && !text.is_empty()).then_some(text))
        };
        let (name, email) = match (known("user.name").await?, known("user.email").await?) {
            (Some(name), Some(email)) => (name, email),
            _ => ("laminate".to_owned(), "laminate@localhost".to_owned()),
        };
        let (name, email) = (format!("user.name={name}"), format!("user.email={email}"));
        let commit = [
            "-c",
            &name,
            "-c",
            &email,
            "commit",
            "--quiet",
            "--message",
            message,
        ];
        self.ask("git commit", &commit).await?;
        let hash = self.ask("git rev-parse", &["rev-parse", "HEAD"]).await?;
        Ok(hash.trim().to_owned())
    }

    /// Pushes; returns why it was refused, if it was because of what is there.
    pub async fn push(&self) -> Result<Option<String>, Failure> {
        let to = format!("HEAD:refs/heads/{}", self.branch);
        let push = ["push", "--porcelain", "--", &self.remote.url, &to];
        let output = self.remote.run(Some(self.folder.path()), &push).await?;
        if output.status.success() {
            return Ok(None);
        }
        // `!` marks a ref that was not taken (git-push(1), OUTPUT).
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match said.lines().find_map(|line| line.strip_prefix("!\t")) {
            Some(line) => {
                let why = line.split('\t').next_back().unwrap_or(line);
                Ok(Some(self.remote.hidden(why)))
            }
            None => Err(self.remote.failed("pushing the wiki", &output)),
        }
    }
}

/// The password of a URL, or what stands for it: some hosts take a token as the user's name.
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
    // The longer first: one may begin with the other.
    list.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reads_the_password_of_a_url() {
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
            assert_eq!(remote.hidden(url), shown);
        }
        let remote = Remote::new("https://me:s%2Fcret@example.org/x", Utf8Path::new(""), None);
        assert_eq!(remote.hidden("for s/cret and s%2Fcret"), "for *** and ***");
    }
}
