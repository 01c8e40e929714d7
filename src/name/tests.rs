use super::*;
use proptest::prelude::*;

#[test]
fn short_references_are_completed_as_docker_does() {
    let full = |t: &str| Reference::parse(t).expect("valid").to_string();
    assert_eq!(full("debian"), "docker.io/library/debian:latest");
    assert_eq!(full("quay.io/jupyter/base:x"), "quay.io/jupyter/base:x");
    assert_eq!(full("localhost:5000/a/b"), "localhost:5000/a/b:latest");
    assert_eq!(full("index.docker.io/a/b"), "docker.io/a/b:latest");
    let digest = format!("sha256:{}", "a".repeat(64));
    assert_eq!(
        full(&format!("a/b@{digest}")),
        format!("docker.io/a/b@{digest}")
    );
}

fn reason<T>(parsed: Result<T, InvalidName>) -> String {
    parsed.err().expect("invalid").to_string()
}

#[test]
fn an_invalid_reference_is_refused() {
    for text in [
        "",
        ":x",
        "A/b",
        "a//b",
        "a/b:é",
        "a@sha256:1",
        "host:99999/x",
        "a..b/c",
    ] {
        assert!(Reference::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_invalid_tag_has_the_rule_it_breaks() {
    let text = |tag: &str| reason(Tag::parse(tag));
    assert_eq!(text(""), "use 1 to 128 characters");
    assert_eq!(text(&"a".repeat(129)), "use 1 to 128 characters");
    assert_eq!(text("-a"), "begin with a letter, a digit or `_`");
    assert_eq!(text(".a"), "begin with a letter, a digit or `_`");
    assert_eq!(
        text("a b"),
        "use letters, digits, `.`, `_` and `-`; found a blank"
    );
    assert_eq!(
        text("a+b"),
        "use letters, digits, `.`, `_` and `-`; found `+`"
    );
    assert!(Tag::parse(&"a".repeat(128)).is_ok());
    assert!(Tag::parse("_2021.2-x").is_ok());
}

#[test]
fn the_name_of_an_image_is_one_part_of_a_repository() {
    for text in ["a", "a-b", "a--b", "a__b", "a.b", "0"] {
        assert!(ImageName::parse(text).is_ok(), "{text:?}");
    }
    for text in ["", "a-", "-a", "a..b", "a___b", "A", "a/b", "a._b"] {
        assert!(ImageName::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(
        reason(StackName::parse("Bad Name")),
        "use lower-case letters and digits, with `.`, `_` or `-` between them; found the upper-case letter `B`"
    );
    assert_eq!(
        reason(StackName::parse("a..b")),
        "use lower-case letters and digits, with `.`, `_` or `-` between them"
    );
    assert_eq!(
        reason(Reference::parse("debian:a b")),
        "in tag `a b`, use letters, digits, `.`, `_` and `-`; found a blank"
    );
}

#[test]
fn a_digest_is_sha256_in_lower_case() {
    let hex = "0123456789abcdef".repeat(4);
    let digest = Digest::parse(&format!("sha256:{hex}")).expect("a digest");
    assert_eq!((digest.hex(), digest.short()), (&*hex, "0123456789ab"));
    for text in [
        hex.clone(),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}", &hex[1..]),
        format!("sha512:{hex}"),
    ] {
        assert!(Digest::parse(&text).is_err(), "{text}");
    }
}

#[test]
fn the_digest_of_nothing_is_that_of_sha256() {
    assert_eq!(
        Digest::of(b"").as_str(),
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
}

#[test]
fn a_commit_is_a_hash_or_its_beginning() {
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let commit = Commit::parse(hash).expect("a commit");
    assert_eq!(commit.short(), "0123456789ab");
    assert_eq!(commit.abbreviated(), "0123456");
    assert_eq!(
        Commit::parse("0123456").expect("a commit").short(),
        "0123456"
    );
    for text in ["", "012345", "0123456x", "ABCDEF0", &"0".repeat(65)] {
        assert!(Commit::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn docker_hub_has_one_host() {
    for text in ["a/b", "index.docker.io/a/b", "registry-1.docker.io/a/b"] {
        let repository = Repository::parse(text).expect("a repository");
        assert_eq!((repository.host(), repository.path()), ("docker.io", "a/b"));
    }
    assert!(!Repository::names_host("a/b"));
    assert!(Repository::names_host("localhost/b"));
}

#[test]
fn a_host_is_a_name_or_an_address_with_a_port() {
    for host in ["ghcr.io", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"] {
        let repository = Repository::parse(&format!("{host}/a")).expect("a repository");
        assert_eq!(repository.host(), host);
    }
    for host in [
        "a_b.example",
        "a..example",
        "[::x]",
        "ghcr.io:",
        "ghcr.io:x",
    ] {
        assert!(Repository::parse(&format!("{host}/a")).is_err(), "{host}");
    }
}

#[test]
fn a_repository_has_others_below_it() {
    let stack = Repository::parse("ghcr.io/campus").expect("a repository");
    let image = stack.join("base").expect("a repository");
    assert_eq!(image.to_string(), "ghcr.io/campus/base");
    assert!(stack.join("Base").is_err());
}

#[test]
fn a_host_is_one_that_requests_can_be_sent_to() {
    for host in [
        "10.0.0.256:5000",
        "1.2.3.999",
        "127.1",
        "xn--a.example",
        "host:+80",
        "host:",
        "host:65536",
        "foo.0x7fffffffff",
        "a..b",
        "[::1",
        "[::g]",
        "a]b.c",
    ] {
        let found = Repository::parse(&format!("{host}/x"));
        assert!(found.is_err(), "{host}: {found:?}");
    }
    for host in [
        "localhost",
        "localhost:5000",
        "10.0.0.25:5000",
        "[::1]:5000",
        "[2001:db8::1]",
        "a-b.example",
        "Registry.example:443",
        "xn--bcher-kva.example",
    ] {
        let found = Repository::parse(&format!("{host}/x"));
        assert!(found.is_ok(), "{host}: {found:?}");
    }
}

#[test]
fn a_pinned_reference_keeps_its_tag() {
    let pinned = Reference::parse("debian:12").expect("a reference");
    let pinned = pinned.pinned(Digest::of(b""));
    let expected = format!("docker.io/library/debian:12@{}", Digest::of(b""));
    assert_eq!(pinned.to_string(), expected);
}

#[test]
fn an_invalid_name_in_json_is_reported_with_its_text() {
    let error = serde_json::from_str::<Tag>(r#""a b""#).expect_err("invalid");
    assert_eq!(
        error.to_string(),
        "invalid tag `a b`: use letters, digits, `.`, `_` and `-`; found a blank"
    );
}

#[test]
fn a_repository_is_written_and_read_as_text() {
    let repository = Repository::parse("registry.example:5000/a/b").expect("legal");
    let written = serde_json::to_string(&repository).expect("plain data");
    assert_eq!(written, r#""registry.example:5000/a/b""#);
    let read: Repository = serde_json::from_str(&written).expect("legal");
    assert_eq!(read, repository);
    assert!(serde_json::from_str::<Repository>(r#""A/b""#).is_err());
}

proptest! {
    #[test]
    fn every_repository_has_a_url(text in "(([0-9]{1,3}\\.){1,4}|\\[[0-9a-f:]{0,9}\\]|[a-z0-9x.-]{1,12})(:[0-9+]{0,6})?/x") {
        if let Ok(repository) = Reference::parse(&text) {
            let host = repository.repository.host().to_owned();
            prop_assert!(url::Url::parse(&format!("https://{host}/v2/")).is_ok(), "{}", host);
        }
    }

    #[test]
    fn what_is_shown_parses_to_the_same(text in "[a-z0-9./:@_-]{1,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
        }
    }
}

#[test]
fn what_a_repository_lacks_is_named() {
    let reason = |text: &str| Repository::parse(text).expect_err("invalid").to_string();
    assert_eq!(
        reason("127.0.0.1:5000"),
        "a name must follow the host, as in `127.0.0.1:5000/campus`"
    );
    assert_eq!(reason("https://ghcr.io/campus"), "leave out `https://`");
}

#[test]
fn repositories_of_one_host_are_together() {
    let names = [
        "localhost-a.b/x",
        "localhost/x",
        "localhost/a",
        "docker.io/z",
    ];
    let parsed = names.map(|name| Repository::parse(name).expect("valid"));
    let mut sorted = parsed.to_vec();
    sorted.sort();
    let sorted: Vec<&str> = sorted.iter().map(Repository::as_str).collect();
    let expected = [
        "docker.io/z",
        "localhost/a",
        "localhost/x",
        "localhost-a.b/x",
    ];
    assert_eq!(sorted, expected);
    for name in parsed {
        assert_eq!(format!("{}/{}", name.host(), name.path()), name.as_str());
    }
}
