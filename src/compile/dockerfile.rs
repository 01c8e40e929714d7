//! A Dockerfile for the frontend of the engine: what it is asked, and its answer in the graph.
//!
//! Options and inputs are those of `dockerfile.v0` (frontend/dockerui/config.go, context.go and namedcontext.go of BuildKit
//! 0.32.2). Every image that the file names is an input, so that the frontend resolves none itself.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bollard_buildkit_proto::pb;
use camino::Utf8PathBuf;
use serde_json::json;

use super::command::PLACE;
use super::compiler::{BaseState, Compiler, group_of};
use super::config::BaseConfig;
use super::environment::Environment;
use super::mounts::tmpfs;
use super::tree::{Content, Entry, Tree};
use crate::dockerfile::context_name;
use crate::llb::{Action, EmbedError, EmbeddedOutput, ExecAdditions, File, Meta, Network, Output};
use crate::stack::{Dockerfile, ImageId};

/// The start of the instruction in the name of the merge of `COPY --link` and `ADD --link` (`dispatchCopy` in
/// frontend/dockerfile/dockerfile2llb/convert.go).
const MERGE: &str = "] LINK ";

/// What the frontend is asked.
#[derive(Clone, Debug, Default)]
pub struct DockerfileRequest {
    /// Options by name.
    pub options: BTreeMap<String, String>,
    /// File systems that the options name.
    pub inputs: BTreeMap<String, Output>,
}

/// A Dockerfile in the graph.
#[derive(Clone, Debug)]
pub struct DockerfileState {
    /// What it leaves, with its config.
    pub state: BaseState,
    /// The digest of each of its own operations, and its title: that of an instruction is unique, and empty for an operation
    /// that is a part of another one's instruction.
    pub operations: Vec<(String, String)>,
}

impl Compiler<'_> {
    /// Returns what the frontend is asked to make of the Dockerfile of an image. `images` are those that it names, by the
    /// name it has for them, with their configs.
    pub fn dockerfile(
        &mut self,
        id: ImageId,
        file: &Dockerfile,
        images: &BTreeMap<String, BaseState>,
        platform: &str,
    ) -> DockerfileRequest {
        let mut asked = DockerfileRequest::default();
        let mut set = |name: &str, value: &str| {
            asked.options.insert(name.to_owned(), value.to_owned());
        };
        set("filename", file.file.as_str());
        set("platform", platform);
        // With this, `# syntax=` does not have another frontend fetched.
        set("cmdline", "docker/dockerfile");
        if let Some(target) = &file.target {
            set("target", target);
        }
        if self.environment.ignore_cache.contains(&id) {
            set("no-cache", "");
        }
        if !self.environment.cache_scope.is_empty() {
            let name = "build-arg:BUILDKIT_CACHE_MOUNT_NS";
            set(name, &self.environment.cache_scope);
        }
        if let Some(proxy) = &self.environment.proxy {
            for (name, value) in [
                ("HTTP_PROXY", &proxy.http),
                ("HTTPS_PROXY", &proxy.https),
                ("FTP_PROXY", &proxy.ftp),
                ("NO_PROXY", &proxy.no),
                ("ALL_PROXY", &proxy.all),
            ] {
                if !value.is_empty() {
                    set(&format!("build-arg:{name}"), value);
                }
            }
        }
        for (name, value) in &file.args {
            set(&format!("build-arg:{name}"), value);
        }
        for (number, (name, image)) in images.iter().enumerate() {
            let input = format!("image-{number}");
            let name = context_name(name);
            set(&format!("context:{name}"), &format!("input:{input}"));
            let config = BASE64_STANDARD.encode(image.config.0.to_string());
            let metadata = json!({ "containerimage.config": config }).to_string();
            set(&format!("input-metadata:{input}"), &metadata);
            asked.inputs.insert(input, image.output);
        }
        for (number, (name, folder)) in file.folders.iter().enumerate() {
            let input = format!("folder-{number}");
            let name = context_name(name);
            let option = format!("context:{name}");
            asked.options.insert(option, format!("input:{input}"));
            let files = self.files_of_stack(&folder.files);
            let files = self.tree(&files, true, "build context");
            asked.inputs.insert(input, files);
        }
        let (context, itself) = self.dockerfile_files(file);
        asked.inputs.insert("context".to_owned(), context);
        asked.inputs.insert("dockerfile".to_owned(), itself);
        asked
    }

    /// Adds the files of the context, and the Dockerfile.
    fn dockerfile_files(&mut self, file: &Dockerfile) -> (Output, Output) {
        let context = self.files_of_stack(&file.files);
        let mut itself = Tree::default();
        let content = match &file.renamed {
            Some(text) => Content::Text(text.clone()),
            None => Content::Stack(file.file.clone()),
        };
        let entry = Entry::File {
            mode: 0o644,
            content,
        };
        itself.insert(format!("/{}", file.file), entry);
        (
            self.tree(&context, true, "build context"),
            self.tree(&itself, false, "Dockerfile"),
        )
    }

    /// Returns files by their path in a folder.
    fn files_of_stack(&self, files: &BTreeMap<String, Utf8PathBuf>) -> Tree {
        let mut tree = Tree::default();
        for (path, found) in files {
            if let Some(entry) = Entry::of_stack(found, self.stack.files()) {
                tree.insert(format!("/{path}"), entry);
            }
        }
        tree
    }

    /// Adds what the frontend made of the Dockerfile of an image. `before`: the operations of its inputs, by digest.
    pub fn add_dockerfile(
        &mut self,
        id: ImageId,
        definition: &pb::Definition,
        config: BaseConfig,
        before: &BTreeSet<String>,
    ) -> Result<DockerfileState, EmbedError> {
        let group = group_of(&self.stack.label(id));
        let additions = self.additions(id);
        let made = self.graph.embed(definition, &additions, &group, before)?;
        let made = made.unwrap_or_else(|| EmbeddedOutput {
            output: self.nothing(),
            names: Vec::new(),
        });
        let output = made.output;
        Ok(DockerfileState {
            state: BaseState { output, config },
            operations: titled(made.names),
        })
    }

    /// Returns what the commands of a Dockerfile get beside what it gives them itself: certificates, and what makes them
    /// others than those of the last period of `refresh:`.
    fn additions(&self, id: ImageId) -> ExecAdditions {
        let mut env = Environment::default();
        let mut mounts = Vec::new();
        self.trust(Network::Default, &mut env, &mut mounts);
        if !mounts.is_empty() {
            mounts.insert(0, tmpfs(PLACE));
        }
        let refreshed = self.environment.refreshed.get(&id);
        ExecAdditions {
            env: refreshed
                .iter()
                .map(|text| format!("LAMINATE_REFRESH={text}"))
                .collect(),
            network_env: env.entries(),
            network_mounts: mounts,
        }
    }

    /// Adds an empty file system.
    pub fn nothing(&mut self) -> Output {
        let actions = vec![Action::MakeFolder {
            path: "/".to_owned(),
            mode: 0o755,
            owner: None,
        }];
        let base = None;
        self.graph.file(File { base, actions }, Meta::default())
    }
}

