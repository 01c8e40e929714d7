//! Suites and info commands of an image.

use super::*;

/// Returns the operations of the first suite of an image with these keys.
fn suite_in(keys: &str, environment: &StepEnvironment) -> Operations {
    let stack = stack(keys);
    let read = |compiler: &mut Compiler, made: Compiled| {
        let suite = &stack.images()[0].proof.suites[0];
        let output = compiler.suite(ImageId(0), &made.state(), suite);
        Operations::read(compiler, output.expect("it compiles"))
    };
    with_image(&stack, environment, read).expect("it compiles")
}

fn suite(keys: &str) -> Operations {
    suite_in(keys, &StepEnvironment::default())
}

#[test]
fn a_suite_is_run_for_at_most_its_time() {
    let ops = suite("tests: { own: { run: \"true\", timeout: 90s } }");
    let args = &meta(ops.last()).args;
    assert_eq!(args[3..], ["laminate", "/bin/sh -e -c true", "90"]);
}

#[test]
fn a_suite_runs_as_the_user_of_the_image_and_without_the_network() {
    let ops = suite("tests: { own: { script: setup.sh } }");
    assert_eq!(meta(ops.last()).user, "jovyan");
    assert_eq!(ops.last().network, NO_NETWORK);
    let other = suite("tests: { own: { script: setup.sh, as: \"4242:100\" } }");
    assert_eq!(meta(other.last()).user, "4242:100");
}

#[test]
fn options_of_the_image_for_pytest_do_not_count_and_those_of_the_suite_do() {
    let image = "env: { PYTEST_ADDOPTS: --deselect=x, PYTEST_PLUGINS: p, KEPT: a }\n";
    let env = |keys: &str| {
        let ops = suite(&format!(
            "{image}tests: {{ own: {{ pytest: checks{keys} }} }}"
        ));
        let all = meta(ops.last()).env.clone();
        all.into_iter()
            .filter(|entry| entry.contains("PYTEST") || entry.contains("KEPT"))
    };
    assert!(env("").eq(["KEPT=a"]));
    assert!(env(", env: { PYTEST_ADDOPTS: -x }").eq(["KEPT=a", "PYTEST_ADDOPTS=-x"]));
}

#[test]
fn a_suite_leaves_its_results_in_an_output() {
    let ops = suite("tests: { own: { run: \"true\" } }");
    let results = mount(ops.last(), "/run/laminate/out").expect("mounted");
    assert_eq!(results.output, 1);
}

#[test]
fn a_suite_sees_certificates_and_proxies_only_with_the_network() {
    let environment = StepEnvironment {
        proxy: Some(Proxy::default()),
        ..with_ca()
    };
    for (network, expected) in [("none", false), ("default", true)] {
        let keys = format!("tests: {{ own: {{ run: \"true\", network: {network} }} }}");
        let ops = suite_in(&keys, &environment);
        assert_eq!(meta(ops.last()).proxy_env.is_some(), expected, "{network}");
        let ca = mount(ops.last(), "/run/laminate/ca.pem");
        assert_eq!(ca.is_some(), expected, "{network}");
    }
}

#[test]
fn pytest_is_fetched_unless_the_image_or_the_requirements_have_it() {
    for (requirements, with_own, with_ours) in [
        ("", "import pytest", "'pytest<=8.3.5'"),
        (
            ", requirements: requirements.txt",
            " -r ",
            "'pytest<=8.3.5'",
        ),
        (", requirements: pinned.txt", " -r ", " -c "),
    ] {
        let ops = suite(&format!(
            "tests: {{ own: {{ pytest: checks{requirements} }} }}"
        ));
        let script = &meta(ops.commands()[0]).args[2];
        assert!(script.contains(with_own), "{script}");
        assert!(script.contains(with_ours), "{script}");
    }
    let pinned = suite("tests: { own: { pytest: checks, requirements: pinned.txt } }");
    assert!(!meta(pinned.commands()[0]).args[2].contains("pytest<="));
}

#[test]
fn pytest_is_mounted_beside_the_tests() {
    let ops = suite("tests: { own: { pytest: checks } }");
    for target in ["pytest", "files", "texts"] {
        let mount = mount(ops.last(), &format!("/run/laminate/{target}"));
        assert!(mount.expect("mounted").readonly, "{target}");
    }
}

#[test]
fn a_suite_may_start_the_images_own_command() {
    let ops = suite("tests: { hub: { serve: 8888, ready: /api } }");
    let test = &meta(ops.last()).args[4];
    assert!(test.starts_with("port=8888\nhex=22B8\n"), "{test}");
    assert!(
        test.contains("setsid start >/run/laminate/server.log 2>&1 &")
            && test.contains("\n(true\n)\n"),
        "{test}"
    );
}

#[test]
fn info_commands_leave_their_output_by_name() {
    let stack = stack("info: { os: { title: System, run: \"cat a\" }, r: { title: R, run: b } }");
    let info: Vec<_> = stack.images()[0].proof.info.iter().collect();
    let ops = with_image(&stack, &with_ca(), |compiler, made| {
        let output = compiler.info(ImageId(0), &made.state(), &info);
        Operations::read(compiler, output)
    })
    .expect("it compiles");
    let script = &meta(ops.last()).args[2];
    assert!(script.contains("mkdir /run/laminate/out/left/os\n/bin/sh -e -c 'cat a' >"));
    assert!(script.contains("echo $? >/run/laminate/out/left/r/exit\n"));
    assert_eq!(ops.last().network, NO_NETWORK);
}

#[test]
fn the_command_that_a_suite_starts_can_have_other_arguments() {
    let ops = suite("tests: { hub: { serve: 80, args: [\"--a b\"] } }");
    assert!(meta(ops.last()).args[4].contains("setsid start '--a b' >"));
    let ops = suite("tests: { hub: { serve: 80, cmd: [other], args: [c] } }");
    assert!(meta(ops.last()).args[4].contains("setsid other c >"));
}

#[test]
fn arguments_and_selected_tests_reach_pytest() {
    let test = |keys: &str| {
        let ops = suite(&format!("tests: {{ own: {{ pytest: checks, {keys} }} }}"));
        meta(ops.last()).args[4].clone()
    };
    let all = test("select: a or b, marks: not gpu, args: [-x, \"--tb=no\"]");
    assert!(all.contains(" -x --tb=no -k 'a or b' -m 'not gpu' -o cache_dir="));
    let some = test("select: [\"test_a.py::test_a\"]");
    assert!(
        some.ends_with(" /run/laminate/files/images/base/checks/test_a.py::test_a"),
        "{some}"
    );
}

#[test]
fn further_groups_are_set_by_root_before_the_suite_starts() {
    let ops = suite("tests: { own: { run: \"true\", groups: [100, video] } }");
    assert_eq!(meta(ops.last()).user, "0");
    let args = &meta(ops.last()).args;
    assert_eq!(
        args[3..8],
        ["laminate", "jovyan", "100 video", "", "/bin/sh"]
    );
    let ops = suite("tests: { own: { run: \"true\", groups: [100], env: { HOME: /x } } }");
    assert_eq!(meta(ops.last()).args[6], "set");
}
