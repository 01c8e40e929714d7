//! Graphs, marshaled and read back.

use bollard_buildkit_proto::pb;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::name::Digest;
use crate::source::SourceFile;

fn graph() -> Graph {
    Graph::new(Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: String::new(),
    })
}

fn named(name: &str) -> Meta {
    Meta {
        name: name.to_owned(),
        ..Meta::default()
    }
}

fn debian(graph: &mut Graph) -> Output {
    let source = Source::Image {
        reference: "docker.io/library/debian:bookworm".to_owned(),
        layers: None,
    };
    graph.source(source, named("base"))
}

fn run(root: Output, text: &str, mounts: Vec<Mount>) -> Exec {
    Exec {
        args: vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()],
        env: vec!["A=1".to_owned()],
        cwd: "/".to_owned(),
        user: "root".to_owned(),
        network: Network::None,
        root,
        mounts,
        proxy: None,
    }
}

fn decode(definition: &Definition) -> Vec<pb::Op> {
    let decode = |bytes: &Vec<u8>| pb::Op::decode(bytes.as_slice()).expect("our own bytes");
    definition.pb.def.iter().map(decode).collect()
}

#[test]
fn only_what_the_output_needs_is_sent_and_the_last_operation_refers_to_it() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let one = graph.exec(run(base, "one", Vec::new()), named("one")).root;
    graph.exec(run(base, "two", Vec::new()), named("two"));
    let definition = graph.marshal(one, &[]);
    let ops = decode(&definition);
    assert_eq!(ops.len(), 3);
    let digest = Digest::of(&definition.pb.def[1]);
    assert_eq!(definition.digests[digest.as_str()], one.op);
    assert_eq!(ops[2].inputs[0].digest, digest.as_str());
    assert_eq!(ops[2].op, None);
    assert_eq!(
        definition.pb.metadata[digest.as_str()].description["llb.customname"],
        "one"
    );
}

#[test]
fn a_oneof_is_written_behind_the_other_fields_as_go_does() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let definition = graph.marshal(base, &[]);
    // Platform (field 10) and constraints (field 11) before source (field 3).
    let bytes = &definition.pb.def[0];
    let at = |key: u8| bytes.iter().position(|b| *b == key).expect("it is there");
    assert_eq!(bytes[0], 10 << 3 | 2);
    assert!(at(11 << 3 | 2) < at(3 << 3 | 2));
    let tail: &[u8] = b"docker-image://docker.io/library/debian:bookworm";
    assert!(bytes.ends_with(tail));
}

#[test]
fn outputs_of_mounts_are_numbered_in_the_order_of_their_targets() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let mount = |target: &str, kind| Mount {
        target: target.to_owned(),
        kind,
    };
    let outputs = graph.exec(
        run(
            base,
            "x",
            vec![
                mount("/z", MountKind::Output { input: None }),
                mount("/cache", MountKind::Tmpfs),
                mount("/a", MountKind::Output { input: Some(base) }),
            ],
        ),
        named("x"),
    );
    let index = |output: Option<Output>| output.map(|output| output.index);
    assert_eq!(index(outputs.mounts[0]), Some(2));
    assert_eq!(index(outputs.mounts[1]), None);
    assert_eq!(index(outputs.mounts[2]), Some(1));
    let ops = decode(&graph.marshal(outputs.root, &[]));
    let Some(pb::op::Op::Exec(exec)) = &ops[1].op else {
        panic!("the second is the command");
    };
    let mounts: Vec<(&str, i64, i64)> = exec
        .mounts
        .iter()
        .map(|m| (m.dest.as_str(), m.input, m.output))
        .collect();
    assert_eq!(
        mounts,
        [("/", 0, 0), ("/a", 0, 1), ("/cache", -1, -1), ("/z", -1, 2)]
    );
}

#[test]
fn actions_on_files_follow_each_other() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let folder = |path: &str| Action::MakeFolder {
        path: path.to_owned(),
        mode: 0o755,
        owner: Some(Owner {
            user: Who::Name("jovyan".to_owned()),
            group: Some(Who::Id(100)),
        }),
    };
    let file = File {
        base: Some(base),
        actions: vec![folder("/a"), folder("/b"), folder("/c")],
    };
    let output = graph.file(file, named("files"));
    let ops = decode(&graph.marshal(output, &[]));
    let Some(pb::op::Op::File(file)) = &ops[1].op else {
        panic!("the second is the file operation");
    };
    let numbers: Vec<(i64, i64, i64)> = file
        .actions
        .iter()
        .map(|a| (a.input, a.secondary_input, a.output))
        .collect();
    assert_eq!(numbers, [(0, -1, -1), (1, -1, -1), (2, -1, 0)]);
}

