//! Dockerfiles as steps, where it is certain that the steps do the same.
//!
//! [`translate`] goes through the instructions of a target with the state they change ([`state`]); each family of
//! instructions has a file. What steps cannot say is a [`Kept`], and that image keeps its `dockerfile:`. The rules of the
//! frontend are those of BuildKit 0.32.2 (frontend/dockerfile/dockerfile2llb/convert.go).

mod apt;
mod conda;
mod configured;
mod context;
mod copied;
mod copy;
mod finish;
mod mounts;
mod permissions;
mod pip;
mod run;
mod settings;
mod shell;
mod stages;
mod state;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

pub use context::Context;
pub use stages::{File, read};
pub use state::Known;
pub use value::Vars;

use super::Note;
use super::link::with_tag;
use crate::dockerfile::Instruction;
use crate::name::Reference;
use state::{Reason, State};
use value::Value;

/// An image of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// Its keys, with comments.
    pub keys: Map<String, Json>,
    /// What its children know of it.
    pub known: Known,
    /// The variables of the stack, with those that it declares.
    pub vars: Vars,
    /// What became of each instruction.
    pub notes: Vec<Note>,
}

/// Why an image keeps its Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The file, with a line.
    pub place: String,
    /// The instruction.
    pub found: String,
    /// The reason, for people.
    pub reason: String,
}

impl Kept {
    /// Returns the note of the report.
    pub fn note(&self) -> Note {
        let became = format!("the image keeps its `dockerfile:`, because {}", self.reason);
        Note::open(&self.place, &self.found, became)
    }
}

/// Returns the target of a Dockerfile as steps. `bases` are the images of the stack that are steps already.
pub fn translate(
    context: &Context,
    file: Result<File, Reason>,
    bases: &BTreeMap<String, Known>,
    vars: &Vars,
) -> Result<Native, Kept> {
    let whole = |reason: Reason| Kept {
        place: context.target.dockerfile.clone(),
        found: format!("image {}", context.target.name),
        reason,
    };
    if !context.prefix.is_empty() && context.linked.context.is_empty() {
        let folder = &context.prefix;
        return Err(whole(format!(
            "steps would use no file of `{folder}`, and a folder below `images/` must be used"
        )));
    }
    if let Some(name) = context.linked.folders.keys().next() {
        return Err(whole(format!("the folder `{name}` is a named context")));
    }
    let file = file.map_err(whole)?;
    let mut vars = vars.clone();
    let global = file
        .global_args(&context.linked.args, &mut vars)
        .map_err(whole)?;
    let chain = file.chain(
        context.target.target.as_deref(),
        &context.linked.contexts,
        &global,
        &vars,
    );
    let chain = chain.map_err(whole)?;
    let root = &file.stages[chain[0]];
    let at = |instruction: &Instruction, reason: Reason| Kept {
        place: context.place(instruction),
        found: context::shown(instruction),
        reason,
    };
    let base =
        base(&root.base, context, &global, &vars).map_err(|reason| at(&root.from, reason))?;
    let known = bases.get(&base).cloned().unwrap_or_default();
    let mut state = State::new(&known, vars);
    let became = format!("`base: {base}`");
    state.notes.push(context.note(&root.from, became));
    for (at, stage) in file.stages.iter().enumerate() {
        if chain.contains(&at) {
            continue;
        }
        let became = "left out: the target does not use this stage";
        state.notes.push(context.note(&stage.from, became));
    }
    for index in &chain {
        let stage = &file.stages[*index];
        if *index != chain[0] {
            let became = "the steps of this stage follow those of the stage before";
            state.notes.push(context.note(&stage.from, became));
        }
        for instruction in &stage.instructions {
            let done = apply(instruction, &mut state, &global, context);
            done.map_err(|reason| at(instruction, reason))?;
        }
    }
    needs_lists(&state).map_err(whole)?;
    let (image, state) = finish::finish(state, &known).map_err(whole)?;
    let notes = noted(state.notes, &image, &context.target.dockerfile);
    let mut keys = Map::new();
    keys.insert("base".to_owned(), json!(base));
    keys.extend(image.keys);
    if has_long_key(&Json::Object(keys.clone())) {
        return Err(whole(
            "a name or a path in it is too long for a spec".to_owned(),
        ));
    }
    Ok(Native {
        keys,
        known: image.known,
        vars: state.vars,
        notes,
    })
}

