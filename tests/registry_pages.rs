//! Lists of tags as registries and what stands before them give them: never a part of the list for all of it.

use crate::support::client::{registry, repository};
use crate::support::fake::{Effect, Fake};
use laminate::testing::name::Tag;

/// A page of a list: its status, its link, and its body.
type Page = (u16, &'static str, String);

fn page(link: &'static str, tags: &[&str]) -> Page {
    let body = serde_json::json!({ "name": "a", "tags": tags });
    (200, link, body.to_string())
}

fn body(status: u16, text: &str) -> Page {
    (status, "", text.to_owned())
}

const NEXT: &str = r#"</v2/a/tags/list?n=1000&token=2>; rel="next""#;
const THIRD: &str = r#"</v2/a/tags/list?n=1000&token=3>; rel="next""#;

/// Returns the tags that are read of these answers, or the end of the error.
async fn list(pages: Vec<Page>) -> Result<Vec<String>, String> {
    let fake = Fake::start().await;
    for (status, link, text) in pages {
        let links = Some(link).filter(|link| !link.is_empty());
        let links = links.map(|link| ("link", link.replace("HOST", &fake.host)));
        let answer = Effect::Answer(status, links.into_iter().collect(), text);
        fake.fault(1, "GET", "tags/list", answer);
    }
    // What comes after them.
    fake.answer(
        usize::MAX,
        "GET",
        "tags/list",
        418,
        "too many requests of this test",
    );
    let tags = registry().tags(&repository(&fake, "a")).await;
    let names = |tags: Vec<Tag>| tags.iter().map(ToString::to_string).collect();
    tags.map(names).map_err(|error| error.to_string())
}

#[tokio::test]
async fn every_page_counts() {
    let (a, ab) = (vec!["a"], vec!["a", "b"]);
    for (name, pages, expected) in [
        ("one page", vec![page("", &["b", "a"])], ab.clone()),
        (
            "twice the same tag",
            vec![page(NEXT, &["a", "b"]), page("", &["b"])],
            ab.clone(),
        ),
        (
            "an empty page with a link",
            vec![page(NEXT, &[]), page("", &["a"])],
            a.clone(),
        ),
        (
            "an empty page at the end",
            vec![page(NEXT, &["a"]), page("", &[])],
            a.clone(),
        ),
        (
            "no tags",
            vec![body(200, r#"{"name": "a", "tags": null}"#)],
            vec![],
        ),
        (
            "no repository",
            vec![body(404, r#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#)],
            vec![],
        ),
        (
            "a page that is missing, by its last tag",
            vec![page(NEXT, &["a"]), body(404, ""), page("", &["b"])],
            ab.clone(),
        ),
        (
            "a page that fails once",
            vec![page(NEXT, &["a"]), body(500, "busy"), page("", &["b"])],
            ab.clone(),
        ),
        (
            "an absolute link",
            vec![
                page(
                    r#"<http://HOST/v2/a/tags/list?token=2>; rel="next""#,
                    &["a"],
                ),
                page("", &["b"]),
            ],
            ab.clone(),
        ),
        (
            "three pages",
            vec![page(NEXT, &["b"]), page(THIRD, &[]), page("", &["a"])],
            ab.clone(),
        ),
    ] {
        assert_eq!(
            list(pages).await,
            Ok(expected.into_iter().map(str::to_owned).collect()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_full_page_without_a_link_is_not_taken_for_the_last() {
    let round: Vec<String> = (0..50).map(|n| format!("t{n:02}")).collect();
    let round: Vec<&str> = round.iter().map(String::as_str).collect();
    let with_last = [round.clone(), vec!["u"]].concat();
    for (name, pages, expected) in [
        (
            "a full page without a link",
            vec![page("", &round), page("", &["u"])],
            with_last,
        ),
        (
            "a full page that is the last",
            vec![page("", &round), page("", &[])],
            round.clone(),
        ),
        (
            "a registry without pages",
            vec![page("", &round), page("", &round)],
            round.clone(),
        ),
        (
            "a link without a next page",
            vec![
                page(" ", &["a"]),
                page("<x>; rel=first", &["b"]),
                page("", &[]),
            ],
            vec!["a", "b"],
        ),
        (
            "a full page, and nothing behind it",
            vec![page("", &round), body(404, r#"{"errors": []}"#)],
            round.clone(),
        ),
    ] {
        assert_eq!(
            list(pages).await,
            Ok(expected.into_iter().map(str::to_owned).collect()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_part_of_a_list_is_an_error() {
    for (name, pages) in [
        (
            "a page that always fails",
            [vec![page(NEXT, &["a"])], vec![body(500, ""); 6]].concat(),
        ),
        (
            "cut JSON",
            vec![
                page(NEXT, &["a"]),
                body(200, r#"{"name": "a", "tags": ["b""#),
            ],
        ),
        (
            "no JSON",
            vec![page(NEXT, &["a"]), body(200, "<html>login</html>")],
        ),
        ("an empty body", vec![page(NEXT, &["a"]), body(200, "")]),
        (
            "an error with status 200",
            vec![body(200, r#"{"errors": [{"code": "TOOMANYREQUESTS"}]}"#)],
        ),
        ("no key `tags`", vec![page(NEXT, &["a"]), body(200, "{}")]),
        (
            "another host",
            vec![page("<http://127.0.0.2/v2/a/tags/list>; rel=next", &["a"])],
        ),
        (
            "a link without its end",
            vec![page("</v2/a/tags/list?last=a; rel=next", &["a"])],
        ),
        (
            "the same page",
            vec![page(NEXT, &["a"]), page(NEXT, &["b"])],
        ),
        (
            "nothing before a page that is missing",
            vec![page(NEXT, &[]), body(404, "")],
        ),
        (
            "a 404 of a proxy",
            vec![body(404, "<html>no such host</html>")],
        ),
        ("denied on the way", vec![page(NEXT, &["a"]), body(403, "")]),
        (
            "a page that is missing twice",
            vec![page(NEXT, &["a"]), body(404, ""), body(404, "")],
        ),
    ] {
        let error = list(pages).await.expect_err(name);
        assert!(
            error.starts_with("cannot list the tags of "),
            "{name}: {error}"
        );
        assert!(!error.contains(" 418"), "{name}: {error}");
    }
}
