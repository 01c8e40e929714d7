//! The variables an image can use, with their values.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::problems::Problems;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::spec::template::{Part, Template};

/// Variables the stack sets itself.
pub const BUILT_IN: [&str; 4] = ["stack", "series", "variant", "image"];

/// Variables that only exist in `tags:`.
pub const OF_TAGS: [&str; 3] = ["commit", "commit7", "n"];

/// The longest value of a variable, bytes: variables of variables could ask for any amount of memory.
const LONGEST: usize = 64 << 10;

/// How many variables can use each other in a row, which limits the recursion.
const DEEPEST: usize = 100;

/// Values by name. A variable whose value is invalid has none; that is reported where it is set.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// The values.
    pub values: BTreeMap<String, String>,
    broken: BTreeSet<String>,
    /// Names of variables any image has.
    elsewhere: Arc<BTreeSet<String>>,
    /// The variables that the value of each contains.
    contained: BTreeMap<String, BTreeSet<String>>,
    /// Those whose values were asked for.
    used: RefCell<BTreeSet<String>>,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Written<'a> {
    /// A file.
    Node(&'a Node),
    /// The command line; used as it is, without replacing variables.
    Given(&'a str),
}

/// Why a variable has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unset {
    /// Its value is invalid, which is reported already.
    Broken,
    /// `series`, and the stack sets none.
    NoSeries,
    /// `variant`, and the stack has none.
    NoVariants,
    /// `image`, in a setting of the whole stack.
    OutsideImages,
    /// Only other images have it.
    OtherImages,
    /// It is set nowhere.
    Nowhere,
}

impl fmt::Display for Unset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "its value is invalid",
            Self::NoSeries => "the spec has no `series:`",
            Self::NoVariants => "the spec has no `variants:`",
            Self::OutsideImages => "this applies to the whole stack",
            Self::OtherImages => "only set in other images",
            Self::Nowhere => "not set anywhere",
        })
    }
}

