//! Commands about releases, through the binary, with nothing but a registry: no spec, no git (PATH is
//! empty), no engine.

use std::collections::BTreeMap;

use crate::support::fake::Fake;
use crate::support::laminate::{Answer, Laminate};
use laminate::testing::evidence::{Evidence, Info, packages};
use laminate::testing::name::{Digest, Repository};
use laminate::testing::record::{Release, StoredSpec};
use laminate::testing::registry::{Options, Registry};
use laminate::testing::staging::Staging;
use serde_json::{Value, json};

/// Two releases of a base and a leaf; in the second, the base's requirements changed.
async fn published(fake: &Fake) -> String {
    let registry = Registry::new(Options::default()).expect("a client");
    let repository = Repository::parse(&format!("{}/ns/datahub", fake.host));
    let staging = Staging::new(&registry, &repository.expect("a repository"));
    let requirements = [
        ("a", "numpy==2.2.0\nsix==1.16.0\ntorch==2.5.1\n", "1"),
        ("b", "einops==0.8.0\nnumpy==2.2.1\ntorch==2.5.1\n", "2"),
    ];
    for (commit, list, number) in requirements {
        let image = |name: &str, depth: usize| {
            json!({
                "image": name, "variant": null, "depth": depth,
                "repository": format!("{}/ns/{name}", fake.host),
                "digest": Digest::of(format!("{name} {number}").as_bytes()),
                "key": Digest::of(format!("{name} key {number}").as_bytes()),
                "tags": [format!("s-{commit}")],
                "base": if depth == 0 { "debian:bookworm" } else { "base" },
                "base_digest": (depth == 0).then(|| Digest::of(b"debian")),
            })
        };
        let made: Release = serde_json::from_value(json!({
            "stack": "datahub", "commit": commit.repeat(40), "run": format!("run{commit}"),
            "time": format!("2026-11-24T12:00:0{number}Z"),
            "images": [image("base", 0), image("leaf", 1)],
        }))
        .expect("a release");
        let mut evidence = BTreeMap::new();
        for image in &made.images {
            let (key, digest) = (image.key.clone().expect("built"), image.digest.clone());
            let mut known = Evidence::new(image.label(), key, digest);
            let info = Info {
                key: Digest::of(b"pip freeze"),
                title: "pip packages".to_owned(),
                time: None,
                exit: 0,
                text: String::new(),
                error: String::new(),
                packages: packages::parse(list),
            };
            known.info.insert("pip".to_owned(), info);
            evidence.insert(image.label(), known);
        }
        let spec: StoredSpec = serde_json::from_value(json!({
            "files": {
                "specs.yml": "stack: datahub\n",
                "images/leaf/image.yml": "base: base\n",
            },
            "lock": format!("version: 1\nbases:\n  \"debian:bookworm\": {}\n", Digest::of(b"debian")),
            "vars": { "word": "it's", "cuda": "126" },
            "images": [
                {
                    "resolved": {
                        "image": "base", "variant": null,
                        "base": format!("debian:bookworm@{}", Digest::of(b"debian")),
                        "env": { "LANG": "C" },
                        "steps": [{ "pip": { "requirements": "images/base/requirements.txt" } }, { "run": "set -x\ntrue\n" }],
                    },
                    "components": [
                        { "kind": "file", "what": "images/base/requirements.txt", "value": number },
                        { "kind": "step", "what": "pip: requirements.txt", "value": "1" },
                    ],
                },
                {
                    "resolved": { "image": "leaf", "variant": null, "base": "base", "steps": [] },
                    "components": [{ "kind": "parent", "what": "base", "value": number }],
                },
            ],
        }))
        .expect("a spec");
        let none = BTreeMap::new();
        let sent = staging.send_parts(made, &evidence, &spec, &none);
        let sent = sent.await.expect("sent");
        let written = staging.write_release(1, sent, None);
        written.await.expect("written");
    }
    staging.repository.to_string()
}

