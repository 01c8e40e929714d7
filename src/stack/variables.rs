//! The variables an image sees, with their values.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::spec::template::{Part, Template};

/// Names the stack itself gives a value to.
pub const BUILT_IN: [&str; 4] = ["stack", "series", "variant", "image"];

/// Names with values; some may have none because they are wrong, which was said.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    pub values: BTreeMap<String, String>,
    broken: BTreeSet<String>,
    /// Names some other image has.
    elsewhere: BTreeSet<String>,
}

/// Where a value is written.
#[derive(Clone, Debug)]
pub enum Written<'a> {
    /// In a file.
    Node(&'a Node),
    /// On the command line; taken as it is.
    Given(&'a str),
}

impl Variables {
    /// Finds all values. `declared` is what is in force; `elsewhere` are names other images have.
    pub fn new(
        declared: &BTreeMap<String, Written>,
        built_in: BTreeMap<String, String>,
        elsewhere: &BTreeSet<String>,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut made = Self {
            values: built_in,
            broken: BTreeSet::new(),
            elsewhere: elsewhere.clone(),
        };
        for name in declared.keys() {
            made.resolve(name, declared, &mut Vec::new(), problems);
        }
        made
    }

    fn resolve<'n>(
        &mut self,
        name: &'n str,
        declared: &'n BTreeMap<String, Written>,
        path: &mut Vec<(&'n str, Span)>,
        problems: &mut Vec<Diagnostic>,
    ) {
        if self.values.contains_key(name) || self.broken.contains(name) {
            return;
        }
        let node = match &declared[name] {
            Written::Given(text) => {
                self.values.insert(name.to_owned(), (*text).to_owned());
                return;
            }
            Written::Node(node) => node,
        };
        let Value::Scalar { text, .. } = &node.value else {
            let text = format!("here is {}", node.describe());
            problems.push(
                Diagnostic::error(format!("the variable `{name}` is a text")).at(node.span, text),
            );
            self.broken.insert(name.to_owned());
            return;
        };
        if let Some(at) = path.iter().position(|(before, _)| *before == name) {
            let names: Vec<&str> = path[at..].iter().map(|(name, _)| *name).collect();
            let mut problem = Diagnostic::error("variables are made of each other")
                .at(path[at].1, format!("{} → {name}", names.join(" → ")));
            for (other, span) in &path[at + 1..] {
                problem = problem.also(*span, format!("`{other}`"));
            }
            problems.push(problem);
            for (name, _) in &path[at..] {
                self.broken.insert((*name).to_owned());
            }
            return;
        }
        // Problems of the text itself are said when it is read below.
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                problems.push(
                    Diagnostic::error("this is no variable")
                        .at(node.span, error.to_string())
                        .help("a literal `${` is written `$${`"),
                );
                self.broken.insert(name.to_owned());
                return;
            }
        };
        path.push((name, node.span));
        let mut value = String::new();
        let mut whole = true;
        for part in &template.0 {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Env(_) => {
                    problems.push(
                        Diagnostic::error("`${env:…}` is known in values of `env:` only")
                            .at(node.span, "there is no environment here"),
                    );
                    whole = false;
                }
                Part::Var(variable) => {
                    let wanted = variable.name.as_str();
                    if let Some((known, _)) = declared.get_key_value(wanted) {
                        self.resolve(known, declared, path, problems);
                    }
                    match self.values.get(wanted) {
                        Some(text) => value.push_str(text),
                        None => {
                            whole = false;
                            let known = declared.contains_key(wanted)
                                || self.elsewhere.contains(wanted)
                                || self.broken.contains(wanted);
                            if !known {
                                let names = self.names().chain(declared.keys().map(String::as_str));
                                let names: BTreeSet<&str> = names.collect();
                                problems.push(
                                    Diagnostic::error(format!("there is no variable `{wanted}`"))
                                        .at(node.span, format!("used by `{name}`"))
                                        .did_you_mean(wanted, names),
                                );
                            }
                        }
                    }
                }
            }
        }
        path.pop();
        match whole {
            true => {
                self.values.insert(name.to_owned(), value);
            }
            false => {
                self.broken.insert(name.to_owned());
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether it has no value because of something that was said already.
    pub fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// What to say of a name that has no value here.
    pub fn where_known(&self, name: &str) -> String {
        match name {
            "series" => "no `series:` is set".to_owned(),
            "variant" => "the stack has no variants".to_owned(),
            "image" => "this is said of the whole stack".to_owned(),
            _ if self.elsewhere.contains(name) => "only other images have it".to_owned(),
            _ => "not set anywhere".to_owned(),
        }
    }
}