impl Variables {
    /// Finds the values of `declared`. `elsewhere` are the names of variables any image has.
    pub fn new(
        declared: &BTreeMap<String, Written>,
        built_in: BTreeMap<String, String>,
        elsewhere: &Arc<BTreeSet<String>>,
        problems: &Problems,
    ) -> Self {
        let mut resolver = Resolver {
            variables: Self {
                values: built_in,
                broken: BTreeSet::new(),
                elsewhere: Arc::clone(elsewhere),
                contained: BTreeMap::new(),
                used: RefCell::default(),
            },
            declared,
            problems,
        };
        for name in declared.keys() {
            resolver.resolve(name, &mut Vec::new());
        }
        resolver.variables
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Result<&str, Unset> {
        if let Some(value) = self.values.get(name) {
            self.used.borrow_mut().insert(name.to_owned());
            return Ok(value);
        }
        Err(match name {
            _ if self.broken.contains(name) => Unset::Broken,
            "series" => Unset::NoSeries,
            "variant" => Unset::NoVariants,
            "image" => Unset::OutsideImages,
            _ if self.elsewhere.contains(name) => Unset::OtherImages,
            _ => Unset::Nowhere,
        })
    }

    /// Returns the variables that were used, with all that their values contain.
    pub fn used(&self) -> BTreeSet<String> {
        let mut open: Vec<String> = self.used.borrow().iter().cloned().collect();
        let mut used = BTreeSet::new();
        while let Some(name) = open.pop() {
            if used.insert(name.clone()) {
                open.extend(self.contained.get(&name).into_iter().flatten().cloned());
            }
        }
        used
    }

    /// Returns the names of variables with a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

/// Returns the error for a variable without a value.
pub fn unknown<'a>(
    name: &str,
    span: Span,
    label: impl Into<String>,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    Diagnostic::error(format!("unknown variable `{name}`"))
        .at(span, label)
        .did_you_mean(name, known)
}

/// Returns the error for `${env:…}` outside of `env:`.
pub fn no_environment(span: Span) -> Diagnostic {
    Diagnostic::error("`${env:…}` cannot be used here").at(span, "the environment is not known here").help(
        "use it in `env` and `user`, and in `workdir`, `entrypoint` and `cmd` of `config`; elsewhere use a variable of `vars`",
    )
}

/// Returns the error for a text that cannot be cut at its variables.
pub fn invalid_template(span: Span, reason: String) -> Diagnostic {
    Diagnostic::error("invalid variable")
        .at(span, reason)
        .help("write `$${` for a literal `${`")
}

struct Resolver<'n, 'p> {
    variables: Variables,
    declared: &'n BTreeMap<String, Written<'n>>,
    problems: &'p Problems,
}

impl<'n> Resolver<'n, '_> {
    /// Finds the value of a variable after those it uses; `path` are those that wait for it.
    fn resolve(&mut self, name: &'n str, path: &mut Vec<(&'n str, Span)>) {
        let variables = &self.variables;
        if variables.values.contains_key(name) || variables.broken.contains(name) {
            return;
        }
        let declared = self.declared;
        let value = match &declared[name] {
            Written::Given(text) => Some((*text).to_owned()),
            Written::Node(node) => self.value(name, node, path),
        };
        match value {
            Some(value) => {
                self.variables.values.insert(name.to_owned(), value);
            }
            None => {
                self.variables.broken.insert(name.to_owned());
            }
        }
    }

    fn value(
        &mut self,
        name: &'n str,
        node: &'n Node,
        path: &mut Vec<(&'n str, Span)>,
    ) -> Option<String> {
        let text = match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => text,
            _ => {
                let what = format!("variable `{name}`");
                let found = node.describe();
                let problem = Diagnostic::expected(&what, "a string", node.span, found);
                self.problems.report(if node.is_null() {
                    problem.help("write `\"\"` for the empty string")
                } else {
                    problem
                });
                return None;
            }
        };
        if let Some(at) = path.iter().position(|(before, _)| *before == name) {
            self.problems
                .report(Diagnostic::cycle("variable", &path[at..]));
            return None;
        }
        if path.len() >= DEEPEST {
            let label = format!("more than {DEEPEST} variables use each other");
            let problem = Diagnostic::error(format!("variable `{name}` is nested too deep"));
            self.problems.report(problem.at(node.span, label));
            return None;
        }
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.problems
                    .report(invalid_template(node.span, error.to_string()));
                return None;
            }
        };
        path.push((name, node.span));
        let joined = self.joined(name, node.span, &template, path);
        path.pop();
        joined
    }

    /// Returns the value of a template; all its faults are reported.
    fn joined(
        &mut self,
        name: &str,
        span: Span,
        template: &Template,
        path: &mut Vec<(&'n str, Span)>,
    ) -> Option<String> {
        let mut joined = Some(String::new());
        for part in &template.0 {
            let part = self.part(name, span, part, path);
            joined = joined.zip(part).map(|(before, part)| before + &part);
            if joined.as_ref().is_some_and(|value| value.len() > LONGEST) {
                let label = format!("longer than {} KiB", LONGEST >> 10);
                let problem = Diagnostic::error(format!("the value of `{name}` is too long"));
                self.problems.report(problem.at(span, label));
                return None;
            }
        }
        joined
    }

    fn part(
        &mut self,
        name: &str,
        span: Span,
        part: &Part,
        path: &mut Vec<(&'n str, Span)>,
    ) -> Option<String> {
        let used = match part {
            Part::Text(text) => return Some(text.clone()),
            Part::Env(_) => {
                self.problems.report(no_environment(span));
                return None;
            }
            Part::Var(variable) => variable.name.as_str(),
        };
        let contained = self.variables.contained.entry(name.to_owned());
        contained.or_default().insert(used.to_owned());
        let declared = self.declared;
        if let Some((known, _)) = declared.get_key_value(used) {
            self.resolve(known, path);
        }
        if let Some(value) = self.variables.values.get(used) {
            return Some(value.clone());
        }
        let is_known = declared.contains_key(used)
            || self.variables.elsewhere.contains(used)
            || self.variables.broken.contains(used);
        if !is_known {
            let declared = declared.keys().map(String::as_str);
            let names: BTreeSet<&str> = self.variables.names().chain(declared).collect();
            let label = format!("used by `{name}`");
            self.problems.report(unknown(used, span, label, names));
        }
        None
    }
}
