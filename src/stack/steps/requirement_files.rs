//! What requirements files bring along: the files they include, and the local projects and archives they
//! install. Faults are reported on their line of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use camino::{Utf8Path, Utf8PathBuf};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

use super::requirements::{
    Entry, Line, entry, is_archive, is_one_option, joins_as_uv, lines, local_path,
};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::tree::{File, Lost, clean};
use crate::stack::paths::Paths;
use crate::stack::reader::Reader;
use crate::stack::url;

/// Requirements with everything they need of `images/`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// Requirements files that the spec names, in order (`images/x/requirements.txt`).
    pub files: Vec<Utf8PathBuf>,
    /// Files those include by `-r` or `-c`, sorted.
    pub includes: Vec<Utf8PathBuf>,
    /// Projects, archives and folders of archives that are installed from `images/`.
    pub local: BTreeSet<Local>,
    /// All files at and below those.
    pub local_files: BTreeSet<Utf8PathBuf>,
    /// The lines of all files; empty if the files can be read as they are.
    pub lines: BTreeMap<Utf8PathBuf, Vec<Text>>,
    /// Requirements of the spec itself that name something local, as written.
    pub packages: BTreeMap<String, Text>,
    /// Options of the files that uv only reads on its command line, with their values.
    pub options: Vec<String>,
}

impl Requirements {
    /// Returns every file under `images/` that is read or installed.
    pub fn all_files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        self.files
            .iter()
            .chain(&self.includes)
            .chain(&self.local_files)
    }

    /// Adds to the key of a step what is not in its files and packages. The lines follow from these.
    pub fn add_canonical(&self, value: &mut Json) {
        let Self {
            files: _,
            includes: _,
            local,
            local_files: _,
            lines: _,
            packages: _,
            options,
        } = self;
        if !local.is_empty() {
            value["local"] = local.iter().map(|local| json!(local.path)).collect();
        }
        if !options.is_empty() {
            value["options"] = json!(options);
        }
    }
}

/// Something under `images/` that is installed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    /// Its path.
    pub path: Utf8PathBuf,
    /// Whether it is the folder of a project, which its build writes to.
    pub is_project: bool,
}

/// A text with paths in it that are known only in the step.
pub type Text = Vec<Part>;

/// A part of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As written.
    Plain(String),
    /// The path of something under `images/`.
    Local(Local),
    /// The path of a file that is included.
    Included(Utf8PathBuf),
}

/// A program that installs packages of PyPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipTool {
    /// uv, the default.
    Uv,
    /// pip.
    Pip,
}

/// What reads the requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// A `pip` step or a suite.
    Tool(PipTool),
    /// conda, which installs the `pip:` section of an environment file from its folder.
    Conda,
}

/// Follows requirements files.
pub struct Follower<'a> {
    /// Reports faults.
    pub reader: &'a Reader<'a>,
    /// Finds files.
    pub paths: &'a Paths<'a>,
    /// The place in the spec.
    pub span: Span,
    /// What reads the requirements.
    pub consumer: Consumer,
    /// Everything found.
    pub found: Requirements,
    /// The folder in which the requirements are installed.
    root: Utf8PathBuf,
    /// The place of the line that is read.
    at: Span,
    has_fault: bool,
    /// Whether a line has a path that differs in the step.
    is_rewritten: bool,
}

impl<'a> Follower<'a> {
    /// Returns a follower that found nothing so far.
    pub fn new(reader: &'a Reader<'a>, paths: &'a Paths<'a>, span: Span, of: Consumer) -> Self {
        Self {
            reader,
            paths,
            span,
            consumer: of,
            found: Requirements::default(),
            root: paths.folder.clone(),
            at: span,
            has_fault: false,
            is_rewritten: false,
        }
    }

    /// Reads the files that the spec names, and all they include; then requirements of the spec itself.
    /// Returns `None` if there are faults.
    pub fn follow(mut self, files: Vec<Utf8PathBuf>, packages: &[String]) -> Option<Requirements> {
        let mut open = Vec::new();
        for file in &files {
            self.file(file, self.span, &mut open);
        }
        self.found.files = files;
        self.files(open);
        for package in packages {
            self.at = self.span;
            let folder = self.paths.folder.clone();
            if let Some(text) = self.requirement(&folder, package, package) {
                self.found.packages.insert(package.clone(), text);
            }
        }
        self.end()
    }

