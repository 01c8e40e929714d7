//! Images with steps of each kind.

use super::*;

const WRITABLE: &str = "writable: { gid: 100, paths: [/opt/conda] }\n";

#[test]
fn a_shell_text_reaches_the_engine_byte_for_byte() {
    let text = "echo \"${X}\" '\\n' $${Y} \t`z`\n";
    let yaml = serde_json::Value::from(text);
    let ops = compile(&format!("steps: [{{ run: {yaml} }}]"));
    assert_eq!(meta(ops.last()).args, ["/bin/sh", "-e", "-c", text]);
}

#[test]
fn steps_run_as_the_user_of_the_image_else_of_the_base() {
    assert_eq!(meta(compile("steps: [{ run: a }]").last()).user, "jovyan");
    let own = compile("user: me\nsteps: [{ run: a }]");
    assert_eq!(meta(own.last()).user, "me");
    let root = compile("steps: [{ run: a, as: root }]");
    assert_eq!(meta(root.last()).user, "0");
}

#[test]
fn packages_are_installed_as_root() {
    let ops = compile("apt: [git]");
    assert_eq!(meta(ops.last()).user, "0");
    assert_eq!(ops.last().network, 0);
}

#[test]
fn a_step_runs_in_its_folder_else_in_that_of_the_base() {
    let cwd = |step: &str| {
        meta(compile(&format!("steps: [{step}]")).last())
            .cwd
            .clone()
    };
    assert_eq!(cwd("{ run: a }"), "/");
    assert_eq!(cwd("{ run: a, cwd: /opt }"), "/opt");
}

#[test]
fn files_are_placed_without_a_command() {
    for step in [
        "{ write: { /etc/x: x } }",
        "{ write: { /opt/conda/x: { text: x, mode: \"2755\" } } }",
        "{ copy: { /etc/x: { from: x, mode: u+s } } }",
        "{ copy: { /opt/: checks/ } }",
        "{ copy: { /opt/conda/: checks/ } }",
        "{ link: { /opt/conda/x: /y } }",
        "{ copy: { /srv/: { image: \"golang:1\", from: /usr/go/ } } }",
    ] {
        let ops = compile(&format!("{WRITABLE}steps: [{step}]"));
        assert!(ops.commands().is_empty(), "{step}");
    }
}

/// By an operation on files, by a command, below writable paths and in a group.
#[test]
fn an_external_image_is_pinned_wherever_files_are_copied_from_it() {
    let copy = "copy: { /opt/conda/go/: { image: \"golang:1\", from: /usr/go/ } }";
    let digest = Digest::of(b"docker.io/library/golang:1");
    let pinned = format!("docker-image://docker.io/library/golang:1@{digest}");
    for keys in [
        copy.to_owned(),
        format!("steps: [{{ {copy}, finish: {{ /opt: {{ mode: g+w }} }} }}]"),
        format!("{WRITABLE}steps: [{{ {copy} }}]"),
        format!("steps: [{{ group: [{{ {copy} }}, {{ run: x }}], as: root }}]"),
    ] {
        let ops = compile(&keys);
        assert!(ops.sources().contains(&pinned.as_str()), "{keys}");
        assert_eq!(ops.sources().len(), 2, "{keys}");
    }
}

