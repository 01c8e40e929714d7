//! Texts with variables: `${name}`, `${env:NAME}`, and `$${` for a literal `${`.
//!
//! `stack` replaces the variables when it knows them; here a text is only cut into its parts.

/// A text cut at its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Text(String),
    /// `${name}`.
    Var(Variable),
    /// `${env:NAME}`: the environment so far.
    Env(Variable),
}

/// A variable and where it stands in the text it was cut from, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub start: usize,
    pub end: usize,
}

/// What is wrong with a text, and where in it, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("this `${{` has no `}}`")]
    Open { start: usize },
    #[error("`{name}` is no name of a variable")]
    Name {
        name: String,
        start: usize,
        end: usize,
    },
}

/// Whether a variable can have this name: a letter or `_`, then letters, digits, `_`, `-` and `.`.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            // `$${`: the first `$` says that the rest is meant as it is.
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
            parts.push(match in_env {
                true => Part::Env(variable),
                false => Part::Var(variable),
            });
            at = end;
        }
        literal.push_str(&text[at..]);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// Names of the variables in it, in order, each as often as it stands there.
    pub fn names(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Var(variable) => Some(variable),
            Part::Text(_) | Part::Env(_) => None,
        })
    }
}

impl std::fmt::Display for Template {
    /// As the spec would write it.
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
        assert_eq!(show("${}"), "`` is no name of a variable");
        assert_eq!(show("${a b}"), "`a b` is no name of a variable");
    }

    proptest! {
        #[test]
        fn any_text_can_be_written_literally(text in "[a-z$\\{\\} é]{0,12}") {
            // A `$` right before a literal `${` would join the sign that makes it literal.
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
        fn what_is_shown_parses_to_the_same(text in "[a-z$\\{\\}: ]{0,16}") {
            prop_assume!(!text.contains("$$"));
            if let Ok(template) = Template::parse(&text) {
                let shown = template.to_string();
                prop_assert_eq!(Template::parse(&shown).expect("it parsed").to_string(), shown);
            }
        }
    }
}
