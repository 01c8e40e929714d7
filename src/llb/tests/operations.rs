//! Commands, mounts, file actions and sources, as they are sent.

use bollard_buildkit_proto::pb;

use super::super::*;
use super::{debian, graph, run, sent};

/// Returns the command of an image with one command.
fn sent_exec(exec: impl FnOnce(Output) -> Exec) -> pb::ExecOp {
    let mut graph = graph();
    let base = debian(&mut graph);
    let output = graph.exec(exec(base), Meta::default()).root;
    match sent(&graph, output).pop().and_then(|op| op.op) {
        Some(pb::op::Op::Exec(exec)) => exec,
        other => panic!("the last operation is the command: {other:?}"),
    }
}

/// Returns the mount of a command with one mount.
fn sent_mount(kind: MountKind) -> pb::Mount {
    let target = "/mount".to_owned();
    let mount = Mount { target, kind };
    let exec = sent_exec(|root| run(root, "x", vec![mount]));
    exec.mounts[1].clone()
}

/// Returns the one action of an operation on files without a base.
fn sent_action(action: Action) -> pb::file_action::Action {
    let mut graph = graph();
    let actions = vec![action];
    let output = graph.file(
        File {
            base: None,
            actions,
        },
        Meta::default(),
    );
    match sent(&graph, output).pop().and_then(|op| op.op) {
        Some(pb::op::Op::File(file)) => file.actions[0].action.clone().expect("an action"),
        other => panic!("the last operation is on files: {other:?}"),
    }
}

fn sent_source(source: Source) -> (pb::SourceOp, bool) {
    let mut graph = graph();
    let output = graph.source(source, Meta::default());
    let op = sent(&graph, output).remove(0);
    match op.op {
        Some(pb::op::Op::Source(source)) => (source, op.platform.is_some()),
        other => panic!("it is a source: {other:?}"),
    }
}

#[test]
fn the_number_of_layers_is_an_attribute_of_an_image() {
    let image = |layers| Source::Image {
        reference: "a/b".to_owned(),
        layers,
    };
    let (all, for_platform) = sent_source(image(None));
    assert!(all.attrs.is_empty() && for_platform);
    let (some, _) = sent_source(image(Some(3)));
    assert_eq!(some.attrs["image.layerlimit"], "3");
}

#[test]
fn a_local_tree_is_known_by_its_content_and_has_no_platform() {
    let (source, for_platform) = sent_source(Source::Local {
        name: "tree".to_owned(),
        content: "sha256:x".to_owned(),
    });
    assert_eq!(source.identifier, "local://tree");
    assert_eq!(source.attrs["local.sharedkeyhint"], "sha256:x");
    assert!(!for_platform);
}

#[test]
fn a_secret_has_no_input_and_no_output() {
    let mount = sent_mount(MountKind::Secret {
        id: "token".to_owned(),
        uid: 1,
        gid: 2,
        mode: 0o400,
        optional: true,
    });
    assert_eq!((mount.input, mount.output), (-1, 0));
    let secret = mount.secret_opt.expect("it is a secret");
    assert_eq!((secret.uid, secret.gid, secret.mode), (1, 2, 0o400));
    assert!(secret.optional);
}

#[test]
fn a_cache_may_begin_with_nothing() {
    let mount = sent_mount(MountKind::Cache {
        id: "pip".to_owned(),
        sharing: Sharing::Private,
        seed: None,
        selector: String::new(),
    });
    assert_eq!((mount.input, mount.output), (-1, -1));
    let cache = mount.cache_opt.expect("it is a cache");
    assert_eq!(cache.sharing, pb::CacheSharingOpt::Private as i32);
}

#[test]
fn an_input_used_twice_is_sent_once() {
    let mount = |base| Mount {
        target: "/base".to_owned(),
        kind: MountKind::ReadOnly {
            input: base,
            selector: "/etc".to_owned(),
        },
    };
    let exec = sent_exec(|base| run(base, "x", vec![mount(base)]));
    assert_eq!((exec.mounts[0].input, exec.mounts[1].input), (0, 0));
    assert!(exec.mounts[1].readonly && exec.mounts[1].selector == "/etc");
}

#[test]
fn a_mount_comes_after_the_one_it_is_in() {
    let tmpfs = |target: &str| Mount {
        target: target.to_owned(),
        kind: MountKind::Tmpfs { size: 0 },
    };
    let mounts = vec![tmpfs("/run/a/b"), tmpfs("/run"), tmpfs("/run/a")];
    let exec = sent_exec(|base| run(base, "x", mounts));
    let targets: Vec<&str> = exec.mounts.iter().map(|m| m.dest.as_str()).collect();
    assert_eq!(targets, ["/", "/run", "/run/a", "/run/a/b"]);
}

