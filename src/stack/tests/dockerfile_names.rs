//! Names in Dockerfiles, and in what the spec sets for them, that are nearly other ones.

use super::dockerfiles::of;

#[test]
fn an_argument_that_is_misspelled_is_an_error() {
    let text = "ARG BASE_IMAGE=debian:12\nFROM $BASE_IMAGE\nARG NB_UID=1000\n";
    let with = |name: &str| {
        let images = format!("  a: {{ dockerfile: {{ args: {{ {name}: x }} }} }}\n");
        of(&images, text, &[])
    };
    for (name, meant) in [("BASE-IMAGES", "BASE_IMAGE"), ("nb_uid", "NB_UID")] {
        let shown = with(name).expect_err("it has a fault");
        assert!(shown.starts_with(&format!("error: unused argument `{name}`")));
        let help = format!("did you mean `{meant}`?");
        assert!(
            shown.contains(&help) && shown.contains("specs.yml:5:30"),
            "{shown}"
        );
    }
    let stack = with("OTHER").expect("a warning alone");
    let [warning] = stack.warnings() else {
        panic!("one warning");
    };
    assert!(
        warning
            .help
            .as_ref()
            .is_some_and(|it| it.contains("`ONBUILD ARG` of the base"))
    );
}

#[test]
fn a_short_name_near_to_another_one_is_a_warning_on_its_line() {
    let images = "  a: { dockerfile: { contexts: { shared: { folder: . } } } }\n  base: { base: debian:12 }\n";
    let warned = |text: &str| {
        let stack = of(images, text, &[]).expect("a warning alone");
        let list = stack.warnings().iter();
        let list = list.filter(|it| !it.message.starts_with("unused context"));
        let list = list.map(|it| {
            let span = it.primary.as_ref().expect("it has a place").span;
            let place = &stack.sources().file(span.source).text[span.start as usize..];
            let place = place.split_whitespace().next().unwrap_or_default();
            (place.to_owned(), it.help.clone().unwrap_or_default())
        });
        list.collect::<Vec<_>>()
    };
    for (text, place, meant) in [
        (
            "FROM golang AS stage\nFROM scratch\nCOPY --from=stagee /x /\n",
            "--from=stagee",
            "stage",
        ),
        ("FROM golang AS stage\nFROM Stag\n", "", "stage"),
        ("FROM golang AS stage\nFROM stag\n", "stag", "stage"),
        ("FROM bsae\n", "bsae", "base"),
        (
            "FROM scratch\nCOPY --from=shared / /\nCOPY --from=shard /x /\n",
            "--from=shard",
            "shared",
        ),
        (
            "FROM scratch\nRUN --mount=from=bas,target=/x y\n",
            "--mount=from=bas,target=/x",
            "base",
        ),
        ("ARG root=debian:12\nFROM rot\n", "rot", "$root"),
        ("ARG X=bse\nFROM $X\n", "bse", "base"),
    ] {
        if place.is_empty() {
            let shown = of(images, text, &[]).expect_err("no name of an image");
            assert!(
                shown.contains(&format!("did you mean `{meant}`?")),
                "{shown}"
            );
            continue;
        }
        let found = warned(text);
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].0, place);
        assert!(
            found[0].1.starts_with(&format!("did you mean `{meant}`?")),
            "{found:?}"
        );
    }
    for text in [
        "FROM golang AS golang1\nFROM golang AS golang2\n",
        "FROM python\nCOPY --from=busybox /x /\n",
        "FROM bsae:latest\nCOPY --from=0 / /x\n",
    ] {
        assert_eq!(warned(text), [], "{text}");
    }
}

#[test]
fn a_value_of_an_argument_near_to_an_image_is_an_error_if_an_image_is_expected() {
    let of = |value: &str, text: &str| {
        let images = format!(
            "  a: {{ dockerfile: {{ args: {{ X: {value} }} }} }}\n  base: {{ base: debian:12 }}\n"
        );
        of(&images, text, &[])
    };
    let shown = of("bsae", "ARG X\nFROM $X\n").expect_err("a typo");
    assert!(
        shown.starts_with("error: unknown image `bsae`\n --> specs.yml:5:33"),
        "{shown}"
    );
    assert!(shown.contains("images/a/Dockerfile:2:6"), "{shown}");
    assert!(shown.contains("did you mean `base`?"), "{shown}");
    for (value, text) in [
        ("bsae:latest", "ARG X\nFROM $X\n"),
        ("python", "ARG X\nFROM $X\n"),
        // Another instruction names it, by itself.
        ("bsae", "FROM bsae\nARG X\n"),
        ("bsae", "FROM debian:12\nARG X\nRUN echo $X\n"),
    ] {
        assert!(of(value, text).is_ok(), "{value} {text}");
    }
}

#[test]
fn a_variable_without_an_arg_that_is_near_to_one_is_an_error() {
    let images = "  a: { dockerfile: Dockerfile }\n";
    for text in [
        "ARG VERSION=12\nFROM debian:${VERSION1}\n",
        "ARG VERSION=12\nFROM debian:$VERSIONS\n",
    ] {
        let shown = of(images, text, &[]).expect_err("it has a fault");
        assert!(
            shown.starts_with("error: unknown variable `VERS"),
            "{shown}"
        );
        assert!(
            shown.contains("images/a/Dockerfile:2:6") && shown.contains("did you mean `VERSION`?"),
            "{shown}"
        );
    }
    for text in [
        "ARG VERSION=12\nFROM debian:${VERSION1:-12}\n",
        "ARG VERSION=12\nFROM debian:${VERSION1-12}\n",
        "ARG V=${W:-12}\nFROM debian:${V}\n",
    ] {
        assert!(of(images, text, &[]).is_ok(), "{text}");
    }
}

#[test]
fn steps_on_nothing_get_the_way_to_do_it() {
    let spec = "stack: x\nimages:\n  a: { base: scratch }\n";
    let shown = crate::testing::parse(spec, &[], &crate::stack::Overrides::default())
        .expect_err("it needs a base");
    assert!(
        shown.contains("write a Dockerfile that begins with `FROM scratch`"),
        "{shown}"
    );
}

#[test]
fn a_name_after_from_that_is_nearly_that_of_a_context_is_an_error_there() {
    let context = "ghcr.io/campus/base-notebook";
    let images = format!(
        "  base-notebook: {{ base: \"debian:12\" }}\n  a: {{ dockerfile: {{ contexts: {{ {context}: base-notebook }} }} }}\n"
    );
    let shown =
        of(&images, "FROM ghcr.io/campus/base-notebok:latest\n", &[]).expect_err("it has a fault");
    assert!(
        shown.starts_with(
            "error: unknown image `ghcr.io/campus/base-notebok`\n --> images/a/Dockerfile:1:6"
        ),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("did you mean `{context}`?")),
        "{shown}"
    );
}
