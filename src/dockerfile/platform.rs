//! Variables whose values the engine sets, by its platform.

use std::collections::BTreeMap;

use super::Dockerfile;
use super::words::{expand, variables};

/// Variables that the frontend sets, by the platforms of the build and the image (dockerfile2llb/platform.go,
/// `defaultArgs`). An argument of the build replaces one, also without an `ARG`.
pub const OF_PLATFORM: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Stands for a value that only the engine has; no name contains it.
const UNKNOWN: char = '\0';

/// Returns a value that a variable of the platform can have, for a help.
pub fn example(name: &str) -> &'static str {
    if name.ends_with("PLATFORM") {
        "linux/amd64"
    } else if name.ends_with("ARCH") {
        "amd64"
    } else if name.ends_with("OS") {
        "linux"
    } else {
        "…"
    }
}

/// Returns a variable in a text of which only the engine has the value, also by way of the default of an `ARG`.
pub fn engine_variable(
    text: &str,
    file: &Dockerfile,
    vars: &BTreeMap<String, String>,
) -> Option<&'static str> {
    let names = variables(text).into_iter().map(|(name, _)| name);
    let mut unset = names.filter(|name| !vars.contains_key(*name));
    unset.find_map(|name| {
        let of_platform = OF_PLATFORM.iter().find(|known| **known == name).copied();
        of_platform.or_else(|| {
            // Those before it have no value either.
            let at = file.args.iter().position(|arg| arg.name == name)?;
            let before = Dockerfile {
                args: file.args[..at].to_vec(),
                ..Dockerfile::default()
            };
            engine_variable(file.args[at].default.as_deref()?, &before, vars)
        })
    })
}

/// Returns whether a name of a stage can be what a text becomes, whatever the variables of the platform are; `None` if the
/// text has none of them or nothing else, or changes their values.
pub fn stage_pattern(
    text: &str,
    file: &Dockerfile,
    vars: &BTreeMap<String, String>,
) -> Option<impl Fn(&str) -> bool> {
    let unknown = OF_PLATFORM
        .iter()
        .map(|name| ((*name).to_owned(), UNKNOWN.to_string()));
    let mut all: BTreeMap<String, String> = unknown.collect();
    all.extend(vars.clone());
    let is_plain = |text: &str| !text.contains(['+', '#', '%', '/']);
    for arg in file.args.iter().filter(|arg| !vars.contains_key(&arg.name)) {
        let Some(default) = arg.default.as_deref().filter(|text| is_plain(text)) else {
            continue;
        };
        all.insert(arg.name.clone(), expand(default, &all).ok()?);
    }
    let pattern = expand(text, &all)
        .ok()
        .filter(|_| is_plain(text))?
        .to_lowercase();
    let has_both = pattern.contains(UNKNOWN) && pattern.contains(|c| c != UNKNOWN);
    let parts: Vec<String> = pattern.split(UNKNOWN).map(str::to_owned).collect();
    has_both.then_some(move |name: &str| {
        let (first, last) = (&parts[0], &parts[parts.len() - 1]);
        let inner = name.strip_prefix(first.as_str());
        let Some(mut rest) = inner.and_then(|inner| inner.strip_suffix(last.as_str())) else {
            return false;
        };
        parts[1..parts.len() - 1].iter().all(|part| {
            let found = rest.split_once(part.as_str());
            found.inspect(|(_, after)| rest = after).is_some()
        })
    })
}