/// Returns operations with titles in place of the names that the frontend gave them. `COPY --link` is two operations: a copy
/// into an empty file system, and the merge of that with what was there before, which is the state after the instruction.
fn titled(operations: Vec<(String, String)>) -> Vec<(String, String)> {
    let merges = operations.iter().filter(|(_, name)| name.contains(MERGE));
    let merged: BTreeSet<String> = merges
        .map(|(_, name)| name.replacen(MERGE, "] ", 1))
        .collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let list = operations.into_iter().map(|(digest, name)| {
        if merged.contains(&name) {
            return (digest, String::new());
        }
        let title = instruction_title(&name);
        if title == name {
            return (digest, name);
        }
        let count = counts.entry(title.clone()).or_default();
        *count += 1;
        match *count {
            1 => (digest, title),
            number => (digest, format!("{title} ({number})")),
        }
    });
    list.collect()
}

/// Returns the title of an instruction by the name that the frontend gave its operation: `RUN x` of `[2/5] RUN x`, and
/// `build: RUN x` of `[linux/amd64 build 2/5] RUN x`. laminate numbers the steps of an image itself; a stage
/// without a name is not shown, and neither is the word that marks the merge of `COPY --link`. Any other name stays.
pub fn instruction_title(name: &str) -> String {
    let parts = name
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    let Some((place, instruction)) = parts else {
        return name.to_owned();
    };
    let words: Vec<&str> = place.split_whitespace().collect();
    let is_number = |text: &str| text.parse::<usize>().is_ok();
    let is_place = |word: &&str| {
        let numbers = word.split_once('/');
        numbers.is_some_and(|(number, of)| is_number(number) && is_number(of))
    };
    let Some((_, before)) = words.split_last().filter(|(last, _)| is_place(last)) else {
        return name.to_owned();
    };
    let instruction = instruction.strip_prefix("LINK ").unwrap_or(instruction);
    // The frontend's name for a stage that has none.
    let is_unnamed = |word: &str| word.strip_prefix("stage-").is_some_and(is_number);
    let stage = before.iter().find(|word| !word.contains('/'));
    match stage.filter(|stage| !is_unnamed(stage)) {
        Some(stage) => format!("{stage}: {instruction}"),
        None => instruction.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_has_no_number_of_the_frontend() {
        for (name, title) in [
            ("[ 1/11] RUN a [2/3] b", "RUN a [2/3] b"),
            ("[2/3] COPY a /", "COPY a /"),
            ("[build 2/3] RUN x", "build: RUN x"),
            ("[linux/amd64 build  2/13] RUN x", "build: RUN x"),
            ("[linux/amd64 2/3] RUN x", "RUN x"),
            ("[stage-1 2/3] RUN x", "RUN x"),
            ("[build 2/3] LINK COPY --link a /", "build: COPY --link a /"),
            ("[stage-one 2/3] RUN x", "stage-one: RUN x"),
            (
                "[internal] load build context",
                "[internal] load build context",
            ),
            ("[x] y", "[x] y"),
            ("", ""),
        ] {
            assert_eq!(instruction_title(name), title);
        }
        let operations =
            ["[2/4] RUN x", "[3/4] RUN x", ""].map(|name| (String::new(), name.to_owned()));
        let titles = titled(operations.to_vec())
            .into_iter()
            .map(|(_, title)| title);
        assert_eq!(titles.collect::<Vec<_>>(), ["RUN x", "RUN x (2)", ""]);
    }

    #[test]
    fn a_linked_copy_is_one_step_whose_state_is_that_of_the_merge() {
        let operations = [
            ("copy", "[build 1/2] COPY --link a /"),
            ("merge", "[build 1/2] LINK COPY --link a /"),
            // Of nothing, there is no merge.
            ("alone", "[out 1/1] COPY --link a /"),
        ];
        let operations = operations.map(|(digest, name)| (digest.to_owned(), name.to_owned()));
        let titled = titled(operations.to_vec());
        let titled: Vec<(&str, &str)> = titled.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(
            titled,
            [
                ("copy", ""),
                ("merge", "build: COPY --link a /"),
                ("alone", "out: COPY --link a /"),
            ]
        );
    }
}
