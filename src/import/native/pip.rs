//! `pip install`.

use serde_json::{Map, Value as Json, json};

use super::shell::split_option;
use super::value::{Value, Vars};

/// What a command of pip is.
#[derive(Clone, Debug, PartialEq)]
pub enum Pip {
    /// `pip install`: the value of `pip:`.
    Install(Json),
    /// What removes caches, which are in no layer.
    Clean,
}

/// Options that change nothing in the image.
const PLAIN: [&str; 9] = [
    "--no-cache-dir",
    "--no-cache",
    "-q",
    "-qq",
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--root-user-action=ignore",
    "--progress-bar=off",
];

/// Options that uv has as well.
const PASSED: [&str; 2] = ["--pre", "--no-build-isolation"];

/// Returns the command of pip that words are. `file` returns the file of the spec that is certainly at a path. `None` if they are
/// another command, or one with other options.
pub fn pip(words: &[Value], vars: &Vars, file: &dyn Fn(&str) -> Option<String>) -> Option<Pip> {
    let texts: Option<Vec<String>> = words.iter().map(|word| word.resolved(vars)).collect();
    let texts = texts?;
    let plain: Vec<&str> = texts.iter().map(String::as_str).collect();
    let start = match plain.as_slice() {
        ["pip" | "pip3", ..] => 1,
        ["python" | "python3", "-m", "pip", ..] => 3,
        [
            "rm",
            "-rf" | "-fr" | "-r",
            "/root/.cache" | "/root/.cache/pip",
        ] => return Some(Pip::Clean),
        _ => return None,
    };
    match plain.get(start) {
        Some(&"install") => {}
        Some(&"cache") if plain.get(start + 1) == Some(&"purge") => return Some(Pip::Clean),
        _ => return None,
    }
    let mut made = Made::default();
    let mut rest = words.iter().zip(&texts).skip(start + 1);
    while let Some((word, text)) = rest.next() {
        let (name, inner) = split_option(text);
        let mut value = || {
            let inner = inner.map(str::to_owned);
            inner.or_else(|| rest.next().map(|(_, text)| text.clone()))
        };
        match name {
            _ if PLAIN.contains(&text.as_str()) => {}
            "-U" | "--upgrade" => made.upgrade = true,
            "--no-deps" => made.no_deps = true,
            "-r" | "--requirement" => {
                made.requirements.push(file(&value()?)?);
            }
            "-i" | "--index-url" => made.index = Some(url(value()?)?),
            "--extra-index-url" => made.extra_index.push(url(value()?)?),
            "--only-binary" | "--no-binary" => {
                let value = value()?;
                made.args.extend([name.to_owned(), value]);
            }
            "--root-user-action" | "--progress-bar" => {
                value()?;
            }
            _ if PASSED.contains(&name) => made.args.push(text.clone()),
            _ if is_requirement(text) => made.packages.push(word.written()),
            _ => return None,
        }
    }
    made.value().map(Pip::Install)
}

/// What `pip install` asks for.
#[derive(Default)]
struct Made {
    packages: Vec<String>,
    requirements: Vec<String>,
    index: Option<String>,
    extra_index: Vec<String>,
    upgrade: bool,
    no_deps: bool,
    args: Vec<String>,
}

impl Made {
    /// Returns the value of `pip:`, in its shortest form.
    fn value(self) -> Option<Json> {
        let mut map = Map::new();
        if let [file] = self.requirements.as_slice() {
            map.insert("requirements".to_owned(), json!(file));
        } else if !self.requirements.is_empty() {
            map.insert("requirements".to_owned(), json!(self.requirements));
        }
        if !self.packages.is_empty() {
            map.insert("packages".to_owned(), json!(self.packages));
        }
        if map.is_empty() {
            return None;
        }
        let is_one = map.len() == 1;
        if let Some(index) = self.index {
            map.insert("index".to_owned(), json!(index));
        }
        if !self.extra_index.is_empty() {
            map.insert("extra-index".to_owned(), json!(self.extra_index));
            map.insert("index-strategy".to_owned(), json!("unsafe-best-match"));
        }
        for (name, is_set) in [("upgrade", self.upgrade), ("no-deps", self.no_deps)] {
            if is_set {
                map.insert(name.to_owned(), json!(true));
            }
        }
        if !self.args.is_empty() {
            map.insert("args".to_owned(), json!(self.args));
        }
        if is_one && map.len() == 1 {
            let short = map.get("packages").or(map.get("requirements"));
            return short.cloned();
        }
        Some(Json::Object(map))
    }
}

/// Returns a URL without credentials and variables.
fn url(text: String) -> Option<String> {
    let is_plain = text.starts_with("http") && !text.contains(['@', '$']);
    is_plain.then_some(text)
}

/// Whether a text is a requirement by name: no path, no URL, and no option.
fn is_requirement(text: &str) -> bool {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_file = [".whl", ".gz", ".zip", ".txt"]
        .iter()
        .any(|end| text.ends_with(end));
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !is_file
        && !rest.contains(['/', '$', '@'])
        && (rest.is_empty() || rest.starts_with(['[', '=', '<', '>', '!', '~', ' ', ';']))
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::super::value::Environment;
    use super::*;

    fn read(text: &str) -> Option<Json> {
        let words = shell::words(text, &Environment::new(), &Vars::new())?;
        let file = |path: &str| path.strip_prefix("/tmp/").unwrap_or(path) == "r.txt";
        let file = |path: &str| file(path).then(|| "r.txt".to_owned());
        match pip(&words, &Vars::new(), &file)? {
            Pip::Install(value) => Some(value),
            Pip::Clean => Some(json!("clean")),
        }
    }

    #[test]
    fn what_pip_installs_is_known() {
        for (text, expected) in [
            (
                "pip install --no-cache-dir numpy==2.1 'x[y]>=1'",
                json!(["numpy==2.1", "x[y]>=1"]),
            ),
            ("python3 -m pip install -r /tmp/r.txt", json!("r.txt")),
            (
                "pip3 install -r r.txt six",
                json!({ "requirements": "r.txt", "packages": ["six"] }),
            ),
            (
                "pip install --upgrade pip",
                json!({ "packages": ["pip"], "upgrade": true }),
            ),
            (
                "pip install torch --extra-index-url=https://h/whl --only-binary :all:",
                json!({ "packages": ["torch"], "extra-index": ["https://h/whl"], "index-strategy": "unsafe-best-match", "args": ["--only-binary", ":all:"] }),
            ),
            ("pip cache purge", json!("clean")),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in [
            "pip install .",
            "pip install -e /src",
            "pip install --user six",
            "pip install git+https://h/x",
            "pip install -r /other.txt",
            "pip install https://user:x@h/x.whl",
            "pip uninstall -y six",
            "/opt/venv/bin/pip install six",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
