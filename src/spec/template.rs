//! Texts with variables: `${name}`, `${env:NAME}`, and `$${` for a literal `${`.
//!
//! A [`Template`] is a text cut into its parts; `stack` replaces the variables.

/// A text cut at its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// `${name}`.
    Var(Variable),
    /// `${env:NAME}`: a variable of the environment so far.
    Env(Variable),
}

/// A variable in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Without `env:`.
    pub name: String,
    /// The byte of its `$` in the text.
    pub start: usize,
    /// The byte after its `}`.
    pub end: usize,
}

/// Why a text cannot be cut; places are bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// `${` without `}`.
    #[error("this `${{` has no `}}`")]
    Open {
        /// The byte of its `$`.
        start: usize,
    },
    /// `${…}` with an invalid name.
    #[error("`{name}` is not a valid name of a variable")]
    Name {
        /// As written.
        name: String,
        /// The byte of its `$`.
        start: usize,
        /// The byte after its `}`.
        end: usize,
    },
}

/// Returns whether a variable can have this name: a letter or `_`, then letters, digits, `_`, `-` and `.`.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

impl Template {
    /// Cuts a text at its variables.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            // `$${`: the first `$` escapes the second.
            if text[at..start].ends_with('$') {
                literal.push_str(&text[at..start - 1]);
                literal.push_str("${");
                at = start + 2;
                continue;
            }
            literal.push_str(&text[at..start]);
            let inner = &text[start + 2..];
            let length = inner.find('}').ok_or(TemplateError::Open { start })?;
            let (written, end) = (&inner[..length], start + 2 + length + 1);
            let (name, in_env) = match written.strip_prefix("env:") {
                Some(name) => (name, true),
                None => (written, false),
            };
            if !is_name(name) {
                return Err(TemplateError::Name {
                    name: written.to_owned(),
                    start,
                    end,
                });
            }
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let variable = Variable {
                name: name.to_owned(),
                start,
                end,
            };
            parts.push(if in_env {
                Part::Env(variable)
            } else {
                Part::Var(variable)
            });
            at = end;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }
}

impl std::fmt::Display for Template {
    /// Writes it as the spec does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace("${", "$${"))?,
                Part::Var(variable) => write!(f, "${{{}}}", variable.name)?,
                Part::Env(variable) => write!(f, "${{env:{}}}", variable.name)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn show(text: &str) -> String {
        match Template::parse(text) {
            Ok(template) => {
                let parts = template.0.iter().map(|part| match part {
                    Part::Text(text) => format!("text {text:?}"),
                    Part::Var(v) => format!("var {} at {}..{}", v.name, v.start, v.end),
                    Part::Env(v) => format!("env {} at {}..{}", v.name, v.start, v.end),
                });
                parts.collect::<Vec<_>>().join(", ")
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn texts_are_cut_at_their_variables() {
        assert_eq!(
            show("a-${x}${y.z}!"),
            "text \"a-\", var x at 2..6, var y.z at 6..12, text \"!\""
        );
        assert_eq!(
            show("/opt/bin:${env:PATH}"),
            "text \"/opt/bin:\", env PATH at 9..20"
        );
        assert_eq!(show("$${x} $x $$ {x}"), "text \"${x} $x $$ {x}\"");
        assert_eq!(show(""), "");
        assert_eq!(show("a ${x"), "this `${` has no `}`");
        assert_eq!(show("${}"), "`` is not a valid name of a variable");
        assert_eq!(show("${a b}"), "`a b` is not a valid name of a variable");
    }

    proptest! {
        #[test]
        fn any_text_can_be_written_literally(text in "[a-z$\\{\\} é]{0,12}") {
            // A `$` right before a literal `${` would be read as its escape.
            prop_assume!(!text.contains("$${"));
            let written = text.replace("${", "$${");
            let template = Template::parse(&written).expect("it has no variables");
            let read: String = template.0.iter().map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Var(_) | Part::Env(_) => "VARIABLE",
            }).collect();
            prop_assert_eq!(read, text);
        }

        #[test]
        fn a_displayed_template_parses_to_the_same(text in "[a-z$\\{\\}: ]{0,16}") {
            prop_assume!(!text.contains("$$"));
            if let Ok(template) = Template::parse(&text) {
                let shown = template.to_string();
                prop_assert_eq!(Template::parse(&shown).expect("it parsed").to_string(), shown);
            }
        }
    }
}