/// Runs laminate in an empty folder.
async fn laminate(staging: &str, words: &[&str]) -> Answer {
    let laminate = Laminate::new().arguments(&["--staging", staging]);
    laminate.run(words).await
}

#[tokio::test]
async fn a_diff_names_exactly_the_packages_that_changed() {
    let fake = Fake::start().await;
    let staging = published(&fake).await;
    let written = fake.count("PUT", "");
    for ends in [&["aaaaaaa", "bbbbbbb"][..], &["s-a", "runb"], &["bbbbbbb"]] {
        let answer = laminate(&staging, &[&["--json", "diff"], ends].concat()).await;
        assert_eq!(answer.code, 10, "{answer:?}");
        let difference = answer.json();
        for number in [0, 1] {
            let inherited = number == 1;
            assert_eq!(
                difference["changed"][number]["packages"],
                json!({ "pip": {
                    "title": "pip packages",
                    "added": [{ "name": "einops", "version": "0.8.0", "inherited": inherited }],
                    "removed": [{ "name": "six", "version": "1.16.0", "inherited": inherited }],
                    "changed": [
                        { "name": "numpy", "from": "2.2.0", "to": "2.2.1", "inherited": inherited }
                    ],
                } })
            );
        }
    }
    let answer = laminate(&staging, &["diff", "aaaaaaa", "bbbbbbb"]).await;
    let text: Vec<&str> = answer.stdout.lines().skip(2).collect();
    insta::assert_snapshot!(text.join("\n"), @r"
    base  1e9bcb9dd6c0 → caddd7716fba
      pip packages (pip)
        + einops 0.8.0
        ~ numpy 2.2.0 → 2.2.1
        - six 1.16.0
      cache key
        images/base/requirements.txt changed

    leaf  ccbf76d20974 → bac57df66fe6
      pip packages (pip)
        3 changes as in base
      base
        base 1e9bcb9dd6c0 → caddd7716fba

    2 images changed
    ");
    let same = laminate(&staging, &["diff", "runb", "s-b"]).await;
    assert_eq!(same.code, 0, "{same:?}");
    let first = laminate(&staging, &["diff", "runa"]).await;
    assert_eq!(first.code, 2, "{first:?}");
    assert_eq!(fake.count("PUT", ""), written, "nothing is written");
}

#[tokio::test]
async fn a_release_is_shown_without_a_spec() {
    let fake = Fake::start().await;
    let staging = published(&fake).await;
    let shown = laminate(&staging, &["--json", "show", "runb"]).await.json();
    assert_eq!(shown["commit"], "b".repeat(40));
    let base = shown["images"][0]["digest"].clone();
    assert_eq!(
        shown["images"][1]["base"],
        json!({ "image": "base", "digest": base })
    );
    let answer = laminate(&staging, &["show", "elsewhere"]).await;
    assert_eq!(answer.code, 2, "{answer:?}");
    let history = laminate(&staging, &["--json", "history", "leaf"])
        .await
        .json();
    let releases = history["releases"].as_array().expect("a list");
    assert_eq!(releases.len(), 2);
    assert_eq!(releases[0]["images"][0]["lineage"][0]["digest"], base);
    let reference = &releases[0]["images"][0]["lineage"][1]["reference"];
    assert_eq!(reference, "debian:bookworm");
}

#[tokio::test]
async fn without_a_release_the_newest_one_is_read() {
    let fake = Fake::start().await;
    let staging = published(&fake).await;
    for (words, named) in [
        (&["show"] as &[&str], &["show", "runb"] as &[&str]),
        (&["rebuild"], &["rebuild", "runb"]),
        (&["diff"], &["diff", "runa", "runb"]),
    ] {
        let newest = laminate(&staging, &[&["--json"], words].concat()).await;
        let named = laminate(&staging, &[&["--json"], named].concat()).await;
        assert_eq!(newest.code, named.code, "{newest:?}");
        assert_eq!(newest.json(), named.json(), "{words:?}");
    }
    let shown = laminate(&staging, &["show"]).await.stdout;
    let first = shown.lines().next().unwrap_or_default();
    assert!(first.ends_with(" (newest)"), "{shown}");
    let none = format!("{}/ns/none", fake.host);
    for command in ["show", "rebuild", "diff"] {
        let answer = laminate(&none, &[command]).await;
        assert_eq!(answer.code, 2, "{answer:?}");
        let help = "help: `laminate build --push` records one\n";
        assert!(answer.stderr.ends_with(help), "{answer:?}");
    }
}

#[tokio::test]
async fn a_command_reports_once_that_it_asks_the_registry() {
    let fake = Fake::start().await;
    let staging = published(&fake).await;
    let spec = format!(
        "stack: datahub\nregistry: {}/ns\nimages:\n  leaf: {{ base: '{}/debian@{}' }}\n",
        fake.host,
        fake.host,
        Digest::of(b"debian")
    );
    let laminate = Laminate::new()
        .spec(&spec)
        .arguments(&["--staging", &staging]);
    for words in [
        &["why", "leaf"] as &[&str],
        &["plan"],
        &["history", "leaf"],
        &["show", "runb"],
        &["diff", "runb"],
        &["rebuild", "runb"],
        &["status"],
        &["lock", "--dry-run"],
    ] {
        let answer = laminate.run(words).await;
        let reports = answer.stderr.matches("asking the registry\n").count();
        assert_eq!(reports, 1, "{words:?}: {answer:?}");
    }
}

#[tokio::test]
async fn the_spec_of_a_release_is_shown_and_written_as_it_was() {
    let fake = Fake::start().await;
    let staging = published(&fake).await;
    let answer = laminate(&staging, &["rebuild", "runb"]).await;
    let digest = laminate(&staging, &["--json", "show", "runb"]).await.json()["release"].clone();
    let text = answer
        .stdout
        .replace(digest.as_str().expect("a digest"), "RELEASE");
    insta::assert_snapshot!(text, @r"
    # release RELEASE
    # commit bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, run runb, 2026-11-24T12:00:02Z
    #
    # To rebuild it, run in the folder of the spec, in a clone that has the commit:
    #   laminate rebuild RELEASE --out rebuild
    #   git archive bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb -- images ':(exclude)images/*/image.yml' | tar -x -C rebuild
    #   laminate -f rebuild/specs.yml --var cuda=126 --var 'word=it'\''s' build
    #
    # Its steps use these files of the commit:
    #   images/base/requirements.txt
    #
    # The rebuild is exact if `laminate plan --json` prints the same keys.
    images:
    - image: base
      digest: sha256:caddd7716fba6b1c2066b0e13d8972e143e3a2c8c982ba1db156b279ea8627a6
      key: sha256:03259711290c2faf20df7e9c66e71809f88264de1c409e2db09b01e7d064d1c8
      base: debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804
      env:
        LANG: C
      steps:
      - pip:
          requirements: images/base/requirements.txt
      - run: |
          set -x
          true
    - image: leaf
      digest: sha256:bac57df66fe6368188d1d4521bcffaecee76a03a50ff297a13439f7164de0a5f
      key: sha256:840c27429fb67e32a27cc337118516192d7b484f89585a9e10b10dc7fd00ccf0
      base: base
      steps: []
    ");

    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("again");
    let out = out.to_str().expect("UTF-8");
    let answer = laminate(&staging, &["--json", "rebuild", "runb", "--out", out]).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    let read = |path: &str| std::fs::read_to_string(format!("{out}/{path}")).expect("written");
    assert_eq!(read("specs.yml"), "stack: datahub\n");
    assert_eq!(read("images/leaf/image.yml"), "base: base\n");
    assert!(
        read("specs.lock").contains(&format!("\"debian:bookworm\": {}", Digest::of(b"debian")))
    );
    let resolved: Value = serde_json::from_str(&read("resolved.json")).expect("JSON");
    assert_eq!(resolved["images"][0]["resolved"]["env"]["LANG"], "C");
    let again = laminate(&staging, &["rebuild", "runb", "--out", out]).await;
    assert_eq!(again.code, 2, "it is not empty: {again:?}");
}