#[test]
fn files_of_an_image_of_the_stack_come_from_its_state() {
    let copy = "copy: { /opt/conda/x: { image: tool, from: /x } }";
    for keys in [
        format!("{{ {copy} }}"),
        format!("{{ group: [{{ {copy} }}, {{ run: x, as: root }}], as: root }}"),
    ] {
        for writable in ["", WRITABLE] {
            let spec = format!(
                "stack: x\n{writable}images:\n  a: {{ base: debian:12, steps: [{keys}] }}\n  tool: {{ base: busybox:1 }}\n"
            );
            let stack = stack_with(&spec, &[]);
            let environment = StepEnvironment::default();
            let graph = Graph::new(Platform::linux("amd64"));
            let mut compiler = Compiler::new(&stack, &environment, graph);
            let reference = |text: &str| Reference::parse(text).expect("valid");
            let tool = compiler.reference(&reference("tool:built"), "tool");
            compiler.in_stack.insert(ImageId(0), tool);
            let state = BaseState {
                output: compiler.reference(&reference("debian:12"), "a"),
                config: BaseConfig::parse(BASE.as_bytes()).expect("an object"),
            };
            let made = compiler.image(ImageId(1), state).expect("it compiles");
            let ops = Operations::read(&compiler, made.output);
            let sources = ops.sources();
            let tool = "docker-image://docker.io/library/tool:built";
            assert!(sources.contains(&tool), "{spec}: {sources:?}");
            assert_eq!(sources.len(), 2, "{spec}: {sources:?}");
        }
    }
}

#[test]
fn what_an_image_has_is_given_to_the_group_by_a_command_without_the_network() {
    for target in ["/opt/conda/x", "/opt", "/"] {
        let step = format!("{{ copy: {{ {target}: {{ image: \"golang:1\", from: /go/ }} }} }}");
        let ops = compile(&format!("{WRITABLE}steps: [{step}]"));
        assert_eq!(ops.last().network, NO_NETWORK, "{step}");
        assert!(meta(ops.last()).args[2].contains("chgrp -h 100"), "{step}");
    }
}

#[test]
fn append_perms_and_finish_take_a_command() {
    for step in [
        "{ write: { /x: x }, finish: { /x: { owner: \"1\" } } }",
        "{ append: { /x: x } }",
        "{ perms: { /x: { mode: \"600\" } } }",
    ] {
        let ops = compile(&format!("steps: [{step}]"));
        assert_eq!(ops.commands().len(), 1, "{step}");
    }
}

#[test]
fn finish_runs_after_the_command_and_before_the_correction_of_writable_paths() {
    let ops = compile(&format!(
        "{WRITABLE}steps: [{{ run: a, finish: {{ /opt: {{ mode: g+w }} }} }}]"
    ));
    let args = &meta(ops.last()).args;
    assert_eq!(args[4..6], ["/bin/sh", "-c"]);
    assert_eq!(args[6], "set -e\n/bin/sh -e -c a\nchmod g+w /opt\n");
}

#[test]
fn a_script_is_mounted_with_the_folder_it_is_in() {
    let ops = compile("steps: [{ script: setup.sh }]");
    let path = "/run/laminate/files/images/base/setup.sh";
    assert_eq!(meta(ops.last()).args, [path]);
    let files = mount(ops.last(), "/run/laminate/files").expect("mounted");
    assert!(files.readonly && files.selector == "/files");
    assert!(mount(ops.last(), "/run/laminate/texts").is_none());
}

#[test]
fn certificates_are_mounted_for_steps_with_the_network() {
    let ops = compile_in("steps: [{ run: a }]", &with_ca());
    let env = &meta(ops.last()).env;
    assert!(env.contains(&"PIP_CERT=/run/laminate/ca.pem".to_owned()));
    let mount = mount(ops.last(), "/run/laminate/ca.pem").expect("mounted");
    let secret = mount.secret_opt.as_ref().expect("it is a secret");
    assert_eq!((secret.id.as_str(), secret.optional), (CA_SECRET, false));
}

#[test]
fn certificates_are_not_mounted_without_the_network() {
    let ops = compile_in("steps: [{ run: a, network: none }]", &with_ca());
    assert_eq!(ops.last().network, NO_NETWORK);
    assert!(mount(ops.last(), "/run/laminate/ca.pem").is_none());
}

#[test]
fn certificates_of_the_base_are_kept() {
    let ops = compile_in("env: { PIP_CERT: /own }\nsteps: [{ run: a }]", &with_ca());
    let env = &meta(ops.last()).env;
    assert!(env.contains(&"PIP_CERT=/own".to_owned()));
    assert!(env.contains(&"CURL_CA_BUNDLE=/run/laminate/ca.pem".to_owned()));
}

