//! Holds `src/` to the rules of `docs/architecture.md`: each room imports only what [`ROOMS`] allows it, pure rooms do
//! no input or output and read no clock, and files of one room do not import each other in a circle. No file of `src/`
//! and `tests/` is too long.
//!
//! The sources are parsed, not searched: comments, strings and unit tests do not count.

mod rooms;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rooms::ROOMS;
use source::{File, files, sources};

/// Files of pure rooms that may read the disk.
const LOADERS: &[&str] = &[
    "spec/content.rs",
    "spec/found.rs",
    "spec/hashes.rs",
    "spec/load.rs",
    "spec/walk.rs",
];

/// The most lines of a file of `src/` and `tests/`, unit tests included.
const LONGEST: usize = 500;

/// Files that may be longer, with the reason.
const LONGER: &[(&str, &str)] = &[(
    "src/plan/tests/key_cases.rs",
    "a table: a case for every key of the spec",
)];

/// Paths and macros that only rooms which act may use.
const IMPURE: &[&str] = &[
    "std::fs",
    "fs_err",
    "std::env",
    "std::process",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::SystemTime",
    "std::time::Instant",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio",
    "reqwest",
    "print",
    "println",
    "eprint",
    "eprintln",
    "dbg",
];

/// Faults of one file against the matrix, a line each.
fn faults(file: &File) -> String {
    let mut faults = String::new();
    if file.module.is_empty() {
        return faults;
    }
    let Some(room) = ROOMS.iter().find(|room| room.name == file.room()) else {
        let _ = writeln!(
            faults,
            "{}: `{}` is missing in ROOMS",
            file.path,
            file.room()
        );
        return faults;
    };
    for (line, path) in &file.uses {
        let target = match path.as_slice() {
            [first, target, ..] if first == "crate" => target.as_str(),
            _ => "",
        };
        let known = ROOMS.iter().any(|room| room.name == target);
        if known && target != room.name && !room.imports.contains(&target) {
            let _ = writeln!(
                faults,
                "{}:{line}: `{}` imports `{target}`",
                file.path, room.name
            );
        }
        if room.pure && !LOADERS.contains(&file.path.as_str()) {
            let text = format!("{}::", path.join("::"));
            for word in IMPURE {
                let word = format!("{word}::");
                if text.starts_with(&word) || text.contains(&format!("::{word}")) {
                    let _ = writeln!(
                        faults,
                        "{}:{line}: `{}` in a pure room",
                        file.path,
                        path.join("::")
                    );
                }
            }
        }
    }
    faults
}

/// Pairs of files of one room that import each other, directly or through others; a module and the parts below it
/// belong together and do not count.
fn circles(files: &[File]) -> BTreeSet<String> {
    let by_module: BTreeMap<&[String], usize> = (files.iter().enumerate())
        .filter(|(_, file)| !file.module.is_empty())
        .map(|(index, file)| (file.module.as_slice(), index))
        .collect();
    let mut edges: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); files.len()];
    for (from, file) in files.iter().enumerate() {
        for (_, path) in &file.uses {
            if let Some(to) = target(files, &by_module, path)
                && to != from
                && files[to].room() == file.room()
                && !files[to].module.starts_with(&file.module)
                && !file.module.starts_with(&files[to].module)
            {
                edges[from].insert(to);
            }
        }
    }
    let reaches = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(next) = open.pop() {
            open.extend(edges[next].iter().filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: Vec<BTreeSet<usize>> = (0..files.len()).map(reaches).collect();
    let mut found = BTreeSet::new();
    for from in 0..files.len() {
        for to in &edges[from] {
            if reached[*to].contains(&from) {
                found.insert(format!("{} -> {}", files[from].path, files[*to].path));
            }
        }
    }
    found
}

/// The file a path leads to, through re-exports.
fn target(
    files: &[File],
    by_module: &BTreeMap<&[String], usize>,
    path: &[String],
) -> Option<usize> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let inside = match path.split_first() {
            Some((first, rest)) if first == "crate" => rest,
            _ => return None,
        };
        let (length, index) = (1..=inside.len())
            .rev()
            .find_map(|length| Some((length, *by_module.get(&inside[..length])?)))?;
        let exported = inside
            .get(length)
            .and_then(|name| files[index].exports.get(name));
        match exported {
            Some(target) if *target != path => path = target.clone(),
            _ => return Some(index),
        }
    }
    None
}

