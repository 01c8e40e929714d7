//! What commands share: the stack and its lock, the registry's client, the engine.

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use camino::Utf8PathBuf;
use tokio_util::sync::CancellationToken;

pub use load::{load, load_to_plan, spec_path};

use super::interrupt::unless_cancelled;
use super::{Exit, Failure, Global, certificates, exit};
use crate::build::{EngineSource, Environment};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::gather::{self, Comparison, Gathered};
use crate::git;
use crate::interrupt::TagLog;
use crate::list;
use crate::llb::{Platform, Proxy};
use crate::name::Reference;
use crate::plan::{self, Plan, Request};
use crate::registry::{Credentials, Options, Registry};
use crate::release::refs::{Caller, Question, Runner};
use crate::spec::lock::Lock;
use crate::stack::{Found, Image, ImageId, Stack};
use crate::tool;
use crate::trace::{self, Track};

/// A stack as loaded.
pub struct Context {
    pub stack: Stack,
    /// The folder of the spec.
    pub folder: Utf8PathBuf,
    /// The files and folders that make up the stack, relative to the folder.
    pub files: Vec<String>,
    /// What to report when the stack is planned.
    pub warnings: Vec<String>,
    /// What git warns of while it reads the files.
    git_warnings: git::Warnings,
    pub lock: Option<Lock>,
    /// Variables given from outside the spec, of those that it declares and uses: a release stores their
    /// values.
    pub vars: BTreeMap<String, String>,
    /// The files of a repository as they were found.
    found: Option<Arc<Found>>,
    /// What git finds of them, until a plan takes it.
    comparison: Mutex<Option<Comparison>>,
}

/// Returns the index of Python packages that tools are fetched from: that of uv or pip on this machine.
fn index_of_packages() -> String {
    let variables = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"];
    let index = variables.into_iter().find_map(variable);
    let index = index.unwrap_or_else(|| "https://pypi.org/simple".to_owned());
    index.trim_end_matches('/').to_owned()
}

/// Returns a folder for what can be made again: digests of files, tools.
fn cache_folder(name: &str) -> Option<PathBuf> {
    let folder = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))?;
    Some(cache.join("laminate").join(name))
}

impl Context {
    /// The images that selectors name; `None` for all.
    pub fn select(&self, selectors: &[String]) -> Result<Option<BTreeSet<ImageId>>, Failure> {
        if selectors.is_empty() {
            return Ok(None);
        }
        plan::select(&self.stack, selectors)
            .map(Some)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }

    /// Returns the one image that a selector names.
    pub fn select_one(&self, selector: &str) -> Result<ImageId, Failure> {
        let wanted = self.select(&[selector.to_owned()])?.unwrap_or_default();
        let mut wanted = wanted.into_iter();
        if let (Some(id), None) = (wanted.next(), wanted.next()) {
            return Ok(id);
        }
        let text = format!("`{selector}` is more than one image");
        Err(Failure::new(Exit::Usage, text).help("name one image, and its variant with --variant"))
    }

