//! Reads what a plan must know of the instructions of a Dockerfile.

use super::lines::{Instruction, Lines, lines};
use super::quotes::here_document;
use super::words::is_remote;
use super::{Arg, Dockerfile, Fault, Stage, Use, Word};

impl Dockerfile {
    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        Self::of_lines(&lines(text)?)
    }

    /// Returns what instructions mean.
    pub fn of_lines(read: &Lines) -> Result<Self, Fault> {
        let mut made = Self {
            syntax: read.syntax.clone(),
            ..Self::default()
        };
        for instruction in &read.instructions {
            match (instruction.keyword.as_str(), made.stages.last_mut()) {
                ("FROM", _) => made.stages.push(stage(instruction)?),
                ("ARG", None) => made.args.extend(args(instruction)),
                (_, Some(stage)) => stage.add(instruction),
                (keyword, None) => {
                    return Err(Fault {
                        message: format!("`{keyword}` before the first `FROM`"),
                        label: "no stage begins before this line".to_owned(),
                        help: Some("begin with `FROM`; only `ARG` can be before it".to_owned()),
                        range: instruction.range.clone(),
                    });
                }
            }
        }
        Ok(made)
    }
}

/// Reads `FROM IMAGE AS NAME`.
fn stage(instruction: &Instruction) -> Result<Stage, Fault> {
    let (_, words) = instruction.options();
    let mut words = words.into_iter();
    let base = words.next();
    let rest: Vec<Word> = words.collect();
    let name = match rest.as_slice() {
        [] => Some(None),
        [word, name] if word.value.eq_ignore_ascii_case("as") => Some(Some(stage_name(name)?)),
        _ => None,
    };
    match (base, name) {
        (Some(base), Some(name)) => Ok(Stage {
            name,
            base,
            uses: Vec::new(),
            args: Vec::new(),
            has_triggers: false,
            triggers: Vec::new(),
        }),
        _ => Err(Fault {
            message: "invalid `FROM`".to_owned(),
            label: "expected `FROM IMAGE` or `FROM IMAGE AS NAME`".to_owned(),
            help: None,
            range: instruction.range.clone(),
        }),
    }
}

/// Returns the name of a stage (instructions/parse.go, `validStageName`).
fn stage_name(word: &Word) -> Result<String, Fault> {
    let name = word.value.to_lowercase();
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_part) {
        return Ok(name);
    }
    Err(Fault {
        message: format!("invalid name of a stage: `{}`", word.value),
        label: "expected letters, digits, `-`, `_` and `.`, a letter first".to_owned(),
        help: (word.value.contains('$'))
            .then(|| "variables are not replaced in the name of a stage: write it out".to_owned()),
        range: word.range.clone(),
    })
}

impl Stage {
    /// Adds what an instruction uses.
    fn add(&mut self, instruction: &Instruction) {
        match instruction.keyword.as_str() {
            "ARG" => {
                let list = args(instruction).into_iter();
                self.args.extend(list.map(|arg| arg.name));
            }
            "COPY" | "ADD" => self.copied(instruction),
            "RUN" => {
                let (options, _) = instruction.options();
                for (name, value) in options {
                    match (name.as_str(), value.value.as_str()) {
                        ("mount", _) => self.mount(&value),
                        ("security", "insecure") | ("network", "host") => {
                            let value = Word {
                                value: format!("--{name}={}", value.value),
                                range: value.range,
                            };
                            self.uses.push(Use::Entitlement(value));
                        }
                        _ => {}
                    }
                }
            }
            "ONBUILD" => {
                self.has_triggers = true;
                if let Some(inner) = instruction.trigger() {
                    let own = std::mem::take(&mut self.uses);
                    self.add(&inner);
                    let used = std::mem::replace(&mut self.uses, own);
                    self.triggers.extend(used);
                }
            }
            _ => {}
        }
    }

    fn copied(&mut self, instruction: &Instruction) {
        let (options, words) = instruction.options();
        if let Some((_, image)) = options.into_iter().find(|(name, _)| name == "from") {
            self.uses.push(Use::Image(image));
            return;
        }
        let mut sources = match instruction.array() {
            Some(texts) => instruction.at_words(texts, &words),
            None => words,
        };
        // The last one is the target.
        sources.pop();
        for source in sources {
            // What a here-document has is in the Dockerfile; URLs are read by the engine.
            let text = source.value.as_str();
            if here_document(text).is_none() && !is_remote(text) {
                self.uses.push(Use::Context(source));
            }
        }
    }

    /// Adds what `--mount` uses: comma-separated settings, as in CSV.
    fn mount(&mut self, value: &Word) {
        let settings: Vec<&str> = value.value.split(',').collect();
        let get = |names: &[&str]| {
            settings.iter().find_map(|setting| {
                let (name, value) = setting.split_once('=').unwrap_or((setting, "true"));
                names.contains(&name).then_some(value)
            })
        };
        let named = |text: &str| Word {
            value: text.to_owned(),
            range: value.range.clone(),
        };
        let from = get(&["from"]);
        if let Some(from) = from {
            self.uses.push(Use::Image(named(from)));
        }
        match get(&["type"]).unwrap_or("bind") {
            "bind" if from.is_none() => {
                let path = get(&["source", "src"]).unwrap_or(".");
                self.uses.push(Use::Context(named(path)));
            }
            "secret" if get(&["required"]) == Some("true") => {
                let target = get(&["target", "dst", "destination"]).unwrap_or_default();
                let last = target.rsplit('/').next().unwrap_or_default();
                self.uses
                    .push(Use::Secret(named(get(&["id"]).unwrap_or(last))));
            }
            "ssh" if get(&["required"]) == Some("true") => {
                let id = get(&["id"]).unwrap_or("default");
                self.uses.push(Use::Agent(named(id)));
            }
            _ => {}
        }
    }
}

/// Returns the variables of an `ARG`: `A=1 B`. Their defaults have quotes: variables in them are replaced by those.
fn args(instruction: &Instruction) -> Vec<Arg> {
    let words = instruction.words().into_iter();
    let args = words.zip(instruction.raw_words()).map(|(word, raw)| {
        let name = word.value.split_once('=').map(|(name, _)| name);
        let default = raw.split_once('=').map(|(_, default)| default);
        Arg {
            name: name.unwrap_or(&word.value).to_owned(),
            default: default.map(str::to_owned),
            range: word.range,
        }
    });
    args.collect()
}
