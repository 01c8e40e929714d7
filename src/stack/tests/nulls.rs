//! `null` is a fault wherever a value is expected, except at the keys that remove something with it.

use crate::source::Sources;
use crate::spec::node::{self, Node, Value};
use crate::stack::Overrides;
use crate::testing::parse;

/// Keys whose value `null` removes something, or leaves out what another file has: docs/spec.md has them.
const REMOVES: [&str; 8] = [
    "images.a.env.E",
    "images.a.env.G",
    "images.a.env.H",
    "images.a.config.env.I",
    "images.a.config.labels.l",
    "images.a.config.ports",
    "images.a.config.volumes",
    "tests.one.env.A",
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

#[test]
fn null_is_a_fault_of_every_value_but_those_that_it_removes() {
    let spec = fs_err::read_to_string("src/stack/tests/nulls.yml").expect("a file");
    parse(&spec, &[], &Overrides::default()).expect("it is valid");
    let mut sources = Sources::default();
    let source = sources.add("specs.yml", spec.as_str());
    let root = node::parse(&sources, source, &mut Vec::new()).expect("a tree");
    let mut places = Vec::new();
    values(&root, "", &mut places);
    assert!(places.len() > 150, "{}", places.len());
    let mut wrong = Vec::new();
    for (path, start, end) in places {
        for null in ["null", "~"] {
            let (start, end) = (start as usize, end as usize);
            let text = format!("{}{null}{}", &spec[..start], &spec[end..]);
            let removes = REMOVES.contains(&path.as_str())
                || path.starts_with("images.a.steps.") && path.contains(".env.");
            match (parse(&text, &[], &Overrides::default()), removes) {
                (Ok(_), false) => wrong.push(format!("{path}: {null} is accepted")),
                (Err(rendered), true) => wrong.push(format!("{path}: {null}: {rendered}")),
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