    /// Returns how facts about the stack are gathered; `platform` is [`platform_name`].
    pub fn gathering<'a>(&'a self, platform: &'a str, request: &'a Request) -> gather::Options<'a> {
        gather::Options {
            folder: &self.folder,
            files: &self.files,
            platform,
            lock: self.lock.as_ref(),
            request,
            now: jiff::Timestamp::now(),
            reads_all: false,
        }
    }

    /// Gathers the facts and plans. `registry` is `None` to contact nothing.
    pub async fn plan(
        &self,
        registry: Option<&Registry>,
        request: &Request,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<(Gathered, Plan), Failure> {
        let platform = platform_name();
        let options = self.gathering(&platform, request);
        self.plan_with(&options, registry, events, cancel).await
    }

    /// Gathers the facts in a certain way and plans.
    pub async fn plan_with(
        &self,
        options: &gather::Options<'_>,
        registry: Option<&Registry>,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<(Gathered, Plan), Failure> {
        let sources = self.stack.sources();
        let warnings = self.stack.warnings().iter();
        let warnings = warnings.map(|found| exit::warning(sources, found));
        for text in self.warnings.iter().cloned().chain(warnings) {
            events.send(Event::Warning { text });
        }
        self.warn_of_git(events);
        let gather_span = trace::span(Track::Command, || "gather facts".to_owned());
        let gathering = async {
            let comparison = self.comparison.lock();
            let comparison = comparison.unwrap_or_else(PoisonError::into_inner).take();
            let gathered = gather::gather(&self.stack, options, comparison, registry, events).await;
            gathered.map_err(|error| self.explained(error))
        };
        let gathered = unless_cancelled(cancel, gathering).await?;
        self.warn_of_git(events);
        let checkout = gathered.facts.checkout.as_ref();
        if self.found.is_none() && checkout.is_some_and(|it| !it.is_dirty()) {
            // The folder was in no repository when its files were found.
            return Err(gather::Error::Writing.into());
        }
        drop(gather_span);
        let _span = trace::span(Track::Command, || "plan".to_owned());
        let plan = Plan::new(
            &self.stack,
            &gathered.keys,
            &gathered.facts,
            options.request,
        )?;
        Ok((gathered, plan))
    }

    /// Sends what git warned of since it was last sent.
    fn warn_of_git(&self, events: &Events) {
        for warning in self.git_warnings.take() {
            let text = format!("git reports: {warning}");
            events.send(Event::Warning { text });
        }
    }

    /// Checks that the files of the stack are still those that this was loaded from.
    pub async fn ensure_unchanged(&self) -> Result<(), Failure> {
        match &self.found {
            Some(found) => Ok(gather::ensure_unchanged(&self.folder, found).await?),
            None => Ok(()),
        }
    }

    /// Sends a note about external images whose tags were looked up, for commands that build or show what would be built.
    pub fn note_unlocked(gathered: &Gathered, events: &Events) {
        if gathered.facts.is_offline {
            return;
        }
        if let Some(text) = unlocked_note(&gathered.unlocked) {
            events.send(Event::Note { text });
        }
    }

    /// Returns for what the command runs: what CI's variables report, completed by git.
    pub async fn caller(&self) -> Caller {
        let runner = Runner::from_variables(variable);
        let answer = match runner.question() {
            None => None,
            Some(Question::Branch) => git::branch(&self.folder).await,
            Some(Question::Head) => {
                let head = git::read_head(&self.folder).await.ok().flatten();
                head.map(|(commit, _)| commit.to_string())
            }
        };
        runner.caller(answer)
    }

    /// Returns the user a command runs for: the CI user if a runner sets one, else `USER`, else the name that git has, else
    /// `unknown`.
    pub async fn actor(&self) -> String {
        let names = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER"];
        let name = match names.into_iter().find_map(variable) {
            None => git::user_name(&self.folder).await,
            name => name,
        };
        name.unwrap_or_else(|| "unknown".to_owned())
    }

    /// Returns the failure to gather facts. An external image that cannot be looked up is shown with the place that names it.
    fn explained(&self, error: gather::Error) -> Failure {
        let gather::Error::External { reference, .. } = &error else {
            return error.into();
        };
        let mut images = self.stack.images().iter().flat_map(Image::external_images);
        let named = images.find(|image| image.reference.value == *reference);
        let place = named.map(|image| exit::place_text(self.stack.sources(), image.reference.span));
        let last = reference.repository.path().rsplit('/').next();
        let names = self.stack.images().iter().map(|image| image.name.as_str());
        let meant = nearest(last.unwrap_or_default(), names);
        let meant = meant.map(|name| format!("; did you mean the image `{name}` of the stack?"));
        let failure = Failure::from(error);
        match place {
            Some(place) => failure.help(format!("{place} names it{}", meant.unwrap_or_default())),
            None => failure,
        }
    }

    /// Returns the certificates that steps trust, PEM.
    pub fn ca(&self, global: &Global) -> Result<Option<Vec<u8>>, Failure> {
        match given_ca(global) {
            Some(path) => certificates::read(path).map(Some),
            None => self.ca_of_spec(),
        }
    }

    /// Checks that a build can read the certificates of the spec, unless others are given.
    pub fn check_ca(&self, global: &Global) -> Result<(), Failure> {
        if given_ca(global).is_none() {
            self.ca_of_spec()?;
        }
        Ok(())
    }

    fn ca_of_spec(&self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(path) = &self.stack.build().ca else {
            return Ok(None);
        };
        let read = certificates::read_of_spec(&self.folder, path);
        let sources = self.stack.sources();
        read.map(Some)
            .map_err(|problem| Failure::spec(sources.as_ref().clone(), vec![problem]))
    }
}

/// Returns the file of certificates that the user gives.
fn given_ca(global: &Global) -> Option<&Utf8PathBuf> {
    let given = global.ca.as_ref();
    given.filter(|path| !path.as_str().is_empty())
}

/// Returns a note about external images that are not locked; `None` if all are.
fn unlocked_note(unlocked: &[Reference]) -> Option<String> {
    const SHOWN: usize = 3;
    let names: Vec<String> = unlocked.iter().map(|name| format!("`{name}`")).collect();
    let text = match names.as_slice() {
        [] => return None,
        [one] => format!(
            "image {one} is not locked; using the current digest of its tag (`laminate lock` pins it)"
        ),
        names => format!(
            "images {} are not locked; using the current digests of their tags (`laminate lock` pins them)",
            list::first(names, SHOWN)
        ),
    };
    Some(text)
}

/// What images are for: this machine.
pub fn platform() -> Platform {
    Platform::linux(std::env::consts::ARCH)
}

/// Returns what images are for, as `linux/amd64`.
pub fn platform_name() -> String {
    let platform = platform();
    format!("{}/{}", platform.os, platform.architecture)
}

/// The registries' client, with the credentials docker has; `None` if nothing is to be contacted.
pub fn registry_unless(
    offline: bool,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Option<Registry>, Failure> {
    if offline {
        Ok(None)
    } else {
        registry(Credentials::from_environment(), events, stop).map(Some)
    }
}

/// Returns the registries' client for a command that sets no tags of images; `stop` ends its requests.
pub fn registry(
    credentials: Credentials,
    events: &Events,
    stop: &CancellationToken,
) -> Result<Registry, Failure> {
    let log = TagLog::default();
    registry_with(credentials, events, stop, &log)
}

/// Returns the registries' client; the tags of images that it sets are added to `log`.
pub fn registry_with(
    credentials: Credentials,
    events: &Events,
    stop: &CancellationToken,
    log: &TagLog,
) -> Result<Registry, Failure> {
    let ca_file = std::env::var_os("SSL_CERT_FILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let options = Options {
        ca_file,
        plain_http: list("LAMINATE_HTTP_REGISTRIES"),
        tls: list("LAMINATE_TLS_REGISTRIES"),
        credentials,
        events: events.clone(),
        stop: stop.clone(),
        log: log.clone(),
        ..Options::default()
    };
    Ok(Registry::new(options)?)
}

/// Returns what a build reads of this machine.
pub fn build_environment(credentials: Credentials, caller: Caller) -> Environment {
    let either = |names: [&str; 2]| names.into_iter().find_map(variable).unwrap_or_default();
    Environment {
        platform: platform(),
        tools: tool::Settings {
            cache: cache_folder("tools"),
            index: index_of_packages(),
            offline: false,
        },
        proxy: Proxy {
            http: either(["HTTP_PROXY", "http_proxy"]),
            https: either(["HTTPS_PROXY", "https_proxy"]),
            ftp: either(["FTP_PROXY", "ftp_proxy"]),
            no: either(["NO_PROXY", "no_proxy"]),
            all: either(["ALL_PROXY", "all_proxy"]),
        },
        source_date_epoch: variable("SOURCE_DATE_EPOCH"),
        caller,
        credentials,
        lists: cache_folder("files"),
        // One more than processors: they wait while a container starts or ends.
        suites: std::thread::available_parallelism().map_or(2, |count| count.get() + 1),
        now: jiff::Timestamp::now,
    }
}

/// Returns where the engine comes from: `--engine`, else `BUILDKIT_HOST`, else one is started for the run.
pub fn engine_source(global: &Global) -> EngineSource {
    let address = global.engine.clone().filter(|text| !text.is_empty());
    if let Some(address) = address.or_else(|| variable("BUILDKIT_HOST")) {
        return EngineSource::Address {
            text: address,
            is_insecure_allowed: global.insecure_engine,
        };
    }
    let folder = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        // As the XDG Base Directory Specification has it.
        path.filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    let runtime = folder("XDG_RUNTIME_DIR").into_iter();
    let runtime = runtime.chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
    EngineSource::Private {
        state: state.map(|path| path.join("laminate/engine")),
        runtime: runtime.collect(),
    }
}

/// Returns the entries of a variable, which are separated by commas.
fn list(name: &str) -> Vec<String> {
    let text = variable(name).unwrap_or_default();
    let entries = text.split(',').map(str::trim);
    entries
        .filter(|entry| !entry.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Returns the value of a variable that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
