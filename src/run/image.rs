//! Builds one image when those it needs are there.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;

use super::base::{last_build, staged};
use super::context::Context;
use super::dockerfile;
use super::interactive::{Candidate, Place, Target, steps_help};
use super::names;
use super::outcome::{FailedProcess, ImageError, StopReason};
use super::programs;
use super::track::Step;
use crate::buildkit::{self, Failure, Ref};
use crate::compile::{
    BaseConfig, BaseState, Compiled, Compiler, DockerfileState, finished, process_of_step,
};
use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::llb::{Definition, Output, Platform};
use crate::name::Reference;
use crate::plan::KeptSteps;
use crate::shown;
use crate::source::Sources;
use crate::stack::{self, Dockerfile, ImageId};
use crate::trace::{self, Track};

/// An image the engine has built.
#[derive(Clone)]
pub struct BuiltImage {
    /// It in the graph.
    pub compiled: Compiled,
    /// Its files.
    pub result: Ref,
    /// The config of the pinned image below all that this run built; the exporter keeps its history.
    pub pinned_config: BaseConfig,
    /// Titles of the steps whose layers the history of its config does not have.
    pub titles: Vec<String>,
    /// How many layers it has, those of its bases among them.
    pub layers: usize,
}

/// What an image is built on.
pub enum ImageBase {
    /// An image of a registry.
    Pinned(Reference),
    /// An image built in this run.
    Built(Box<BuiltImage>),
    /// Nothing.
    Scratch,
}

/// What an image starts from.
struct Start {
    state: BaseState,
    pinned_config: BaseConfig,
    titles: Vec<String>,
    layers: usize,
}

/// Builds one image on its base. `built`: the configs of the images that its Dockerfile uses and this run built.
pub async fn build(
    context: &Context<'_>,
    id: ImageId,
    base: ImageBase,
    built: BTreeMap<ImageId, BaseConfig>,
) -> Result<BuiltImage, StopReason> {
    let label = context.label(id);
    context.events.send(Event::ImageStarted {
        image: label.clone(),
    });
    let _span = trace::span(Track::Images, || label.clone());
    let steps = &context.image(id).steps;
    let is_pinned = matches!(base, ImageBase::Pinned(_));
    let mut start = begin(context, base, &label).await?;
    let mut kept = match &context.plan.images[id.0].kept {
        Some(kept) if is_pinned => kept_states(context, kept, &start.state.config, &label).await?,
        _ => Vec::new(),
    };
    let mut of_dockerfile = Vec::new();
    let mut own = steps.as_slice();
    if let (Some(file), [_, others @ ..]) = (context.image(id).dockerfile(), own) {
        let made = begin_dockerfile(context, id, file, &mut start, &built).await?;
        kept = vec![made.state.output];
        of_dockerfile = made.operations;
        own = others;
    }
    let Start {
        state,
        pinned_config,
        mut titles,
        mut layers,
    } = start;
    let config = state.config.clone();
    titles.extend(own.iter().map(|step| step.title.clone()));
    layers += own.len();
    let (compiled, definition) = {
        let mut compiler = context.compiler();
        add_reused(context, &mut compiler, id);
        let compiled = compiler
            .image_after(id, state, &kept)
            .map_err(|problem| ImageError::Spec(Box::new(problem)))?;
        let definition = context.definition(&mut compiler, compiled.output);
        (compiled, definition)
    };
    let (by_digest, shown) = track(context, &label, id, &of_dockerfile, &compiled, &definition);
    let (wanted, is_whole) = wanted(context, id, &shown, definition, &compiled.config)?;
    match context.gateway.solve(wanted).await {
        Ok(result) => {
            if is_whole {
                names::check(context, id, &compiled, &result).await?;
            }
            Ok(BuiltImage {
                compiled,
                result,
                pinned_config,
                titles,
                layers,
            })
        }
        Err(buildkit::Error::Failed(failure)) => {
            Err(failed(context, id, (&compiled, &config), &by_digest, failure).await?)
        }
        Err(error @ buildkit::Error::TooLarge { .. }) => {
            let text = format!("image `{label}` has too many files in its steps: {error}");
            let problem = Diagnostic::error(text).at(context.image(id).name.span, "this image");
            let help = "put the files into a folder, and `copy` the folder in one step, or put the steps into a `group`";
            Err(ImageError::Spec(Box::new(problem.help(help))).into())
        }
        Err(error) => Err(StopReason::Run(error)),
    }
}

