//! `null` is a fault wherever a value is expected, except at the keys that remove something with it.

use crate::source::Sources;
use crate::spec::node::{self, Node, Value};
use crate::stack::{Overrides, schema};
use crate::testing::parse;

/// Keys that can be `null`, which removes something, or that have no value: docs/spec.md has them.
const REMOVES: [&str; 9] = [
    "images.a.env.E",
    "images.a.env.G",
    "images.a.env.H",
    "images.a.config.env.I",
    "images.a.config.labels.l",
    "images.a.config.ports",
    "images.a.config.volumes",
    "tests.one.env.A",
    "images.a.steps.5.mounts./m4.tmpfs",
];

/// Adds the places of all values below a node, with their paths.
fn values(node: &Node, path: &str, found: &mut Vec<(String, u32, u32)>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}.{name}"),
    };
    let children: Vec<(String, &Node)> = match &node.value {
        Value::Map(entries) => {
            let entries = entries.iter();
            entries
                .map(|entry| (below(&entry.key.text), &entry.value))
                .collect()
        }
        Value::List(list) => {
            let list = list.iter().enumerate();
            list.map(|(index, item)| (below(&index.to_string()), item))
                .collect()
        }
        Value::Scalar { .. } => Vec::new(),
    };
    for (path, child) in children {
        found.push((path.clone(), child.span.start, child.span.end));
        values(child, &path, found);
    }
}

/// Files that nulls.yml names.
const FILES: [(&str, &str); 7] = [
    ("images/d/Dockerfile", "ARG A\nFROM c AS t\n"),
    ("images/d/ignored", "x\n"),
    ("images/checks/test_a.py", ""),
    ("images/r.txt", "six\n"),
    ("images/s.sh", "#!/bin/sh\n"),
    ("images/a/s.sh", "#!/bin/sh\n"),
    ("images/a/r.txt", "six\n"),
];

/// Returns the specs that together have every key, and their files.
fn specs() -> Vec<(String, Vec<(&'static str, &'static str)>)> {
    let mut files = FILES.to_vec();
    files.extend([("images/a/k.asc", "key"), ("images/a/c.txt", "scipy\n")]);
    let read =
        |name: &str| fs_err::read_to_string(format!("src/stack/tests/{name}")).expect("a file");
    vec![
        (read("nulls.yml"), files),
        (read("nulls_variants.yml"), Vec::new()),
    ]
}

#[test]
fn the_specs_have_every_key() {
    for (spec, files) in specs() {
        parse(&spec, &files, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    }
    let missing = schema::not_found();
    assert!(missing.is_empty(), "in neither file: {missing:#?}");
}

#[test]
fn null_is_a_fault_of_every_value_but_those_that_it_removes() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (spec, files) in specs() {
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", spec.as_str());
        let root = node::parse(&sources, source, &mut Vec::new()).expect("a tree");
        let mut places = Vec::new();
        values(&root, "", &mut places);
        count += places.len();
        for (number, (path, start, end)) in places.into_iter().enumerate() {
            // One spelling each: a tree has no difference between them.
            let null = ["null", "~"][number % 2];
            let (start, end) = (start as usize, end as usize);
            let text = format!("{}{null}{}", &spec[..start], &spec[end..]);
            let removes = REMOVES.contains(&path.as_str())
                || path.starts_with("images.a.steps.") && path.contains(".env.");
            match (parse(&text, &files, &Overrides::default()), removes) {
                (Ok(_), false) => wrong.push(format!("{path}: {null} is accepted")),
                (Err(rendered), true) => wrong.push(format!("{path}: {null}: {rendered}")),
                _ => {}
            }
        }
    }
    assert!(count > 250, "{count}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
