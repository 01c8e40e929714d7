//! One step by itself, always as a command: for those who write it down in another language.

use super::compiler::Compiler;
use super::config::BaseConfig;
use super::defaults::StepDefaults;
use super::exec::StepContext;
use super::group::merge;
use super::steps;
use super::steps::file_commands::place;
use super::steps::placement::workdir;
use crate::diagnostic::Diagnostic;
use crate::llb::{Exec, Meta, Output};
use crate::stack::{Files, Image, Kind, Step};

impl Compiler<'_> {
    /// Returns the files of the stack.
    pub fn stack_files(&self) -> &Files {
        self.stack.files()
    }

    /// Adds one step of an image as a command, also if it only places files, and returns the command. `base` is the
    /// config of the image's base.
    pub fn step_as_command(
        &mut self,
        image: &Image,
        step: &Step,
        base: &BaseConfig,
        root: Output,
    ) -> Result<Exec, Diagnostic> {
        let defaults = StepDefaults::new(image, base);
        let files = self.stack.files();
        let command = match &step.kind {
            Kind::Group(members) => merge(step, members, &defaults, files)?,
            Kind::Workdir(_) => place(&[workdir(&defaults.starts_in, &defaults.starts_as)], None),
            _ => steps::command(step, defaults.shell(step), files)
                .expect("groups are merged, and Dockerfiles have no command"),
        };
        let label = self.stack.label_of(image);
        let context = StepContext {
            image,
            refreshed: None,
            label: &label,
            defaults: &defaults,
            step,
            meta: &Meta::default(),
            root,
        };
        let made = self.exec(context, &command);
        let exec = self.graph.exec_of(made);
        Ok(exec.expect("it was added as a command").clone())
    }
}
