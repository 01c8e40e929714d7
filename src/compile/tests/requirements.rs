//! Requirements as steps get them: local projects, and the form that the tool reads.

use super::*;

#[test]
fn a_local_project_is_copied_to_where_its_build_may_write() {
    let spec = "stack: x\nimages:\n  a: { base: debian:12, STEP }\n";
    let files = [
        ("images/a/r.txt", "./my pkg\n--pre\n"),
        ("images/a/my pkg/setup.py", ""),
    ];
    let script = |step: &str| {
        let stack = stack_with(&spec.replace("STEP", step), &files);
        let read = |compiler: &mut Compiler, made: Compiled| {
            let ops = Operations::read(compiler, made.output);
            (
                meta(ops.last()).args.join("\n"),
                ops.made_files().join("\n"),
            )
        };
        with_image(&stack, &StepEnvironment::default(), read).expect("it compiles")
    };
    let (script_alone, made) = script("pip: r.txt");
    assert!(
        script_alone.contains(
            "mkdir -p /run/laminate/local/images/a\nrm -rf '/run/laminate/local/images/a/my pkg'\n\
             cp -R '/run/laminate/files/images/a/my pkg' '/run/laminate/local/images/a/my pkg'\n\
             mkdir -p /run/laminate/local/images/a\n\
             cp /run/laminate/texts/requirements0 /run/laminate/local/images/a/r.txt\n"
        ),
        "{script_alone}"
    );
    assert!(
        script_alone.contains(" --pre -r /run/laminate/local/images/a/r.txt\n"),
        "{script_alone}"
    );
    assert!(made.contains("/texts/requirements0"), "{made}");
    let (in_group, made) = script("steps: [{ group: [{ run: x }, { pip: r.txt }] }]");
    assert!(
        in_group.contains("cp /run/laminate/texts/1-requirements0 "),
        "{in_group}"
    );
    assert!(made.contains("/texts/1-requirements0"), "{made}");
    let (packages, _) = script("pip: { packages: [\"./my pkg\", six], tool: pip }");
    assert!(
        packages.contains(" -- '/run/laminate/local/images/a/my pkg' six"),
        "{packages}"
    );
}

#[test]
fn uv_gets_requirements_in_the_form_that_it_reads() {
    let requirements = |text: &str, tool: &str| {
        let spec = format!(
            "stack: x\nimages:\n  a: {{ base: debian:12, pip: {{ requirements: r.txt, tool: {tool} }} }}\n"
        );
        let files = [("images/a/r.txt", text), ("images/a/z.txt", "six\n")];
        let stack = stack_with(&spec, &files);
        let read = |compiler: &mut Compiler, made: Compiled| {
            Operations::read(compiler, made.output).made_text("/requirements0")
        };
        with_image(&stack, &StepEnvironment::default(), read).expect("it compiles")
    };
    for (text, lines) in [
        ("-rz.txt # x\nidna\n", "--requirement z.txt\nidna\n"),
        ("-c/opt/c.txt\nidna\n", "--constraint /opt/c.txt\nidna\n"),
        ("-c \\\n /opt/c.txt\nidna\n", "-c  /opt/c.txt\nidna\n"),
        ("idna\\\r\n==3.10\r\n", "idna==3.10\n"),
        ("--no-index --pre\nidna\n", "--no-index\n--pre\nidna\n"),
        ("a\u{c}b\u{2028}c", "a\nb\nc\n"),
    ] {
        let made = requirements(text, "uv").unwrap_or_default();
        assert!(made.contains(lines), "{text:?}: {made}");
        assert_eq!(requirements(text, "pip"), None, "{text:?}");
    }
    assert_eq!(requirements("-r z.txt\nidna \\\n  --hash=x\n", "uv"), None);
}
