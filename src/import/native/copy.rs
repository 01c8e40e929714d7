//! `COPY` and `ADD`.

use serde_json::{Map, Value as Json, json};

use super::configured;
use super::context::{Context, Found, Source};
use super::state::{Draft, Reason, State, is_root_name};
use super::value::{Quotes, Value, expand};
use crate::dockerfile::{Instruction, here_document, is_remote};

/// The options and words of a `COPY`.
struct Copy {
    from: Option<String>,
    owner: Option<String>,
    is_root: bool,
    mode: Option<Value>,
    /// As they are written.
    sources: Vec<String>,
    /// Absolute.
    target: Value,
    /// The target, with the defaults of variables.
    path: String,
}

/// Ends of archives, which `ADD` extracts.
const ARCHIVES: [&str; 8] = [
    ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".tbz2",
];

/// Adds the step of a `COPY` or an `ADD`.
pub fn copy(
    instruction: &Instruction,
    comment: String,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    let copy = read(instruction, state)?;
    let is_add = instruction.keyword == "ADD";
    for source in &copy.sources {
        if is_remote(source) {
            return Err(format!("`copy` cannot fetch `{source}`"));
        }
        let to = context.followed(source).unwrap_or_default();
        let mut ends = ARCHIVES.iter();
        if is_add && ends.any(|end| source.ends_with(end) || to.ends_with(end)) {
            return Err(format!("`ADD` extracts `{source}`, and `copy` does not"));
        }
    }
    if !instruction.documents.is_empty() {
        return write(instruction, &copy, comment, state, context);
    }
    let mut targets = Map::new();
    let mut became = "`copy`".to_owned();
    if let Some(from) = &copy.from {
        let image = context.image(from)?;
        became = of_image(&copy, &image, state, &mut targets)?;
    } else {
        of_context(&copy, state, context, &mut targets)?;
    }
    let mut keys = Map::new();
    keys.insert("copy".to_owned(), Json::Object(targets));
    let draft = Draft {
        keys,
        comment,
        command: None,
    };
    if let Some(note) = state.place(draft, &[copy.path], copy.is_root) {
        became = format!("{became}; {note}");
    }
    state.notes.push(context.note(instruction, became));
    Ok(())
}

/// Reads the options and words.
fn read(instruction: &Instruction, state: &State) -> Result<Copy, Reason> {
    let (mut from, mut owner, mut mode) = (None, None, None);
    let (mut is_root, mut count) = (true, 0);
    for (name, word) in instruction.options().0 {
        count += 1;
        match name.as_str() {
            "from" => from = Some(word.value.clone()),
            "chown" => {
                let value = state.known(&word.value)?;
                let text = state.resolved(&value).unwrap_or_default();
                is_root = is_root_name(&text);
                owner = Some(value.written());
            }
            "chmod" => mode = Some(state.known(&word.value)?),
            "link" => {}
            other => return Err(format!("`copy` has no `--{other}`")),
        }
    }
    let raw = instruction.raw_words();
    let mut words: Vec<String> = match instruction.array() {
        Some(list) => list,
        None => raw[count.min(raw.len())..]
            .iter()
            .map(|word| (*word).to_owned())
            .collect(),
    };
    let last = words.pop().ok_or("it has no target")?;
    let target = state.absolute(&state.known(&last)?)?;
    let path = state.resolved(&target).unwrap_or_default();
    if path.contains("/./") || path.contains("/../") {
        return Err(format!("the path `{path}` has `..` or `.`"));
    }
    let mut sources = Vec::new();
    for word in words {
        let value = if here_document(&word).is_some() {
            Value::text(&word)
        } else {
            state.known(&word)?
        };
        sources.push(state.resolved(&value).unwrap_or_default());
    }
    Ok(Copy {
        from,
        owner,
        is_root,
        mode,
        sources,
        target,
        path,
    })
}

