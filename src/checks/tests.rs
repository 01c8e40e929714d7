//! Checks of whole trees.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::evidence::Rule;
use crate::source::{Sources, Span};
use crate::stack::{Allowance, LayerLimits};

pub fn span() -> Span {
    let mut sources = Sources::default();
    let source = sources.add("specs.yml", "x");
    Span {
        source,
        start: 0,
        end: 1,
    }
}

fn entry(kind: Kind, mode: u32, uid: u32, gid: u32) -> Entry {
    Entry {
        kind,
        mode,
        uid,
        gid,
        size: 10,
        capabilities: 0,
    }
}

fn tree(entries: &[(&str, Kind, u32, u32, u32)]) -> Tree {
    let entries = entries.iter();
    Tree(
        entries
            .map(|(path, kind, mode, uid, gid)| {
                ((*path).to_owned(), entry(*kind, *mode, *uid, *gid))
            })
            .collect(),
    )
}

fn locked() -> Policy {
    Policy {
        root_locked: Some(span()),
        ..Policy::default()
    }
}

fn found(input: &CheckInput) -> String {
    let lines: Vec<String> = faults(input)
        .iter()
        .map(|fault| format!("{} {}", fault.path, fault.text))
        .collect();
    lines.join("\n")
}

use Kind::{Folder, Link, Regular};

