//! What nodes report, against what channels have.

use super::digest;
use crate::name::{Commit, Repository, Tag};
use crate::nodes::reported::{self, ChannelImages, State};
use crate::record::{LedgerEntry, MoveKind, TagMove};

/// An entry that has images of `campus` at `version`.
fn entry(channel: &str, seq: u64, old: Option<&str>, new: &str) -> LedgerEntry {
    let images = ["base", "ml"].map(|name| TagMove {
        label: name.to_owned(),
        repository: Repository::parse(&format!("ghcr.io/campus/{name}")).expect("a repository"),
        tag: Tag::parse(channel).expect("a tag"),
        old: old.map(|old| digest(&format!("{name} {old}"))),
        new: digest(&format!("{name} {new}")),
        depth: 0,
    });
    LedgerEntry {
        version: 1,
        kind: MoveKind::Promote,
        channel: channel.to_owned(),
        seq,
        previous: None,
        release: digest(new),
        commit: Commit::parse("d0215700aa").ok(),
        actor: "a test".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
        reason: None,
        waived: Vec::new(),
        required: Vec::new(),
        drift: Vec::new(),
        images: images.into(),
    }
}

fn at(name: &str, version: &str) -> String {
    format!(
        "ghcr.io/campus/{name}@{}",
        digest(&format!("{name} {version}"))
    )
}

/// Returns `IMAGE STATE` of each image of a node, and whether there is a command for it.
fn shown_node(known: &ChannelImages, node: &reported::Node) -> String {
    let images = reported::compare(known, node);
    let mut words: Vec<String> = images
        .iter()
        .map(|one| format!("{} {}", one.labels.join("+"), one.state.word()))
        .collect();
    words.extend(
        reported::command(&images).map(|command| format!("{} to remove", command.len() - 2)),
    );
    format!("{}: {}", node.name, words.join(", "))
}

#[test]
fn an_image_that_a_channel_left_is_stale() {
    let history = [
        entry("stable", 3, Some("2"), "3"),
        entry("stable", 2, Some("1"), "2"),
        entry("stable", 1, Some("by hand"), "1"),
    ];
    let quarter = entry("quarter", 4, None, "2");
    let known = ChannelImages::new(&history, [&quarter]);
    let crictl = serde_json::json!({ "images": [
        { "id": "1", "repoTags": [], "repoDigests": [at("base", "3")] },
        { "id": "2", "repoTags": ["ghcr.io/campus/base:stable"], "repoDigests": [at("base", "1")] },
        { "id": "3", "repoDigests": [at("ml", "by hand")] },
        { "id": "4", "repoDigests": [at("ml", "2"), "<none>@<none>"] },
        { "id": "5", "repoDigests": [at("other", "1")] },
    ] });
    let node = &reported::nodes("n1", &crictl.to_string()).expect("a list")[0];
    assert_eq!(
        shown_node(&known, node),
        "n1: base current, ml missing, base stale, ml stale, ml kept, 2 to remove"
    );
    let mut command =
        reported::command(&reported::compare(&known, node)).expect("something is stale");
    command[2..].sort();
    let mut wanted = [at("base", "1"), at("ml", "by hand")];
    wanted.sort();
    assert_eq!(
        command,
        [&["crictl", "rmi"].map(str::to_owned)[..], &wanted].concat()
    );
    let alone = ChannelImages::new(&history, []);
    assert!(shown_node(&alone, node).ends_with("3 to remove"));
}

#[test]
fn two_manifests_of_one_image_are_not_torn_apart() {
    let history = [entry("stable", 2, Some("1"), "2")];
    let known = ChannelImages::new(&history, []);
    let crictl = serde_json::json!({ "images": [
        { "id": "1", "repoDigests": [at("base", "1"), at("base", "2")] },
        { "id": "2", "repoDigests": [at("ml", "2")] },
    ] });
    let node = &reported::nodes("n1", &crictl.to_string()).expect("a list")[0];
    assert_eq!(
        shown_node(&known, node),
        "n1: base current, ml current, base same"
    );
    let all = reported::compare(&known, node);
    assert_eq!(all.last().map(|one| &one.state), Some(&State::Same));
}

#[test]
fn lists_of_images_come_in_several_shapes() {
    let known = ChannelImages::new(&[entry("stable", 2, Some("1"), "2")], []);
    let read = |text: &str| -> String {
        match reported::nodes("file.json", text) {
            Ok(nodes) => nodes
                .iter()
                .map(|node| shown_node(&known, node) + "\n")
                .collect(),
            Err(error) => format!("{error}\n"),
        }
    };
    let node = |name: &str, images: &[String]| {
        let images: Vec<_> = images
            .iter()
            .map(|image| serde_json::json!({ "names": [image] }))
            .collect();
        serde_json::json!({ "kind": "Node", "metadata": { "name": name }, "status": { "images": images } })
    };
    let crictl = serde_json::json!({ "images": [{ "repoDigests": [at("base", "1")] }] });
    let one = node("n1", &[at("base", "1")]);
    let none = serde_json::json!({ "kind": "Node", "metadata": { "name": "n2" }, "status": {} });
    let full = node("n3", &vec![at("ml", "2"); 50]);
    let list = serde_json::json!({ "kind": "List", "items": [one, none] });
    let all = [
        read(&one.to_string()),
        read(&list.to_string()),
        read(&serde_json::json!([crictl, crictl, full]).to_string()),
        read("[]"),
        read("{}"),
        read(r#"[{"kind": "Pod", "metadata": {"name": "x"}, "status": {}}]"#),
        read("no"),
    ];
    insta::assert_snapshot!(all.concat(), @r"
    n1: base missing, ml missing, base stale, 1 to remove
    n1: base missing, ml missing, base stale, 1 to remove
    n2: base missing, ml missing
    file.json[1]: base missing, ml missing, base stale, 1 to remove
    file.json[2]: base missing, ml missing, base stale, 1 to remove
    n3: base missing, ml current
    file.json is neither a list of images (`crictl images -o json`) nor a node (`kubectl get nodes -o json`)
    file.json is neither a list of images (`crictl images -o json`) nor a node (`kubectl get nodes -o json`)
    file.json: expected ident at line 1 column 2
    ");
    let full = reported::nodes("x", &full.to_string()).expect("a node");
    assert!(full[0].cut, "its kubelet may leave out some");
}

#[test]
fn an_image_of_two_variants_is_shown_once() {
    let history = ["1/base", "2/base"].map(|label| TagMove {
        label: label.to_owned(),
        ..entry("stable", 1, None, "1").images[0].clone()
    });
    let history = LedgerEntry {
        images: history.into(),
        ..entry("stable", 1, None, "1")
    };
    let list = serde_json::json!({ "images": [] }).to_string();
    let node = &reported::nodes("n", &list).expect("a list")[0];
    assert_eq!(
        shown_node(&ChannelImages::new(&[history], []), node),
        "n: 1/base+2/base missing"
    );
}
