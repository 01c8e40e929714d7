//! `conda install`, `mamba install` and `micromamba install`.

use serde_json::{Map, Value as Json, json};

use super::shell::split_option;
use super::value::{Value, Vars};

/// What a command of conda is.
#[derive(Clone, Debug, PartialEq)]
pub enum Conda {
    /// The value of `conda:`.
    Install(Json),
    /// What removes caches, which are in no layer.
    Clean,
}

/// Options that change nothing in the image.
const PLAIN: [&str; 5] = ["-y", "--yes", "-q", "--quiet", "-yq"];

/// Returns the command of conda that words are; `None` if they are another command, or one with other options.
pub fn conda(words: &[Value], vars: &Vars) -> Option<Conda> {
    let texts: Option<Vec<String>> = words.iter().map(|word| word.resolved(vars)).collect();
    let texts = texts?;
    let mut rest = words.iter().zip(&texts);
    let (_, program) = rest.next()?;
    if !matches!(program.as_str(), "conda" | "mamba" | "micromamba") {
        return None;
    }
    match rest.next()?.1.as_str() {
        "clean" => {
            return rest
                .all(|(_, word)| word.starts_with('-'))
                .then_some(Conda::Clean);
        }
        "install" => {}
        _ => return None,
    }
    let (mut packages, mut channels, mut map) = (Vec::new(), Vec::new(), Map::new());
    while let Some((word, text)) = rest.next() {
        let (name, inner) = split_option(text);
        let mut value = || {
            let inner = inner.map(str::to_owned);
            inner.or_else(|| rest.next().map(|(_, text)| text.clone()))
        };
        match name {
            _ if PLAIN.contains(&name) => {}
            "-c" | "--channel" => channels.push(value()?),
            "-n" | "--name" => {
                map.insert("env".to_owned(), json!(value()?));
            }
            "-p" | "--prefix" => {
                let prefix = value().filter(|path| path.starts_with('/'))?;
                map.insert("prefix".to_owned(), json!(prefix));
            }
            _ if is_package(text) => packages.push(word.written()),
            _ => return None,
        }
    }
    if packages.is_empty() {
        return None;
    }
    if channels.is_empty() && map.is_empty() {
        return Some(Conda::Install(json!(packages)));
    }
    let mut whole = Map::new();
    whole.insert("packages".to_owned(), json!(packages));
    if !channels.is_empty() {
        whole.insert("channels".to_owned(), json!(channels));
    }
    whole.extend(map);
    Some(Conda::Install(Json::Object(whole)))
}

/// Whether a text is a package by name, maybe with its channel, version and build.
fn is_package(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !text.contains(['/', '$', '@'])
        && ![".txt", ".yml", ".yaml", ".conda", ".bz2"]
            .iter()
            .any(|end| text.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::super::value::Environment;
    use super::*;

    #[test]
    fn what_conda_installs_is_known() {
        let read = |text: &str| {
            let words = shell::words(text, &Environment::new(), &Vars::new())?;
            conda(&words, &Vars::new())
        };
        let install = |value| Some(Conda::Install(value));
        assert_eq!(
            read("mamba install --yes 'numpy<2' jupyterlab=4"),
            install(json!(["numpy<2", "jupyterlab=4"]))
        );
        assert_eq!(
            read("conda install -y -c conda-forge --name=r r-base"),
            install(json!({ "packages": ["r-base"], "channels": ["conda-forge"], "env": "r" }))
        );
        assert_eq!(read("mamba clean --all -f -y"), Some(Conda::Clean));
        for text in [
            "conda update -y x",
            "conda install -y --file x.txt",
            "mamba install --freeze-installed x",
            "mamba env update",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
