//! One variant while it is read, and its variables.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::image_source::KnownImages;
use super::model::Variant;
use super::problems::Problems;
use super::reader::Fields;
use super::variables::{BUILT_IN, OF_TAGS, Variables, Written};
use crate::diagnostic::Diagnostic;
use crate::name::{ImageName, Repository};
use crate::spec::node::{Key, Node, Value};
use crate::spec::template::is_name;
use crate::spec::tree::Files;

/// Settings of the command line that override the spec.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Values of variables, by name.
    pub vars: BTreeMap<String, String>,
    /// `registry:`.
    pub registry: Option<String>,
    /// `staging:`.
    pub staging: Option<String>,
    /// Only these variants; empty: all.
    pub variants: Vec<String>,
}

/// Names of the variables of a spec.
pub struct VariableNames {
    /// Those that are declared anywhere.
    pub everywhere: BTreeSet<String>,
    /// Those that any image has: the same, and `image`.
    elsewhere: Arc<BTreeSet<String>>,
}

impl VariableNames {
    /// Returns the names of a spec that declares these anywhere.
    pub fn new(everywhere: BTreeSet<String>) -> Self {
        let mut elsewhere = everywhere.clone();
        elsewhere.insert("image".to_owned());
        Self {
            everywhere,
            elsewhere: Arc::new(elsewhere),
        }
    }
}

/// What all variants have in common.
pub struct Top<'a> {
    /// The settings of the whole spec.
    pub fields: &'a Fields<'a>,
    /// All files under `images/`.
    pub files: &'a Files,
    /// Settings of the command line.
    pub overrides: &'a Overrides,
    /// Faults found so far.
    pub problems: &'a Problems,
    /// Names of variables.
    pub names: &'a VariableNames,
    /// Names of variables that were used so far.
    pub used: &'a RefCell<BTreeSet<String>>,
    /// Where images are published.
    pub registry: Option<&'a Repository>,
}

/// One variant.
pub struct Scope<'a> {
    /// What all variants have in common.
    pub top: &'a Top<'a>,
    /// Name and series.
    pub variant: &'a Variant,
    /// Its key in the file.
    pub key: Option<&'a Key>,
    /// Its `vars:`.
    pub vars: Option<&'a Node>,
    /// The images it has.
    pub images: &'a BTreeSet<String>,
    /// All images of the spec.
    pub known: &'a KnownImages,
}

impl Scope<'_> {
    /// Returns the variables of the variant, or those of one image of it with its own `vars:`. An
    /// image's variables override the variant's, those override the stack's, and the command line
    /// overrides all.
    pub fn variables(&self, image: Option<(&ImageName, Option<&Node>)>) -> Variables {
        let own = image.and_then(|(_, node)| node);
        let mut declared: BTreeMap<String, Written> = BTreeMap::new();
        for node in [self.top.fields.get("vars"), self.vars, own]
            .into_iter()
            .flatten()
        {
            self.declare(node, &mut declared);
        }
        for (name, value) in &self.top.overrides.vars {
            // One that the spec does not declare has no effect, and its value is not stored.
            if self.top.names.everywhere.contains(name) {
                declared.insert(name.clone(), Written::Given(value));
            }
        }
        let built_in = self.built_in(image.map(|(name, _)| name));
        Variables::new(
            &declared,
            built_in,
            &self.top.names.elsewhere,
            self.top.problems,
        )
    }

    fn declare<'n>(&self, node: &'n Node, declared: &mut BTreeMap<String, Written<'n>>) {
        let Value::Map(entries) = &node.value else {
            let found = node.describe();
            let problem = Diagnostic::expected("`vars`", "a mapping", node.span, found);
            self.top.problems.report(problem);
            return;
        };
        for entry in entries {
            let name = entry.key.text.as_str();
            let reason = if BUILT_IN.contains(&name) || OF_TAGS.contains(&name) {
                "reserved: laminate sets this variable"
            } else if !is_name(name) {
                "use letters, digits, `_`, `-` and `.`, and start with a letter or `_`"
            } else {
                declared.insert(name.to_owned(), Written::Node(&entry.value));
                continue;
            };
            let problem = Diagnostic::invalid("variable name", name, entry.key.span, reason);
            self.top.problems.report(problem);
        }
    }

    fn built_in(&self, image: Option<&ImageName>) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        if let Some(node) = self.top.fields.get("stack")
            && let Value::Scalar { text, .. } = &node.value
        {
            values.insert("stack".to_owned(), text.clone());
        }
        if let Some(series) = &self.variant.series {
            values.insert("series".to_owned(), series.clone());
        }
        if let Some(name) = &self.variant.name {
            values.insert("variant".to_owned(), name.to_string());
        }
        if let Some(name) = image {
            values.insert("image".to_owned(), name.to_string());
        }
        values
    }
}