/// Returns a line for each file that is too long, and for each of [`LONGER`] that is not there.
fn too_long(files: &[(String, String)]) -> String {
    let mut faults = String::new();
    for (path, text) in files {
        let lines = text.lines().count();
        if lines > LONGEST && !LONGER.iter().any(|(longer, _)| longer == path) {
            let _ = writeln!(faults, "{path}: {lines} lines; split it by subject");
        }
    }
    for (longer, _) in LONGER {
        if !files.iter().any(|(path, _)| path == longer) {
            let _ = writeln!(faults, "{longer}: not found");
        }
    }
    faults
}

#[test]
fn no_file_is_too_long() {
    let mut all = files("src");
    all.append(&mut files("tests"));
    assert_eq!(too_long(&all), "");
    all.push(("tests/long.rs".to_owned(), "\n".repeat(LONGEST + 1)));
    let expected = "tests/long.rs: 501 lines; split it by subject\n";
    assert_eq!(too_long(&all), expected);
}

#[test]
fn rooms_import_only_what_they_may_and_pure_ones_do_not_act() {
    let files = sources();
    assert!(files.len() > ROOMS.len(), "every room has a file");
    let faults: String = files.iter().map(faults).collect();
    assert_eq!(faults, "");
}

#[test]
fn the_matrix_allows_nothing_that_is_not_used() {
    let files = sources();
    let mut unused = String::new();
    for room in ROOMS {
        for import in room.imports {
            let is_used = files.iter().any(|file| {
                file.room() == room.name
                    && file
                        .uses
                        .iter()
                        .any(|(_, path)| path.get(1).is_some_and(|name| name == import))
            });
            if !is_used {
                let _ = writeln!(unused, "`{}` does not import `{import}`", room.name);
            }
        }
    }
    assert_eq!(unused, "");
}

#[test]
fn files_of_a_room_import_each_other_in_no_circle() {
    let found: Vec<String> = circles(sources()).into_iter().collect();
    assert_eq!(found.join("\n"), "");
}

#[test]
fn wrong_imports_and_impure_code_are_found() {
    let text = "use crate::size;\n\
                // use crate::name; in a comment is fine\n\
                use crate::{\n    name::Tag,\n    source::Span,\n};\n\
                fn f() { let x = vec![crate::event::X]; std::fs::read(x); jiff::Timestamp::now(); println!(); }\n\
                #[cfg(test)]\nmod tests { use crate::event; }\n";
    assert_eq!(
        faults(&File::parse("diagnostic.rs", text)),
        "diagnostic.rs:1: `diagnostic` imports `size`\n\
         diagnostic.rs:3: `diagnostic` imports `name`\n\
         diagnostic.rs:7: `diagnostic` imports `event`\n\
         diagnostic.rs:7: `std::fs::read` in a pure room\n\
         diagnostic.rs:7: `jiff::Timestamp::now` in a pure room\n\
         diagnostic.rs:7: `println` in a pure room\n"
    );
    assert_eq!(
        faults(&File::parse("extra.rs", "")),
        "extra.rs: `extra` is missing in ROOMS\n"
    );
}

#[test]
fn circles_are_found_also_through_a_re_export() {
    let files = [
        File::parse("a/mod.rs", "mod x; mod y; pub use x::X; use y::Y;"),
        File::parse("a/x.rs", "use super::y::Y; pub struct X;"),
        File::parse("a/y.rs", "use super::X; pub struct Y;"),
    ];
    let found: Vec<String> = circles(&files).into_iter().collect();
    assert_eq!(found, ["a/x.rs -> a/y.rs", "a/y.rs -> a/x.rs"]);
}
