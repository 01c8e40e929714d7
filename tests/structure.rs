//! Holds `src/` to its order: a module imports only what stands above it in [`ORDER`], and pure
//! modules neither read nor write nor ask the clock.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Modules in the order of reading, and whether they are pure.
const ORDER: [(&str, bool); 32] = [
    ("source", true),
    ("name", true),
    ("tags", true),
    ("size", true),
    ("oci", true),
    ("disk", false),
    ("diagnostic", true),
    ("event", true),
    ("tail", true),
    ("evidence", true),
    ("spec", true),
    ("stack", true),
    ("plan", true),
    ("record", true),
    ("checks", true),
    ("llb", true),
    ("compile", true),
    ("git", false),
    ("buildkit", false),
    ("registry", false),
    ("staging", false),
    ("gather", false),
    ("run", false),
    ("publish", false),
    ("export", false),
    ("release", false),
    ("build", false),
    ("nodes", true),
    ("report", false),
    ("docs", true),
    ("compare", true),
    ("cli", false),
];

/// The one file of a pure module that may read the disk.
const LOADS: &str = "spec/load.rs";

/// Modules that must not know each other although one stands above the other.
const STRANGERS: [(&str, &str); 5] = [
    ("llb", "spec"),
    ("llb", "stack"),
    ("buildkit", "stack"),
    ("buildkit", "spec"),
    ("registry", "stack"),
];

/// Nobody can keep more than this in mind.
const LONGEST: usize = 900;

const IMPURE: [&str; 13] = [
    "std::fs",
    "fs_err",
    "std::env",
    "std::process",
    "std::net::Tcp",
    "tokio",
    "reqwest",
    "SystemTime::now",
    "Instant::now",
    "println!",
    "print!(",
    "dbg!",
    "Zoned::now",
];

fn position(module: &str) -> Option<usize> {
    ORDER.iter().position(|(name, _)| *name == module)
}

/// Names of our modules a line of code uses: `crate::name::…` or `use crate::{name, …}`.
fn uses(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find("crate::") {
        rest = &rest[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(list).split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if position(&name).is_some() {
                found.push(name);
            }
        }
    }
    found
}

/// What is wrong in one file, a line each.
fn check(path: &str, text: &str) -> String {
    let mut wrong = String::new();
    let first = path.split('/').next().unwrap_or(path);
    let module = first.trim_end_matches(".rs");
    let Some(own) = position(module) else {
        return match path {
            "lib.rs" | "main.rs" | "testing.rs" => wrong,
            _ => format!("{path}: not in the list of modules\n"),
        };
    };
    let count = text.lines().count();
    if count > LONGEST {
        let _ = writeln!(wrong, "{path}: {count} lines; a type is missing");
    }
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or(line);
        for used in uses(code) {
            let above = position(&used).is_some_and(|used| used <= own);
            let stranger = STRANGERS.contains(&(module, used.as_str()));
            if !above || stranger {
                let _ = writeln!(wrong, "{path}:{number}: `{module}` uses `{used}`");
            }
        }
        if ORDER[own].1 && path != LOADS {
            for word in IMPURE {
                if code.contains(word) {
                    let _ = writeln!(wrong, "{path}:{number}: `{word}` in a pure module");
                }
            }
        }
    }
    wrong
}

fn files(folder: &Path, list: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).expect("src is readable");
    for entry in entries {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            files(&path, list);
        } else if path.extension().is_some_and(|e| e == "rs") {
            list.push(path);
        }
    }
}

#[test]
fn modules_import_only_what_stands_above_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut list = Vec::new();
    files(&src, &mut list);
    list.sort();
    assert!(list.len() > ORDER.len(), "every module has a file");
    let wrong: String = list
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("src is readable");
            let path = path.strip_prefix(&src).expect("it was found there");
            check(&path.to_string_lossy(), &text)
        })
        .collect();
    assert_eq!(wrong, "");
}

#[test]
fn wrong_arrows_and_impure_code_are_seen() {
    let text = "use crate::registry::Registry;\n\
                // use crate::cli::Exit; in a comment is fine\n\
                use crate::{name::Tag, stack};\n\
                fn f() { let x = crate::cli::X; std::fs::read(x); }\n";
    assert_eq!(
        check("llb/graph.rs", text),
        "llb/graph.rs:1: `llb` uses `registry`\n\
         llb/graph.rs:3: `llb` uses `stack`\n\
         llb/graph.rs:4: `llb` uses `cli`\n\
         llb/graph.rs:4: `std::fs` in a pure module\n"
    );
    assert_eq!(check("cli/mod.rs", text), "");
    assert_eq!(check("spec/load.rs", "std::fs::read(x)"), "");
    assert_eq!(
        check("extra.rs", ""),
        "extra.rs: not in the list of modules\n"
    );
}
