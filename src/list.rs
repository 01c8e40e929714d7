//! Lists in messages: the first of many, and how many there are beside them.
//!
//! A stack can have thousands of images, and people read messages. The documents of `--json` have all.

use std::fmt::Display;

/// How many images, tags or gates a message names.
pub const MOST: usize = 30;

/// Returns items with commas between them, at most `most`, and the number of the others: `a, b and 7 more`.
pub fn first<T: Display>(items: &[T], most: usize) -> String {
    first_of(items, most, ", ")
}

/// Returns [`first`] with other signs between the items.
pub fn first_of<T: Display>(items: &[T], most: usize, between: &str) -> String {
    let shown = items.iter().take(most).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join(between);
    if items.len() > most {
        text.push_str(&format!(" and {} more", items.len() - most));
    }
    text
}

/// Returns [`first`] of [`MOST`] items.
pub fn of<T: Display>(items: &[T]) -> String {
    first(items, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        assert_eq!(first(&["a", "b"], 2), "a, b");
        assert_eq!(first(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(first_of(&["a", "b", "c"], 2, "; "), "a; b and 1 more");
        assert_eq!(of::<&str>(&[]), "");
    }
}
