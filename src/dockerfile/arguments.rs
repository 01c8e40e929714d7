//! Whether an instruction has the arguments that it requires: what the parser of the frontend refuses, and nothing else
//! (frontend/dockerfile/parser/line_parsers.go and frontend/dockerfile/instructions/parse.go of BuildKit 0.32.2).

use serde_json::Value as Json;

use super::quotes::here_document;

/// Blanks between the words of an instruction; others are parts of words (parser/parser.go, `reWhitespace`).
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// An instruction with invalid arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What was found.
    pub label: String,
}

impl Refusal {
    fn new<T>(message: String, label: impl Into<String>) -> Result<T, Self> {
        let label = label.into();
        Err(Self { message, label })
    }
}

/// Checks the arguments of an instruction, whose keyword is in upper case. `escape`: the character that escapes others.
pub fn check(keyword: &str, arguments: &str, escape: char) -> Result<(), Refusal> {
    let text = without_options(arguments, escape);
    check_text(keyword, text, escape)?;
    match keyword {
        "COPY" | "ADD" => check_copied(keyword, &listed(text)),
        "USER" | "WORKDIR" | "STOPSIGNAL" | "MAINTAINER" if text.is_empty() => Refusal::new(
            format!("`{keyword}` requires exactly one argument"),
            "no argument",
        ),
        "ENV" | "LABEL" | "ARG" => check_names(keyword, &words(text, escape)),
        "EXPOSE" => at_least_one(keyword, !text.is_empty()),
        "VOLUME" => check_volumes(&listed(text)),
        "SHELL" => match array(text) {
            Some(list) => at_least_one(keyword, !list.is_empty()),
            None if text.is_empty() => at_least_one(keyword, false),
            None => Refusal::new(
                "`SHELL` requires the arguments to be in JSON form".to_owned(),
                "expected a list such as `[\"/bin/bash\", \"-c\"]`",
            ),
        },
        "HEALTHCHECK" => check_healthcheck(text),
        "ONBUILD" => check_trigger(text),
        _ => Ok(()),
    }
}

/// Checks what the frontend also refuses after `ONBUILD`.
fn check_text(keyword: &str, text: &str, escape: char) -> Result<(), Refusal> {
    match keyword {
        "ENV" | "LABEL" => check_pairs(keyword, text, &words(text, escape)),
        "ADD" | "COPY" | "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" | "VOLUME" => are_strings(text),
        "HEALTHCHECK" => are_strings(after_word(text).1),
        "ONBUILD" => {
            let (inner, rest) = after_word(text);
            let rest = without_options(rest, escape);
            check_text(&inner.to_uppercase(), rest, escape)
        }
        _ => Ok(()),
    }
}

/// Checks the pairs of `ENV` and `LABEL`: `NAME VALUE`, or `NAME=VALUE` once or more.
fn check_pairs(keyword: &str, text: &str, words: &[String]) -> Result<(), Refusal> {
    let Some(first) = words.first() else {
        return Ok(());
    };
    if !first.contains('=') {
        if text.contains(BLANKS) {
            return Ok(());
        }
        let message = format!("`{keyword}` must have two arguments");
        return Refusal::new(message, "expected `NAME=VALUE`");
    }
    match words.iter().find(|word| !word.contains('=')) {
        Some(word) => Refusal::new(
            format!("missing `=` in `{word}` of `{keyword}`"),
            "each word must have the form `NAME=VALUE`",
        ),
        None => Ok(()),
    }
}

/// Checks the names of `ARG`, `ENV` and `LABEL`.
fn check_names(keyword: &str, words: &[String]) -> Result<(), Refusal> {
    at_least_one(keyword, !words.is_empty())?;
    // Of `ENV NAME VALUE`, the value is text.
    let is_text = keyword != "ARG" && !words[0].contains('=');
    if !is_text && words.iter().any(|word| word.starts_with('=')) {
        let message = format!("`{keyword}` names can not be blank");
        return Refusal::new(message, "no name before `=`");
    }
    Ok(())
}

/// Checks the sources and the target of `COPY` and `ADD`. A here-document is a source.
fn check_copied(keyword: &str, list: &[String]) -> Result<(), Refusal> {
    match list {
        [] | [_] => Refusal::new(
            format!("`{keyword}` requires at least two arguments"),
            match list {
                [] => "no argument",
                _ => "found one argument: the source or the target is missing",
            },
        ),
        [.., target] if here_document(target).is_some() => Refusal::new(
            format!("`{keyword}` cannot accept a heredoc as a destination"),
            "the target is missing",
        ),
        _ => Ok(()),
    }
}

