//! `ARG`, `ENV`, `USER`, `WORKDIR`, `SHELL`, and what becomes keys of `config:`.

use serde_json::{Map, Value as Json, json};

use super::context::Context;
use super::state::{Reason, State};
use super::value::{Part, Value, Vars, literal};
use crate::dockerfile::Instruction;
use crate::import::Note;

/// Variables that the spec sets itself.
const RESERVED: [&str; 7] = [
    "stack", "series", "variant", "image", "commit", "commit7", "n",
];

/// Variables of the platform, which the engine sets.
const PLATFORM: [&str; 2] = ["TARGET", "BUILD"];

/// Applies an instruction that makes no step.
pub fn apply(
    instruction: &Instruction,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    let became = match instruction.keyword.as_str() {
        "ENV" => env(instruction, state)?,
        "USER" => {
            let user = state.expand(&instruction.arguments)?;
            state.set_user(user);
            "`user`, and `as` on steps of other users".to_owned()
        }
        "WORKDIR" => {
            let path = state.known(&instruction.arguments)?;
            let path = state.absolute(&path)?;
            let is_root = path.written() == "/";
            let path = if is_root { path } else { without_slash(&path) };
            state.set_workdir(path);
            "`cwd` on the steps after it, `config: { workdir }`".to_owned()
        }
        "SHELL" => shell(instruction, state)?,
        "LABEL" => label(instruction, state)?,
        "EXPOSE" => list(instruction, state, "ports", port)?,
        "VOLUME" => list(instruction, state, "volumes", |text| {
            Ok(vec![text.to_owned()])
        })?,
        "STOPSIGNAL" => {
            let signal = state.known(&instruction.arguments)?;
            state
                .config
                .insert("stop-signal".to_owned(), json!(signal.written()));
            "`config: { stop-signal }`".to_owned()
        }
        "ENTRYPOINT" => {
            let is_array = process(instruction, state, "entrypoint");
            let note = if is_array { "" } else { ", run by the shell" };
            format!("`config: {{ entrypoint }}`{note}")
        }
        "CMD" => {
            process(instruction, state, "cmd");
            "`config: { cmd }`".to_owned()
        }
        "HEALTHCHECK" => health(instruction, state)?,
        "MAINTAINER" => {
            let became = "left out: write `config: { labels: { maintainer: … } }`";
            let found = format!("MAINTAINER {}", instruction.arguments);
            state
                .notes
                .push(Note::open(context.place(instruction), found, became));
            return Ok(());
        }
        other => return Err(format!("steps have nothing like {other}")),
    };
    state.notes.push(context.note(instruction, became));
    Ok(())
}

fn without_slash(path: &Value) -> Value {
    let mut path = path.clone();
    if let Some(Part::Text(text)) = path.0.last_mut() {
        text.truncate(text.trim_end_matches('/').len());
    }
    path
}

/// Applies `ARG`. `global` are those before the first stage.
pub fn arg(
    instruction: &Instruction,
    state: &mut State,
    global: &Vars,
    context: &Context,
) -> Result<(), Reason> {
    let mut became = Vec::new();
    for word in instruction.raw_words() {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (word, None),
        };
        let given = context.target.args.get(name);
        let value = match (given, default) {
            (Some(given), _) => Some(Value::text(given)),
            (None, Some(default)) => Some(state.expand(default)?),
            (None, None) => global.get(name).cloned(),
        };
        let is_of_platform = ["PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION"]
            .iter()
            .any(|end| PLATFORM.iter().any(|start| name == format!("{start}{end}")));
        let Some(value) = value else {
            if is_of_platform {
                return Err(format!("`{name}` is a variable of the engine"));
            }
            became.push(format!("{name} has no value"));
            continue;
        };
        let is_global = default.is_none() && given.is_none();
        let value = if is_global {
            value
        } else {
            declare(name, value, &mut state.vars)
        };
        became.push(match value.0.as_slice() {
            [Part::Var(var)] => format!("`vars: {{ {var} }}`"),
            _ => format!("its value `{}`", value.written()),
        });
        state.env.insert(name.to_owned(), value);
    }
    state
        .notes
        .push(context.note(instruction, became.join(", ")));
    Ok(())
}

/// Returns the value of an `ARG`: a variable of the spec, if no other one has its name.
pub fn declare(name: &str, value: Value, vars: &mut Vars) -> Value {
    if value.uses_environment() || RESERVED.contains(&name) || !crate::spec::template::is_name(name)
    {
        return value;
    }
    let is_own = vars.get(name).is_none_or(|known| *known == value);
    let uses_itself = value.0.contains(&Part::Var(name.to_owned()));
    if !is_own || uses_itself {
        return value;
    }
    vars.insert(name.to_owned(), value);
    Value(vec![Part::Var(name.to_owned())])
}

fn env(instruction: &Instruction, state: &mut State) -> Result<String, Reason> {
    // All values of one instruction see the environment before it.
    let mut made = Vec::new();
    for (name, value) in pairs(instruction)? {
        made.push((state.known(&name)?.written(), state.expand(&value)?));
    }
    for (name, value) in made {
        state.env.insert(name.clone(), value.clone());
        state.config_env.retain(|(known, _)| *known != name);
        state.config_env.push((name, value));
    }
    Ok("`env`".to_owned())
}

