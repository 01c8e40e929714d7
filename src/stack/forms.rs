//! Values that can have several forms, such as a string or a mapping.

use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};

/// A form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string, a number or another scalar.
    Text,
    /// A list.
    List,
    /// A mapping.
    Map,
}

impl Form {
    /// Returns the form of a value; `None` if it is empty.
    fn of(node: &Node) -> Option<Self> {
        match &node.value {
            _ if node.is_null() => None,
            Value::Scalar { .. } => Some(Self::Text),
            Value::List(_) => Some(Self::List),
            Value::Map(_) => Some(Self::Map),
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::List => "a list",
            Self::Map => "a mapping",
        }
    }
}

impl Reader<'_> {
    /// Returns which of these forms a value has. A message about another one names all of them.
    pub fn form(&self, node: &Node, what: &str, forms: &[Form]) -> Option<Form> {
        let found = Form::of(node).filter(|form| forms.contains(form));
        if found.is_none() {
            let names: Vec<&str> = forms.iter().map(|form| form.describe()).collect();
            let expected = match names.as_slice() {
                [first @ .., last] if !first.is_empty() => {
                    format!("{} or {last}", first.join(", "))
                }
                names => names.concat(),
            };
            let problem = Diagnostic::expected(what, &expected, node.span, node.describe());
            self.report(problem);
        }
        found
    }

    /// Reads the text of a key that has nearly the name of another one, whose value is a mapping. That one is probably meant
    /// by a mapping: all such places are one fault.
    pub fn text_beside(&self, node: &Node, key: &str, other: &str) -> Option<String> {
        let what = format!("`{key}`");
        if !matches!(node.value, Value::Map(_)) {
            return self.text(node, &what);
        }
        let problem = Diagnostic::expected(&what, "a string", node.span, node.describe());
        let problem = problem.help(format!("did you mean `{other}`?"));
        self.problems.report_together(problem);
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::stack::Overrides;

    fn shown(yaml: &str) -> String {
        let read = crate::testing::parse(yaml, &[], &Overrides::default());
        read.expect_err("the spec is invalid")
    }

    fn faults(yaml: &str) -> Vec<String> {
        let shown = shown(yaml);
        let lines = shown.lines();
        let messages = lines.filter_map(|line| line.strip_prefix("error: "));
        messages.map(str::to_owned).collect()
    }

    #[test]
    fn a_message_names_all_forms_of_a_value() {
        for (image, expected) in [
            ("dockerfile: ", "`dockerfile` must be a string or a mapping"),
            (
                "dockerfile: [a]",
                "`dockerfile` must be a string or a mapping",
            ),
            (
                "base: 'd:1', apt: ",
                "`apt` must be a string, a list or a mapping",
            ),
            (
                "base: 'd:1', pip: ",
                "`pip` must be a string, a list or a mapping",
            ),
            (
                "base: 'd:1', pip: { requirements: {} }",
                "`requirements` must be a string or a list",
            ),
            (
                "base: 'd:1', conda: ",
                "`conda` must be a string, a list or a mapping",
            ),
            (
                "base: 'd:1', copy: { /x: }",
                "an entry of `copy` must be a string, a list or a mapping",
            ),
            (
                "base: 'd:1', steps: [{ write: { /x: [a] } }]",
                "an entry of `write` must be a string or a mapping",
            ),
            (
                "base: 'd:1', steps: [{ append: { /x: } }]",
                "an entry of `append` must be a string or a mapping",
            ),
            (
                "base: 'd:1', steps: [{ link: { /x: [a] } }]",
                "an entry of `link` must be a string or a mapping",
            ),
            (
                "base: 'd:1', steps: [{ run: a, cwd: [a] }]",
                "`cwd` must be a string or a mapping",
            ),
            (
                "base: 'd:1', steps: [{ run: a, secrets: a }]",
                "`secrets` must be a list or a mapping",
            ),
            (
                "base: 'd:1', config: { healthcheck: { test: {} } }",
                "`test` must be a string or a list",
            ),
        ] {
            let spec = format!("stack: x\nimages: {{ a: {{ {image} }} }}\n");
            assert_eq!(faults(&spec), [expected], "{image}");
        }
        let compression = "stack: x\ncompression: []\nimages: { a: { base: 'd:1' } }\n";
        assert_eq!(
            faults(compression),
            ["`compression` must be a string or a mapping"]
        );
    }

    #[test]
    fn a_mapping_that_another_key_has_is_one_fault_with_a_hint() {
        let image = "{ dockerfile: { context: { b: a } } }";
        let spec = format!("stack: x\nimages: {{ a: {image}, b: {image} }}\n");
        let shown = shown(&spec);
        assert_eq!(shown.matches("`context` must be a string").count(), 1);
        assert!(shown.contains("did you mean `contexts`?"), "{shown}");
    }
}
