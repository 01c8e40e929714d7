//! `owner:` as BuildKit and as `chown` know it. A number alone is also the group, a name alone brings its
//! primary group, as `COPY --chown` of a Dockerfile does.

use super::shell::quote;
use crate::llb::{Owner, Who};

/// Parses `0:100`, `1000`, `jovyan`, `jovyan:users` or `:100`, which is root's with another group.
pub fn owner(text: &str) -> Owner {
    let who = |text: &str| match text.parse() {
        Ok(id) => Who::Id(id),
        Err(_) => Who::Name(text.to_owned()),
    };
    match text.split_once(':') {
        Some(("", group)) => Owner {
            user: Who::Id(0),
            group: Some(who(group)),
        },
        Some((user, group)) => Owner {
            user: who(user),
            group: Some(who(group)),
        },
        None => Owner {
            user: who(text),
            group: None,
        },
    }
}

/// Returns the owner as a word for `chown` in a shell. A name that the image does not have makes `chown`
/// fail.
pub fn chown_word(text: &str) -> String {
    match (text.split_once(':'), text.parse::<u32>()) {
        (Some((user, group)), _) => format!("{}:{}", id_word(user), id_word(group)),
        (None, Ok(_)) => format!("{0}:{0}", id_word(text)),
        (None, Err(_)) => {
            let name = quote(text);
            format!("{name}:\"$(id -g {name})\"")
        }
    }
}

/// Returns a user or a group as a word for `chown`. A number gets a zero before it: `chown` first looks for a user or a
/// group of this name, even if it is a number (POSIX), and the engine does not.
fn id_word(text: &str) -> String {
    match text.parse::<u32>() {
        Ok(id) => format!("0{id}"),
        Err(_) if text.is_empty() => String::new(),
        Err(_) => quote(text),
    }
}

/// Returns the owner of something that is copied as a word for `chown`: a group alone is root's, as in
/// [`owner`].
pub fn copied_word(text: &str) -> String {
    match text.strip_prefix(':') {
        Some(group) => format!("00:{}", id_word(group)),
        None => chown_word(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers_or_names() {
        let made = |user, group| Owner { user, group };
        let name = |text: &str| Who::Name(text.to_owned());
        assert_eq!(owner("0:users"), made(Who::Id(0), Some(name("users"))));
        assert_eq!(owner("jovyan"), made(name("jovyan"), None));
        assert_eq!(owner("1000"), made(Who::Id(1000), None));
        assert_eq!(owner(":100"), made(Who::Id(0), Some(Who::Id(100))));
    }

    #[test]
    fn chown_gets_user_and_group() {
        for (text, word) in [
            ("1000", "01000:01000"),
            ("1000:100", "01000:0100"),
            ("1000:users", "01000:users"),
            ("jovyan:users", "jovyan:users"),
            ("jovyan", "jovyan:\"$(id -g jovyan)\""),
            (":100", ":0100"),
        ] {
            assert_eq!(chown_word(text), word);
        }
        assert_eq!(copied_word("1000"), "01000:01000");
        assert_eq!(copied_word(":100"), "00:0100");
    }
}