/// Returns the pairs of `ENV` and `LABEL`, as they are written: `A=1 B="2"`, or `A the value`.
fn pairs(instruction: &Instruction) -> Result<Vec<(String, String)>, Reason> {
    let words = instruction.raw_words();
    let first = words.first().ok_or("it has no value")?;
    if equals(first).is_none() {
        let value = instruction.arguments[first.len()..].trim();
        return Ok(vec![((*first).to_owned(), value.to_owned())]);
    }
    let pair = |word: &&str| {
        let at = equals(word).ok_or_else(|| format!("`{word}` has no `=`"))?;
        Ok((word[..at].to_owned(), word[at + 1..].to_owned()))
    };
    words.iter().map(pair).collect()
}

/// Returns where the first `=` outside of quotes is.
fn equals(word: &str) -> Option<usize> {
    let mut quote = None;
    for (at, found) in word.char_indices() {
        match (found, quote) {
            ('=', None) => return Some(at),
            ('"' | '\'', None) => quote = Some(found),
            (end, Some(begun)) if end == begun => quote = None,
            _ => {}
        }
    }
    None
}

fn label(instruction: &Instruction, state: &mut State) -> Result<String, Reason> {
    let mut made = Map::new();
    for (name, value) in pairs(instruction)? {
        let (name, value) = (state.known(&name)?, state.known(&value)?);
        made.insert(name.written(), json!(value.written()));
    }
    let labels = state.config.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.extend(made);
    }
    Ok("`config: { labels }`".to_owned())
}

fn shell(instruction: &Instruction, state: &mut State) -> Result<String, Reason> {
    let shell = instruction.array().ok_or("its shell must be a list")?;
    let has_text = ["cmd", "entrypoint"]
        .iter()
        .any(|key| state.config.get(*key).is_some_and(Json::is_string));
    if has_text && state.shell.as_ref() != Some(&shell) {
        return Err(
            "it changes the shell after CMD or ENTRYPOINT, which are texts of the shell".to_owned(),
        );
    }
    state.shell = Some(shell);
    Ok("`shell`, and `config: { shell }`".to_owned())
}

fn list(
    instruction: &Instruction,
    state: &mut State,
    key: &str,
    read: fn(&str) -> Result<Vec<String>, Reason>,
) -> Result<String, Reason> {
    let words = instruction.array().unwrap_or_else(|| {
        let words = instruction.raw_words();
        words.iter().map(|word| (*word).to_owned()).collect()
    });
    for word in words {
        let value = state.known(&word)?;
        let items = if value.uses_vars() {
            vec![value.written()]
        } else {
            read(&value.written())?
        };
        let list = state.config.entry(key).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.extend(
                items
                    .into_iter()
                    .map(Json::from)
                    .filter(|item| !item.is_null()),
            );
        }
    }
    Ok(format!("`config: {{ {key} }}`"))
}

/// Returns the ports of `8888`, `8888/tcp` or `8000-8002`.
fn port(text: &str) -> Result<Vec<String>, Reason> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let end = if protocol == "tcp" {
        String::new()
    } else {
        format!("/{}", protocol.to_lowercase())
    };
    let invalid = || format!("`{text}` is an invalid port");
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let first: u16 = first.parse().map_err(|_| invalid())?;
    let last: u16 = last.parse().map_err(|_| invalid())?;
    Ok((first..=last)
        .map(|number| format!("{number}{end}"))
        .collect())
}

/// Sets `entrypoint` or `cmd`; returns whether it is a list.
fn process(instruction: &Instruction, state: &mut State, key: &str) -> bool {
    let array = instruction.array();
    let is_array = array.is_some();
    let value = match array {
        Some(list) => json!(list.iter().map(|word| literal(word)).collect::<Vec<_>>()),
        None => json!(literal(&instruction.arguments)),
    };
    state.config.insert(key.to_owned(), value);
    is_array
}

fn health(instruction: &Instruction, state: &mut State) -> Result<String, Reason> {
    let text = instruction.after_options();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (kind, command) = (text[..end].to_uppercase(), text[end..].trim());
    let value = if kind == "NONE" {
        json!("none")
    } else if kind == "CMD" {
        let mut map = Map::new();
        let list: Option<Vec<String>> = serde_json::from_str(command).ok();
        let test = match list {
            Some(list) => json!(list.iter().map(|word| literal(word)).collect::<Vec<_>>()),
            None => json!(literal(command)),
        };
        map.insert("test".to_owned(), test);
        for (name, word) in instruction.options().0 {
            let value = if name == "retries" {
                word.value.clone()
            } else {
                duration(&word.value)?
            };
            map.insert(name, json!(value));
        }
        Json::Object(map)
    } else {
        return Err("it has neither CMD nor NONE".to_owned());
    };
    state.config.insert("healthcheck".to_owned(), value);
    Ok("`config: { healthcheck }`".to_owned())
}

/// Returns a duration such as `1m30s` with one unit.
fn duration(text: &str) -> Result<String, Reason> {
    let invalid = || format!("`{text}` is an unsupported duration");
    let (mut millis, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let length = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..length] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(invalid()),
        };
        millis = number
            .checked_mul(unit)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(invalid)?;
        rest = &rest[length..];
    }
    Ok(if millis % 1000 == 0 {
        format!("{}s", millis / 1000)
    } else {
        format!("{millis}ms")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("1m30s").as_deref(), Ok("90s"));
        assert_eq!(duration("500ms").as_deref(), Ok("500ms"));
        assert!(duration("1.5s").is_err());
    }

    #[test]
    fn ports_can_be_ranges() {
        assert_eq!(
            port("8000-8001/udp"),
            Ok(vec!["8000/udp".to_owned(), "8001/udp".to_owned()])
        );
        assert_eq!(port("8888/tcp"), Ok(vec!["8888".to_owned()]));
        assert!(port("x").is_err());
    }
}