#[test]
fn the_own_environment_of_a_step_overrides_that_of_its_command() {
    let ops = compile("steps: [{ apt: [git], env: { DEBIAN_FRONTEND: text } }]");
    let env = &meta(ops.last()).env;
    assert_eq!(*env, ["PATH=/bin", "DEBIAN_FRONTEND=text"]);
}

#[test]
fn users_do_not_share_a_cache() {
    let cache = |keys: &str| {
        let ops = compile(keys);
        let mount = mount(ops.last(), "/run/laminate/cache").expect("mounted");
        let id = &mount.cache_opt.as_ref().expect("it is a cache").id;
        (id.clone(), mount.selector.clone(), mount.input >= 0)
    };
    let own = ("laminate-pip-jovyan".to_owned(), "/cache".to_owned(), true);
    assert_eq!(
        cache("steps: [{ pip: { packages: [six], tool: pip } }]"),
        own
    );
    let root = ("laminate-pip".to_owned(), String::new(), false);
    assert_eq!(
        cache("steps: [{ pip: { packages: [six], tool: pip }, as: root }]"),
        root
    );
}

#[test]
fn a_scope_is_part_of_the_id_of_a_cache() {
    let scoped = StepEnvironment {
        cache_scope: "demo-1".to_owned(),
        ..StepEnvironment::default()
    };
    for (keys, target, expected) in [
        (
            "steps: [{ pip: { packages: [six], tool: pip }, as: root }]",
            "/run/laminate/cache",
            "laminate-pip-demo-1",
        ),
        (
            "apt: [git]",
            "/var/cache/apt",
            "laminate-apt-archives-demo-1",
        ),
    ] {
        let ops = compile_in(keys, &scoped);
        let mount = mount(ops.last(), target).expect("mounted");
        assert_eq!(
            mount.cache_opt.as_ref().expect("it is a cache").id,
            expected
        );
    }
}

#[test]
fn caches_of_apt_have_one_writer() {
    let ops = compile("apt: [git]");
    let mount = mount(ops.last(), "/var/cache/apt").expect("mounted");
    let cache = mount.cache_opt.as_ref().expect("it is a cache");
    assert_eq!(cache.sharing, pb::CacheSharingOpt::Private as i32);
}

#[test]
fn uv_is_sent_once_for_all_steps_and_fetched_by_none() {
    let ops = compile(
        "steps: [{ pip: [six] }, { pip: [wheel] }, { group: [{ pip: [pip] }, { run: x }], as: root }]",
    );
    assert_eq!(ops.commands().len(), 3);
    for command in ops.commands() {
        assert!(
            mount(command, "/run/laminate/uv")
                .expect("mounted")
                .readonly
        );
    }
    let mut sources = ops.sources();
    sources.retain(|source| source.starts_with("local://"));
    assert_eq!(sources.len(), 1, "{sources:?}");
}

#[test]
fn steps_with_the_images_own_pip_fetch_nothing() {
    let ops = compile("steps: [{ pip: { packages: [six], tool: pip } }]");
    assert_eq!(ops.commands().len(), 1);
}

#[test]
fn included_requirements_are_in_the_step() {
    let ops = compile("steps: [{ pip: { requirements: requirements.txt, tool: pip } }]");
    let paths = ops.made_files();
    assert!(paths.contains(&"/files/images/base/more.txt"), "{paths:?}");
}

#[test]
fn secrets_are_mounted_where_the_step_has_them() {
    let ops = compile("steps: [{ run: a, secrets: { token: /run/token } }]");
    let mount = mount(ops.last(), "/run/token").expect("mounted");
    let secret = mount.secret_opt.as_ref().expect("it is a secret");
    assert_eq!((secret.id.as_str(), secret.mode), ("token", 0o444));
}

