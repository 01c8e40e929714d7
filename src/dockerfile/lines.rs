//! The instructions of a Dockerfile: comments, continued lines and here-documents.
//!
//! The rules are those of frontend/dockerfile/parser/parser.go of BuildKit 0.32.2. No crate has them whole: `parse-dockerfile`
//! 0.1.9 refuses a `RUN` with several here-documents, an example of Docker's own reference.

use std::ops::Range;

use super::arguments::check;
use super::quotes::{here_document, is_open, split, unquoted};
use super::{Fault, Word};
use crate::diagnostic::nearest;

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// In upper case: `RUN`.
    pub keyword: String,
    /// What follows the keyword, on one line.
    pub arguments: String,
    /// The texts of its here-documents.
    pub documents: Vec<String>,
    /// Its bytes in the file.
    pub range: Range<usize>,
    /// Where each byte of the arguments is in the file.
    places: Vec<usize>,
}

/// Directives of the parser, and all instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// `# syntax=`.
    pub syntax: Option<Word>,
    /// In their order.
    pub instructions: Vec<Instruction>,
}

/// All directives (frontend/dockerfile/parser/directives.go). Another comment ends them.
const DIRECTIVES: [&str; 3] = ["syntax", "escape", "check"];

/// All instructions (Dockerfile reference, "Overview").
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Reads the lines of a file one after the other.
struct Reader<'a> {
    rest: &'a str,
    /// The offset of `rest`.
    at: usize,
}

impl<'a> Reader<'a> {
    /// Returns the next line without its end, and its offset.
    fn line(&mut self) -> Option<(&'a str, usize)> {
        if self.rest.is_empty() {
            return None;
        }
        let at = self.at;
        let end = self.rest.find('\n').map_or(self.rest.len(), |end| end + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.at += end;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some((line.strip_suffix('\r').unwrap_or(line), at))
    }
}

/// Reads all instructions of a file.
pub fn lines(text: &str) -> Result<Lines, Fault> {
    let mut found = Lines::default();
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut reader = Reader {
        rest: &text[start..],
        at: start,
    };
    let mut escape = '\\';
    let mut is_top = true;
    while let Some((line, at)) = reader.line() {
        if line.trim_start().starts_with('#') {
            match directive(line).filter(|_| is_top) {
                Some((name, value)) if name == "syntax" => {
                    let start = at + line.find(value).unwrap_or_default();
                    found.syntax = Some(Word {
                        value: value.to_owned(),
                        range: start..start + value.len(),
                    });
                }
                Some((name, "`")) if name == "escape" => escape = '`',
                Some(_) => {}
                None => is_top = false,
            }
            continue;
        }
        is_top = false;
        if !line.trim().is_empty() {
            found
                .instructions
                .push(instruction(line, at, escape, &mut reader)?);
        }
    }
    Ok(found)
}

/// Returns the name and value of a comment that is a directive: `# syntax=docker/dockerfile:1`.
fn directive(line: &str) -> Option<(String, &str)> {
    let comment = line.trim().strip_prefix('#')?;
    let (name, value) = comment.split_once('=')?;
    let name = name.trim().to_lowercase();
    let value = value.trim();
    let is_directive = DIRECTIVES.contains(&name.as_str()) && !value.is_empty();
    is_directive.then_some((name, value))
}

/// Reads an instruction whose first line is `line`.
fn instruction(
    line: &str,
    at: usize,
    escape: char,
    reader: &mut Reader<'_>,
) -> Result<Instruction, Fault> {
    let mut whole = String::new();
    let mut places = Vec::new();
    let mut end = at + line.len();
    let mut next = Some((line, at));
    while let Some((line, at)) = next.take() {
        let is_blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        let trimmed = line.trim_end_matches([' ', '\t']);
        // An escape before it makes it a character of the line.
        let continued = trimmed.strip_suffix(escape);
        let continued = continued.filter(|before| !before.ends_with(escape));
        if !is_blank {
            let part = continued.unwrap_or(line);
            whole.push_str(part);
            places.extend(at..at + part.len());
            end = at + line.len();
            if continued.is_none() {
                break;
            }
        }
        next = reader.line();
    }
    let skipped = whole.len() - whole.trim_start().len();
    let words = &whole[skipped..];
    let length = words.find(char::is_whitespace).unwrap_or(words.len());
    let keyword = words[..length].to_uppercase();
    if !KEYWORDS.contains(&keyword.as_str()) {
        let start = at + skipped;
        let written = &words[..length];
        let near = nearest(&keyword, KEYWORDS);
        return Err(Fault {
            message: format!("unknown instruction `{written}`"),
            label: "no instruction of a Dockerfile".to_owned(),
            help: near.map(|near| format!("did you mean `{near}`?")),
            range: start..start + length,
        });
    }
    let rest = &words[length..];
    let blank = rest.len() - rest.trim_start().len();
    let arguments = rest.trim().to_owned();
    let first = skipped + length + blank;
    let mut made = Instruction {
        places: places[first..first + arguments.len()].to_vec(),
        keyword,
        arguments,
        documents: Vec::new(),
        range: at + skipped..end,
    };
    made.read_documents(reader)?;
    match check(&made.keyword, &made.arguments, escape) {
        Ok(()) => Ok(made),
        Err(refusal) => Err(Fault {
            message: refusal.message,
            label: refusal.label,
            help: None,
            range: at + skipped..end,
        }),
    }
}

impl Instruction {
    /// Returns the instruction after `ONBUILD`.
    pub fn trigger(&self) -> Option<Self> {
        let length = self.arguments.find(char::is_whitespace)?;
        let keyword = self.arguments[..length].to_uppercase();
        let rest = &self.arguments[length..];
        let first = length + rest.len() - rest.trim_start().len();
        (self.keyword == "ONBUILD").then(|| Self {
            keyword,
            arguments: self.arguments[first..].to_owned(),
            documents: self.documents.clone(),
            range: self.range.clone(),
            places: self.places[first..].to_vec(),
        })
    }

