//! Whole pages, the links between all pages, and hostile texts that stay texts.

use std::collections::BTreeSet;

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::json;

use super::*;
use crate::evidence::{Allowed, Case, Checks, Finding, Info, Outcome, Package, Rule, Verdict};
use crate::name::{Commit, Repository, Tag as ImageTag};
use crate::record::{
    DroppedSuite, MoveKind, Release, ReleaseImage, ReleaseVerdict, StoredRelease, TagMove,
};

/// Texts that images, registries and people bring in.
#[derive(Clone, Debug)]
struct Words {
    /// A name: images, tags, suites.
    name: String,
    /// A line: reasons, messages.
    line: String,
    /// Several lines: logs.
    text: String,
}

impl Words {
    fn tame() -> Self {
        Self {
            name: "gpu".to_owned(),
            line: "as it is".to_owned(),
            text: "one\ntwo".to_owned(),
        }
    }
}

/// The repository of an image; a hostile name of an image is not part of it.
fn repository(name: &str) -> Repository {
    let own = Repository::parse(&format!("ghcr.io/campus/{name}"));
    own.unwrap_or_else(|_| Repository::parse("ghcr.io/campus/image").expect("a repository"))
}

fn time(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time")
}

fn image(words: &Words, number: usize, name: &str, variant: Option<&str>) -> ReleaseImage {
    let tag = format!("{}-{number:07}", variant.unwrap_or("1"));
    ReleaseImage {
        image: name.to_owned(),
        variant: variant.map(str::to_owned),
        repository: repository(name),
        digest: Digest::of(format!("{name} {tag}").as_bytes()),
        key: Digest::of(b"key"),
        tags: vec![ImageTag::parse(&tag).expect("a tag")],
        depth: 0,
        base: Some("docker.io/library/debian:bookworm".to_owned()),
        base_digest: Some(Digest::of(b"debian")),
        copies: Vec::new(),
        size: 1_234_567_890,
        verdicts: vec![ReleaseVerdict {
            suite: words.name.clone(),
            from: None,
            key: None,
            digest: Digest::of(b"it"),
            passed: false,
            tests: 3,
            failed: 1,
            cached: true,
        }],
        dropped: vec![DroppedSuite {
            suite: words.name.clone(),
            reason: words.line.clone(),
        }],
        checks: Some(true),
        checks_key: None,
        evidence: None,
    }
}

/// The images of one variant: `name` and two above it.
fn images(words: &Words, number: usize, name: &str, variant: Option<&str>) -> Vec<ReleaseImage> {
    let ground = image(words, number, name, variant);
    let on = |name: &str, base: &str, depth: usize| ReleaseImage {
        base: Some(base.to_owned()),
        base_digest: None,
        depth,
        ..image(words, number, name, variant)
    };
    vec![ground, on("side", name, 1), on("leaf-notebook", "side", 2)]
}

fn release(words: &Words, number: usize, name: &str) -> StoredRelease {
    let mut all = images(words, number, name, Some("1"));
    all.extend(images(words, number, name, Some("2")));
    let release = Release {
        stack: "datahub".to_owned(),
        commit: Commit::parse(&format!("{number:07}{number:033}")).expect("digits"),
        time: time(&format!("2026-11-{:02}T10:20:30Z", number + 1)),
        run: format!("run-{number}"),
        git_ref: Some("refs/heads/main".to_owned()),
        spec: None,
        images: all,
    };
    StoredRelease {
        digest: Digest::of(format!("release {number}").as_bytes()),
        release,
    }
}

fn evidence(words: &Words, image: &ReleaseImage) -> Evidence {
    let digest = image.digest.clone();
    let mut evidence = Evidence::new(image.label(), Digest::of(b"key"), digest);
    evidence.suites.insert(
        words.name.clone(),
        Verdict {
            key: Digest::of(b"suite"),
            from: Some("side".to_owned()),
            passed: false,
            reason: Some(words.line.clone()),
            tests: 3,
            failed: 1,
            skipped: 1,
            seconds: 1.25,
            time: time("2026-11-24T21:57:28Z"),
            cases: vec![Case {
                name: format!("test_{}", words.name),
                class: "test_it".to_owned(),
                seconds: 0.1,
                outcome: Outcome::Failed,
                message: Some(words.line.clone()),
                text: Some(words.text.clone()),
            }],
            log: words.text.clone(),
        },
    );
    let finding = Finding {
        rule: Rule::Writable,
        path: format!("/opt/{}", words.name),
        text: format!("is writable for everybody {}", words.line),
        elsewhere: 0,
        below: 2,
        step: Some(0),
        inherited: Some("side".to_owned()),
        limit: None,
    };
    evidence.checks = Some(Checks {
        key: Digest::of(b"policy"),
        passed: true,
        time: time("2026-11-24T21:57:28Z"),
        findings: vec![finding.clone()],
        allowed: vec![Allowed {
            finding,
            reason: words.line.clone(),
        }],
        unused: vec![format!("/usr/{}", words.name)],
    });
    let info = |title: &str, text: &str, packages: Option<Vec<Package>>| Info {
        key: Digest::of(b"command"),
        title: title.to_owned(),
        time: None,
        exit: 3,
        text: text.to_owned(),
        error: words.text.clone(),
        packages,
    };
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    let packages = vec![
        package("numpy", "2.2.0"),
        package(&format!("x{}", words.name), &words.line),
    ];
    let pip = info(&format!("pip {}", words.name), "", Some(packages));
    evidence.info.insert("pip".to_owned(), pip);
    let python = info("Python", &words.text, None);
    evidence.info.insert("python".to_owned(), python);
    evidence
}

