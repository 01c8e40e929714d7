//! The links between all pages, and the names that they lead to.

use super::*;

pub(super) fn events(page: &str) -> impl Iterator<Item = Event<'_>> {
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

/// Every link leads to a page, and every page is led to from the first or the sidebar. Returns the pages.
pub(super) fn check_links(wiki: &Wiki) -> Made {
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
    made
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
