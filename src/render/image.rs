//! One image: its Dockerfile, and the target of the bake file.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::files::File;
use super::mounts::stages;
use super::placed::is_copy;
use super::start::Start;
use super::step::{Folder, Written, kind_name};
use super::{Context, Facts, Inputs, Rendered, Target, config, dockerfile, pinned};
use crate::compile::{BaseConfig, Compiler, INSTALLER, StepDefaults, StepEnvironment, placements};
use crate::diagnostic::Diagnostic;
use crate::llb::{Graph, Meta, Output, Platform, Source};
use crate::name::{Digest, Reference};
use crate::stack::{Base, ExternalImage, Image, ImageId, ImageSource, Kind, Step};

/// The longest line that the parser of Dockerfiles reads, bytes.
const LONGEST_READ: usize = 65_535;

/// The configs of images that are rendered.
pub type Configs = BTreeMap<ImageId, BaseConfig>;

/// Adds an image to what is rendered. Its config is added to `configs`.
pub fn render(
    inputs: &Inputs,
    id: ImageId,
    configs: &mut Configs,
    made: &mut Rendered,
) -> Result<(), Diagnostic> {
    let image = &inputs.stack[id];
    let mut target = new_target(inputs, id);
    let (start, from) = match (&image.base, image.dockerfile()) {
        (_, Some(file)) => {
            let finished = dockerfile::config(inputs, id)?;
            configs.insert(id, finished.clone());
            if dockerfile::is_all(image) {
                dockerfile::render(inputs, id, file, target, made);
                return Ok(());
            }
            let mut below = target.clone();
            inputs.names.dockerfile(id).clone_into(&mut below.name);
            below.context = format!("{}/dockerfile", target.context);
            below.is_image = false;
            let name = below.name.clone();
            dockerfile::render(inputs, id, file, below, made);
            target
                .contexts
                .insert(name.clone(), Context::Target(name.clone()));
            (Start::on_dockerfile(image, finished), name)
        }
        (Base::Image(parent), None) => {
            let name = inputs.names.context(&inputs.stack[*parent].name.value);
            let context = Context::Target(inputs.names.target(*parent).to_owned());
            target.contexts.insert(name.to_owned(), context);
            let start = Start::on_base(image, configs[parent].clone());
            (start, name.to_owned())
        }
        (Base::External(external), None) => {
            let base = base_config(external, inputs.facts)?;
            let reference = &external.reference.value;
            (Start::on_base(image, base), pinned(reference, inputs.facts))
        }
        (Base::Scratch, None) => unreachable!("only a Dockerfile can begin with nothing"),
    };
    for source in image.copy_sources().into_values() {
        if let ImageSource::InStack(name) = source
            && let Some(copied) = image.copied.get(&name.value)
        {
            let context = Context::Target(inputs.names.target(*copied).to_owned());
            let name = inputs.names.context(&name.value);
            target.contexts.insert(name.to_owned(), context);
        }
    }
    let written = instructions(inputs, id, &start, &from)?;
    configs.entry(id).or_insert(start.made);
    target.secrets = written.secrets.into_iter().collect();
    made.files.add_below(&target.context, written.files);
    made.files.text(&target.dockerfile, written.text);
    made.notes.extend(written.notes);
    made.targets.push(target);
    Ok(())
}

/// Returns the target of an image, without what its Dockerfile needs.
fn new_target(inputs: &Inputs, id: ImageId) -> Target {
    let stack = inputs.stack;
    let image = &stack[id];
    let label = stack.label(id);
    let variant = &stack.variants()[image.variant];
    Target {
        name: inputs.names.target(id).to_owned(),
        context: label.clone(),
        dockerfile: format!("{label}/Dockerfile"),
        contexts: BTreeMap::new(),
        args: BTreeMap::new(),
        stage: None,
        secrets: Vec::new(),
        agents: Vec::new(),
        repository: image.repository.as_ref().map(ToString::to_string),
        variant: variant.name.as_ref().map(ToString::to_string),
        is_image: true,
        label,
    }
}

/// Returns the config of an external base.
fn base_config(external: &ExternalImage, facts: &Facts) -> Result<BaseConfig, Diagnostic> {
    let reference = &external.reference.value;
    let config = facts.bases.get(reference).cloned();
    config.ok_or_else(|| {
        Diagnostic::error(format!("cannot read the config of base `{reference}`"))
            .at(
                external.reference.span,
                "it decides the user and the shell of the steps",
            )
            .help("log in to its registry with `docker login`, and check its name")
    })
}