/// Returns whether a key is longer than one in a line of YAML can be, with quotes (YAML 1.2.2, 7.4.2).
fn has_long_key(value: &Json) -> bool {
    const LONGEST: usize = 1000;
    match value {
        Json::Object(map) => map
            .iter()
            .any(|(key, value)| key.len() > LONGEST || has_long_key(value)),
        Json::Array(list) => list.iter().any(has_long_key),
        _ => false,
    }
}

/// Returns what is known of an image that keeps its Dockerfile.
pub fn kept(context: &Context, bases: &BTreeMap<String, Known>) -> Known {
    let base = context.linked.based_on.as_ref();
    let base = base.and_then(|base| bases.get(base));
    let mut configured = base.map(|it| it.configured.clone()).unwrap_or_default();
    configured.extend(configured::by_dockerfile(context));
    let of_base = base.into_iter().flat_map(|it| it.env.keys());
    configured.extend(of_base.filter_map(|name| configured::by_variable(name)));
    Known {
        configured,
        ..Known::default()
    }
}

/// Adds what holds for the whole image to the notes of its instructions.
fn noted(mut notes: Vec<Note>, image: &finish::Image, path: &str) -> Vec<Note> {
    for difference in &image.differences {
        let (found, became) = difference.split_once(" → ").unwrap_or((difference, ""));
        notes.push(Note::done(path, found, became));
    }
    if let Some(writable) = image.keys.get("writable") {
        let paths = writable
            .get("paths")
            .or(writable.get("add"))
            .map(Json::to_string)
            .unwrap_or_default();
        let became = format!(
            "`writable` of {paths}: all steps after it keep files there writable by the group, and folders setgid; folders are not setuid"
        );
        notes.push(Note::done(path, "fix-permissions", became));
    }
    notes
}

/// Returns `base:`.
fn base(word: &str, context: &Context, global: &Vars, vars: &Vars) -> Result<String, Reason> {
    let value = value::expand(word, global, vars, value::Quotes::Removed)?;
    let text = value.resolved(vars).filter(|text| !text.is_empty());
    let text = text.ok_or("its variables have no value")?;
    if let Some(image) = context.linked.contexts.get(&text) {
        return Ok(image.clone());
    }
    if text == "scratch" {
        return Err("an image of steps needs a base".to_owned());
    }
    if context.names.values().any(|image| *image == text) {
        return Ok(text);
    }
    Ok(if Reference::is_exact(&text) {
        value.written()
    } else {
        with_tag(&text)
    })
}

/// Applies one instruction.
fn apply(
    instruction: &Instruction,
    state: &mut State,
    global: &Vars,
    context: &Context,
) -> Result<(), Reason> {
    match instruction.keyword.as_str() {
        "ARG" => settings::arg(instruction, state, global, context),
        "RUN" => run::run(
            instruction,
            stages::comment(context.text, instruction),
            state,
            context,
        ),
        "COPY" | "ADD" => copy::copy(
            instruction,
            stages::comment(context.text, instruction),
            state,
            context,
        ),
        _ => settings::apply(instruction, state, context),
    }
}

/// Fails if a command installs packages with the lists of a step before, which are in no layer.
fn needs_lists(state: &State) -> Result<(), Reason> {
    let has_apt =
        |keys: &Map<String, Json>| Json::Object(keys.clone()).to_string().contains("\"apt\":");
    let texts = state
        .steps
        .iter()
        .filter_map(|draft| draft.keys.get("run").and_then(Json::as_str));
    let mut texts =
        texts.filter(|text| text.contains("apt-get install") || text.contains("apt install"));
    let lacks = texts.find(|text| !text.contains("update"));
    match lacks {
        Some(text) if state.steps.iter().any(|draft| has_apt(&draft.keys)) => Err(format!(
            "`{}` uses the lists of an `apt` step, which are in no layer",
            text.lines().next().unwrap_or_default()
        )),
        _ => Ok(()),
    }
}

/// Removes the variables that a spec does not use, and returns the rest as `vars:`.
pub fn used_vars(vars: &Vars, images: &Map<String, Json>) -> Map<String, Json> {
    let mut texts = vec![Json::Object(images.clone()).to_string()];
    let mut used: BTreeMap<&String, &Value> = BTreeMap::new();
    loop {
        let before = used.len();
        for (name, value) in vars {
            let form = format!("${{{name}}}");
            if !used.contains_key(name) && texts.iter().any(|text| text.contains(&form)) {
                used.insert(name, value);
                texts.push(value.written());
            }
        }
        if used.len() == before {
            break;
        }
    }
    let used = used.into_iter();
    used.map(|(name, value)| (name.clone(), json!(value.written())))
        .collect()
}