fn stored(words: &Words, depth: usize) -> Stored {
    let layer = |number: usize, step: String, is_ours: bool| Layer {
        digest: Digest::of(format!("layer {number}").as_bytes()),
        size: 1000 * (number as u64 + 1),
        step,
        is_ours,
    };
    let mut layers = vec![layer(0, format!("ADD {}", words.line), false)];
    layers.extend((0..=depth).map(|n| layer(n + 1, format!("apt git {}", words.line), true)));
    let config = json!({
        "User": format!("u{}", words.name), "Cmd": ["bash", words.line], "ExposedPorts": { "8888/tcp": {} },
        "Env": ["PATH=/bin", format!("X={}", words.text)], "Labels": { "a": words.line },
    });
    Stored {
        layers,
        config: json!({ "config": config }),
    }
}

fn details_of(words: &Words, release: &Release) -> Vec<ImageDetails> {
    let images = release.images.iter();
    images
        .map(|image| ImageDetails {
            evidence: Some(evidence(words, image)),
            resolved: Some(json!({ "image": image.image, "steps": [words.text] })),
            stored: Some(stored(words, image.depth)),
        })
        .collect()
}

fn entry(
    words: &Words,
    seq: u64,
    kind: MoveKind,
    StoredRelease { digest, release }: &StoredRelease,
) -> LedgerEntry {
    let images = release.images.iter();
    let images = images.filter(|image| image.variant.as_deref() == Some("1"));
    LedgerEntry {
        kind,
        channel: "quarter".to_owned(),
        seq,
        previous: None,
        release: digest.clone(),
        commit: release.commit.clone(),
        actor: format!("a{}", words.name),
        time: time(&format!("2026-11-2{seq}T10:20:30Z")),
        reason: Some(words.line.clone()),
        waived: vec![words.name.clone()],
        required: Vec::new(),
        drift: Vec::new(),
        images: images
            .map(|image| TagMove {
                label: image.label(),
                repository: image.repository.clone(),
                tag: ImageTag::parse("1-stable").expect("a tag"),
                old: None,
                new: image.digest.clone(),
                depth: image.depth,
            })
            .collect(),
    }
}

/// Three releases with two variants; the newest has details, and the first has been written before.
fn wiki(words: &Words, name: &str) -> Wiki {
    let releases: Vec<_> = (0..3).rev().map(|n| release(words, n, name)).collect();
    let StoredRelease {
        digest: shown,
        release: newest,
    } = &releases[0];
    let channel = Channel {
        name: "quarter".to_owned(),
        entries: vec![
            entry(words, 2, MoveKind::Revert, &releases[0]),
            entry(words, 1, MoveKind::Promote, &releases[1]),
        ],
    };
    let never = Channel {
        name: "stable".to_owned(),
        entries: Vec::new(),
    };
    let names = Names::new(releases.iter());
    let StoredRelease {
        digest: first,
        release: old,
    } = &releases[2];
    let written = old.images.iter().map(|image| {
        let page = names.release(first, image).expect("it has a name");
        names::file(page)
    });
    Wiki {
        stack: "datahub".to_owned(),
        links: Links::Wiki,
        shown: shown.clone(),
        details: BTreeMap::from([(shown.clone(), details_of(words, newest))]),
        channels: vec![channel, never],
        written: written.collect(),
        releases,
    }
}

fn page(file: &str) -> String {
    let made = pages(&wiki(&Words::tame(), "ground"));
    made.pages[file].clone()
}

#[test]
fn home() {
    insta::assert_snapshot!(page("Home.md"));
}

#[test]
fn stable() {
    insta::assert_snapshot!(page("Stable.md"));
}

#[test]
fn lineage() {
    insta::assert_snapshot!(page("Lineage.md"));
}

#[test]
fn sidebar() {
    insta::assert_snapshot!(page("_Sidebar.md"));
}

#[test]
fn an_image() {
    insta::assert_snapshot!(page("side.md"));
}

#[test]
fn an_image_of_a_release() {
    insta::assert_snapshot!(page("side--1-0000002.md"));
}

#[test]
fn with_a_record_alone_a_page_is_short() {
    let mut wiki = wiki(&Words::tame(), "ground");
    for StoredRelease { release, .. } in &mut wiki.releases {
        for image in &mut release.images {
            image.variant = None;
            image.verdicts.clear();
            image.dropped.clear();
            image.checks = None;
            image.base_digest = None;
            image.size = 0;
        }
        release.images.truncate(1);
    }
    wiki.details = BTreeMap::from([(wiki.shown.clone(), vec![ImageDetails::default()])]);
    let made = pages(&wiki);
    insta::assert_snapshot!(made.pages["ground--1-0000002.md"]);
    insta::assert_snapshot!(made.pages["Home.md"]);
}

