//! `apt-get`: packages, the lists before them, and what is removed after them.

use super::value::{Value, Vars};

/// A command of apt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apt {
    /// `apt-get update`.
    Update,
    /// `apt-get install`.
    Install(Install),
    /// What removes lists and downloads, which are in no layer.
    Clean,
}

/// Packages that are installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// As the spec writes them.
    pub packages: Vec<String>,
    /// Whether recommended packages are installed as well.
    pub recommends: bool,
}

/// Options that a step of laminate always has, or that change nothing in the image.
const PLAIN: [&str; 12] = [
    "-y",
    "--yes",
    "--assume-yes",
    "-q",
    "-qq",
    "-yq",
    "-yqq",
    "-qy",
    "-qqy",
    "--quiet",
    "--no-install-suggests",
    "--fix-missing",
];

/// What is removed after packages are installed.
const REMOVED: [&str; 9] = [
    "/var/lib/apt/lists/*",
    "/var/lib/apt/lists/",
    "/var/lib/apt/lists",
    "/var/cache/apt/*",
    "/var/cache/apt/archives/*",
    "/var/cache/apt/archives/*.deb",
    "/var/cache/apt/",
    "/var/cache/apt/archives",
    "/var/cache/apt",
];

/// Returns the command of apt that words are; `None` if they are another command, or one with other options.
pub fn apt(words: &[Value], vars: &Vars) -> Option<Apt> {
    let texts: Option<Vec<String>> = words.iter().map(|word| word.resolved(vars)).collect();
    let texts = texts?;
    let start = texts
        .iter()
        .take_while(|word| is_noninteractive(word))
        .count();
    let (words, texts) = (&words[start..], &texts[start..]);
    let program = texts.first()?.as_str();
    if program == "rm" {
        let is_removed = |word: &String| {
            matches!(word.as_str(), "-rf" | "-fr" | "-r" | "-f") || REMOVED.contains(&word.as_str())
        };
        let all = texts.len() > 1 && texts[1..].iter().all(is_removed);
        return all.then_some(Apt::Clean);
    }
    if !matches!(program, "apt-get" | "apt") {
        return None;
    }
    let mut rest = words
        .iter()
        .zip(texts)
        .skip(1)
        .filter(|(_, text)| !PLAIN.contains(&text.as_str()));
    let command = rest.next()?.1.as_str();
    match command {
        "update" => rest.next().is_none().then_some(Apt::Update),
        "clean" | "autoclean" => rest.next().is_none().then_some(Apt::Clean),
        "install" if texts.iter().any(|text| is_yes(text)) => {
            let mut install = Install {
                packages: Vec::new(),
                recommends: true,
            };
            for (word, text) in rest {
                match text.as_str() {
                    "--no-install-recommends" => install.recommends = false,
                    name if is_package(name) => install.packages.push(word.written()),
                    _ => return None,
                }
            }
            (!install.packages.is_empty()).then_some(Apt::Install(install))
        }
        _ => None,
    }
}

/// Whether an option has apt ask nothing.
fn is_yes(text: &str) -> bool {
    matches!(
        text,
        "-y" | "--yes" | "--assume-yes" | "-yq" | "-yqq" | "-qy" | "-qqy" | "-qq"
    )
}

fn is_noninteractive(word: &str) -> bool {
    matches!(
        word,
        "DEBIAN_FRONTEND=noninteractive" | "DEBCONF_NONINTERACTIVE_SEEN=true"
    )
}

/// Whether a text is the name of a package, maybe with its version, architecture or release.
fn is_package(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        // `name-` removes a package, `name+` is also a name such as `g++`.
        && !text.ends_with('-')
        && !text.ends_with(".deb")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~/".contains(c))
}

/// Whether a variable of the environment can change what apt does.
pub fn is_sensitive(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.ends_with("_proxy")
        || ["apt_", "debconf_", "lc_", "dpkg_"]
            .iter()
            .any(|start| lower.starts_with(start))
        || matches!(name, "LANG" | "LANGUAGE" | "TZ")
}

#[cfg(test)]
mod tests {
    use super::super::shell;
    use super::super::value::Environment;
    use super::*;

    fn read(text: &str) -> Option<Apt> {
        let words = shell::words(text, &Environment::new(), &Vars::new())?;
        apt(&words, &Vars::new())
    }

    #[test]
    fn commands_of_apt_are_known() {
        let install = |recommends, packages: &[&str]| {
            let packages = packages.iter().map(|name| (*name).to_owned()).collect();
            Some(Apt::Install(Install {
                packages,
                recommends,
            }))
        };
        assert_eq!(read("apt-get update --yes"), Some(Apt::Update));
        assert_eq!(
            read("apt-get install -yq --no-install-recommends g++ curl=8.1"),
            install(false, &["g++", "curl=8.1"])
        );
        assert_eq!(
            read("DEBIAN_FRONTEND=noninteractive apt install -y git"),
            install(true, &["git"])
        );
        assert_eq!(read("rm -rf /var/lib/apt/lists/*"), Some(Apt::Clean));
        assert_eq!(read("apt-get clean"), Some(Apt::Clean));
        for text in [
            "apt-get install git",
            "apt-get install -y ./x.deb",
            "apt-get install -y -t backports git",
            "apt-get install -y git-",
            "apt-get upgrade -y",
            "rm -rf /var/lib/apt/lists/* /tmp/x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