fn check_volumes(list: &[String]) -> Result<(), Refusal> {
    at_least_one("VOLUME", !list.is_empty())?;
    if list.iter().any(|path| path.trim().is_empty()) {
        let message = "`VOLUME` can not be an empty string".to_owned();
        return Refusal::new(message, "one path is empty");
    }
    Ok(())
}

/// Checks `NONE`, or `CMD` and a command.
fn check_healthcheck(text: &str) -> Result<(), Refusal> {
    at_least_one("HEALTHCHECK", !text.is_empty())?;
    let (kind, rest) = after_word(text);
    let is_empty = rest.is_empty() || array(rest).is_some_and(|list| list.is_empty());
    match (kind.to_uppercase().as_str(), is_empty) {
        ("NONE", true) | ("CMD", false) => Ok(()),
        ("NONE", false) => Refusal::new(
            "`HEALTHCHECK NONE` takes no arguments".to_owned(),
            "found an argument",
        ),
        ("CMD", true) => Refusal::new(
            "missing command after `HEALTHCHECK CMD`".to_owned(),
            "no command",
        ),
        _ => Refusal::new(
            format!("unknown type `{kind}` in `HEALTHCHECK`"),
            "expected `NONE` or `CMD`",
        ),
    }
}

fn check_trigger(text: &str) -> Result<(), Refusal> {
    at_least_one("ONBUILD", !text.is_empty())?;
    let inner = after_word(text).0.to_uppercase();
    if matches!(inner.as_str(), "ONBUILD" | "MAINTAINER" | "FROM") {
        let message = format!("`{inner}` isn't allowed as an `ONBUILD` trigger");
        return Refusal::new(message, "expected another instruction");
    }
    Ok(())
}

fn at_least_one(keyword: &str, has_one: bool) -> Result<(), Refusal> {
    if has_one {
        return Ok(());
    }
    let message = format!("`{keyword}` requires at least one argument");
    Refusal::new(message, "no argument")
}

/// Refuses an array with something else than strings.
fn are_strings(text: &str) -> Result<(), Refusal> {
    match json(text) {
        Some(list) if !list.iter().all(Json::is_string) => Refusal::new(
            "arrays must be comprised of strings only".to_owned(),
            "found another value in the array",
        ),
        _ => Ok(()),
    }
}

