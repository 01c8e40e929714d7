//! Holds `src/` to the rules of `docs/architecture.md`: each room imports only what [`ROOMS`] allows it, pure rooms do
//! no input or output and read no clock, files of one room do not import each other in a circle, and no file is too long.
//!
//! The sources are parsed, not searched: comments, strings and unit tests do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A folder or a file directly below `src/`, and what it may import.
struct Room {
    name: &'static str,
    /// Whether it does no input or output, reads no clock and starts no process.
    pure: bool,
    /// Rooms it may import.
    imports: &'static [&'static str],
}

const fn pure(name: &'static str, imports: &'static [&'static str]) -> Room {
    Room {
        name,
        pure: true,
        imports,
    }
}

const fn acts(name: &'static str, imports: &'static [&'static str]) -> Room {
    Room {
        name,
        pure: false,
        imports,
    }
}

/// Every room, lower ones first. Anything that is not listed here is not allowed.
const ROOMS: &[Room] = &[
    pure("source", &[]),
    pure("name", &[]),
    pure("size", &[]),
    pure("tail", &[]),
    pure("mask", &[]),
    pure("shown", &[]),
    pure("table", &[]),
    pure("diagnostic", &["source"]),
    pure("event", &["name", "tail"]),
    pure("interrupt", &[]),
    pure("checkout", &["name"]),
    pure("oci", &["name"]),
    pure("evidence", &["name"]),
    pure("tags", &["name"]),
    acts("disk", &[]),
    pure(
        "spec",
        &["source", "name", "diagnostic", "checkout", "disk"],
    ),
    pure(
        "stack",
        &["source", "name", "diagnostic", "checkout", "tags", "spec"],
    ),
    pure(
        "plan",
        &["name", "diagnostic", "checkout", "evidence", "stack"],
    ),
    pure("record", &["name", "evidence", "plan"]),
    pure("checks", &["size", "evidence", "stack"]),
    pure("llb", &["source", "name"]),
    pure("compile", &["source", "name", "diagnostic", "stack", "llb"]),
    pure(
        "compare",
        &["name", "evidence", "plan", "record", "size", "table"],
    ),
    pure("docs", &["name", "oci", "evidence", "record", "size"]),
    pure("nodes", &["name", "record"]),
    acts("tool", &["name", "disk", "event", "compile"]),
    acts("git", &["name", "checkout"]),
    acts("buildkit", &["name", "llb"]),
    acts("registry", &["name", "event", "oci"]),
    acts(
        "staging",
        &["name", "evidence", "tags", "plan", "record", "registry"],
    ),
    acts(
        "gather",
        &[
            "name", "checkout", "event", "oci", "evidence", "tags", "spec", "stack", "plan", "git",
            "registry", "staging",
        ],
    ),
    acts(
        "run",
        &[
            "source",
            "name",
            "tail",
            "mask",
            "diagnostic",
            "event",
            "evidence",
            "stack",
            "plan",
            "checks",
            "llb",
            "compile",
            "buildkit",
        ],
    ),
    acts(
        "publish",
        &["name", "event", "oci", "tags", "stack", "plan", "registry"],
    ),
    acts("export", &["name", "oci", "disk", "registry"]),
    acts(
        "release",
        &[
            "name", "evidence", "stack", "plan", "record", "git", "registry", "staging",
        ],
    ),
    acts(
        "build",
        &[
            "source",
            "name",
            "checkout",
            "event",
            "interrupt",
            "evidence",
            "tags",
            "spec",
            "stack",
            "plan",
            "record",
            "checks",
            "llb",
            "compile",
            "buildkit",
            "registry",
            "staging",
            "gather",
            "run",
            "publish",
            "export",
            "release",
            "tool",
        ],
    ),
    acts("report", &["size", "tail", "shown", "event", "table"]),
    acts(
        "cli",
        &[
            "source",
            "name",
            "checkout",
            "shown",
            "diagnostic",
            "event",
            "interrupt",
            "oci",
            "evidence",
            "spec",
            "stack",
            "plan",
            "record",
            "checks",
            "llb",
            "compile",
            "compare",
            "docs",
            "nodes",
            "disk",
            "git",
            "buildkit",
            "registry",
            "staging",
            "gather",
            "run",
            "publish",
            "export",
            "release",
            "build",
            "tool",
            "report",
            "size",
            "table",
        ],
    ),
    acts(
        "testing",
        &[
            "source",
            "diagnostic",
            "event",
            "name",
            "evidence",
            "spec",
            "stack",
            "plan",
            "record",
            "llb",
            "compile",
            "buildkit",
            "registry",
            "staging",
            "publish",
            "release",
        ],
    ),
];

/// Files of pure rooms that may read the disk.
const LOADERS: &[&str] = &["spec/content.rs", "spec/hashes.rs", "spec/load.rs"];

/// The most lines of a file. Generated files and tables of test cases are exempt.
const LONGEST: usize = 500;

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

/// A source file: where its module is, and the paths it uses with their lines.
struct File {
    /// Relative to `src/`.
    path: String,
    /// `["stack", "steps", "pip"]`; empty for `lib.rs`.
    module: Vec<String>,
    lines: usize,
    uses: Vec<(usize, Vec<String>)>,
    /// Name → the path it re-exports.
    exports: BTreeMap<String, Vec<String>>,
}

impl File {
    fn parse(path: &str, text: &str) -> Self {
        let mut module: Vec<String> = path
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect();
        if matches!(
            module.last().map(String::as_str),
            Some("mod" | "lib" | "main")
        ) {
            module.pop();
        }
        let mut reader = Reader {
            module: module.clone(),
            uses: Vec::new(),
            exports: BTreeMap::new(),
        };
        let tree = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
        reader.visit_file(&tree);
        Self {
            path: path.to_owned(),
            module,
            lines: text.lines().count(),
            uses: reader.uses,
            exports: reader.exports,
        }
    }

    fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

/// Collects the paths of one file, made absolute: `crate` and `super` are resolved.
struct Reader {
    module: Vec<String>,
    uses: Vec<(usize, Vec<String>)>,
    exports: BTreeMap<String, Vec<String>>,
}

impl Reader {
    /// `crate::a::b`, `super::b` and `self::b` as `["crate", "a", "b"]`; other paths stay as they are.
    fn absolute(&self, path: Vec<String>) -> Vec<String> {
        let mut base = match path.first().map(String::as_str) {
            Some("super" | "self") => self.module.clone(),
            _ => return path,
        };
        let mut rest = path.into_iter().peekable();
        while let Some(step) = rest.next_if(|step| step == "super" || step == "self") {
            if step == "super" {
                base.pop();
            }
        }
        let mut absolute = vec!["crate".to_owned()];
        absolute.extend(base);
        absolute.extend(rest);
        absolute
    }

    fn add(&mut self, line: usize, path: Vec<String>) {
        let path = self.absolute(path);
        self.uses.push((line, path));
    }

    /// Flattens `a::{b, c::d}`; with `exported`, notes the names a `pub use` brings.
    fn tree(&mut self, line: usize, before: &[String], tree: &syn::UseTree, exported: bool) {
        let mut path = before.to_vec();
        match tree {
            syn::UseTree::Path(next) => {
                path.push(next.ident.to_string());
                self.tree(line, &path, &next.tree, exported);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(line, before, tree, exported);
                }
            }
            syn::UseTree::Glob(_) => self.add(line, path),
            syn::UseTree::Name(name) => {
                if name.ident != "self" {
                    path.push(name.ident.to_string());
                }
                self.leaf(line, path, name.ident.to_string(), exported);
            }
            syn::UseTree::Rename(name) => {
                path.push(name.ident.to_string());
                self.leaf(line, path, name.rename.to_string(), exported);
            }
        }
    }

    fn leaf(&mut self, line: usize, path: Vec<String>, name: String, exported: bool) {
        if exported {
            let mut target = self.absolute(path.clone());
            if target.first().is_some_and(|first| first != "crate") {
                // `pub use child::Name`, relative to this module.
                let mut whole = vec!["crate".to_owned()];
                whole.extend(self.module.clone());
                whole.append(&mut target);
                target = whole;
            }
            self.exports.insert(name, target);
        }
        self.add(line, path);
    }
}

/// Whether an item is compiled for tests alone.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            let line = item.span().start().line;
            let exported = !matches!(item.vis, syn::Visibility::Inherited);
            self.tree(line, &[], &item.tree, exported);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let line = path.span().start().line;
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.add(line, names.collect());
        visit::visit_path(self, path);
    }

    /// Arguments of a macro are read as expressions where they are some.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        visit::visit_macro(self, item);
        let parser = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = item.parse_body_with(parser) {
            for argument in &arguments {
                // The tree was made here: it does not live as long as the file's.
                let mut inner = Reader {
                    module: self.module.clone(),
                    uses: Vec::new(),
                    exports: BTreeMap::new(),
                };
                inner.visit_expr(argument);
                self.uses.append(&mut inner.uses);
            }
        }
    }
}

/// Every file below `src/` that is not compiled for tests alone.
fn sources() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "tests") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs")
                && path.file_name().is_none_or(|name| name != "tests.rs")
            {
                let text = std::fs::read_to_string(&path).expect("src is readable");
                let path = path.strip_prefix(&src).expect("it was found there");
                files.push(File::parse(&path.to_string_lossy(), &text));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Faults of one file against the matrix, a line each.
fn faults(file: &File) -> String {
    let mut faults = String::new();
    if file.lines > LONGEST {
        let _ = writeln!(
            faults,
            "{}: {} lines; a type is missing",
            file.path, file.lines
        );
    }
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
    let found: Vec<String> = circles(&sources()).into_iter().collect();
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
