//! What a build is asked to do, and what it is made from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use camino::Utf8PathBuf;

use super::error::Error;
use crate::event::Events;
use crate::export::Loader;
use crate::gather::{self, Gathered};
use crate::interrupt::Interrupt;
use crate::llb::{Platform, Proxy};
use crate::plan::{Plan, Request};
use crate::registry::{Credentials, Registry};
use crate::release::refs::Caller;
use crate::stack::Stack;
use crate::tool;

/// What a build is made from: decided before it begins, and shared by its phases.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The stack to build.
    pub stack: &'a Stack,
    /// The stack with all its variants, of which `stack` may have some only: a release has all.
    pub whole: &'a Stack,
    /// How facts are gathered about them.
    pub gathering: gather::Options<'a>,
    /// The facts about it.
    pub gathered: &'a Gathered,
    /// The plan made from them.
    pub plan: &'a Plan,
    /// What the user asked for.
    pub options: &'a Options,
    /// What was read of the machine.
    pub environment: &'a Environment,
    /// The client of registries.
    pub registry: &'a Registry,
    /// Where progress is sent.
    pub events: &'a Events,
    /// Stops the build, but not between tags.
    pub interrupt: &'a Interrupt,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// Build what is missing, and prove it.
    #[default]
    Build,
    /// Prove images that are built already; build nothing.
    Test,
}

/// What a user asks for.
#[derive(Clone, Default)]
pub struct Options {
    /// Whether images are built.
    pub goal: Goal,
    /// What the plan was made for.
    pub request: Request,
    /// Put images under their immutable tags when everything passed.
    pub push: bool,
    /// The archive to write.
    pub archive: Option<PathBuf>,
    /// Loads the selected images on this machine.
    pub load: Option<Loader>,
    /// Contact no registry.
    pub offline: bool,
    /// Check the request only; nothing is carried out.
    pub dry_run: bool,
    /// Publish although files of the stack differ from the commit.
    pub allow_dirty: bool,
    /// Stop everything when one image fails.
    pub fail_fast: bool,
    /// The JUnit report to write.
    pub junit: Option<Utf8PathBuf>,
    /// Values of secrets of steps and suites, by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Sockets of SSH agents, by ID.
    pub agents: BTreeMap<String, PathBuf>,
    /// Certificates that steps trust, PEM.
    pub ca: Option<Vec<u8>>,
    /// Variables given outside the spec, kept in the release record.
    pub vars: BTreeMap<String, String>,
}

/// What is read of the machine, so that a build asks neither environment nor git itself.
#[derive(Clone)]
pub struct Environment {
    /// The platform of images.
    pub platform: Platform,
    /// Where tools come from.
    pub tools: tool::Settings,
    /// Proxies that steps use.
    pub proxy: Proxy,
    /// The variable `SOURCE_DATE_EPOCH`, if it is set and not empty.
    pub source_date_epoch: Option<String>,
    /// For what the command runs.
    pub caller: Caller,
    /// Credentials for the engine, which asks for them by host.
    pub credentials: Credentials,
    /// The folder of lists of images' files.
    pub lists: Option<PathBuf>,
    /// Suites to run at the same time.
    pub suites: usize,
    /// The clock.
    pub now: fn() -> jiff::Timestamp,
}

impl Options {
    /// Checks that there is a registry or an archive to write to, before anything is contacted.
    pub fn check(&self, stack: &Stack) -> Result<(), Error> {
        if self.push && stack.registry().is_none() {
            return Err(Error::PushWithoutRegistry);
        }
        if !self.is_online(stack) && !self.exports() {
            return Err(Error::NoRegistry);
        }
        Ok(())
    }

    /// Whether images leave the engine in an archive, which is written or loaded.
    pub fn exports(&self) -> bool {
        self.archive.is_some() || self.load.is_some()
    }

    /// Whether registries are contacted, and there is one to push to.
    pub(super) fn is_online(&self, stack: &Stack) -> bool {
        !self.offline && stack.staging().is_some()
    }
}
