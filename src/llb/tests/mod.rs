//! Graphs, marshaled and read back.

mod operations;

use bollard_buildkit_proto::pb;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::name::Digest;

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
    let definition = graph.marshal(one);
    let ops = decode(&definition);
    assert_eq!(ops.len(), 3);
    let digest = Digest::of(&definition.pb.def[1]);
    assert_eq!(definition.digests[digest.as_str()], one.op);
    assert_eq!(ops[2].inputs[0].digest, digest.as_str());
    assert_eq!(ops[2].op, None);
    // Each operation has some: the frontend refuses others.
    let metadata = &definition.pb.metadata;
    assert_eq!(metadata.len(), 2);
    assert!(metadata.values().all(|it| *it != Default::default()));
    assert_eq!(
        definition.pb.metadata[digest.as_str()].description["llb.customname"],
        "one"
    );
}

#[test]
fn a_oneof_is_written_behind_the_other_fields_as_go_does() {
    let mut graph = graph();
    let base = debian(&mut graph);
    let definition = graph.marshal(base);
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
                mount("/cache", MountKind::Tmpfs { size: 0 }),
                mount("/a", MountKind::Output { input: Some(base) }),
            ],
        ),
        named("x"),
    );
    let index = |output: Option<Output>| output.map(|output| output.index);
    assert_eq!(index(outputs.mounts[0]), Some(2));
    assert_eq!(index(outputs.mounts[1]), None);
    assert_eq!(index(outputs.mounts[2]), Some(1));
    let ops = decode(&graph.marshal(outputs.root));
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
    let ops = decode(&graph.marshal(output));
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
fn the_engine_gets_the_lines_of_an_operation_and_no_text() {
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
    let definition = graph.marshal(output);
    let source = definition.pb.source.expect("always there");
    assert_eq!(source.infos.len(), 1);
    assert_eq!(source.infos[0].filename, "specs.yml");
    assert!(source.infos[0].data.is_empty());
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
    let definition = graph.marshal(output);
    assert_eq!(definition.pb.def.len(), 3);
}

/// Returns the operations that `output` depends on, without the last one, which only refers to it.
fn sent(graph: &Graph, output: Output) -> Vec<pb::Op> {
    let mut ops = decode(&graph.marshal(output));
    ops.pop();
    ops
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
    let metadata = graph.marshal(output).pb.metadata;
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
            graph.marshal(output).digests.into_keys().collect::<Vec<_>>()
        };
        prop_assert_eq!(digests(&a, "x"), digests(&a, &name));
        prop_assert_eq!(a == b, digests(&a, "x") == digests(&b, "x"));
    }
}
