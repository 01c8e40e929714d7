//! `root: locked`: an image gives no new way to become root. What the external base allows is fine.

use super::fault::{CheckInput, Fault, FaultKind};
use super::tree::{Entry, Kind};
use super::user::names_of_root;
use super::{TEXT_FOLDER, TEXTS};
use crate::evidence::Rule;
use crate::path::is_at_or_below;

/// Folders that belong to root. `/usr/local` is in it, `/opt` and `/srv` are for others.
const SYSTEM: [&str; 9] = [
    "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
];

/// Returns all faults of an image, unsorted.
pub fn faults(input: &CheckInput) -> Vec<Fault> {
    let mut list = Vec::new();
    let fault = |kind: FaultKind, path: &str, text: String| Fault {
        rule: Rule::Root,
        kind,
        path: path.to_owned(),
        text,
    };
    for (path, entry) in &input.tree.0 {
        let base = input.base.0.get(path);
        // The spec itself gives files below writable paths to other users.
        let is_writable = || {
            let mut paths = input.writable.iter();
            paths.any(|(_, writable)| is_at_or_below(path, writable))
        };
        for (kind, text) in entry_faults(path, entry) {
            let in_base = base.is_some_and(|base| has_fault(base, entry, kind));
            let is_fine = in_base || kind == FaultKind::Owner && is_writable();
            if !is_fine {
                list.push(fault(kind, path, text));
            }
        }
    }
    let unchecked = input.tree.0.iter().filter(|(path, entry)| {
        let is_read = TEXTS.contains(&path.as_str())
            || is_at_or_below(path, TEXT_FOLDER) && is_read_by_sudo(path);
        entry.kind == Kind::Regular && is_read && !input.texts.contains_key(*path)
    });
    list.extend(unchecked.map(|(path, _)| {
        let text = "cannot be checked: it is too large, or its name is not UTF-8";
        fault(FaultKind::Login, path, text.to_owned())
    }));
    let passwd = input.texts.get("/etc/passwd");
    let names: Vec<&str> = names_of_root(passwd.map_or("", String::as_str))
        .chain(["root"])
        .collect();
    for (path, text) in input.texts {
        let fault_text = match path.as_str() {
            "/etc/passwd" | "/etc/shadow" => root_login(path, text, &names),
            _ if is_read_by_sudo(path) => sudo_without_password(text),
            _ => None,
        };
        list.extend(fault_text.map(|text| fault(FaultKind::Login, path, text)));
    }
    list
}

/// Returns whether an entry of the base has the same fault, at least as bad.
fn has_fault(base: &Entry, entry: &Entry, kind: FaultKind) -> bool {
    match kind {
        FaultKind::Setuid => {
            let lacks = |bit: u32| entry.mode & bit != 0 && base.mode & bit == 0;
            // A file of another size is another program.
            base.kind == Kind::Regular
                && base.size == entry.size
                && !lacks(0o4000)
                && !lacks(0o2000)
                && (entry.mode & 0o4000 == 0 || base.uid == entry.uid)
                && (entry.mode & 0o2000 == 0 || base.gid == entry.gid)
        }
        FaultKind::Capabilities => entry.capabilities & !base.capabilities == 0,
        FaultKind::Everybody => is_open(base),
        FaultKind::Owner => base.uid == entry.uid,
        _ => false,
    }
}

/// Returns whether everybody can write to an entry. A folder with the sticky bit is fine: users can remove
/// only their own files.
fn is_open(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Regular => entry.mode & 0o002 != 0,
        Kind::Folder => entry.mode & 0o1002 == 0o002,
        Kind::Link | Kind::Other => false,
    }
}

/// Returns all faults of an entry, whether or not the base has them.
fn entry_faults(path: &str, entry: &Entry) -> impl Iterator<Item = (FaultKind, String)> {
    let Entry { kind, mode, .. } = *entry;
    let regular = kind == Kind::Regular;
    let setuid = (regular && mode & 0o6000 != 0).then(|| {
        let what = match mode & 0o6000 {
            0o4000 => format!("is setuid for user {}", entry.uid),
            0o2000 => format!("is setgid for group {}", entry.gid),
            _ => format!(
                "is setuid for user {} and setgid for group {}",
                entry.uid, entry.gid
            ),
        };
        (FaultKind::Setuid, format!("{what} (mode {mode:04o})"))
    });
    let capabilities = (regular && entry.capabilities != 0)
        .then(|| (FaultKind::Capabilities, "has file capabilities".to_owned()));
    let everybody = is_open(entry).then(|| {
        (
            FaultKind::Everybody,
            format!("is writable for everybody (mode {mode:04o})"),
        )
    });
    let system = SYSTEM.iter().any(|above| is_at_or_below(path, above));
    let owner = (system && entry.uid != 0).then(|| {
        (
            FaultKind::Owner,
            format!("belongs to user {}, not to root", entry.uid),
        )
    });
    [setuid, capabilities, everybody, owner]
        .into_iter()
        .flatten()
}