/// Returns the Dockerfile of an image on a base, and its files.
fn instructions(
    inputs: &Inputs,
    id: ImageId,
    start: &Start,
    from: &str,
) -> Result<Written, Diagnostic> {
    let stack = inputs.stack;
    let image = start.declared;
    let environment = StepEnvironment {
        uv: placeholder("bin/uv"),
        rattler: placeholder("rattler"),
        ..StepEnvironment::default()
    };
    // No operation depends on the platform.
    let graph = Graph::new(Platform::linux("amd64"));
    let mut compiler = Compiler::new(stack, &environment, graph);
    let (root, images) = sources(inputs, image, &mut compiler);
    let used = used_files(image);
    let mut written = start.written();
    let label = stack.label(id);
    config::before(&mut written, start, &label)?;
    let first = usize::from(start.is_dockerfile);
    for (index, step) in image.steps.iter().enumerate().skip(first) {
        start.check(step)?;
        let folder = Folder {
            written: &mut written,
            compiler: &mut compiler,
            image,
            images: &images,
            inputs,
            used: &used,
            step,
            number: index + 1,
            prelude: Vec::new(),
        };
        render_step(folder, start, root)?;
    }
    config::after(&mut written, start, &label)?;
    if written.rattler {
        let text = include_str!("../compile/scripts/conda_install.py").to_owned();
        let path = format!("steps/{INSTALLER}");
        written.files.0.insert(path, File::text(text));
    }
    let tools = stages(written.uv, written.rattler, &inputs.names);
    let staged = match written.staged.as_str() {
        "" => String::new(),
        staged => format!("FROM scratch AS {}\n{staged}\n", inputs.names.files),
    };
    written.text = format!(
        "# Image {label} of the stack {}, rendered by laminate.\n{tools}{staged}FROM {from}\n{}",
        stack.name(),
        written.text
    );
    ensure_short_lines(&written.text, image)?;
    Ok(written)
}

/// Fails for a Dockerfile with a line that is longer than its parser reads.
fn ensure_short_lines(text: &str, image: &Image) -> Result<(), Diagnostic> {
    let Some(line) = text.lines().find(|line| line.len() > LONGEST_READ) else {
        return Ok(());
    };
    let keyword = line.split(' ').next().unwrap_or_default();
    let text = format!(
        "{keyword} of image `{}` has {} bytes: a line of a Dockerfile cannot be as long",
        image.name.value,
        line.len()
    );
    Err(Diagnostic::error(text).at(image.name.span, "this image"))
}

/// Adds one step.
fn render_step(mut folder: Folder, start: &Start, root: Output) -> Result<(), Diagnostic> {
    let (image, step) = (folder.image, folder.step);
    let list = placements(step, folder.compiler.stack_files());
    let list = list.filter(|list| step.finish.is_empty() && is_copy(list, image.writable.as_ref()));
    let title: String = step.title.chars().filter(|c| !c.is_control()).collect();
    folder.line(&format!("\n# {}\n", title.trim()));
    if let Some(list) = list {
        folder.place(&list);
        return Ok(());
    }
    if let Kind::Workdir(_) = step.kind {
        let defaults = StepDefaults::new(&start.image, &start.base);
        let path = defaults.starts_in.as_str();
        let is_near = image
            .writable
            .as_ref()
            .is_some_and(|it| it.root_of(path).is_some());
        if !is_near {
            folder.written.as_user(&defaults.starts_as);
            // Also where it is the folder already, to make it.
            folder.written.workdir.clear();
            folder.written.in_folder(path);
            return Ok(());
        }
    }
    let compiler = &mut folder.compiler;
    let exec = compiler.step_as_command(&start.image, step, &start.base, root)?;
    start.check_command(step, &exec, folder.written)?;
    folder.run(exec)
}

/// Returns something that stands for a file of a tool.
fn placeholder(path: &str) -> BTreeMap<String, crate::compile::Brought> {
    let file = crate::compile::Brought {
        path: path.into(),
        size: 0,
        digest: Digest::of(b""),
    };
    BTreeMap::from([(path.to_owned(), file)])
}

/// Adds what stands for the base and for the images that the steps use. Returns the names of images of the stack.
fn sources(
    inputs: &Inputs,
    image: &Image,
    compiler: &mut Compiler,
) -> (Output, BTreeMap<Output, String>) {
    let mut add = |name: &str| {
        let source = Source::Image {
            reference: name.to_owned(),
            layers: None,
        };
        compiler.graph.source(source, Meta::default())
    };
    let root = add("base");
    let mut images = BTreeMap::new();
    let mut in_stack = BTreeMap::new();
    for copied in image.copied.values() {
        let name = inputs.names.context(&inputs.stack[*copied].name.value);
        let output = add(name);
        in_stack.insert(*copied, output);
        images.insert(output, name.to_owned());
    }
    compiler.in_stack = in_stack;
    let external = image.external_images().into_iter();
    let external = external.map(|image| &image.reference.value);
    compiler.external = external
        .map(|reference: &Reference| {
            let known = inputs.facts.external.get(reference).cloned();
            let digest = known.unwrap_or_else(|| Digest::of(b""));
            (reference.clone(), digest)
        })
        .collect();
    (root, images)
}

/// Returns the files under `images/` that steps of an image use, without its Dockerfile.
fn used_files(image: &Image) -> BTreeSet<Utf8PathBuf> {
    let is_step = |step: &&Step| kind_name(step) != "dockerfile";
    let steps = image.steps.iter().filter(is_step);
    steps.flat_map(Step::files).cloned().collect()
}