    /// Returns the bytes in the file of a part of the arguments.
    fn place(&self, part: &Range<usize>) -> Range<usize> {
        let start = self.places.get(part.start).copied();
        let last = part
            .end
            .checked_sub(1)
            .and_then(|last| self.places.get(last));
        match (start, last) {
            (Some(start), Some(last)) => start..last + 1,
            _ => self.range.clone(),
        }
    }

    /// Returns the options at the start of the arguments, `--name=value`, and the words after them.
    pub fn options(&self) -> (Vec<(String, Word)>, Vec<Word>) {
        let mut options = Vec::new();
        let mut words = self.words().into_iter().peekable();
        while let Some(word) = words.next_if(|word| word.value.starts_with("--")) {
            let text = word.value.trim_start_matches("--");
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let option = Word {
                value: value.to_owned(),
                range: word.range.clone(),
            };
            options.push((name.to_owned(), option));
        }
        (options, words.collect())
    }

    /// Returns the text after the options.
    pub fn after_options(&self) -> &str {
        let mut rest = self.arguments.as_str();
        while rest.starts_with("--") {
            let end = split(rest).first().map_or(rest.len(), |range| range.end);
            rest = rest[end..].trim_start();
        }
        rest
    }

    /// Returns all words of the arguments, without quotes. Those of an array, `["a", "b"]`, are its texts.
    pub fn words(&self) -> Vec<Word> {
        let list = split(&self.arguments).into_iter();
        list.map(|range| Word {
            value: unquoted(&self.arguments[range.clone()]),
            range: self.place(&range),
        })
        .collect()
    }

    /// Returns all words as they are written, with quotes.
    pub fn raw_words(&self) -> Vec<&str> {
        let list = split(&self.arguments).into_iter();
        list.map(|range| &self.arguments[range]).collect()
    }

    /// Returns the texts of an array after the options; `None` if the arguments have another form.
    pub fn array(&self) -> Option<Vec<String>> {
        let text = self.after_options();
        let is_array = text.starts_with('[');
        is_array.then(|| serde_json::from_str(text).ok()).flatten()
    }

    /// Returns the texts of an array with the places of its words; each has that of the instruction if they are not clear.
    pub fn at_words(&self, texts: Vec<String>, words: &[Word]) -> Vec<Word> {
        let are_clear = texts.len() == words.len();
        let texts = texts.into_iter().enumerate();
        let texts = texts.map(|(at, value)| Word {
            value,
            range: match words.get(at) {
                Some(word) if are_clear => word.range.clone(),
                _ => self.range.clone(),
            },
        });
        texts.collect()
    }

    /// Reads the here-documents that follow.
    fn read_documents(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        let is_shell = matches!(self.keyword.as_str(), "RUN" | "COPY" | "ADD");
        let of_trigger = self
            .trigger()
            .is_some_and(|inner| matches!(inner.keyword.as_str(), "RUN" | "COPY" | "ADD"));
        // The frontend reads no words of such a line, and leaves the fault to the shell.
        if !is_shell && !of_trigger || is_open(&self.arguments) {
            return Ok(());
        }
        for range in split(&self.arguments) {
            let Some((name, is_chomped)) = here_document(&self.arguments[range.clone()]) else {
                continue;
            };
            let mut document = String::new();
            loop {
                let Some((line, at)) = reader.line() else {
                    return Err(Fault {
                        message: format!("missing end of here-document `{name}`"),
                        label: format!("no line `{name}` follows"),
                        help: None,
                        range: self.place(&range),
                    });
                };
                let line_end = at + line.len();
                let line = if is_chomped {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                self.range.end = line_end;
                if line == name {
                    break;
                }
                document.push_str(line);
                document.push('\n');
            }
            self.documents.push(document);
        }
        Ok(())
    }
}
