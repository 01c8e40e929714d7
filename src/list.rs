//! Lists in messages: the first of many, and how many there are beside them.
//!
//! A stack can have thousands of images, and people read messages. The documents of `--json` have all.

/// How many images, tags or gates a message names.
pub const MOST: usize = 30;

/// Returns texts with commas between them, at most `most`, and the number of the others: `a, b and 7 more`.
pub fn first<T: AsRef<str>>(texts: &[T], most: usize) -> String {
    let shown = texts.iter().take(most).map(AsRef::as_ref);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if texts.len() > most {
        text.push_str(&format!(" and {} more", texts.len() - most));
    }
    text
}

/// Returns [`first`] of [`MOST`] texts.
pub fn of<T: AsRef<str>>(texts: &[T]) -> String {
    first(texts, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_named_and_the_others_counted() {
        assert_eq!(first(&["a", "b"], 2), "a, b");
        assert_eq!(first(&["a", "b", "c", "d"], 2), "a, b and 2 more");
        assert_eq!(of::<&str>(&[]), "");
    }
}
