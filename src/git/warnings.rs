//! What git warns of although it succeeds: a folder that it cannot open, a `.gitignore` that it cannot read.
//!
//! Main type: [`Warnings`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines of one git are kept: a filter can print one for each file.
const LINES: usize = 20;

/// The warnings of several runs of git, each of them once. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    all: BTreeSet<String>,
    new: Vec<String>,
}

impl Warnings {
    /// Adds the standard error of a git that succeeded.
    pub(super) fn add(&self, stderr: &[u8]) {
        if stderr.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(stderr);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines.take(LINES) {
            let line = line.strip_prefix("warning: ").unwrap_or(line);
            if seen.all.insert(line.to_owned()) {
                seen.new.push(line.to_owned());
            }
        }
    }

    /// Returns the warnings that were not taken yet, as git prints them.
    pub fn take(&self) -> Vec<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut seen.new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_taken_once() {
        let warnings = Warnings::default();
        let shared = warnings.clone();
        shared.add(b"warning: unable to access 'a'\n\nerror: b\n");
        shared.add(b"warning: unable to access 'a'\n");
        assert_eq!(warnings.take(), ["unable to access 'a'", "error: b"]);
        shared.add(b"warning: unable to access 'a'\nwarning: c\n");
        assert_eq!(warnings.take(), ["c"]);
    }
}
