//! The keys that were read, for tests that no key is forgotten.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static KEYS: RefCell<BTreeSet<String>> = RefCell::default();
    static FOUND: RefCell<BTreeSet<String>> = RefCell::default();
}

/// Notes the keys that a mapping can have.
pub fn note(what: &str, keys: &[&str]) {
    KEYS.with_borrow_mut(|all| all.extend(keys.iter().map(|key| format!("{what}: {key}"))));
}

/// Returns the keys of all mappings that this thread has read.
pub fn noted() -> BTreeSet<String> {
    KEYS.with_borrow(Clone::clone)
}

/// Notes a key that a mapping has.
pub fn note_found(what: &str, key: &str) {
    FOUND.with_borrow_mut(|all| all.insert(format!("{what}: {key}")));
}

/// Returns the keys that no mapping had which this thread has read. Suites, channels and the like have no
/// names here.
pub fn not_found() -> BTreeSet<String> {
    let without_name = |text: &String| {
        let mut parts = text.split('`');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind @ ("suite " | "info " | "channel " | "variant ")), Some(_), Some(rest)) => {
                format!("{}{rest}", kind.trim_end())
            }
            _ => text.clone(),
        }
    };
    let found: BTreeSet<String> =
        FOUND.with_borrow(|found| found.iter().map(without_name).collect());
    let noted: BTreeSet<String> = noted().iter().map(without_name).collect();
    noted.difference(&found).cloned().collect()
}