#[test]
fn faults_of_the_base_are_fine_and_new_ones_are_reported() {
    let base = tree(&[
        ("/usr/bin/passwd", Regular, 0o4755, 0, 0),
        ("/tmp", Folder, 0o1777, 0, 0),
        ("/usr/local", Folder, 0o2775, 0, 50),
        ("/usr/share/odd", Regular, 0o644, 33, 33),
        ("/var/cache", Folder, 0o755, 0, 0),
    ]);
    let mut now = base.clone();
    now.0.extend(
        tree(&[
            ("/usr/bin/screen", Regular, 0o2755, 0, 43),
            ("/usr/bin/ping", Regular, 0o755, 0, 0),
            ("/tmp", Folder, 0o777, 0, 0),
            ("/var/cache", Folder, 0o777, 0, 0),
            ("/etc/mine", Regular, 0o644, 1000, 100),
            ("/opt/conda/x", Regular, 0o664, 1000, 100),
            ("/usr/bin/link", Link, 0o777, 0, 0),
        ])
        .0,
    );
    now.0.get_mut("/usr/bin/ping").expect("there").capabilities = 1 << 7;
    let texts = BTreeMap::from(
        [
            ("/etc/shadow", "root:$y$x:1:\ndaemon:*:\n"),
            ("/etc/passwd", "root:x:0:0::/root:/bin/bash\n"),
            ("/etc/sudoers", "# NOPASSWD\nDefaults env_reset\n"),
            ("/etc/sudoers.d/jovyan", "jovyan ALL=(ALL) NOPASSWD:ALL\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned())),
    );
    let input = CheckInput {
        policy: &locked(),
        writable: &BTreeSet::new(),
        user: None,
        tree: &now,
        base: &base,
        texts: &texts,
    };
    insta::assert_snapshot!(found(&input), @"
    /usr/bin/screen is setgid for group 43 (mode 2755)
    /usr/bin/ping has file capabilities
    /tmp is writable for everybody (mode 0777)
    /var/cache is writable for everybody (mode 0777)
    /etc/mine belongs to user 1000, not to root
    /etc/shadow has a password for root
    /etc/sudoers.d/jovyan allows sudo as root without a password
    ");
    let same = CheckInput {
        tree: &base,
        texts: &BTreeMap::new(),
        ..input
    };
    assert_eq!(found(&same), "");
}

#[test]
fn more_than_the_base_has_is_new() {
    let base = tree(&[
        ("/usr/bin/wall", Regular, 0o2755, 0, 5),
        ("/usr/bin/su", Regular, 0o4755, 0, 0),
        ("/usr/bin/ping", Regular, 0o755, 0, 0),
        ("/usr/share/odd", Regular, 0o644, 33, 33),
        ("/usr/lib/R/library", Folder, 0o2775, 0, 100),
    ]);
    let mut now = tree(&[
        ("/usr/bin/wall", Regular, 0o4755, 0, 5),
        ("/usr/bin/su", Regular, 0o4755, 1000, 0),
        ("/usr/bin/ping", Regular, 0o755, 0, 0),
        ("/usr/share/odd", Regular, 0o644, 1000, 33),
        ("/usr/lib/R/library", Folder, 0o2775, 1000, 100),
    ]);
    let mut base = base;
    base.0.get_mut("/usr/bin/ping").expect("there").capabilities = 1 << 13;
    now.0.get_mut("/usr/bin/ping").expect("there").capabilities = 1 << 13 | 1 << 7;
    let input = CheckInput {
        policy: &locked(),
        writable: &BTreeSet::from([(100, "/usr/lib/R/library".to_owned())]),
        user: None,
        tree: &now,
        base: &base,
        texts: &BTreeMap::new(),
    };
    insta::assert_snapshot!(found(&input), @"
    /usr/bin/su is setuid for user 1000 (mode 4755)
    /usr/bin/wall is setuid for user 0 (mode 4755)
    /usr/bin/ping has file capabilities
    /usr/bin/su belongs to user 1000, not to root
    /usr/share/odd belongs to user 1000, not to root
    ");
}

#[test]
fn every_user_with_the_number_of_root_is_root() {
    let texts = BTreeMap::from(
        [
            (
                "/etc/passwd",
                "root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\nmore:x:1:0::/:/bin/sh\n",
            ),
            ("/etc/shadow", "root:*:1:\nmore:$y$x:1:\ntoor:$y$x:1:\n"),
            (
                "/etc/sudoers",
                "a ALL=(ALL) ALL # NOPASSWD\n%b ALL=(ALL) ALL\n",
            ),
            ("/etc/sudoers.d/old.bak", "a ALL=(ALL) NOPASSWD: ALL\n"),
            ("/etc/sudoers.d/id", "#1000 ALL=(ALL) NOPASSWD: ALL\n"),
            (
                "/etc/sudoers.d/free",
                "Defaults:a env_reset, !authenticate\n",
            ),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned())),
    );
    let policy = Policy {
        not_root: Some(span()),
        ..locked()
    };
    let input = CheckInput {
        policy: &policy,
        writable: &BTreeSet::new(),
        user: Some("toor:100"),
        tree: &Tree::default(),
        base: &Tree::default(),
        texts: &texts,
    };
    insta::assert_snapshot!(found(&input), @"
    /etc/shadow has a password for toor
    /etc/sudoers.d/free allows sudo as root without a password
    /etc/sudoers.d/id allows sudo as root without a password
     it runs as `toor`, which is another name of root
    ");
}

#[test]
fn only_what_matters_is_looked_into() {
    let writable = BTreeSet::from([(100, "/opt/conda".to_owned())]);
    let user = Policy {
        not_root: Some(span()),
        ..Policy::default()
    };
    let into = |policy: &Policy, folder: &str| looks_into(policy, &writable, folder);
    for (folder, all, some) in [
        ("", true, true),
        ("/opt", true, true),
        ("/opt/conda/lib", true, true),
        ("/opt/conda-other", true, false),
        ("/usr", true, false),
    ] {
        assert_eq!(into(&locked(), folder), all, "{folder}");
        assert_eq!(into(&Policy::default(), folder), some, "{folder}");
    }
    assert!(into(&user, "/etc") && !looks_into(&Policy::default(), &BTreeSet::new(), ""));
}

#[test]
fn many_places_of_one_fault_are_a_few_findings() {
    let faults: Vec<(Fault, Option<usize>)> = (10..40)
        .map(|number| Fault {
            rule: Rule::Writable,
            kind: FaultKind::Group,
            path: format!("/opt/{number}"),
            text: "belongs to group 0, not to 100".to_owned(),
        })
        .map(|fault| (fault, Some(0)))
        .collect();
    let found = findings(&faults, &BTreeMap::new(), None).findings;
    assert_eq!(found.len(), 5);
    assert_eq!(found.iter().map(|f| f.elsewhere).sum::<usize>(), 25);
}

#[test]
fn no_path_allows_a_fault_of_layers() {
    let fault = |rule: Rule| {
        let fault = Fault {
            rule,
            kind: FaultKind::User,
            path: "/opt/big".to_owned(),
            text: String::new(),
        };
        (fault, Some(0))
    };
    let allow = ["/opt", "/opt/big"].map(|path| {
        let allowance = Allowance {
            reason: "because".to_owned(),
            span: span(),
        };
        (path.to_owned(), allowance)
    });
    let both = [fault(Rule::Root), fault(Rule::Layers)];
    let grouped = findings(&both, &BTreeMap::from(allow), None);
    assert_eq!(grouped.findings.len(), 1);
    // The nearest allowance is the one that is needed.
    assert_eq!(grouped.unused, ["/opt"]);
}

#[test]
fn a_locked_root_is_fine() {
    for (text, fine) in [
        ("root:*:19000::\n", true),
        ("root:!:19000::\n", true),
        ("root:!!$6$x:19000::\n", true),
        ("root::19000::\n", false),
    ] {
        let texts = BTreeMap::from([("/etc/shadow".to_owned(), text.to_owned())]);
        let input = CheckInput {
            policy: &locked(),
            writable: &BTreeSet::new(),
            user: None,
            tree: &Tree::default(),
            base: &Tree::default(),
            texts: &texts,
        };
        assert_eq!(faults(&input).is_empty(), fine, "{text}");
    }
}

#[test]
fn everything_below_writable_paths_belongs_to_the_group() {
    let now = tree(&[
        ("/opt", Folder, 0o755, 0, 0),
        ("/opt/conda", Folder, 0o2775, 1000, 100),
        ("/opt/conda/a", Regular, 0o644, 1000, 100),
        ("/opt/conda/b", Regular, 0o664, 0, 0),
        ("/opt/conda/c", Folder, 0o775, 0, 100),
        ("/opt/conda/d", Link, 0o777, 0, 0),
        ("/opt/conda/e", Regular, 0o664, 0, 100),
        ("/opt/conda-other", Folder, 0o755, 0, 0),
    ]);
    let writable = BTreeSet::from([(100, "/opt/conda".to_owned())]);
    let user = Policy {
        not_root: Some(span()),
        ..Policy::default()
    };
    let input = CheckInput {
        policy: &user,
        writable: &writable,
        user: Some("0:100"),
        tree: &now,
        base: &Tree::default(),
        texts: &BTreeMap::new(),
    };
    insta::assert_snapshot!(found(&input), @"
    /opt/conda/b belongs to group 0, not to 100
    /opt/conda/a is not writable for group 100 (mode 0644)
    /opt/conda/c is not setgid for group 100 (mode 0775)
     it runs as root
    ");
}

#[test]
fn faults_of_one_step_below_one_folder_are_one_finding() {
    let fault = |path: &str| Fault {
        rule: Rule::Root,
        kind: FaultKind::Everybody,
        path: path.to_owned(),
        text: "is writable for everybody".to_owned(),
    };
    let mut list: Vec<Fault> = [
        "/var",
        "/var/lib",
        "/var/lib/x",
        "/srv/y",
        "/varnish",
        "/usr/bin/s",
    ]
    .map(fault)
    .into();
    list.sort();
    let origins = BTreeMap::from([
        ("/var", 2),
        ("/var/lib", 2),
        ("/var/lib/x", 3),
        ("/varnish", 2),
    ]);
    let list: Vec<(Fault, Option<usize>)> = list
        .into_iter()
        .map(|fault| {
            let step = origins.get(fault.path.as_str()).copied();
            (fault, step)
        })
        .collect();
    let allow = BTreeMap::from(["/usr/bin/s", "/nothing"].map(|path| {
        let allowance = Allowance {
            reason: "because".to_owned(),
            span: span(),
        };
        (path.to_owned(), allowance)
    }));
    let grouped = findings(&list, &allow, Some("base"));
    let short: Vec<String> = grouped
        .findings
        .iter()
        .map(|f| {
            format!(
                "{} +{} step {:?} from {:?}",
                f.path, f.below, f.step, f.inherited
            )
        })
        .collect();
    insta::assert_snapshot!(short.join("\n"), @r#"
    /srv/y +0 step None from Some("base")
    /var +1 step Some(2) from None
    /var/lib/x +0 step Some(3) from None
    /varnish +0 step Some(2) from None
    "#);
    assert_eq!(grouped.allowed.len(), 1);
    assert_eq!(grouped.unused, ["/nothing"]);
}

#[test]
fn layers_are_counted_and_what_they_store_again() {
    let mut before = tree(&[("/a", Regular, 0o644, 0, 0), ("/b", Folder, 0o755, 0, 0)]);
    let layer = tree(&[("/a", Regular, 0o600, 0, 0), ("/c", Regular, 0o644, 0, 0)]);
    let first = apply_layer(&mut before, &layer, 0);
    assert_eq!((first.bytes, first.largest.as_str()), (10, "/a"));
    let second = apply_layer(&mut before, &layer, 1);
    assert_eq!(second.bytes, 20);
    let limits = LayerLimits {
        count: Some(1),
        size: Some(5),
        twice: Some(29),
        span: span(),
    };
    let faults = layer_faults(&limits, 2, &[first, second]);
    let short: Vec<_> = faults
        .iter()
        .map(|(fault, step)| (&*fault.text, *step))
        .collect();
    insta::assert_debug_snapshot!(short, @r#"
    [
        (
            "it has 2 layers, and 1 is allowed",
            None,
        ),
        (
            "is the largest file of what this step stores a second time: 20 B in all, 30 B with what other steps do, and 29 B are allowed",
            Some(
                1,
            ),
        ),
    ]
    "#);
    assert!(size_fault(&limits, 6).is_some() && size_fault(&limits, 5).is_none());
}

#[test]
fn a_setuid_file_of_the_base_that_is_replaced_is_new() {
    let mut base = tree(&[("/usr/bin/su", Regular, 0o4755, 0, 0)]);
    let now = base.clone();
    base.0.get_mut("/usr/bin/su").expect("it is there").size = 1000;
    let input = CheckInput {
        policy: &locked(),
        writable: &BTreeSet::new(),
        user: None,
        tree: &now,
        base: &base,
        texts: &BTreeMap::new(),
    };
    assert_eq!(
        found(&input),
        "/usr/bin/su is setuid for user 0 (mode 4755)"
    );
}

#[test]
fn a_file_of_sudo_that_was_not_read_is_reported() {
    let now = tree(&[
        ("/etc/sudoers.d/a\\xff", Regular, 0o440, 0, 0),
        ("/etc/sudoers.d/skipped.bak", Regular, 0o440, 0, 0),
        ("/etc/sudoers", Regular, 0o440, 0, 0),
    ]);
    let texts = BTreeMap::from([("/etc/sudoers".to_owned(), String::new())]);
    let input = CheckInput {
        policy: &locked(),
        writable: &BTreeSet::new(),
        user: None,
        tree: &now,
        base: &now,
        texts: &texts,
    };
    let expected =
        "/etc/sudoers.d/a\\xff cannot be checked: it is too large, or its name is not UTF-8";
    assert_eq!(found(&input), expected);
}