fn events(page: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(page, Options::all())
}

/// Where the links of a page go.
fn targets(page: &str) -> Vec<String> {
    events(page)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.to_string()),
            _ => None,
        })
        .collect()
}

/// Every link leads to a page, and every page is led to from the first or the sidebar.
fn check_links(wiki: &Wiki) {
    let made = pages(wiki);
    let file = |target: &str| match wiki.links {
        Links::Wiki => names::file(target),
        Links::Plain => target.to_owned(),
    };
    let mut todo = vec!["Home.md".to_owned(), "_Sidebar.md".to_owned()];
    let mut reached: BTreeSet<String> = todo.iter().cloned().collect();
    while let Some(from) = todo.pop() {
        // A page that was kept is not ours to read; its images' pages are there again.
        let Some(text) = made.pages.get(&from) else {
            assert!(made.kept.contains(&from), "{from} is a page");
            continue;
        };
        for target in targets(text) {
            let to = file(&target);
            assert!(
                made.pages.contains_key(&to) || made.kept.contains(&to),
                "{from} leads to {to}"
            );
            if reached.insert(to.clone()) {
                todo.push(to);
            }
        }
    }
    let all: BTreeSet<String> = made.pages.keys().chain(&made.kept).cloned().collect();
    assert_eq!(reached, all);
    assert!(all.iter().all(|file| is_page(file)), "{all:?}");
    let folded: BTreeSet<String> = all.iter().map(|file| file.to_lowercase()).collect();
    assert_eq!(folded.len(), all.len(), "{all:?}");
}

const HOSTILE: [&str; 12] = [
    "stable",
    "Home",
    "_Sidebar",
    "side--1-0000002",
    "../../etc/passwd",
    "a](http://example.org) b",
    "a|b`c\n# d",
    "<script>",
    "x.md",
    "",
    "side",
    "\u{e4}\u{202e}\u{1f600}",
];

#[test]
fn links_lead_to_pages() {
    for name in HOSTILE.into_iter().chain(["ground"]) {
        for links in [Links::Wiki, Links::Plain] {
            let mut wiki = wiki(&Words::tame(), name);
            wiki.links = links;
            check_links(&wiki);
            // All details, nothing written before; and an older release in front.
            wiki.details = wiki
                .releases
                .iter()
                .map(|stored| {
                    let known = details_of(&Words::tame(), &stored.release);
                    (stored.digest.clone(), known)
                })
                .collect();
            wiki.written.clear();
            wiki.shown = wiki.releases[2].digest.clone();
            check_links(&wiki);
        }
    }
}

#[test]
fn a_page_keeps_its_name_when_releases_come() {
    for name in HOSTILE {
        let all = wiki(&Words::tame(), name).releases;
        let (before, after) = (Names::new(all[1..].iter()), Names::new(all.iter()));
        for StoredRelease { digest, release } in &all[1..] {
            for image in &release.images {
                let page = before.release(digest, image);
                assert_eq!(page, after.release(digest, image));
                assert_eq!(before.image(&image.image), after.image(&image.image));
            }
        }
    }
}

#[test]
fn pages_of_earlier_releases_stay_and_others_go() {
    let mut wiki = wiki(&Words::tame(), "ground");
    for file in ["gone.md", "gone--1-x.md", "../x.md", ".git/config"] {
        wiki.written.insert(file.to_owned());
    }
    let made = pages(&wiki);
    assert!(made.kept.contains("leaf-notebook--2-0000000.md"));
    assert!(!made.pages.contains_key("leaf-notebook--2-0000000.md"));
    let stale: Vec<_> = made.stale(&wiki.written).collect();
    assert_eq!(stale, ["gone--1-x.md", "gone.md"]);
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
        let (tame, wild) = (wiki(&Words::tame(), "ground"), wiki(&words, "ground"));
        let (tame, wild) = (pages(&tame), pages(&wild));
        prop_assert_eq!(tame.pages.keys().collect::<Vec<_>>(), wild.pages.keys().collect::<Vec<_>>());
        for (file, page) in &wild.pages {
            prop_assert_eq!(skeleton(page), skeleton(&tame.pages[file]), "{}:\n{}", file, page);
        }
    }

    #[test]
    fn hostile_names_are_texts_with_legal_links(name in hostile()) {
        let name = format!("n{name}");
        let (tame, wild) = (wiki(&Words::tame(), "ground"), wiki(&Words::tame(), &name));
        check_links(&wild);
        let (tame, wild) = (pages(&tame), pages(&wild));
        let parts = |made: &Made| {
            let mut list: Vec<_> = made.pages.values().map(|page| skeleton(page)).collect();
            list.sort();
            list
        };
        prop_assert_eq!(parts(&tame), parts(&wild));
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