/// Returns the fault of a password file that lets one of `names`, which are all root, log in.
fn root_login(path: &str, text: &str, names: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, password) = (fields.next()?, fields.next()?);
        let locked = match path {
            // `x`: the password is in /etc/shadow.
            "/etc/passwd" => password == "x" || password.starts_with(['*', '!']),
            _ => password.starts_with(['*', '!']),
        };
        (names.contains(&name) && !locked).then(|| match password {
            "" => format!("lets {name} log in without a password"),
            _ => format!("has a password for {name}"),
        })
    })
}

/// Returns whether sudo reads a file. It skips folders and names with a dot or with a tilde at the end
/// (sudoers(5), "Including other files").
fn is_read_by_sudo(path: &str) -> bool {
    let name = path.strip_prefix("/etc/sudoers.d/");
    name.is_none_or(|name| !name.contains(['.', '/']) && !name.ends_with('~'))
}

/// Returns the fault of a file of sudo that lets users become root without a password.
fn sudo_without_password(text: &str) -> Option<String> {
    let is_free = text.lines().any(|line| {
        let line = line.trim();
        // `#1000` is a user; any other `#` begins a comment.
        let mut rule = line;
        for (at, _) in line.match_indices('#') {
            if !line[at + 1..].starts_with(|c: char| c.is_ascii_digit()) {
                rule = &line[..at];
                break;
            }
        }
        rule.contains("NOPASSWD") || rule.starts_with("Defaults") && rule.contains("!authenticate")
    });
    is_free.then(|| "allows sudo as root without a password".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, mode: u32) -> Entry {
        Entry {
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            capabilities: 0,
        }
    }

    #[test]
    fn a_folder_for_everybody_needs_the_sticky_bit() {
        assert!(is_open(&entry(Kind::Folder, 0o777)));
        assert!(!is_open(&entry(Kind::Folder, 0o1777)));
        assert!(is_open(&entry(Kind::Regular, 0o1666)));
        assert!(!is_open(&entry(Kind::Link, 0o777)));
    }

    #[test]
    fn files_outside_the_system_may_belong_to_others() {
        let other = Entry {
            uid: 1000,
            ..entry(Kind::Regular, 0o644)
        };
        assert_eq!(entry_faults("/opt/x", &other).count(), 0);
        assert_eq!(entry_faults("/usr/local/x", &other).count(), 1);
        assert_eq!(entry_faults("/usrx", &other).count(), 0);
    }

    #[test]
    fn sudo_skips_files_by_their_names() {
        for (path, expected) in [
            ("/etc/sudoers", true),
            ("/etc/sudoers.d/a", true),
            ("/etc/sudoers.d/a.bak", false),
            ("/etc/sudoers.d/a~", false),
            ("/etc/sudoers.d/a/b", false),
        ] {
            assert_eq!(is_read_by_sudo(path), expected, "{path}");
        }
    }

    #[test]
    fn comments_of_sudoers_do_not_count_and_user_numbers_do() {
        assert!(sudo_without_password("#1000 ALL=(ALL) NOPASSWD: ALL").is_some());
        assert!(sudo_without_password("a ALL=(ALL) ALL # NOPASSWD").is_none());
        assert!(sudo_without_password("# Defaults !authenticate").is_none());
    }

    #[test]
    fn a_password_in_etc_passwd_is_in_the_other_file_or_locked() {
        for (line, expected) in [
            ("root:x:0", None),
            ("root:*:0", None),
            ("root::0", Some("lets root log in without a password")),
            ("root:$6$x:0", Some("has a password for root")),
            ("me::1000", None),
        ] {
            let found = root_login("/etc/passwd", line, &["root"]);
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }
}