#[test]
fn proxies_are_given_to_steps() {
    let proxy = Proxy {
        https: "http://proxy:3128".to_owned(),
        ..Proxy::default()
    };
    let environment = StepEnvironment {
        proxy: Some(proxy),
        ..StepEnvironment::default()
    };
    let ops = compile_in("steps: [{ run: a }]", &environment);
    let proxy = meta(ops.last()).proxy_env.as_ref().expect("it is set");
    assert_eq!(proxy.https_proxy, "http://proxy:3128");
}

#[test]
fn each_operation_belongs_to_its_step() {
    let stack = stack("steps: [{ run: a }, { write: { /x: x } }, { run: b }]");
    let (steps, states) = with_image(&stack, &StepEnvironment::default(), |_, made| {
        let steps: Vec<usize> = made.operations.values().copied().collect();
        (steps, made.states.len())
    })
    .expect("it compiles");
    assert_eq!((steps, states), (vec![0, 1, 2], 4));
}

/// Its operation has its data. The only tree is that with the empty file it replaces, one for all steps.
#[test]
fn a_small_file_is_made_where_it_belongs() {
    let mode = |mode: &str| format!("{{ copy: {{ /etc/c: {{ from: x, mode: {mode} }} }} }}");
    for (steps, operations, last) in [
        ("{ write: { /etc/a: x } }".to_owned(), 2, "/etc/a"),
        (
            "{ write: { /etc/a: x } }, { copy: { /etc/b: x } }".to_owned(),
            3,
            "/etc/b",
        ),
        (mode("\"600\""), 2, "/etc/c"),
        // What the engine computes, and what a change of the owner removes, is copied.
        (mode("g+w"), 2, ""),
        (mode("\"4755\""), 2, ""),
    ] {
        let ops = compile(&format!("steps: [{steps}]"));
        let files = ops.0.iter().filter(|op| matches!(op, pb::op::Op::File(_)));
        assert_eq!(files.count(), operations, "{steps}");
        let Some(pb::file_action::Action::Mkfile(made)) = ops.actions().pop() else {
            assert_eq!(last, "", "{steps}");
            continue;
        };
        assert_eq!((made.path.as_str(), made.data[0]), (last, b'x'), "{steps}");
    }
}

#[test]
fn a_large_content_is_sent_beside_the_graph() {
    let text = "x".repeat((64 << 10) + 1);
    let stack = stack(&format!("steps: [{{ write: {{ /x: {text} }} }}]"));
    let (ops, served) = with_image(&stack, &StepEnvironment::default(), |compiler, made| {
        let served: Vec<String> = compiler.served.values().flat_map(paths).collect();
        (Operations::read(compiler, made.output), served)
    })
    .expect("it compiles");
    assert_eq!(served, ["0", "0/x", "empty-600"]);
    let copied = |action: &&pb::file_action::Action| matches!(action, pb::file_action::Action::Copy(copy) if copy.src == "/0/x" && copy.dest == "/x");
    assert!(ops.actions().iter().any(copied));
}

fn paths(tree: &crate::llb::ServedTree) -> Vec<String> {
    tree.iter().map(|(path, _)| path.to_owned()).collect()
}

#[test]
fn many_small_files_are_sent_beside_the_graph_in_one_tree() {
    let files: Vec<(String, String)> = (0..900)
        .map(|number| (format!("images/base/many/{number}"), "x".repeat(100)))
        .collect();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let yaml =
        "stack: x\nimages:\n  base:\n    base: debian:12\n    steps: [{ copy: { /m: many } }]\n";
    let stack = crate::testing::stack_with(yaml, &files);
    let (ops, served) = with_image(&stack, &StepEnvironment::default(), |compiler, made| {
        let served: Vec<usize> = compiler
            .served
            .values()
            .map(|tree| paths(tree).len())
            .collect();
        (Operations::read(compiler, made.output), served)
    })
    .expect("it compiles");
    assert_eq!(served, [901]);
    assert!(ops.actions().len() < 5);
}

