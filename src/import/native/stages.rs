//! The stages of a Dockerfile, and those that a target is based on.

use std::collections::BTreeMap;

use super::settings::declare;
use super::state::Reason;
use super::value::{Quotes, Value, Vars, expand};
use crate::dockerfile::{Instruction, Lines};

/// A Dockerfile.
pub struct File {
    /// `ARG` before the first stage.
    args: Vec<Instruction>,
    /// In their order.
    pub stages: Vec<Stage>,
}

/// A stage.
pub struct Stage {
    /// In lower case.
    name: Option<String>,
    /// The name after `FROM`, as it is written.
    pub base: String,
    /// Its `FROM`.
    pub from: Instruction,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

/// Returns the stages of a Dockerfile, from its text and its instructions.
pub fn read(text: &str, lines: &Lines) -> Result<File, Reason> {
    let top = text
        .lines()
        .take_while(|line| line.trim_start().starts_with('#'));
    let mut top = top.map(|line| line.replace([' ', '\t'], "").to_lowercase());
    if top.any(|line| line == "#escape=`") {
        return Err("it has another escape character".to_owned());
    }
    let mut file = File {
        args: Vec::new(),
        stages: Vec::new(),
    };
    for instruction in &lines.instructions {
        match (instruction.keyword.as_str(), file.stages.last_mut()) {
            ("FROM", _) => file.stages.push(stage(instruction.clone())?),
            (_, Some(stage)) => stage.instructions.push(instruction.clone()),
            ("ARG", None) => file.args.push(instruction.clone()),
            (_, None) => return Err("it does not begin with FROM".to_owned()),
        }
    }
    Ok(file)
}

fn stage(from: Instruction) -> Result<Stage, Reason> {
    let words = from.raw_words();
    if words.iter().any(|word| word.starts_with("--")) {
        return Err("steps have no platform of their own, as `FROM --platform` sets it".to_owned());
    }
    let base = words.first().ok_or("FROM has no name")?;
    Ok(Stage {
        name: words.get(2).map(|name| name.to_lowercase()),
        base: (*base).to_owned(),
        instructions: Vec::new(),
        from,
    })
}

impl File {
    /// Returns the values of the `ARG`s before the first stage. They become variables of the spec.
    pub fn global_args(
        &self,
        given: &BTreeMap<String, String>,
        vars: &mut Vars,
    ) -> Result<Vars, Reason> {
        let mut args = Vars::new();
        for instruction in &self.args {
            for word in instruction.raw_words() {
                let (name, default) = match word.split_once('=') {
                    Some((name, default)) => (name, Some(default)),
                    None => (word, None),
                };
                let value = match (given.get(name), default) {
                    (Some(given), _) => Some(Value::text(given)),
                    (None, Some(default)) => Some(expand(default, &args, vars, Quotes::Removed)?),
                    (None, None) => None,
                };
                if let Some(value) = value {
                    let value = declare(name, value, vars);
                    args.insert(name.to_owned(), value);
                }
            }
        }
        Ok(args)
    }

    /// Returns the stages that a target consists of, from the one that is based on an image.
    pub fn chain(
        &self,
        target: Option<&str>,
        contexts: &BTreeMap<String, String>,
        args: &Vars,
        vars: &Vars,
    ) -> Result<Vec<usize>, Reason> {
        let by_name = |name: &str, stages: &[Stage]| {
            let name = name.to_lowercase();
            stages
                .iter()
                .rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
        };
        let mut index = match target {
            Some(target) => by_name(target, &self.stages)
                .or_else(|| target.parse().ok().filter(|at| *at < self.stages.len()))
                .ok_or("its target is unknown")?,
            None => self.stages.len().checked_sub(1).ok_or("it has no stage")?,
        };
        let mut chain = vec![index];
        loop {
            let base = expand(&self.stages[index].base, args, vars, Quotes::Removed)?;
            let base = base.resolved(vars).unwrap_or_default();
            let below =
                by_name(&base, &self.stages[..index]).filter(|_| !contexts.contains_key(&base));
            let Some(below) = below else {
                chain.reverse();
                return Ok(chain);
            };
            chain.push(below);
            index = below;
        }
    }

    /// Returns the names of all stages, and their numbers.
    pub fn names(&self) -> impl Iterator<Item = String> {
        let numbers = (0..self.stages.len()).map(|at| at.to_string());
        self.stages
            .iter()
            .filter_map(|stage| stage.name.clone())
            .chain(numbers)
    }
}

/// The most lines of a comment that is kept.
const LONGEST: usize = 4;

/// Returns the comment right above an instruction.
pub fn comment(text: &str, instruction: &Instruction) -> String {
    let above = &text[..instruction.range.start];
    let mut lines: Vec<&str> = Vec::new();
    for line in above.lines().rev() {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let comment = comment.trim();
        let is_of_tool = ["hadolint", "syntax", "checkov", "shellcheck"]
            .iter()
            .any(|tool| comment.starts_with(tool));
        if !is_of_tool && !comment.is_empty() {
            lines.push(comment);
        }
    }
    lines.reverse();
    let is_plain =
        lines.len() <= LONGEST && lines.iter().all(|line| !line.contains(char::is_control));
    if is_plain {
        lines.join("\n")
    } else {
        String::new()
    }
}
