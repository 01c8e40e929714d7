//! The environment of steps and of the finished image: the base's, with the spec's changes.

use super::shell::is_shell_name;
use crate::stack::{Env, EnvChange, EnvPart, EnvString, EnvText};

/// Variables in the order of the base's config, followed by new ones, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Parses `NAME=value` entries of an image config; of two with one name the last one counts.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let mut environment = Self::default();
        for entry in entries {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            environment.set(name, value);
        }
        environment
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Sets a variable, in its place if it exists.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((name.to_owned(), value.into())),
        }
    }

    /// Sets a variable unless it exists.
    pub fn set_default(&mut self, name: &str, value: impl Into<String>) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Returns the entries that a shell does not pass on to what it starts, since their names are not
    /// names of its own variables: dash and busybox drop them.
    pub fn lost_in_a_shell(&self) -> Vec<String> {
        let lost = self.0.iter().filter(|(name, _)| !is_shell_name(name));
        lost.map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// Returns the environment with `changes`; each change sees the environment before all of them.
    pub fn with(&self, changes: &Env) -> Self {
        let mut result = self.clone();
        for (name, change) in changes {
            let value = match change {
                EnvChange::Remove => {
                    result.remove(name);
                    continue;
                }
                EnvChange::Set(text) => self.text(text),
                EnvChange::Append { text, sep } => match self.get(name) {
                    Some(old) if !old.is_empty() => format!("{old}{sep}{}", self.text(text)),
                    _ => self.text(text),
                },
                EnvChange::Prepend { text, sep } => match self.get(name) {
                    Some(old) if !old.is_empty() => format!("{}{sep}{old}", self.text(text)),
                    _ => self.text(text),
                },
            };
            result.set(name, value);
        }
        result
    }

    /// Returns a text with its variables replaced; one that is not set is empty.
    pub fn fill(&self, text: &EnvString) -> String {
        self.text(&text.text)
    }

    /// Returns the first variable of a text that is not set, or is empty.
    pub fn lacks<'a>(&self, text: &'a EnvString) -> Option<&'a str> {
        let mut parts = text.text.0.iter();
        parts.find_map(|part| match part {
            EnvPart::Env(name) if self.get(name).is_none_or(str::is_empty) => Some(name.as_str()),
            _ => None,
        })
    }

    fn text(&self, text: &EnvText) -> String {
        text.0
            .iter()
            .map(|part| match part {
                EnvPart::Text(text) => text.as_str(),
                EnvPart::Env(name) => self.get(name).unwrap_or_default(),
            })
            .collect()
    }

    /// Returns `NAME=value` entries.
    pub fn entries(&self) -> Vec<String> {
        let entry = |(name, value): &(String, String)| format!("{name}={value}");
        self.0.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_see_the_environment_before_them() {
        let base = Environment::new(["PATH=/bin", "A=1", "A=2"]);
        let text = |text: &str| EnvText(vec![EnvPart::Text(text.to_owned())]);
        let changes = Env::from([
            (
                "PATH".to_owned(),
                EnvChange::Set(EnvText(vec![
                    EnvPart::Text("/opt/x/bin:".to_owned()),
                    EnvPart::Env("PATH".to_owned()),
                ])),
            ),
            (
                "A".to_owned(),
                EnvChange::Append {
                    text: EnvText(vec![EnvPart::Env("PATH".to_owned())]),
                    sep: ":".to_owned(),
                },
            ),
            (
                "NEW".to_owned(),
                EnvChange::Prepend {
                    text: text("x"),
                    sep: ":".to_owned(),
                },
            ),
        ]);
        assert_eq!(
            base.with(&changes).entries(),
            ["PATH=/opt/x/bin:/bin", "A=2:/bin", "NEW=x"]
        );
    }
}
