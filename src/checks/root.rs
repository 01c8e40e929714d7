//! `root: locked`: nobody becomes root who was not, compared with what the outside base allows already.

use super::{Asked, Entry, Fault, Kind, Sort, is_at_or_below};
use crate::evidence::Rule;

/// Folders that belong to root. `/usr/local` is in it, `/opt` and `/srv` are for others.
const SYSTEM: [&str; 9] = [
    "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
];

pub fn faults(asked: &Asked) -> Vec<Fault> {
    let mut list = Vec::new();
    let fault = |sort: Sort, path: &str, text: String| Fault {
        rule: Rule::Root,
        sort,
        path: path.to_owned(),
        text,
    };
    for (path, entry) in &asked.tree.0 {
        let base = asked.base.0.get(path);
        for (sort, text) in wrong(path, entry) {
            let known = base.is_some_and(|base| wrong(path, base).any(|(other, _)| other == sort));
            if !known {
                list.push(fault(sort, path, text));
            }
        }
    }
    for (path, text) in asked.texts {
        list.extend(logins(path, text).map(|text| fault(Sort::Login, path, text)));
    }
    list
}

/// What is wrong with an entry, base or no base.
fn wrong(path: &str, entry: &Entry) -> impl Iterator<Item = (Sort, String)> {
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
        (Sort::Setuid, format!("{what} (mode {mode:04o})"))
    });
    let capabilities = (regular && entry.capabilities)
        .then(|| (Sort::Capabilities, "has file capabilities".to_owned()));
    // A folder of temporaries is everybody's, if each may remove only what is his own.
    let shared = kind == Kind::Folder && mode & 0o1000 != 0;
    let open = matches!(kind, Kind::Regular | Kind::Folder) && mode & 0o002 != 0 && !shared;
    let everybody = open.then(|| {
        (
            Sort::Everybody,
            format!("is writable for everybody (mode {mode:04o})"),
        )
    });
    let system = SYSTEM.iter().any(|above| is_at_or_below(path, above));
    let owner = (system && entry.uid != 0).then(|| {
        (
            Sort::Owner,
            format!("belongs to user {}, not to root", entry.uid),
        )
    });
    [setuid, capabilities, everybody, owner]
        .into_iter()
        .flatten()
}

/// How a file lets somebody be root.
fn logins<'a>(path: &'a str, text: &'a str) -> impl Iterator<Item = String> + 'a {
    let lines = text.lines().filter_map(move |line| match path {
        "/etc/passwd" | "/etc/shadow" => {
            let mut fields = line.split(':');
            let (name, password) = (fields.next()?, fields.next()?);
            let locked = match path {
                // The password is in the other file.
                "/etc/passwd" => password == "x" || password.starts_with(['*', '!']),
                _ => password.starts_with(['*', '!']),
            };
            (name == "root" && !locked).then(|| match password {
                "" => "lets root log in without a password".to_owned(),
                _ => "has a password for root".to_owned(),
            })
        }
        _ => {
            let line = line.trim();
            let said = !line.starts_with('#') && line.contains("NOPASSWD");
            let free = line.starts_with("Defaults") && line.contains("!authenticate");
            (said || free).then(|| "lets somebody be root by sudo without a password".to_owned())
        }
    });
    lines.take(1)
}