/// Returns what is solved of an image, and whether that is all of it: not if the user asks for the state at a step.
fn wanted(
    context: &Context<'_>,
    id: ImageId,
    shown: &[Candidate],
    definition: Definition,
    config: &BaseConfig,
) -> Result<(pb::Definition, bool), StopReason> {
    let interactive = context.options.interactive.as_ref();
    let place = interactive.filter(|_| context.focus == Some(id));
    let place = place.map(|it| &it.place);
    let Some((place, step)) = place.and_then(|place| Some((place, place.step()?))) else {
        return Ok((definition.pb, true));
    };
    let image = context.image(id);
    let refused = |label: String, help: &str| {
        let text = format!("no step `{step}` in image `{}`", context.label(id));
        let problem = Diagnostic::error(text)
            .at(image.name.span, label)
            .help(help);
        StopReason::from(ImageError::Spec(Box::new(problem)))
    };
    let Some(target) = Target::find(step, shown, &definition.pb, config) else {
        let count = shown.iter().map(|it| it.number).max().unwrap_or_default();
        let place = |step: &Candidate| step.place(&definition.pb);
        let steps = shown.iter();
        let help =
            steps_help(steps.map(|step| (step.number, shown::one_line(&step.title), place(step))));
        return Err(refused(format!("it has {count} steps"), &help));
    };
    let wanted = match place {
        Place::Before(_) => match target.before() {
            Some(before) => before,
            None => {
                let label = "nothing is before it: the base is scratch".to_owned();
                return Err(refused(label, "use --at"));
            }
        },
        Place::After(_) | Place::Finished => target.after(),
    };
    // Each image is built once.
    let _first = context.target.set(target);
    Ok((wanted, false))
}

/// Returns the error of an image of which an operation failed. `config`: what its steps start from.
async fn failed(
    context: &Context<'_>,
    id: ImageId,
    (compiled, config): (&Compiled, &BaseConfig),
    by_digest: &BTreeMap<String, usize>,
    mut failure: Box<Failure>,
) -> Result<StopReason, StopReason> {
    let steps = &context.image(id).steps;
    context.tracker.mask().text(&mut failure.message);
    let vertex = failure.vertex.clone().unwrap_or_default();
    context.tracker.wait_for_failure(&vertex).await;
    let step = by_digest.get(&vertex).copied();
    let step = step.or_else(|| step_at(context.stack.sources(), steps, &failure));
    let step = step.or_else(|| step_titled(steps, failure.name.as_deref()?));
    if let Some(step) = step.filter(|_| failure.exit_code.is_none()) {
        names::check_step(context, id, compiled, step).await?;
    }
    let member = context.tracker.member(&vertex);
    let mut process = FailedProcess::default();
    if let Some(index) = step
        && let Some(found) = process_of_step(
            context.image(id),
            config,
            (&steps[index], member),
            context.stack.files(),
        )
    {
        if programs::may_lack_a_program(failure.exit_code) {
            let before = context.solve(compiled.states[index]).await;
            let before = before.map_err(StopReason::Run)?;
            let missing = programs::missing(context, &before, &found).await;
            process.missing = missing.map_err(StopReason::Run)?;
        }
        process.user = found.user;
    }
    Ok(StopReason::from(ImageError::Step {
        step,
        member,
        log: context.tracker.tail(&vertex),
        failure,
        process,
    }))
}