impl Copy {
    /// Returns the value of a target: the path, with owner and mode where there are any.
    fn value(&self, from: Json, image: Option<&str>) -> Json {
        if self.owner.is_none() && self.mode.is_none() && image.is_none() {
            return from;
        }
        let mut map = Map::new();
        if let Some(image) = image {
            map.insert("image".to_owned(), json!(image));
        }
        map.insert("from".to_owned(), from);
        self.add_ownership(&mut map);
        Json::Object(map)
    }

    fn add_ownership(&self, map: &mut Map<String, Json>) {
        if let Some(owner) = &self.owner {
            map.insert("owner".to_owned(), json!(owner));
        }
        if let Some(mode) = &self.mode {
            map.insert("mode".to_owned(), json!(mode.written()));
        }
    }

    /// Fails if the mode may be another one than that of BuildKit, which also sets it on folders that it makes above the
    /// target. `makes_target`: it is also set on the target if that is a missing folder. `copy` does so for a target with a
    /// `/` at its end.
    fn check_mode(&self, makes_target: bool, state: &mut State) -> Result<(), Reason> {
        let Some(mode) = &self.mode else {
            return Ok(());
        };
        let text = state.resolved(mode).unwrap_or_default();
        if text.is_empty() || !text.chars().all(|c| matches!(c, '0'..='7')) {
            return Err(format!("`copy` applies the mode `{text}` in another way"));
        }
        state.make_missing();
        let path = self.path.trim_end_matches('/');
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        let folder = if makes_target { path } else { above };
        let folder = if folder.is_empty() { "/" } else { folder };
        if state.folders.contains(folder) {
            return Ok(());
        }
        Err(format!(
            "`--chmod` also sets the mode of `{folder}` if it is missing, and `copy` does not"
        ))
    }

    /// Whether the target is certainly a folder.
    fn is_into_folder(&self, state: &State) -> bool {
        self.path.ends_with('/') || state.folders.contains(&self.path)
    }

    /// Returns the target with a `/` at its end.
    fn folder(&self) -> String {
        format!("{}/", self.target.written().trim_end_matches('/'))
    }
}

/// Adds what is copied from the context.
fn of_context(
    copy: &Copy,
    state: &mut State,
    context: &Context,
    targets: &mut Map<String, Json>,
) -> Result<(), Reason> {
    let found = copy.sources.iter().map(|source| context.find(source));
    let sources = found.collect::<Result<Vec<Source>, Reason>>()?;
    let written = sources.iter().map(|source| context.written(source));
    let written: Vec<String> = written.collect();
    let is_file = matches!(sources.as_slice(), [source] if source.found == Found::File);
    copy.check_mode(false, state)?;
    for source in &sources {
        let files = configured::by_source(&copy.path, &source.path, context);
        state.configured.extend(files);
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let path = format!("{}/{name}", copy.path);
        state.configured.extend(configured::by_path(&path));
    }
    if is_file && !copy.is_into_folder(state) {
        let source = &sources[0].path;
        (state.copied).place(&copy.path, source, &written[0], context);
        targets.insert(copy.target.written(), copy.value(json!(written[0]), None));
        return Ok(());
    }
    for (text, source) in written.iter().zip(&sources) {
        let name = text.rsplit('/').next().unwrap_or_default();
        match source.found {
            Found::File => {
                let path = format!("{}/{name}", copy.path.trim_end_matches('/'));
                (state.copied).place(&path, &source.path, text, context);
            }
            Found::Folder => (state.copied).place_folder(&copy.path, &source.path, context),
            Found::Pattern => state.copied.forget(&copy.path),
        }
    }
    let from = match written.as_slice() {
        [one] => json!(one),
        list => json!(list),
    };
    targets.insert(copy.folder(), copy.value(from, None));
    Ok(())
}