#[test]
fn proxies_and_network_of_a_command_are_sent() {
    let exec = sent_exec(|base| Exec {
        proxy: Some(Proxy {
            no: "localhost".to_owned(),
            ..Proxy::default()
        }),
        ..run(base, "x", Vec::new())
    });
    assert_eq!(exec.network, pb::NetMode::None as i32);
    let proxy = exec.meta.and_then(|meta| meta.proxy_env);
    assert_eq!(proxy.expect("it is set").no_proxy, "localhost");
}

#[test]
fn modes_have_twelve_bits() {
    let action = sent_action(Action::MakeFolder {
        path: "/a".to_owned(),
        mode: 0o40755,
        owner: None,
    });
    let pb::file_action::Action::Mkdir(folder) = action else {
        panic!("it makes a folder");
    };
    assert_eq!(
        (folder.mode, folder.timestamp),
        (0o755, 315_532_800_000_000_000)
    );
    assert!(folder.make_parents);
}

#[test]
fn a_copy_keeps_sets_or_changes_the_mode() {
    for (mode, number, text) in [
        (FileMode::Keep, -1, ""),
        (FileMode::Octal(0o600), 0o600, ""),
        (FileMode::Symbolic("g+w".to_owned()), -1, "g+w"),
    ] {
        let mut graph = graph();
        let from = debian(&mut graph);
        let copy = Action::Copy {
            from,
            source: "/a".to_owned(),
            target: "/b".to_owned(),
            owner: None,
            mode,
            contents: true,
            wildcard: false,
            follow: false,
        };
        let file = File {
            base: None,
            actions: vec![copy],
        };
        let output = graph.file(file, Meta::default());
        let Some(pb::op::Op::File(file)) = sent(&graph, output).remove(1).op else {
            panic!("the second operation is on files");
        };
        assert_eq!(
            (file.actions[0].input, file.actions[0].secondary_input),
            (-1, 0)
        );
        let Some(pb::file_action::Action::Copy(copy)) = &file.actions[0].action else {
            panic!("it copies");
        };
        assert_eq!((copy.mode, copy.mode_str.as_str()), (number, text));
        assert!(copy.dir_copy_contents && !copy.follow_symlink);
    }
}

#[test]
fn a_link_and_its_removal_are_sent() {
    let link = sent_action(Action::Symlink {
        path: "/new".to_owned(),
        target: "/old".to_owned(),
        owner: None,
    });
    let pb::file_action::Action::Symlink(link) = link else {
        panic!("it makes a link");
    };
    assert_eq!(
        (link.oldpath.as_str(), link.newpath.as_str()),
        ("/old", "/new")
    );
    let remove = sent_action(Action::Remove {
        path: "/new".to_owned(),
        allow_missing: true,
    });
    assert!(matches!(remove, pb::file_action::Action::Rm(rm) if rm.allow_not_found));
}

#[test]
fn no_actions_return_the_base() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let file = File {
        base: Some(base),
        actions: Vec::new(),
    };
    assert_eq!(graph.file(file, Meta::default()), base);
}

#[test]
fn the_difference_to_an_empty_file_system_has_one_input() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let output = graph.diff(None, Some(base), Meta::default());
    let ops = sent(&graph, output);
    let Some(pb::op::Op::Diff(diff)) = &ops[1].op else {
        panic!("the second operation is the difference");
    };
    assert_eq!(ops[1].inputs.len(), 1);
    assert_eq!(diff.lower.expect("set").input, -1);
    assert_eq!(diff.upper.expect("set").input, 0);
}

#[test]
fn inputs_of_a_difference_and_of_a_merge_are_counted_even_if_they_are_equal() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let nothing = graph.diff(Some(base), Some(base), Meta::default());
    let output = graph.merge(vec![base, nothing], Meta::default());
    let ops = sent(&graph, output);
    let (Some(pb::op::Op::Diff(diff)), Some(pb::op::Op::Merge(merge))) = (&ops[1].op, &ops[2].op)
    else {
        panic!("a difference and a merge");
    };
    assert_eq!(ops[1].inputs.len(), 2);
    assert_eq!(diff.lower.expect("set").input, 0);
    assert_eq!(diff.upper.expect("set").input, 1);
    let inputs: Vec<i64> = merge.inputs.iter().map(|input| input.input).collect();
    assert_eq!(inputs, [0, 1]);
}