#[test]
fn a_group_is_one_operation() {
    let ops = compile("steps: [{ group: [{ append: { /x: more } }, { run: a }], as: root }]");
    assert_eq!(ops.commands().len(), 1);
    assert!(meta(ops.last()).args[2].contains("/run/laminate/texts/0-append0"));
}

#[test]
fn a_group_below_writable_paths_is_corrected_once() {
    let ops = compile(&format!(
        "{WRITABLE}steps: [{{ group: [{{ write: {{ /opt/conda/x: x }} }}, {{ run: a }}], as: root }}]"
    ));
    let args = meta(ops.last()).args.join("\n");
    assert_eq!(args.matches("marker=").count(), 1);
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let digest = || {
        let read = |compiler: &mut Compiler, made: Compiled| {
            let definition = compiler.graph.marshal(made.output);
            Digest::of(&definition.pb.def.concat())
        };
        let stack = stack("apt: [git, jq]\npip: requirements.txt");
        with_image(&stack, &with_ca(), read).expect("it compiles")
    };
    assert_eq!(digest(), digest());
}

#[test]
fn mounts_of_a_step_are_those_of_its_command() {
    let mounts = "mounts: { /b: { bind: checks }, /w: { bind: x, rw: true }, /i: { image: \"golang:1\", from: /go }, /t: { tmpfs: 1m } }";
    let ops = compile(&format!("steps: [{{ run: a, {mounts} }}]"));
    let mount = |target| mount(ops.last(), target).expect("mounted");
    let kept = |target| {
        (
            mount(target).readonly,
            mount(target).output,
            mount(target).selector.as_str(),
        )
    };
    assert_eq!(kept("/b"), (true, -1, "/mount"));
    assert_eq!(kept("/w"), (false, -1, "/mount"));
    assert_eq!(kept("/i"), (true, -1, "/go"));
    let size = mount("/t").tmpfs_opt.as_ref().map(|tmpfs| tmpfs.size);
    assert_eq!(size, Some(1 << 20));
}

#[test]
fn a_cache_of_a_step_belongs_to_its_user() {
    let cache = |user: &str, keys: &str| {
        let step =
            format!("steps: [{{ run: a, as: {user}, mounts: {{ /c: {{ cache: npm{keys} }} }} }}]");
        let ops = compile(&step);
        let mount = mount(ops.last(), "/c").expect("mounted");
        let id = mount.cache_opt.as_ref().expect("it is a cache").id.clone();
        let made = ops.actions().into_iter().find_map(|action| match action {
            pb::file_action::Action::Mkdir(folder) if folder.path == "/mount" => Some(folder.mode),
            _ => None,
        });
        (id, mount.input >= 0, made)
    };
    assert_eq!(cache("root", ""), ("npm".to_owned(), false, None));
    assert_eq!(
        cache("\"1000:100\"", ""),
        ("npm".to_owned(), true, Some(0o755))
    );
    assert_eq!(
        cache("jovyan", ""),
        ("npm-jovyan".to_owned(), true, Some(0o777))
    );
    let owned = (
        ", uid: 7, mode: \"700\"",
        ("npm".to_owned(), true, Some(0o700)),
    );
    assert_eq!(cache("jovyan", owned.0), owned.1);
}

#[test]
fn a_cache_of_the_user_replaces_the_one_of_laminate() {
    let ops = compile(
        "steps: [{ group: [{ apt: [git] }, { run: a, as: root }], mounts: { /var/cache/apt: { cache: apt, sharing: locked } } }]",
    );
    let at = ops
        .last()
        .mounts
        .iter()
        .filter(|mount| mount.dest == "/var/cache/apt");
    let ids: Vec<_> = at
        .filter_map(|mount| Some(mount.cache_opt.as_ref()?.id.as_str()))
        .collect();
    assert_eq!(ids, ["apt"]);
}
