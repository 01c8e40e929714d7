//! `user: not-root`: the user of the image's config is not root.

use super::fault::{Fault, FaultKind};
use crate::evidence::Rule;

/// Returns the names of user 0 in `/etc/passwd`.
pub fn names_of_root(passwd: &str) -> impl Iterator<Item = &str> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == "0").then_some(name)
    })
}

/// Returns a fault if the user of an image, by name or number, is root.
pub fn fault(user: Option<&str>, passwd: &str) -> Option<Fault> {
    let user = user.unwrap_or_default();
    let name = user.split(':').next().unwrap_or_default();
    let text = match name {
        "" => "no user is set, so it runs as root".to_owned(),
        // runc reads numbers so (moby/sys/user, `GetExecUser`: `strconv.Atoi`).
        name if name == "root" || name.parse() == Ok(0_i64) => "it runs as root".to_owned(),
        name if names_of_root(passwd).any(|root| root == name) => {
            format!("it runs as `{name}`, which is another name of root")
        }
        _ => return None,
    };
    Some(Fault {
        rule: Rule::User,
        kind: FaultKind::User,
        path: String::new(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/bin/sh\nme:x:1000:0::/:/bin/sh\n";

    fn text(user: Option<&str>) -> Option<String> {
        fault(user, PASSWD).map(|fault| fault.text)
    }

    #[test]
    fn an_image_without_a_user_runs_as_root() {
        let expected = Some("no user is set, so it runs as root".to_owned());
        assert_eq!(text(None), expected);
        assert_eq!(text(Some(":100")), expected);
    }

    #[test]
    fn root_by_number_or_by_any_name_is_a_fault() {
        for user in ["0", "root", "0:100", "toor", "00", "+0", "-0:5"] {
            assert!(text(Some(user)).is_some(), "{user}");
        }
    }

    #[test]
    fn another_user_is_fine_also_with_the_group_of_root() {
        for user in ["me", "me:root", "1000:0", "unknown"] {
            assert_eq!(text(Some(user)), None, "{user}");
        }
    }
}