/// Returns an array; `None` if the text is none, and so is a command or words.
fn json(text: &str) -> Option<Vec<Json>> {
    let is_array = text.starts_with('[');
    is_array.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Returns the strings of an array.
fn array(text: &str) -> Option<Vec<String>> {
    let list = json(text)?.into_iter();
    let list = list.map(|item| item.as_str().map(str::to_owned));
    list.collect()
}

/// Returns the strings of an array, or the words of another text.
fn listed(text: &str) -> Vec<String> {
    array(text).unwrap_or_else(|| {
        let words = text.split(BLANKS).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect()
    })
}

/// Returns the first word, and the text after it.
fn after_word(text: &str) -> (&str, &str) {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Returns the text after the options at its start: `--name=value`, also with quotes. `--` ends them (parser/split_command.go).
fn without_options(text: &str, escape: char) -> &str {
    let mut rest = text.trim();
    while rest.starts_with("--") {
        let end = word_end(rest, escape);
        let is_end = &rest[..end] == "--";
        rest = rest[end..].trim_start();
        if is_end {
            break;
        }
    }
    rest
}

/// Returns the words of a text, quotes included (parser/line_parsers.go, `parseWords`).
fn words(text: &str, escape: char) -> Vec<String> {
    let mut list = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = word_end(rest, escape);
        // The last character escapes nothing.
        let word = match rest[..end].strip_suffix(escape) {
            Some(before) if end == rest.len() && !before.ends_with(escape) => before,
            _ => &rest[..end],
        };
        list.extend((!word.is_empty()).then(|| word.to_owned()));
        rest = rest[end..].trim_start();
    }
    list
}

/// Returns where the first word of a text ends.
fn word_end(text: &str, escape: char) -> usize {
    let mut quote = None;
    let mut rest = text.char_indices();
    while let Some((at, found)) = rest.next() {
        match quote {
            // In quotes of `'`, it is a character.
            Some('\'') if found == escape => {}
            _ if found == escape => {
                rest.next();
            }
            Some(begun) if found == begun => quote = None,
            Some(_) => {}
            None if matches!(found, '"' | '\'') => quote = Some(found),
            None if found.is_whitespace() => return at,
            None => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use crate::dockerfile::lines;

    /// Each was compared with the answer of BuildKit 0.32.2.
    const REFUSED: [&str; 40] = [
        "COPY data",
        "COPY",
        "COPY --chown=1 data",
        "COPY [\"a\"]",
        "COPY []",
        "COPY [\"a\", 1]",
        "COPY <<EOF\nx\nEOF",
        "COPY a <<EOF\nx\nEOF",
        "ADD a",
        "ADD -- a",
        "USER",
        "USER --x",
        "WORKDIR",
        "STOPSIGNAL",
        "MAINTAINER",
        "ENV",
        "ENV A",
        "ENV A=b c",
        "ENV =b",
        "ENV A=b =c",
        "LABEL",
        "LABEL a",
        "ARG",
        "ARG =x",
        "EXPOSE",
        "VOLUME",
        "VOLUME []",
        "VOLUME [\"\"]",
        "SHELL",
        "SHELL []",
        "SHELL bash",
        "CMD [1]",
        "ENTRYPOINT [null]",
        "RUN [\"a\", true]",
        "HEALTHCHECK",
        "HEALTHCHECK NONE x",
        "HEALTHCHECK CMD",
        "HEALTHCHECK curl x",
        "ONBUILD",
        "ONBUILD ENV A",
    ];

    const ACCEPTED: [&str; 34] = [
        "COPY a b",
        "COPY --chown=\"1 2\" a b",
        "COPY -- a b",
        "COPY [a b]",
        "COPY [\"a\", \"b\"]",
        "COPY <<EOF /x\nx\nEOF",
        "COPY <<A <<B /x/\nA\nB",
        "ADD a\\\n b",
        "USER a b",
        "USER \"\"",
        "WORKDIR /a b",
        "ENV A b",
        "ENV A b=c",
        "ENV A=",
        "ENV A=\"b c\" D='e f'",
        "ENV A=b\\ c",
        "LABEL \"a b\"=c",
        "LABEL a b",
        "ARG A",
        "ARG A=b C",
        "EXPOSE 80 81",
        "VOLUME /a /b",
        "SHELL [\"a\"]",
        "CMD",
        "CMD []",
        "ENTRYPOINT",
        "ENTRYPOINT []",
        "CMD [1",
        "HEALTHCHECK NONE",
        "HEALTHCHECK none",
        "HEALTHCHECK --retries=3 CMD x",
        "HEALTHCHECK CMD [\"a\"]",
        "ONBUILD COPY data",
        "ONBUILD USER",
    ];

    #[test]
    fn arguments_are_refused_where_the_frontend_refuses_them() {
        for text in REFUSED {
            let fault = lines(&format!("FROM scratch\n{text}\n"));
            let fault = fault.expect_err(text);
            let keyword = text.split_whitespace().next().unwrap_or_default();
            let is_named = fault.message.contains(keyword) || fault.message.contains("arrays");
            assert!(is_named || keyword == "ONBUILD", "{text}: {fault:?}");
            assert_eq!(fault.range.start, 13, "{text}");
        }
        for text in ACCEPTED {
            let read = lines(&format!("FROM scratch\n{text}\n"));
            assert!(read.is_ok(), "{text}: {read:?}");
        }
        for trigger in ["ONBUILD", "FROM a", "MAINTAINER x"] {
            lines(&format!("ONBUILD {trigger}\n")).expect_err(trigger);
        }
    }

    #[test]
    fn an_instruction_before_the_first_stage_is_refused() {
        let parse = crate::dockerfile::Dockerfile::parse;
        let fault = parse("ARG A=b\nRUN x\nFROM scratch\n").expect_err("no stage");
        assert_eq!(fault.message, "`RUN` before the first `FROM`");
        assert_eq!(fault.range, 8..13);
    }

    #[test]
    fn the_escape_of_the_file_counts() {
        for (text, is_valid) in [
            ("COPY c:\\ d:\\", true),
            ("ENV A=b` c", true),
            ("ENV A=b\\ c", false),
            ("ENV A=\"b\\\" C=\"d\"", true),
        ] {
            let read = lines(&format!("# escape=`\nFROM scratch\n{text}\n"));
            assert_eq!(read.is_ok(), is_valid, "{text}");
        }
    }
}
