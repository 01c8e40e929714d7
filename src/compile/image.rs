//! One image: its steps in their order, each an operation on the one before.

use std::collections::BTreeMap;

use super::compiler::{BaseState, Compiler, group_of};
use super::config::{self, BaseConfig};
use super::config_text::check_environment;
use super::defaults::StepDefaults;
use super::exec::StepContext;
use super::group::merge;
use super::steps::file_actions::{FileActions, can_be_actions};
use super::steps::{
    self,
    placement::{What, placements, workdir},
};
use super::tree::Content;
use crate::diagnostic::Diagnostic;
use crate::llb::{Action, File, Meta, OpId, Output};
use crate::source::Spanned;
use crate::stack::{Base, Image, ImageId, ImageSource, Kind, Stack};

/// An image in the graph.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Its file system.
    pub output: Output,
    /// Its config, without the history that [`config::finished`] adds.
    pub config: BaseConfig,
    /// The step that each operation belongs to, by its index from 0.
    pub operations: BTreeMap<OpId, usize>,
    /// The file system before the first step, and after each.
    pub states: Vec<Output>,
}

impl Compiled {
    /// Returns the image as the base of another.
    pub fn state(&self) -> BaseState {
        BaseState {
            output: self.output,
            config: self.config.clone(),
        }
    }
}

impl Compiler<'_> {
    /// Adds an image on its base. Fails where a step cannot be one layer.
    pub fn image(&mut self, id: ImageId, base: BaseState) -> Result<Compiled, Diagnostic> {
        self.image_after(id, base, &[])
    }

    /// Adds an image on its base, of which the states after its first steps are known.
    pub fn image_after(
        &mut self,
        id: ImageId,
        base: BaseState,
        known: &[Output],
    ) -> Result<Compiled, Diagnostic> {
        let image = &self.stack[id];
        check_triggers(self.stack, image, &base.config)?;
        if let Some(problem) = check_environment(image, &base.config.env()).pop() {
            return Err(problem);
        }
        let label = self.stack.label(id);
        let mut operations = BTreeMap::new();
        let mut output = base.output;
        let defaults = StepDefaults::new(image, &base.config);
        let mut states = vec![output];
        for (index, step) in image.steps.iter().enumerate() {
            if let Some(known) = known.get(index) {
                output = *known;
                states.push(output);
                continue;
            }
            let meta = Meta {
                name: format!("{label}: {}", step.title),
                group: Some(group_of(&label)),
                origin: Some(self.origin_of(step.span)),
                ignore_cache: self.environment.ignore_cache.contains(&id),
            };
            output = self.step(StepContext {
                image,
                refreshed: self.environment.refreshed.get(&id).map(String::as_str),
                label: &label,
                defaults: &defaults,
                step,
                meta: &meta,
                root: output,
            })?;
            operations.insert(output.op, index);
            states.push(output);
        }
        Ok(Compiled {
            output,
            config: config::config(image, &base.config),
            operations,
            states,
        })
    }

    fn step(&mut self, context: StepContext) -> Result<Output, Diagnostic> {
        let StepContext { step, defaults, .. } = context;
        if let Some(actions) = self.step_actions(context) {
            let file = File {
                base: Some(context.root),
                actions,
            };
            return Ok(self.graph.file(file, context.meta.clone()));
        }
        let files = self.stack.files();
        let command = if let Kind::Group(members) = &step.kind {
            merge(step, members, defaults, files)?
        } else {
            let command = steps::command(step, defaults.shell(step), files);
            command.expect("a Dockerfile is there before the steps, and a group was merged")
        };
        Ok(self.exec(context, &command))
    }

    /// Returns the step as operations on files; `None` if it takes a command.
    fn step_actions(&mut self, context: StepContext) -> Option<Vec<Action>> {
        let StepContext { image, step, .. } = context;
        let writable = image.writable.as_ref();
        let list = if let Kind::Workdir(_) = step.kind {
            let StepDefaults {
                starts_in,
                starts_as,
                ..
            } = context.defaults;
            vec![workdir(starts_in, starts_as)]
        } else {
            placements(step, self.stack.files())?
        };
        if !step.finish.is_empty() || !can_be_actions(&list, writable) {
            return None;
        }
        let is_small = self.is_small(list.iter().filter_map(|placement| match &placement.what {
            What::File(entry) => Some(entry),
            _ => None,
        }));
        let in_graph = |content: &Content| is_small.then(|| self.bytes(content)).flatten();
        let FileActions { tree, actions, .. } = FileActions::new(&list, writable, &in_graph);
        let tree = (!tree.0.is_empty())
            .then(|| self.tree(&tree, tree.copies_folders(), "files of the step"));
        let mut copied = |source: &ImageSource| self.copied(image, source, context.label);
        let actions = actions.into_iter();
        Some(
            actions
                .map(|action| action.with_source(tree, &mut copied))
                .collect(),
        )
    }
}

/// Fails if the base has ONBUILD triggers, which only the frontend of a Dockerfile runs, and the image does not ignore
/// them.
pub(super) fn check_triggers(
    stack: &Stack,
    image: &Image,
    base: &BaseConfig,
) -> Result<(), Diagnostic> {
    let triggers = base.triggers();
    if triggers.is_empty() || image.config.ignores_triggers || image.dockerfile().is_some() {
        return Ok(());
    }
    let (value, span) = match &image.base {
        Base::External(external) => {
            let Spanned { value, span } = &external.reference;
            (value.to_string(), *span)
        }
        Base::Image(parent) => (stack.label(*parent), image.name.span),
        Base::Scratch => return Ok(()),
    };
    Err(
        Diagnostic::error(format!("unsupported ONBUILD triggers in base `{value}`"))
            .at(span, format!("the base has `{}`", triggers.join("`, `")))
            .help(
                "write them as `steps:`, and set `config: { onbuild: ignore }`, or use another base",
            ),
    )
}
