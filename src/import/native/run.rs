//! `RUN`.

use serde_json::{Map, Value as Json, json};

use super::apt::{self, Apt, Install};
use super::conda::{self, Conda};
use super::configured::Tool;
use super::context::Context;
use super::copied;
use super::mounts::{self, Options};
use super::permissions::{fix_permissions, is_setgid};
use super::pip::{self, Pip};
use super::shell::{chain, changes_shell, goes_on_after_failures, words};
use super::state::{Draft, Reason, Sensitivity, State, is_root_name};
use super::value::Value;
use crate::dockerfile::{Instruction, here_document};

/// A part of a chain of commands.
enum Part {
    Apt(Apt),
    Step(&'static str, Json),
    /// What removes caches of pip or conda.
    Clean(&'static str),
    /// What `writable` does.
    Permissions(Vec<String>),
    Other(String),
}

/// A member of a step.
enum Member {
    Native(&'static str, Json),
    Text(Vec<String>),
}

/// Adds the steps of a `RUN`.
pub fn run(
    instruction: &Instruction,
    comment: String,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    let options = mounts::options(instruction, state, context)?;
    if let Some(array) = instruction.array() {
        state.note_command(&array);
        let args: Vec<String> = array.iter().map(|arg| super::value::literal(arg)).collect();
        let draft = draft("exec", json!(args), options, comment);
        state.run(draft, Sensitivity::Everything, false);
        state.notes.push(context.note(instruction, "`exec`"));
        return Ok(());
    }
    if !instruction.documents.is_empty() {
        let text = with_documents(instruction)?;
        state.note_text(&text, state.folder());
        return plain(
            instruction,
            (&text, &text),
            options,
            comment,
            state,
            context,
        );
    }
    let text = instruction.after_options();
    let hidden: Vec<String> = options.targets(state);
    let parts = chain(text).map(|commands| parts(&commands, &hidden, state, context));
    if parts.is_none() {
        state.note_text(text, state.folder());
    }
    match parts {
        Some(parts) if parts.iter().any(|part| !matches!(part, Part::Other(_))) => {
            translated(instruction, parts, options, comment, state, context)
        }
        _ => {
            let pretty = pretty(instruction, text, context);
            plain(
                instruction,
                (text, &pretty),
                options,
                comment,
                state,
                context,
            )
        }
    }
}

/// Returns the text of a `RUN` with here-documents as the frontend passes it to the shell.
fn with_documents(instruction: &Instruction) -> Result<String, Reason> {
    let command = instruction.after_options();
    let first = &instruction.documents[0];
    if here_document(command).is_some() {
        if first.starts_with("#!") {
            return Err("its here-document has an interpreter of its own".to_owned());
        }
        return Ok(first.clone());
    }
    let words = instruction.raw_words();
    let names = words.iter().filter_map(|word| here_document(word));
    let mut text = command.to_owned();
    for ((name, _), document) in names.zip(&instruction.documents) {
        text.push_str(&format!("\n{document}{name}"));
    }
    text.push('\n');
    Ok(text)
}

/// Returns the commands of a text on lines of their own where they are a chain, else as they are written.
fn pretty(instruction: &Instruction, text: &str, context: &Context) -> String {
    if let Some(commands) = chain(text) {
        return joined(&commands);
    }
    let written = &context.text[instruction.range.clone()];
    let is_simple = !text.contains(['\'', '"']) && !written.contains('#') && written.contains('\n');
    if !is_simple {
        return text.to_owned();
    }
    let start = written.find(text.split_whitespace().next().unwrap_or_default());
    let lines = written[start.unwrap_or_default()..].lines();
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Returns commands as a chain with a line for each.
fn joined(commands: &[String]) -> String {
    match commands {
        [one] => one.clone(),
        _ => commands.join(" &&\n") + "\n",
    }
}

/// Adds a text as it is; the second one is the same on several lines.
fn plain(
    instruction: &Instruction,
    text: (&str, &str),
    options: Options,
    comment: String,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    let (value, became) = shell_text(text.0, text.1, state)?;
    let secrets: Vec<String> = options.secrets.keys().cloned().collect();
    let kind = if value.is_array() { "exec" } else { "run" };
    state.run(
        draft(kind, value, options, comment),
        Sensitivity::Everything,
        false,
    );
    let mut became = became.to_owned();
    for secret in secrets {
        became.push_str(&format!("; pass its value with --secret {secret}=FILE"));
    }
    state.notes.push(context.note(instruction, became));
    Ok(())
}

/// Returns the value of `run` or `exec` for a text of the shell, and what it is called in the report. `written` is the same
/// text on several lines.
fn shell_text(text: &str, written: &str, state: &State) -> Result<(Json, &'static str), Reason> {
    if text.trim().is_empty() {
        return Err("it has no command".to_owned());
    }
    let shell = state.shell.as_deref();
    let is_login = shell.is_some_and(|shell| {
        let mut options = shell.iter().skip(1);
        options.any(|word| {
            word == "--login"
                || (word.starts_with('-') && !word.starts_with("--") && word.contains(['l', 'i']))
        })
    });
    if let (true, Some(shell)) = (is_login, shell) {
        let args = shell.iter().map(String::as_str).chain([text]);
        let args: Vec<String> = args.map(super::value::literal).collect();
        return Ok((
            json!(args),
            "`exec` with its shell: in a step, `-e` would apply to its profile",
        ));
    }
    if goes_on_after_failures(text, shell) {
        let text = format!(
            "set +e # as in the Dockerfile, a failed command does not stop it\n{}\n",
            written.trim_end()
        );
        return Ok((
            json!(text),
            "`run` with `set +e`, as its shell does not stop at the first failure",
        ));
    }
    Ok((json!(written), "`run`"))
}

fn draft(kind: &str, value: Json, options: Options, comment: String) -> Draft {
    let mut keys = Map::new();
    keys.insert(kind.to_owned(), value);
    options.add_to(&mut keys);
    Draft {
        keys,
        comment,
        command: None,
    }
}

/// Returns what each command of a chain is. `hidden` are paths that something is mounted at.
fn parts(
    commands: &[String],
    hidden: &[String],
    state: &mut State,
    context: &Context,
) -> Vec<Part> {
    let user = state
        .user
        .as_ref()
        .map(|user| state.resolved(user).unwrap_or_default());
    let is_root = user.as_deref().is_none_or(is_root_name);
    let mut folder = state.folder();
    let mut made = Vec::new();
    for command in commands {
        let other = || Part::Other(command.clone());
        let Some(words) = words(command, &state.env, &state.vars) else {
            let part = removed_cache(command);
            if part.is_none() {
                folder = state.note_text(command, folder);
            }
            made.push(part.unwrap_or_else(other));
            continue;
        };
        let part = apt::apt(&words, &state.vars)
            .filter(|part| {
                // A step sets this itself.
                let has_setting = matches!(part, Apt::Install(install) if install.recommends);
                is_root && !(has_setting && state.is_configured(Tool::Apt))
            })
            .map(Part::Apt);
        let part = part.or_else(|| {
            let file = |path: &str| {
                let path = copied::absolute(path, folder.as_deref())?;
                let file = state.copied.requirements(&path, hidden, context);
                file.map(str::to_owned)
            };
            match pip::pip(&words, &state.vars, &file)? {
                Pip::Install(_) if state.is_configured(Tool::Pip) => None,
                Pip::Install(value) => Some(Part::Step("pip", value)),
                Pip::Clean => Some(Part::Clean("pip")),
            }
        });
        let part = part.or_else(|| match conda::conda(&words, &state.vars)? {
            Conda::Install(_) if state.is_configured(Tool::Conda) => None,
            Conda::Install(value) => Some(Part::Step("conda", value)),
            Conda::Clean => Some(Part::Clean("conda")),
        });
        let part = part.or_else(|| permissions(&words, state, context));
        if part.is_none() {
            folder = state.note_text(command, folder);
        }
        made.push(part.unwrap_or_else(other));
    }
    restrict(made, commands)
}

/// Returns the part of `rm -rf ~/.cache/pip`.
fn removed_cache(command: &str) -> Option<Part> {
    matches!(command, "rm -rf ~/.cache/pip" | "rm -rf ~/.cache").then_some(Part::Clean("pip"))
}

/// Returns the part of `fix-permissions`. One whose folder nothing was done with before stays in the image as well.
fn permissions(words: &[Value], state: &mut State, context: &Context) -> Option<Part> {
    if !is_setgid(context.sources) {
        return None;
    }
    let found = fix_permissions(words, &state.env, &state.vars)?;
    let paths = state.writable.entry(found.gid).or_default();
    let is_known = found.paths.iter().all(|path| paths.contains(path));
    for path in &found.paths {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    is_known.then_some(Part::Permissions(found.paths))
}

/// Keeps commands that only count together with others as they are.
fn restrict(parts: Vec<Part>, commands: &[String]) -> Vec<Part> {
    let has = |is: &dyn Fn(&Part) -> bool| parts.iter().any(is);
    let has_apt = has(&|part| matches!(part, Part::Apt(Apt::Install(_))));
    let has_pip = has(&|part| matches!(part, Part::Step("pip", _)));
    let has_conda = has(&|part| matches!(part, Part::Step("conda", _)));
    let installs_other = commands.iter().zip(&parts).any(|(text, part)| {
        matches!(part, Part::Other(_))
            && ["apt-get", "apt ", "dpkg", "pip", "conda", "mamba"]
                .iter()
                .any(|it| text.contains(it))
    });
    let last_native = parts
        .iter()
        .rposition(|part| matches!(part, Part::Apt(_) | Part::Step(..)));
    let before = commands
        .iter()
        .zip(&parts)
        .take(last_native.unwrap_or_default());
    let changes = before
        .filter(|(_, part)| matches!(part, Part::Other(_)))
        .any(|(text, _)| changes_shell(text));
    // What is installed by other commands may need the lists, and the caches are removed after it.
    let is_whole = installs_other || changes;
    let keep = |(part, text): (Part, &String)| match part {
        Part::Apt(_) if is_whole || !has_apt => Part::Other(text.clone()),
        Part::Step(..) if is_whole => Part::Other(text.clone()),
        Part::Clean("pip") if is_whole || !has_pip => Part::Other(text.clone()),
        Part::Clean("conda") if is_whole || !has_conda => Part::Other(text.clone()),
        part => part,
    };
    parts.into_iter().zip(commands).map(keep).collect()
}

/// Adds the steps of a chain of which a part is translated.
fn translated(
    instruction: &Instruction,
    parts: Vec<Part>,
    mut options: Options,
    comment: String,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    let (members, mut became) = members(parts);
    let has = |kind: &str| {
        members
            .iter()
            .any(|it| matches!(it, Member::Native(name, _) if *name == kind))
    };
    let is_own = |path: &str| {
        has("apt") && (path.starts_with("/var/cache/apt") || path.starts_with("/var/lib/apt"))
            || has("pip") && path.ends_with("/.cache/pip")
            || has("conda") && path.ends_with("/pkgs")
    };
    if options.remove_caches(is_own) {
        became.push("its cache is that of the step".to_owned());
    }
    let is_group = members.len() > 1 && members.iter().any(|it| matches!(it, Member::Text(_)));
    let has_options =
        !options.mounts.is_empty() || !options.secrets.is_empty() || options.network.is_some();
    let is_group = is_group || (members.len() > 1 && has_options);
    if is_group {
        let list: Result<Vec<Json>, Reason> = members
            .iter()
            .map(|member| Ok(Json::Object(member_keys(member, state)?)))
            .collect();
        let draft = draft("group", json!(list?), options, comment);
        state.run(draft, Sensitivity::Everything, has("apt"));
    } else {
        let mut options = Some(options);
        let mut comment = Some(comment);
        for member in &members {
            let mut draft = Draft {
                keys: member_keys(member, state)?,
                comment: comment.take().unwrap_or_default(),
                command: None,
            };
            options.take().unwrap_or_default().add_to(&mut draft.keys);
            let is_apt = draft.keys.contains_key("apt");
            let sensitivity = if is_apt {
                Sensitivity::Apt
            } else {
                Sensitivity::Everything
            };
            state.run(draft, sensitivity, is_apt);
        }
    }
    if is_group {
        became.insert(0, "one `group`".to_owned());
    }
    state
        .notes
        .push(context.note(instruction, became.join("; ")));
    Ok(())
}

fn member_keys(member: &Member, state: &State) -> Result<Map<String, Json>, Reason> {
    let mut keys = Map::new();
    match member {
        Member::Native(kind, value) => {
            keys.insert((*kind).to_owned(), value.clone());
        }
        Member::Text(commands) => {
            let (value, _) = shell_text(&commands.join(" && "), &joined(commands), state)?;
            let kind = if value.is_array() { "exec" } else { "run" };
            keys.insert(kind.to_owned(), value);
        }
    }
    Ok(keys)
}

/// Joins the parts of a chain; also returns what became of them.
fn members(parts: Vec<Part>) -> (Vec<Member>, Vec<String>) {
    let mut members: Vec<Member> = Vec::new();
    let mut became = Vec::new();
    let mut text: Vec<String> = Vec::new();
    let mut installs: Option<Install> = None;
    let flush = |text: &mut Vec<String>, members: &mut Vec<Member>| {
        if !text.is_empty() {
            members.push(Member::Text(std::mem::take(text)));
        }
    };
    let flush_apt = |installs: &mut Option<Install>, members: &mut Vec<Member>| {
        if let Some(install) = installs.take() {
            members.push(Member::Native("apt", apt_value(&install)));
        }
    };
    for part in parts {
        match part {
            Part::Apt(Apt::Install(install)) => {
                flush(&mut text, &mut members);
                let is_same = installs
                    .as_ref()
                    .is_none_or(|before| before.recommends == install.recommends);
                if !is_same {
                    flush_apt(&mut installs, &mut members);
                }
                let whole = installs.get_or_insert_with(|| Install {
                    packages: Vec::new(),
                    recommends: install.recommends,
                });
                whole.packages.extend(install.packages);
                note(&mut became, "`apt`; lists and downloads are in no layer");
            }
            Part::Apt(Apt::Update | Apt::Clean) => {}
            Part::Step(kind, value) => {
                flush(&mut text, &mut members);
                flush_apt(&mut installs, &mut members);
                let tool = match kind {
                    "pip" => "`pip`, installed by uv",
                    _ => "`conda`, installed by py-rattler",
                };
                note(&mut became, tool);
                members.push(Member::Native(kind, value));
            }
            Part::Clean(_) => note(&mut became, "caches are in no layer"),
            Part::Permissions(paths) => {
                let became_of = format!(
                    "`writable` keeps {} writable by the group after each step",
                    paths.join(", ")
                );
                note(&mut became, &became_of);
            }
            Part::Other(command) => {
                flush_apt(&mut installs, &mut members);
                note(&mut became, "`run`");
                text.push(command);
            }
        }
    }
    flush(&mut text, &mut members);
    flush_apt(&mut installs, &mut members);
    (members, became)
}

fn note(became: &mut Vec<String>, text: &str) {
    if !became.iter().any(|known| known == text) {
        became.push(text.to_owned());
    }
}

/// Returns the value of `apt:`.
fn apt_value(install: &Install) -> Json {
    if install.recommends {
        json!({ "packages": install.packages, "recommends": true })
    } else {
        json!(install.packages)
    }
}