#[test]
fn lines_are_kept_for_the_files_that_are_used() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let meta = Meta {
        origin: Some(Origin {
            file: "specs.yml".to_owned(),
            start: (4, 7),
            end: (4, 20),
        }),
        ..named("one")
    };
    let output = graph.exec(run(base, "one", Vec::new()), meta).root;
    let file = |path: &str| SourceFile {
        path: path.to_owned(),
        text: "text".into(),
    };
    let definition = graph.marshal(output, &[file("other.yml"), file("specs.yml")]);
    let source = definition.pb.source.expect("always there");
    assert_eq!(source.infos.len(), 1);
    assert_eq!(source.infos[0].filename, "specs.yml");
    let digest = Digest::of(&definition.pb.def[1]);
    let location = &source.locations[digest.as_str()].locations[0];
    assert_eq!(location.source_index, 0);
    assert_eq!(location.ranges[0].start.expect("set").line, 4);
}

#[test]
fn equal_operations_are_sent_once() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let again = debian(&mut graph);
    let output = graph.diff(Some(base), Some(again), named("difference"));
    let definition = graph.marshal(output, &[]);
    assert_eq!(definition.pb.def.len(), 3);
}

/// Returns the operations that `output` depends on, without the last one, which only refers to it.
fn sent(graph: &Graph, output: Output) -> Vec<pb::Op> {
    let mut ops = decode(&graph.marshal(output, &[]));
    ops.pop();
    ops
}

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
        kind: MountKind::Tmpfs,
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
fn lines_of_unknown_files_are_not_sent() {
    let mut graph = graph();
    let origin = Some(Origin {
        file: "gone.yml".to_owned(),
        start: (1, 1),
        end: (1, 2),
    });
    let meta = Meta {
        origin,
        ..Meta::default()
    };
    let source = Source::Image {
        reference: "a".to_owned(),
        layers: None,
    };
    let output = graph.source(source, meta);
    let source = graph.marshal(output, &[]).pb.source.expect("always there");
    assert!(source.infos.is_empty() && source.locations.is_empty());
}

#[test]
fn operations_of_one_group_and_without_the_cache_are_marked() {
    let mut graph = graph();
    let meta = Meta {
        group: Some(Group {
            id: "base".to_owned(),
            name: "base".to_owned(),
        }),
        ignore_cache: true,
        ..Meta::default()
    };
    let source = Source::Image {
        reference: "a".to_owned(),
        layers: None,
    };
    let output = graph.source(source, meta);
    let metadata = graph.marshal(output, &[]).pb.metadata;
    let metadata = metadata.values().next().expect("one operation");
    assert!(metadata.ignore_cache);
    let group = metadata.progress_group.as_ref().expect("it has a group");
    assert_eq!(group.id, "base");
}

#[test]
fn platforms_are_known_by_both_names() {
    assert_eq!(Platform::linux("x86_64"), Platform::linux("amd64"));
    assert_eq!(Platform::linux("aarch64").architecture, "arm64");
    assert_eq!(Platform::linux("riscv64").architecture, "riscv64");
}

#[test]
#[should_panic(expected = "an operation uses only what was added to the same graph before it")]
fn an_output_of_another_graph_is_a_bug() {
    let mut other = graph();
    let base = debian(&mut other);
    graph().exec(run(base, "x", Vec::new()), Meta::default());
}

proptest! {
    #[test]
    fn names_do_not_change_a_digest_and_texts_do(a in ".{0,20}", b in ".{0,20}", name in ".{0,20}") {
        let digests = |text: &str, name: &str| {
            let mut graph = graph();
            let base = debian(&mut graph);
            let output = graph.exec(run(base, text, Vec::new()), named(name)).root;
            graph.marshal(output, &[]).digests.into_keys().collect::<Vec<_>>()
        };
        prop_assert_eq!(digests(&a, "x"), digests(&a, &name));
        prop_assert_eq!(a == b, digests(&a, "x") == digests(&b, "x"));
    }
}
