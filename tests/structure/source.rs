//! Source files, parsed: which paths they use, and what they re-export.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// A source file: where its module is, and the paths it uses with their lines.
pub struct File {
    /// Relative to `src/`.
    pub path: String,
    /// `["stack", "steps", "pip"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    pub uses: Vec<(usize, Vec<String>)>,
    /// Name → the path it re-exports.
    pub exports: BTreeMap<String, Vec<String>>,
}

impl File {
    pub fn parse(path: &str, text: &str) -> Self {
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
            uses: reader.uses,
            exports: reader.exports,
        }
    }

    pub fn room(&self) -> &str {
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

/// Whether an item is compiled for tests and fuzzers alone.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && (attribute
                .parse_args::<syn::Path>()
                .is_ok_and(|path| path.is_ident("test"))
                || attribute
                    .parse_args::<syn::MetaList>()
                    .is_ok_and(|list| list.tokens.to_string() == "test , fuzzing"))
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

/// Returns every file below a folder of the repository, with its path there and its text, in order.
pub fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources are readable") {
            let path = entry.expect("the sources are readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("the sources are readable");
                let path = path.strip_prefix(root).expect("it was found there");
                files.push((path.to_string_lossy().into_owned(), text));
            }
        }
    }
    files.sort();
    files
}

/// Returns every file below `src/` that is not compiled for tests and fuzzers alone, parsed once for all tests.
pub fn sources() -> &'static [File] {
    static SOURCES: OnceLock<Vec<File>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut files = files("src");
        let others = ["/tests/", "/tests.rs", "/fuzzing/", "/fuzz.rs"];
        files.retain(|(path, _)| !others.iter().any(|part| path.contains(part)));
        let parse = |(path, text): &(String, String)| {
            File::parse(path.strip_prefix("src/").expect("it is below src"), text)
        };
        files.iter().map(parse).collect()
    })
}
