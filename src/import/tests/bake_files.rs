use super::*;

#[test]
fn a_bake_file_is_read_with_what_its_targets_inherit() {
    let document = json!({
        "group": { "default": { "targets": ["app"] } },
        "target": {
            "_common": { "args": { "A": "1" }, "labels": { "team": "campus" }, "platforms": ["linux/amd64"] },
            "base": { "inherits": ["_common"], "context": ".", "dockerfile": "docker/base.Dockerfile", "tags": ["ghcr.io/campus/base:1"] },
            "app": { "inherits": ["_common"], "context": "app", "contexts": { "parent": "target:base", "tool": "docker-image://busybox" }, "target": "final" },
        },
    });
    let found = bake("docker-bake.json", "", &document).expect("valid");
    let files = [
        (
            "docker/base.Dockerfile",
            "ARG A\nFROM debian:12\nCOPY x /x\n",
        ),
        ("x", ""),
        (
            "app/Dockerfile",
            "FROM parent AS final\nCOPY --from=tool /bin/sh /sh\n",
        ),
    ];
    let made = import(found, &files);
    assert_eq!(made.spec["registry"], "ghcr.io/campus");
    assert_eq!(
        made.spec["images"],
        json!({
            "base": { "dockerfile": { "file": "docker/base.Dockerfile", "args": { "A": "1" } }, "config": { "labels": { "team": "campus" } } },
            "app": { "dockerfile": { "target": "final", "contexts": { "parent": "base", "tool": "busybox:latest" } }, "config": { "labels": { "team": "campus" } } },
        })
    );
    let expected = [
        ("app/Dockerfile", "images/app/Dockerfile"),
        (
            "docker/base.Dockerfile",
            "images/base/docker/base.Dockerfile",
        ),
        ("x", "images/base/x"),
    ];
    assert_eq!(copies(&made), expected);
    let open = made.notes.iter().filter(|note| note.is_open);
    let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
    let platforms = "platforms [\"linux/amd64\"]";
    assert_eq!(open, [platforms, platforms, "argument A", "tag 1 of base"]);
}

#[test]
fn a_bake_file_without_buildx_is_read_as_bake_reads_it() {
    let document = json!({ "target": {
        "base": { "context": "a", "target": "one", "args": { "V": "1" }, "secret": ["id=x"], "dockerfile": "../b/D.Dockerfile" },
        "child": { "inherits": ["base"], "target": null, "args": { "V": null, "W": "$${V}" }, "secret": ["id=y"] },
        "text": { "dockerfile-inline": "FROM debian:12\nENV A=$${B}\n" },
    } });
    let found = bake("docker-bake.json", "", &document).expect("a bake file");
    let dockerfile = "ARG V\nARG W\nFROM debian:12 AS one\nCOPY . /\n";
    let made = import(found, &[("b/D.Dockerfile", dockerfile), ("a/x", "")]);
    let child = &made.spec["images"]["child"]["dockerfile"];
    assert_eq!(
        child,
        &json!({ "file": "../child.Dockerfile", "target": "one", "args": { "V": "1", "W": "$${V}" }, "secrets": ["x", "y"] })
    );
    // Beside the context: `COPY .` would have it in the image.
    let copied = copies(&made);
    assert!(
        copied.contains(&("b/D.Dockerfile", "images/child.Dockerfile")),
        "{copied:?}"
    );
    assert!(made.written["images/text.Dockerfile"].ends_with("ENV A=${B}\n"));
}

#[test]
fn paths_out_of_the_folder_of_the_import_are_errors() {
    let outside = [
        json!({ "context": ".." }),
        json!({ "context": "a", "dockerfile": "../../Dockerfile" }),
        json!({ "contexts": { "x": "../../b" } }),
    ];
    for target in outside {
        let document = json!({ "target": { "a": target } });
        let error = bake("docker/docker-bake.json", "docker", &document);
        let is_inside = target.get("contexts").is_none();
        assert_eq!(error.is_ok(), is_inside, "{target}: {error:?}");
        let error = bake("docker-bake.json", "", &document).expect_err("outside");
        assert!(
            error.contains("leads out of the folder of the import"),
            "{error}"
        );
    }
}

#[test]
fn paths_are_relative_to_the_folder_where_bake_runs_and_to_contexts() {
    let document = json!({ "target": {
        "a": { "context": "../shared", "dockerfile": "../x/Dockerfile" },
        "b": { "context": "cwd://sub", "dockerfile": "cwd://b.Dockerfile", "contexts": { "n": "cwd://../n" } },
    } });
    let found = bake("g/docker-bake.json", "g", &document).expect("valid");
    let paths: Vec<(&str, &str)> = (found.targets.iter())
        .map(|it| (it.context.as_str(), it.dockerfile.as_str()))
        .collect();
    assert_eq!(
        paths,
        [("shared", "x/Dockerfile"), ("g/sub", "g/b.Dockerfile")]
    );
    let folder = Context::Folder("n".to_owned());
    assert_eq!(found.targets[1].contexts.get("n"), Some(&folder));
    for target in [
        json!({ "context": "/x" }),
        json!({ "dockerfile": "/x/Dockerfile" }),
    ] {
        let document = json!({ "target": { "a": target } });
        let error = bake("docker-bake.json", "", &document).expect_err("absolute");
        assert!(error.contains("is an absolute path"), "{error}");
    }
}
