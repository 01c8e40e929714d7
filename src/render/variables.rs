//! [`Changed`]: variables that a command has otherwise than the image.

use std::collections::BTreeMap;

use crate::compile::{is_shell_name, quote};

/// Shell text that sets `HOME` as the runtime does: to the folder of the user in `/etc/passwd`.
const HOME: &str = r#"HOME=$(while IFS=: read -r _ _ uid _ _ home _; do [ "$uid" != "$(id -u)" ] || { echo "$home"; break; }; done </etc/passwd)
export HOME="${HOME:-/}"
"#;

/// A variable of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It has another value.
    Set(String),
    /// The command does not have it.
    Unset,
    /// It is the home folder of the user.
    Home,
}

/// Variables that a command has otherwise than the image, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed(pub BTreeMap<String, Variable>);

impl Changed {
    /// Returns them as lines of a shell script; `None` if a shell cannot have one of the names.
    pub fn lines(&self) -> Option<String> {
        if !self.0.keys().all(|name| is_shell_name(name)) {
            return None;
        }
        let line = |(name, variable): (&String, &Variable)| match variable {
            Variable::Set(value) => format!("export {name}={}\n", quote(value)),
            Variable::Unset => format!("unset {name}\n"),
            Variable::Home => HOME.to_owned(),
        };
        Some(self.0.iter().map(line).collect())
    }

    /// Returns them as the beginning of a command.
    pub fn command(&self) -> Vec<String> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut words = Vec::new();
        if self.0.values().any(|variable| *variable == Variable::Home) {
            let text = format!("{HOME}exec \"$@\"");
            words.extend(["/bin/sh", "-c", &text, "laminate"].map(str::to_owned));
        }
        words.push("env".to_owned());
        let unset = self
            .0
            .iter()
            .filter(|(_, variable)| **variable == Variable::Unset);
        words.extend(unset.flat_map(|(name, _)| ["-u".to_owned(), name.clone()]));
        words.extend(self.0.iter().filter_map(|(name, variable)| match variable {
            Variable::Set(value) => Some(format!("{name}={value}")),
            Variable::Unset | Variable::Home => None,
        }));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(entries: &[(&str, Variable)]) -> Changed {
        let entries = entries
            .iter()
            .map(|(name, it)| ((*name).to_owned(), it.clone()));
        Changed(entries.collect())
    }

    #[test]
    fn a_variable_that_a_step_removes_is_unset() {
        let all = changed(&[
            ("A", Variable::Unset),
            ("B", Variable::Set("1 2".to_owned())),
        ]);
        assert_eq!(all.lines().as_deref(), Some("unset A\nexport B='1 2'\n"));
        assert_eq!(all.command(), ["env", "-u", "A", "B=1 2"]);
    }

    #[test]
    fn home_of_another_user_is_that_of_the_system() {
        let home = changed(&[("HOME", Variable::Home)]);
        assert!(
            home.lines()
                .is_some_and(|text| text.ends_with("export HOME=\"${HOME:-/}\"\n"))
        );
        let command = home.command();
        assert!(command[2].ends_with("\nexec \"$@\""), "{command:?}");
        assert_eq!(command[3..], ["laminate", "env"]);
    }

    #[test]
    fn other_names_than_those_of_a_shell_need_env() {
        let odd = changed(&[("spark.x", Variable::Set("y".to_owned()))]);
        assert_eq!(odd.lines(), None);
        assert_eq!(odd.command(), ["env", "spark.x=y"]);
    }
}
