use proptest::prelude::*;

use super::*;
use crate::diagnostic::render;

fn read(text: &str) -> (Option<Node>, String, Sources) {
    let mut sources = Sources::default();
    let source = sources.add("specs.yml", text);
    let mut problems = Vec::new();
    let node = parse(&sources, source, &mut problems);
    let shown = render(&problems, &sources, false);
    (node, shown, sources)
}

/// The tree in one line, texts quoted.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => format!("{text:?}"),
        Value::List(list) => {
            let items: Vec<String> = list.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let items: Vec<String> = entries
                .iter()
                .map(|e| format!("{}: {}", e.key.text, show(&e.value)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

#[test]
fn scalars_are_kept_as_written() {
    let text = "a: [3.10, 0644, off, 1e3, 2026.10, ~, 'x', \"\\t\"]\nb: |\n  echo \"${X}\" '\\n'\n  $${Y}\n";
    let (node, problems, _) = read(text);
    assert_eq!(problems, "");
    assert_eq!(
        show(&node.expect("a tree")),
        "{a: [\"3.10\", \"0644\", \"off\", \"1e3\", \"2026.10\", \"~\", \"x\", \"\\t\"], \
         b: \"echo \\\"${X}\\\" '\\\\n'\\n$${Y}\\n\"}"
    );
}

#[test]
fn a_key_is_found_again_however_many_there_are() {
    for count in [2, SMALL - 1, SMALL, SMALL + 1, 4 * SMALL] {
        let keys = (0..count).map(|n| format!("k{n}: 1\n"));
        for again in [0, count / 2, count - 1] {
            let text: String = keys.clone().chain([format!("k{again}: 2\n")]).collect();
            let (node, problems, _) = read(&text);
            assert_eq!(node.expect("a tree").entries().len(), count);
            assert!(problems.contains(&format!("duplicate key `k{again}`")));
            let first = format!("{} | k{again}: 1", again + 1);
            assert!(problems.contains(&first), "{problems}");
        }
    }
}

#[test]
fn spans_cover_the_written_text() {
    let text = "é: 1\nlist: [ a, b ]\nmap:\n  k: v w\n\n# end\n";
    let (node, _, sources) = read(text);
    let Some(Value::Map(entries)) = node.map(|node| node.value) else {
        panic!("a mapping");
    };
    let slice = |span: Span| {
        let text = &sources.file(span.source).text;
        text[span.start as usize..span.end as usize].to_owned()
    };
    let places: Vec<(String, String)> = entries
        .iter()
        .map(|e| (slice(e.key.span), slice(e.value.span)))
        .collect();
    let expected = [("é", "1"), ("list", "[ a, b ]"), ("map", "k: v w")];
    assert_eq!(places, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[test]
fn a_duplicate_key_is_shown_with_the_first() {
    let (_, problems, _) = read("a: 1\nb: 2\na: 3\n");
    assert_eq!(
        problems,
        "error: duplicate key `a`\n \
         --> specs.yml:3:1\n  \
         |\n\
         1 | a: 1\n  \
         | - first defined here\n\
         2 | b: 2\n\
         3 | a: 3\n  \
         | ^ defined again here\n"
    );
}

#[test]
fn aliases_are_expanded_within_limits() {
    let (node, problems, _) = read("a: &x [1, 2]\nb: *x\n");
    assert_eq!(problems, "");
    let shown = show(&node.expect("a tree"));
    assert_eq!(shown, "{a: [\"1\", \"2\"], b: [\"1\", \"2\"]}");
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        let items = vec![item; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let (node, problems, _) = read(&text);
    assert_eq!(node, None);
    assert!(problems.contains("too large"), "{problems}");
}

#[test]
fn unsupported_and_invalid_yaml_is_an_error() {
    for text in [
        "a: [1, 2\n",
        "a: \"x\n",
        "a: b: c\n",
        "<<: {a: 1}\n",
        "? [a]\n: b\n",
        "a: !!int 3\n",
        "a: 1\n---\nb: 2\n",
        "a: &x { b: *x }\n",
        "&x [*x]\n",
    ] {
        let (_, problems, _) = read(text);
        assert!(problems.starts_with("error: "), "{text:?}: {problems}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-a-z:\\[\\]{}'\"|>&*!#%@,~ \n\té]{0,60}") {
        read(&text);
    }
}

#[test]
fn each_help_belongs_to_an_error_of_the_parser() {
    let faults: [&[&str]; yaml_help::HELP.len()] = [
        &["a:\n\tb: 1", "a: b\n\tc: 1"],
        &["a: b: c", "a: b\n  c: d"],
        &["a:\n    b: 1\n   c: 1", "a:\n  b: { c: 1 }\n c: 1"],
        &["a:\n  - b\n  c: 1", "a:\n  - b\n  c: 1\n  - d"],
        &["a: - b", "a: - b: c"],
        &["a: |\n b\nc", "a:\n  b: 1\n  c"],
        &["a: 'b' c", "a: \"b\" c"],
        &[
            "a: { run: echo ${X} }",
            "a: { b: [c] d }",
            "a: [[b] c]",
            "a: [b: [c] d]",
        ],
        &["a: \"\\d\"", "a: [\"\\$\"]"],
        &["a: @b", "a: `b`"],
        &["a: *b", "a: [*b]"],
        &["a: { b: 1", "a: [b}"],
        &["a: \"b", "a: 'b"],
        &["a: | b", "a: >=1.0"],
        &["a: & b", "a: &"],
        &["a: ? b", "a: ? b: c"],
        &["a: [b\nc: d", "a:\n  - [b\nc: d"],
    ];
    for ((_, expected), texts) in yaml_help::HELP.iter().zip(faults) {
        for text in texts {
            let (_, shown, _) = read(text);
            assert!(
                shown.contains(&format!("= help: {expected}")),
                "{text}\n{shown}"
            );
        }
    }
}

#[test]
fn an_unknown_message_has_no_help() {
    assert_eq!(
        yaml_help::help("too many buffered comments while looking ahead", ""),
        None
    );
    for text in ["<<<<<<< HEAD\na: b\n=======\n", "a: b\n<<<<<<< HEAD\n"] {
        let (_, shown, _) = read(text);
        assert!(shown.contains("= help: resolve the conflict"), "{shown}");
    }
}