/// Adds what is copied from another image, where it is not known which paths are folders.
fn of_image(
    copy: &Copy,
    image: &str,
    state: &mut State,
    targets: &mut Map<String, Json>,
) -> Result<String, Reason> {
    let is_into = match copy.sources.as_slice() {
        [one] => !one.ends_with('/') && copy.is_into_folder(state),
        // The target is written with a `/` at its end.
        _ => false,
    };
    copy.check_mode(is_into, state)?;
    state.copied.forget(&copy.path);
    let targets_of = copy
        .sources
        .iter()
        .map(|source| format!("{}/{source}", copy.path));
    let paths = targets_of.chain([copy.path.clone()]);
    state
        .configured
        .extend(paths.filter_map(|path| configured::by_path(&path)));
    let absolute = |source: &String| format!("/{}", source.trim_start_matches('/'));
    let sources: Vec<String> = copy.sources.iter().map(absolute).collect();
    if let Some(source) = sources
        .iter()
        .find(|source| source.contains(['*', '?', '[']))
    {
        return Err(format!("`{source}` is a pattern in another image"));
    }
    let became = format!("`copy` from `{image}`");
    if let [source] = sources.as_slice() {
        let is_folder = source.ends_with('/');
        if !is_folder
            && copy.path.ends_with('/')
            && !state.folders.contains(copy.path.trim_end_matches('/'))
        {
            return Err(format!(
                "it is not known whether `{source}` of `{image}` is a file or a folder, whose contents would be copied"
            ));
        }
        let target = if is_folder {
            copy.folder()
        } else {
            copy.target.written().trim_end_matches('/').to_owned()
        };
        targets.insert(target, copy.value(json!(source), Some(image)));
        return Ok(became);
    }
    if sources.iter().any(|source| source.ends_with('/')) {
        return Err("it copies several folders of another image".to_owned());
    }
    targets.insert(copy.folder(), copy.value(json!(sources), Some(image)));
    Ok(format!("{became}; the paths are taken for files"))
}

/// Adds the here-documents as `write`.
fn write(
    instruction: &Instruction,
    copy: &Copy,
    comment: String,
    state: &mut State,
    context: &Context,
) -> Result<(), Reason> {
    if copy.sources.len() != instruction.documents.len() {
        return Err("it has here-documents and files".to_owned());
    }
    copy.check_mode(copy.is_into_folder(state), state)?;
    let mut targets = Map::new();
    for (word, document) in copy.sources.iter().zip(&instruction.documents) {
        let (name, _) = here_document(word).ok_or("it has here-documents and files")?;
        let is_quoted = word.contains(['"', '\'']);
        let text = if is_quoted {
            Value::text(document)
        } else {
            expand(document, &state.env, &state.vars, Quotes::Kept)?
        };
        if text.uses_environment() {
            return Err("its here-document uses the environment of the base".to_owned());
        }
        let target = if copy.is_into_folder(state) {
            format!("{}{name}", copy.folder())
        } else {
            copy.target.written()
        };
        state.copied.forget(&copy.path);
        let path = format!("{}/{name}", copy.path);
        let paths = [path.as_str(), &copy.path];
        let tools = paths.iter().filter_map(|path| configured::by_path(path));
        state.configured.extend(tools);
        state.configured.extend(configured::by_text(document));
        let mut map = Map::new();
        if text.uses_vars() {
            map.insert("text".to_owned(), json!(text.written()));
            map.insert("vars".to_owned(), json!(true));
        } else {
            map.insert("text".to_owned(), json!(text.resolved(&state.vars)));
        }
        copy.add_ownership(&mut map);
        let value = match map.get("text") {
            Some(text) if map.len() == 1 => text.clone(),
            _ => Json::Object(map),
        };
        targets.insert(target, value);
    }
    let mut keys = Map::new();
    keys.insert("write".to_owned(), Json::Object(targets));
    let draft = Draft {
        keys,
        comment,
        command: None,
    };
    let note = state.place(draft, std::slice::from_ref(&copy.path), copy.is_root);
    let note = note.map_or_else(String::new, |note| format!("; {note}"));
    state
        .notes
        .push(context.note(instruction, format!("`write`{note}")));
    Ok(())
}
