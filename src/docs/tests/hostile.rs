//! Hostile texts and names stay texts.

use std::sync::LazyLock;

use super::links::{check_links, events};
use super::*;

/// Pages without hostile texts, and what each is made of.
static TAME: LazyLock<BTreeMap<String, Vec<String>>> =
    LazyLock::new(|| skeletons(&pages(&wiki(&Words::tame(), "ground"))));

fn skeletons(made: &Made) -> BTreeMap<String, Vec<String>> {
    let pages = made.pages.iter();
    pages
        .map(|(file, page)| (file.clone(), skeleton(page)))
        .collect()
}

/// What a page is made of, without its texts: code between backticks and in `<code>` is the same.
fn skeleton(page: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut in_code = false;
    for event in events(page) {
        let part = match event {
            Event::InlineHtml(html) if *html == *"<code>" && !in_code => {
                in_code = true;
                continue;
            }
            Event::InlineHtml(html) if *html == *"</code>" && in_code => {
                in_code = false;
                "code".to_owned()
            }
            Event::Text(_) => continue,
            other if in_code => panic!("{other:?} in code"),
            Event::Code(_) => "code".to_owned(),
            Event::Start(Tag::Link { .. }) => "link".to_owned(),
            Event::Start(tag) => format!("{tag:?}"),
            Event::End(TagEnd::Link) => "end of link".to_owned(),
            Event::End(tag) => format!("end {tag:?}"),
            other => format!("{other:?}"),
        };
        parts.push(part);
    }
    parts
}

/// Texts made of what Markdown, HTML, wikis and Mermaid read as their own.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "`", "```", "````", "~~~", "|", "\n", "\r", "\r\n", "\n\n", "<", "</code>", "<script>",
            "<!--", "-->", "[", "](x)", "[[x]]", "![", "\\", "\\|", "*", "**", "_", "__", "~~",
            "$", "$$", "#", "# h", "\n# h", "\n- x", "\n1. x", "\n> x", "\n| a | b |\n|---|---|\n",
            "&lt;", "&", "http://example.org", "www.example.org", "a@b.c", "{#id}", "^", ":smile:",
            "\u{1b}[31m", "\0", "\u{202e}", "\u{2028}", "\t", "    ", "\n    x", "\"", "'", "]]>",
            "<https://example.org>", "[^1]", "[^1]: x", "==", "\n===\n", "---", "\n---\n", "%%", ";",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z0-9 ]{1,5}",
    ];
    prop::collection::vec(piece, 1..8).prop_map(|list| list.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn hostile_texts_stay_texts(name in hostile(), line in hostile(), text in hostile()) {
        // An empty text may leave out what shows it.
        let words = Words { name: format!("n{name}n"), line: format!("l{line}l"), text: format!("t{text}t") };
        let wild = pages(&wiki(&words, "ground"));
        let parts = skeletons(&wild);
        prop_assert_eq!(TAME.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>());
        for (file, parts) in &parts {
            prop_assert_eq!(parts, &TAME[file], "{}:\n{}", file, wild.pages[file]);
        }
    }

    #[test]
    fn hostile_names_are_texts_with_legal_links(name in hostile()) {
        let name = format!("n{name}");
        let wild = check_links(&wiki(&Words::tame(), &name));
        let sorted = |pages: &BTreeMap<String, Vec<String>>| {
            let mut list: Vec<_> = pages.values().cloned().collect();
            list.sort();
            list
        };
        prop_assert_eq!(sorted(&TAME), sorted(&skeletons(&wild)));
        let graph = &wild.pages["Lineage.md"];
        let graph = graph.split("```mermaid\n").nth(1).and_then(|rest| rest.split("```").next());
        let lines: Vec<&str> = graph.expect("a graph").lines().collect();
        // Its head, a base, six images, and an arrow to each.
        prop_assert_eq!(lines.len(), 14);
        for line in &lines[1..] {
            let quotes = line.matches('"').count();
            prop_assert!(line.starts_with("  ") && [0, 2].contains(&quotes), "{}", line);
        }
    }
}