/// Returns the states after the steps that are kept of the last build of an image: its layers up to each. None if staging
/// no longer has it, or it is not built on the same layers, one a step.
async fn kept_states(
    context: &Context<'_>,
    kept: &KeptSteps,
    base: &BaseConfig,
    label: &str,
) -> Result<Vec<Output>, StopReason> {
    let Some(reference) = last_build(context.stack, kept) else {
        return Ok(Vec::new());
    };
    let last = match context.config(&reference, label).await {
        Ok(last) => last,
        Err(StopReason::Image(_)) => return Ok(Vec::new()),
        Err(run) => return Err(run),
    };
    let (below, all) = (base.diff_ids(), last.diff_ids());
    if all.len() != below.len() + kept.of || !all.starts_with(below) {
        return Ok(Vec::new());
    }
    let mut compiler = context.compiler();
    let layers = (1..=kept.steps).map(|steps| below.len() + steps);
    Ok(layers
        .map(|layers| compiler.earlier_build(&reference, layers, label))
        .collect())
}

/// Adds the reused images that an image copies from; those built in this run are there already.
fn add_reused(context: &Context<'_>, compiler: &mut Compiler<'_>, id: ImageId) {
    for copied in context.image(id).copied.values() {
        if let Some(reference) = staged(context.stack, context.plan, *copied) {
            let output = compiler.reference(&reference, &context.label(id));
            compiler.in_stack.insert(*copied, output);
        }
    }
}

/// Has the Dockerfile of an image read. What it makes is what the other steps start from.
async fn begin_dockerfile(
    context: &Context<'_>,
    id: ImageId,
    file: &Dockerfile,
    start: &mut Start,
    built: &BTreeMap<ImageId, BaseConfig>,
) -> Result<DockerfileState, StopReason> {
    // The history of the image begins with that of its base.
    let config = finished(&start.state.config, &start.titles, context.options.epoch);
    let below = config.listed_layers();
    let base = BaseState {
        output: start.state.output,
        config,
    };
    let made = dockerfile::add(context, id, file, &base, built).await?;
    start.titles.clear();
    start.layers += made.state.config.listed_layers().saturating_sub(below);
    start.state.config = made.state.config.clone();
    Ok(made)
}

/// Has the operations of an image shown: instructions of its Dockerfile, then its steps. Returns the step of each, and
/// those that are shown.
fn track(
    context: &Context<'_>,
    label: &str,
    id: ImageId,
    of_dockerfile: &[(String, String)],
    compiled: &Compiled,
    definition: &Definition,
) -> (BTreeMap<String, usize>, Vec<Candidate>) {
    let steps = &context.image(id).steps;
    let instructions = of_dockerfile.iter().filter(|(_, name)| is_shown(name));
    let instructions = (1..).zip(instructions);
    let mut shown: Vec<Candidate> = instructions
        .map(|(number, (digest, name))| Candidate {
            digest: digest.clone(),
            number,
            title: name.clone(),
        })
        .collect();
    // The Dockerfile is a step itself.
    let more = shown
        .len()
        .saturating_sub(usize::from(!of_dockerfile.is_empty()));
    let mut by_digest = steps_by_digest(compiled, definition);
    shown.extend(by_digest.iter().map(|(digest, index)| Candidate {
        digest: digest.clone(),
        number: index + 1 + more,
        title: steps[*index].title.clone(),
    }));
    for candidate in &shown {
        let step = Step {
            image: label.to_owned(),
            title: candidate.title.clone(),
            number: candidate.number,
            of: steps.len() + more,
        };
        context.tracker.add(candidate.digest.clone(), step);
    }
    by_digest.extend(of_dockerfile.iter().map(|(digest, _)| (digest.clone(), 0)));
    (by_digest, shown)
}

/// Whether an operation that the frontend named is one that people know: an instruction.
fn is_shown(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("[internal]")
}