    /// Reads lines of another file, whose place is `at`, and all they include. Also returns the lines; `None` if there
    /// are faults.
    pub fn follow_lines(
        mut self,
        file: &Utf8Path,
        list: &[(String, Span)],
    ) -> Option<(Requirements, Vec<Text>)> {
        self.root = file.parent().unwrap_or(Utf8Path::new("images")).to_owned();
        let mut open = Vec::new();
        let mut all = Vec::new();
        for (text, at) in list {
            for line in lines(text) {
                self.at = *at;
                all.extend(self.line(file, &line, &mut open));
            }
        }
        self.files(open);
        Some((self.end()?, all))
    }

    fn end(mut self) -> Option<Requirements> {
        if !self.is_rewritten {
            self.found.lines.clear();
        }
        self.found.includes.sort();
        (!self.has_fault).then_some(self.found)
    }

    fn fault(&mut self, problem: Diagnostic) {
        self.has_fault = true;
        self.reader.report(problem);
    }

    /// Reads included files, and all they include.
    fn files(&mut self, mut open: Vec<(Utf8PathBuf, Span)>) {
        while let Some((file, at)) = open.pop() {
            if !self.found.files.contains(&file) && !self.found.includes.contains(&file) {
                self.found.includes.push(file.clone());
                self.file(&file, at, &mut open);
            }
        }
    }

    /// Reads a file that is used at a place.
    fn file(&mut self, file: &Utf8Path, at: Span, open: &mut Vec<(Utf8PathBuf, Span)>) {
        let content = self.paths.content(self.reader, file, at);
        let Some(content) = content else {
            self.has_fault = true;
            return;
        };
        let Ok(text) = String::from_utf8(content.to_vec()) else {
            let problem = Diagnostic::error(format!("requirements file `{file}` is not UTF-8"));
            self.fault(problem.at(at, "used here").help("save it as UTF-8"));
            return;
        };
        self.is_rewritten |= self.is_for_uv() && !joins_as_uv(&text);
        let mut all = Vec::new();
        for line in lines(&text) {
            self.at = self.span_of(file, &text, &line);
            all.extend(self.line(file, &line, open));
        }
        self.found.lines.insert(file.to_owned(), all);
    }

