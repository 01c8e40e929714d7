//! `contexts: { NAME: { folder: FOLDER } }`: folders that a Dockerfile copies from beside its context.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use super::Dockerfile;
use super::read::Reading;
use crate::diagnostic::Diagnostic;
use crate::dockerfile::{Uses, context_name};
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::stack::image_names::Use;
use crate::stack::steps::context::StepReader;

/// A folder that a Dockerfile has a name for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderContext {
    /// The folder, under `images/`.
    pub folder: Utf8PathBuf,
    /// Its files, by their path in it; none if the target does not use it.
    pub files: BTreeMap<String, Utf8PathBuf>,
}

impl FolderContext {
    /// Reads `{ folder: FOLDER }`.
    fn read(step: &StepReader, node: &Node) -> Option<Self> {
        let reader = step.reader;
        let fields = reader.fields(node, "an entry of `contexts`", &["folder"])?;
        let node = reader.required(&fields, "an entry of `contexts`", "folder")?;
        let text = reader.text(node, "`folder`")?;
        Some(Self {
            folder: step.paths.folder(reader, &text, node.span)?,
            files: BTreeMap::new(),
        })
    }
}

impl Dockerfile {
    /// Reads `contexts:`, by the names that the frontend looks up. Returns where they are.
    pub fn read_contexts(
        &mut self,
        step: &StepReader,
        node: &Node,
    ) -> Option<BTreeMap<String, Span>> {
        let mut places = BTreeMap::new();
        for entry in step.reader.some_entries(node, "`contexts`")? {
            let name = context_name(&step.reader.key(&entry.key)?);
            if places.insert(name.clone(), entry.key.span).is_some() {
                let problem = Diagnostic::error(format!("duplicate context `{name}`"));
                let label = "the engine takes both for the same name";
                step.reader.report(problem.at(entry.key.span, label));
                return None;
            }
            if let Value::Map(_) = &entry.value.value {
                let folder = FolderContext::read(step, &entry.value)?;
                self.folders.insert(name, folder);
            } else {
                let source = step.images.read(step.reader, &entry.value, Use::Copy)?;
                self.contexts.insert(name, source);
            }
        }
        Some(places)
    }
}

impl Reading<'_> {
    /// Finds the files of the folders that the target uses, without those that a `.dockerignore` in the folder ignores.
    pub fn folders(&self, made: &mut Dockerfile, uses: &Uses) -> Option<()> {
        for (name, context) in &mut made.folders {
            let mut used = uses.images.iter().chain(uses.root.image());
            if !used.any(|word| context_name(&word.value) == *name) {
                continue;
            }
            let ignored = context.folder.join(".dockerignore");
            let ignore = self.patterns(&ignored)?;
            let is_used = |path: &str| !ignore.matches(path);
            context.files = self.files_of(&context.folder, is_used)?;
        }
        Some(())
    }
}
