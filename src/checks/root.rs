//! `root: locked`: nobody becomes root who was not, compared with what the outside base allows already.

use super::{CheckInput, Entry, Fault, FaultKind, Kind, is_at_or_below, roots};
use crate::evidence::Rule;

/// Folders that belong to root. `/usr/local` is in it, `/opt` and `/srv` are for others.
const SYSTEM: [&str; 9] = [
    "/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr",
];

pub fn faults(asked: &CheckInput) -> Vec<Fault> {
    let mut list = Vec::new();
    let fault = |kind: FaultKind, path: &str, text: String| Fault {
        rule: Rule::Root,
        kind,
        path: path.to_owned(),
        text,
    };
    for (path, entry) in &asked.tree.0 {
        let base = asked.base.0.get(path);
        // The spec itself gives what is below writable paths to others.
        let given = || {
            let mut paths = asked.writable.iter();
            paths.any(|(_, writable)| is_at_or_below(path, writable))
        };
        for (kind, text) in wrong(path, entry) {
            let known = base.is_some_and(|base| allows(base, entry, kind));
            let fine = known || kind == FaultKind::Owner && given();
            if !fine {
                list.push(fault(kind, path, text));
            }
        }
    }
    let passwd = asked.texts.get("/etc/passwd");
    let names: Vec<&str> = roots(passwd.map_or("", String::as_str))
        .chain(["root"])
        .collect();
    for (path, text) in asked.texts {
        let how = match path.as_str() {
            "/etc/passwd" | "/etc/shadow" => password(path, text, &names),
            _ if is_read_by_sudo(path) => sudo(text),
            _ => None,
        };
        list.extend(how.map(|how| fault(FaultKind::Login, path, how)));
    }
    list
}

/// Whether an entry of the base has all that is wrong with this one in some way.
fn allows(base: &Entry, entry: &Entry, kind: FaultKind) -> bool {
    match kind {
        FaultKind::Setuid => {
            let lacks = |bit: u32| entry.mode & bit != 0 && base.mode & bit == 0;
            base.kind == Kind::Regular
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

/// Whether everybody may write to it. A folder of temporaries is everybody's, if each may remove only
/// what is his own.
fn is_open(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Regular => entry.mode & 0o002 != 0,
        Kind::Folder => entry.mode & 0o1002 == 0o002,
        Kind::Link | Kind::Other => false,
    }
}

/// What is wrong with an entry, base or no base.
fn wrong(path: &str, entry: &Entry) -> impl Iterator<Item = (FaultKind, String)> {
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

/// How a list of passwords lets somebody be root, who has these names.
fn password(path: &str, text: &str, names: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, password) = (fields.next()?, fields.next()?);
        let locked = match path {
            // The password is in the other file.
            "/etc/passwd" => password == "x" || password.starts_with(['*', '!']),
            _ => password.starts_with(['*', '!']),
        };
        (names.contains(&name) && !locked).then(|| match password {
            "" => format!("lets {name} log in without a password"),
            _ => format!("has a password for {name}"),
        })
    })
}

/// sudo skips names with a dot or a tilde at the end, and folders (sudoers(5), "Including other files").
fn is_read_by_sudo(path: &str) -> bool {
    match path.strip_prefix("/etc/sudoers.d/") {
        Some(name) => !name.contains(['.', '/']) && !name.ends_with('~'),
        None => true,
    }
}

fn sudo(text: &str) -> Option<String> {
    let free = text.lines().any(|line| {
        let line = line.trim();
        // `#1000` is a user; any other `#` begins a comment.
        let mut said = line;
        for (at, _) in line.match_indices('#') {
            if !line[at + 1..].starts_with(|c: char| c.is_ascii_digit()) {
                said = &line[..at];
                break;
            }
        }
        said.contains("NOPASSWD") || said.starts_with("Defaults") && said.contains("!authenticate")
    });
    free.then(|| "lets somebody be root by sudo without a password".to_owned())
}
