//! A [`Stack`] made from text, for unit tests of `plan`, `compile` and `run` and for `tests/`.
//!
//! Each function panics with the rendered diagnostics if the text is not a valid spec.

use camino::Utf8PathBuf;

use crate::diagnostic::render;
use crate::spec::tree::{File, Files};
use crate::stack::{Overrides, Stack};

/// Returns the stack of a spec without files.
pub fn stack(yaml: &str) -> Stack {
    stack_with(yaml, &[])
}

/// Returns the stack of a spec with text files under `images/`, by path (`images/x/setup.sh`).
pub fn stack_with(yaml: &str, files: &[(&str, &str)]) -> Stack {
    match parse(yaml, files, &Overrides::default()) {
        Ok(stack) => stack,
        Err(problems) => panic!("the spec is invalid:\n{problems}"),
    }
}

/// Returns the stack of a spec with text files, or its rendered diagnostics.
pub fn parse(yaml: &str, files: &[(&str, &str)], overrides: &Overrides) -> Result<Stack, String> {
    let spec = crate::spec::parse("specs.yml", yaml, text_files(files));
    Stack::new(&spec, overrides).map_err(|problems| render(&problems, &spec.sources, false))
}

/// Returns text files by path, with the folders above them.
pub fn text_files(list: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in list {
        let path = Utf8PathBuf::from(path);
        for folder in path.ancestors().skip(1) {
            if !folder.as_str().is_empty() && folder != "images" {
                files.0.insert(folder.to_owned(), File::Folder);
            }
        }
        let content = text.as_bytes().into();
        let file = File::Regular {
            content,
            executable: false,
        };
        files.0.insert(path, file);
    }
    files
}

/// The registry in this process that `tests/` use as well.
#[cfg(test)]
#[path = "../tests/support/registry.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
pub(crate) mod fake;