    fn span_of(&self, file: &Utf8Path, text: &str, line: &Line) -> Span {
        let source = self.reader.problems.attach(file.as_str(), text);
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            source,
            start: offset(line.start),
            end: offset(line.end),
        }
    }

    fn is_for_uv(&self) -> bool {
        self.consumer == Consumer::Tool(PipTool::Uv)
    }

    /// Reads a line; returns it with the paths it names. For uv, each option has a line of its own.
    fn line(
        &mut self,
        file: &Utf8Path,
        line: &Line,
        open: &mut Vec<(Utf8PathBuf, Span)>,
    ) -> Vec<Text> {
        let plain = vec![vec![Part::Plain(line.text.clone())]];
        if url::user_info(&line.text).is_some() {
            self.fault(url::in_url(self.at));
            return plain;
        }
        let folder = file.parent().unwrap_or(Utf8Path::new("images")).to_owned();
        match entry(&line.text) {
            Ok(Entry::Requirement(requirement, list)) => {
                for (name, value) in list {
                    // None of them names a file.
                    self.option(&folder, (name, &value), &line.text, open);
                }
                let text = self.requirement(&folder, &requirement, &line.text);
                text.map_or(plain, |text| vec![text])
            }
            Ok(Entry::Options(list)) if self.is_for_uv() && !is_one_option(&line.text, &list) => {
                self.is_rewritten = true;
                let mut texts = Vec::new();
                for (name, value) in list {
                    let line = format!("{name} {value}").trim_end().to_owned();
                    let text = self.option(&folder, (name, &value), &line, open);
                    texts.push(text.unwrap_or_else(|| vec![Part::Plain(line)]));
                }
                texts
            }
            Ok(Entry::Options(list)) => {
                let mut text = None;
                for (name, value) in list {
                    text = text.or(self.option(&folder, (name, &value), &line.text, open));
                }
                text.map_or(plain, |text| vec![text])
            }
            Err(reason) => {
                let problem = Diagnostic::error(format!("invalid line in `{file}`"));
                self.fault(problem.at(self.at, reason));
                plain
            }
        }
    }

    /// Reads an option; returns the line if it names a local folder.
    fn option(
        &mut self,
        folder: &Utf8Path,
        (name, value): (&'static str, &str),
        line: &str,
        open: &mut Vec<(Utf8PathBuf, Span)>,
    ) -> Option<Text> {
        match name {
            "--requirement" | "--constraint" => return self.include(folder, value, line, open),
            "--editable" => {
                let problem = Diagnostic::error("editable requirement `-e` in an image");
                let problem = problem.at(self.at, "its source is only there while the step runs");
                self.fault(problem.help(format!("install it without `-e`: `{value}`")));
            }
            "--index-url" | "--extra-index-url" if is_relative(value) => {
                self.fault(not_a_url(value, self.at));
            }
            "--find-links" if is_relative(value) => {
                let value = value.strip_prefix("file:").unwrap_or(value);
                let path = self.find(folder, value)?;
                let at = line.rfind(value)?;
                let is_project = false;
                return Some(self.add_local(
                    Local { path, is_project },
                    line,
                    at..at + value.len(),
                ));
            }
            "--pre" | "--trusted-host" if self.consumer == Consumer::Tool(PipTool::Uv) => {
                self.found.options.push(name.to_owned());
                if name == "--trusted-host" {
                    self.found.options.push(value.to_owned());
                }
            }
            "--prefer-binary" | "--use-feature" | "--global-option" | "--install-option"
                if self.consumer == Consumer::Tool(PipTool::Uv) =>
            {
                let problem = Diagnostic::error(format!("unsupported option `{name}` of uv"));
                let problem = problem.at(self.at, "uv ignores or refuses it");
                self.fault(problem.help("remove it, or set `tool: pip`"));
            }
            _ => {}
        }
        None
    }

    /// Adds a file included by `-r` or `-c`; absolute paths are the image's own. Returns the line if a link
    /// leads to the file, which is not there in the step.
    fn include(
        &mut self,
        folder: &Utf8Path,
        value: &str,
        line: &str,
        open: &mut Vec<(Utf8PathBuf, Span)>,
    ) -> Option<Text> {
        let name = value;
        let name = match name.strip_prefix("file:") {
            Some(path) => path.strip_prefix("//").unwrap_or(path),
            None => name,
        };
        if name.contains("://") || name.starts_with('/') {
            return None;
        }
        if name.contains("${") {
            let problem = Diagnostic::error(format!("variable in the included file `{name}`"));
            let problem = problem.at(self.at, "its value is only known in the step");
            self.fault(problem.help("write the path itself"));
            return None;
        }
        let path = match self.paths.files.follow(folder, name) {
            Ok(path) => path,
            Err(lost) => {
                self.lost(folder, name, &lost);
                return None;
            }
        };
        match self.paths.files.get(path) {
            Some(File::Regular { .. }) => open.push((path.to_owned(), self.at)),
            other => {
                let found = other.map_or("nothing", File::describe);
                let what = format!("`{path}`");
                self.fault(Diagnostic::expected(&what, "a file", self.at, found));
            }
        }
        if clean(folder, name).is_some_and(|plain| plain == path) {
            return None;
        }
        let at = line.rfind(value)?;
        self.is_rewritten = true;
        Some(vec![
            Part::Plain(line[..at].to_owned()),
            Part::Included(path.to_owned()),
            Part::Plain(line[at + value.len()..].to_owned()),
        ])
    }

    fn lost(&mut self, folder: &Utf8Path, name: &str, lost: &Lost) {
        let paths = Paths {
            files: self.paths.files,
            folder: folder.to_owned(),
        };
        let problem = paths.lost(name, self.at, lost);
        self.fault(match problem.help {
            Some(_) => problem,
            None => problem
                .help("write paths relative to this file; an absolute path is the image's own"),
        });
    }

    /// Reads a requirement in `line`; returns the line if it is a local path.
    fn requirement(&mut self, folder: &Utf8Path, requirement: &str, line: &str) -> Option<Text> {
        if requirement.contains("${PROJECT_ROOT}") {
            let problem = Diagnostic::error("variable `PROJECT_ROOT` in a requirement");
            let problem = problem.at(self.at, "its value is only known in the step");
            self.fault(problem.help("write a path relative to this file, such as `./project`"));
            return None;
        }
        let name = local_path(requirement)?;
        let at = name.as_ptr().addr() - requirement.as_ptr().addr();
        let is_url = requirement[..at].trim_end_matches('/').ends_with("file:");
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        let path = self.find(folder, if is_url { &decoded } else { name })?;
        let is_project = match self.paths.files.get(&path) {
            Some(File::Folder) => {
                let has = |name: &str| self.paths.files.get(&path.join(name)).is_some();
                if !has("pyproject.toml") && !has("setup.py") {
                    let problem = Diagnostic::error(format!("folder `{path}` is not a project"));
                    let problem =
                        problem.at(self.at, "no `pyproject.toml` and no `setup.py` in it");
                    self.fault(problem.help("name the folder that has one of them"));
                    return None;
                }
                true
            }
            _ if is_archive(path.as_str()) => false,
            _ => {
                let problem = Diagnostic::error(format!("file `{path}` cannot be installed"));
                let problem = problem.at(self.at, "neither a project nor an archive");
                self.fault(problem.help("to include a requirements file, write `-r` before it"));
                return None;
            }
        };
        Some(self.add_local(Local { path, is_project }, line, at..at + name.len()))
    }

    /// Returns what a relative path leads to: from the folder of its file, or as for pip from the one in
    /// which it is called. conda calls pip in the folder of the environment file.
    fn find(&mut self, folder: &Utf8Path, name: &str) -> Option<Utf8PathBuf> {
        let trimmed = name.trim_end_matches('/');
        let from_root = self.paths.files.follow(&self.root, trimmed);
        let found = match self.consumer {
            Consumer::Conda => from_root,
            Consumer::Tool(_) => match self.paths.files.follow(folder, trimmed) {
                Err(Lost::Missing) => from_root.map_err(|lost| match lost {
                    Lost::Outside => Lost::Missing,
                    other => other,
                }),
                other => other,
            },
        };
        match found {
            Ok(path) => Some(path.to_owned()),
            Err(lost) => {
                self.lost(folder, name, &lost);
                None
            }
        }
    }

    /// Adds something local; returns the line in which its path is at `range`.
    fn add_local(&mut self, local: Local, line: &str, range: Range<usize>) -> Text {
        let below = self.paths.files.below(&local.path);
        let below = below.map(|(path, _)| path.clone());
        self.found.local_files.extend(below);
        self.found.local_files.insert(local.path.clone());
        self.found.local.insert(local.clone());
        self.is_rewritten = true;
        let before = line[..range.start].trim_end_matches("//");
        // pip and uv read an absolute path, but after `name @` pip needs a URL.
        let before = match before.strip_suffix("file:") {
            Some(before) => format!("{before}file://"),
            None if before.trim_end().ends_with('@') => format!("{before}file://"),
            None => before.to_owned(),
        };
        vec![
            Part::Plain(before),
            Part::Local(local),
            Part::Plain(line[range.end..].to_owned()),
        ]
    }
}

/// Whether an index, or a folder with archives, is a relative path and neither a URL, nor a path of the
/// image, nor a variable of pip.
pub fn is_relative(value: &str) -> bool {
    let value = value.strip_prefix("file:").unwrap_or(value);
    !value.contains("://") && !value.starts_with(['/', '$'])
}

/// Returns the error for an index that is a path. The tools look for it in the folder in which they run,
/// and pip goes on without one that is missing.
pub fn not_a_url(index: &str, at: Span) -> Diagnostic {
    Diagnostic::error(format!("index `{index}` is not a URL"))
        .at(at, "looked for in the file system of the step")
        .help(
            "write a URL; for a folder with archives, write `--find-links` in a requirements file",
        )
}
