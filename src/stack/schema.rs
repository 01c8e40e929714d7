//! The keys that were read, for a test that no key is forgotten in cache keys.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static KEYS: RefCell<BTreeSet<String>> = RefCell::default();
}

/// Notes the keys that a mapping can have.
pub fn note(what: &str, keys: &[&str]) {
    KEYS.with_borrow_mut(|all| all.extend(keys.iter().map(|key| format!("{what}: {key}"))));
}

/// Returns the keys of all mappings that this thread has read.
pub fn noted() -> BTreeSet<String> {
    KEYS.with_borrow(Clone::clone)
}