/// Returns what an image starts from.
async fn begin(context: &Context<'_>, base: ImageBase, label: &str) -> Result<Start, StopReason> {
    let (output, config) = match base {
        ImageBase::Built(parent) => {
            let parent = *parent;
            return Ok(Start {
                state: parent.compiled.state(),
                pinned_config: parent.pinned_config,
                titles: parent.titles,
                layers: parent.layers,
            });
        }
        ImageBase::Pinned(reference) => {
            let config = context.config(&reference, label).await?;
            (context.compiler().base(&reference, label), config)
        }
        ImageBase::Scratch => {
            let Platform {
                os, architecture, ..
            } = &context.options.platform;
            let config = BaseConfig::default().with_platform(os, architecture);
            (context.compiler().nothing(), config)
        }
    };
    Ok(Start {
        layers: config.layers(),
        titles: Vec::new(),
        pinned_config: config.clone(),
        state: BaseState { output, config },
    })
}

/// Returns the step of each operation of an image, by digest.
fn steps_by_digest(compiled: &Compiled, definition: &Definition) -> BTreeMap<String, usize> {
    let digests = definition.digests.iter();
    digests
        .filter_map(|(digest, operation)| {
            let index = compiled.operations.get(operation)?;
            Some((digest.clone(), *index))
        })
        .collect()
}

/// Returns the step a failure is of by its place in the source map: for an operation that belongs to no
/// step of its own.
fn step_at(sources: &Sources, steps: &[stack::Step], failure: &Failure) -> Option<usize> {
    let place = failure.place.as_ref()?;
    steps.iter().position(|step| {
        let (start, end) = (sources.start(step.span), sources.end(step.span));
        let at = (place.line, place.column);
        sources.path(step.span) == place.file
            && (start.line, start.column) <= at
            && at <= (end.line, end.column)
    })
}

/// Returns the step whose operation has a name. The engine runs equal operations of several images once, and reports
/// that of one image to all of them.
fn step_titled(steps: &[stack::Step], name: &str) -> Option<usize> {
    let (_image, title) = name.split_once(": ")?;
    steps.iter().position(|step| step.title == title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::SourceLocation;
    use crate::testing;

    const SPEC: &str = "
stack: datahub
images:
  base:
    base: debian:bookworm
    steps:
      - run: one
      - run: two
";

    /// The step of a failure at the start of step `number`, moved by some lines.
    fn step_of(file: &str, number: usize, lines: u32) -> Option<usize> {
        let stack = testing::stack(SPEC);
        let steps = &stack.images()[0].steps;
        let start = stack.sources().start(steps[number].span);
        let mut failure = Failure::new("failed");
        failure.place = Some(SourceLocation {
            file: file.to_owned(),
            line: start.line + lines,
            column: start.column,
        });
        step_at(stack.sources(), steps, &failure)
    }

    #[test]
    fn a_failure_is_of_the_step_at_its_place() {
        assert_eq!(step_of("specs.yml", 0, 0), Some(0));
        assert_eq!(step_of("specs.yml", 1, 0), Some(1));
    }

    #[test]
    fn a_failure_of_an_equal_operation_is_of_the_step_with_its_title() {
        let stack = testing::stack(SPEC);
        let steps = &stack.images()[0].steps;
        assert_eq!(step_titled(steps, "other (py3): run two"), Some(1));
        assert_eq!(step_titled(steps, "other: run three"), None);
        assert_eq!(step_titled(steps, "[internal]"), None);
    }

    #[test]
    fn a_failure_at_another_place_is_of_no_step() {
        assert_eq!(step_of("specs.yml", 1, 9), None);
        assert_eq!(step_of("images/base/setup.sh", 0, 0), None);
    }

    #[test]
    fn a_failure_without_a_place_is_of_no_step() {
        let stack = testing::stack(SPEC);
        let failure = Failure::new("failed");
        assert_eq!(
            step_at(stack.sources(), &stack.images()[0].steps, &failure),
            None
        );
    }
}
