//! Variables and which value wins.

use super::*;

/// Returns the value of `v` in image `a`.
fn value(spec: &str) -> String {
    image(&stack(spec), "a").vars["v"].clone()
}

#[test]
fn an_image_overrides_the_stack() {
    let spec =
        "stack: x\nvars: { v: stack }\nimages: { a: { base: debian:12, vars: { v: image } } }";
    assert_eq!(value(spec), "image");
}

#[test]
fn a_variant_overrides_the_stack_and_an_image_the_variant() {
    let spec = "stack: x\nvars: { v: stack, w: stack }\nvariants: { n: { vars: { v: variant, w: variant } } }\nimages: { a: { base: debian:12, vars: { w: image } } }";
    let stack = stack(spec);
    let vars = &image(&stack, "n/a").vars;
    assert_eq!(
        (vars["v"].as_str(), vars["w"].as_str()),
        ("variant", "image")
    );
}

#[test]
fn the_command_line_overrides_everything() {
    let spec =
        "stack: x\nvars: { v: stack }\nimages: { a: { base: debian:12, vars: { v: image } } }";
    let mut overrides = Overrides::default();
    overrides
        .vars
        .insert("v".to_owned(), "${not} replaced".to_owned());
    let stack = parse(spec, &[], &overrides).expect("it is valid");
    assert_eq!(image(&stack, "a").vars["v"], "${not} replaced");
}

#[test]
fn variables_can_use_variables_in_any_order() {
    let spec = "stack: x\nvars: { v: '${w}!', w: '${z}-${image}', z: 1 }\nimages: { a: { base: debian:12 } }";
    assert_eq!(value(spec), "1-a!");
}

#[test]
fn an_overridden_variable_is_used_by_others() {
    let spec = "stack: x\nvars: { v: '${w}', w: stack }\nimages: { a: { base: debian:12, vars: { w: image } } }";
    assert_eq!(value(spec), "image");
}

#[test]
fn the_stack_sets_name_series_variant_and_image() {
    let spec = "stack: x\nvars: { v: '${stack} ${series} ${variant} ${image}' }\nvariants: { n: { series: s } }\nimages: { a: { base: debian:12 } }";
    let stack = stack(spec);
    assert_eq!(image(&stack, "n/a").vars["v"], "x s n a");
}

#[test]
fn scalars_are_kept_as_written() {
    let spec = "stack: x\nvars: { v: 3.10 }\nimages: { a: { base: debian:12 } }";
    assert_eq!(value(spec), "3.10");
}

#[test]
fn an_escaped_variable_is_literal() {
    let spec = "stack: x\nvars: { v: 'a$${b}' }\nimages: { a: { base: debian:12 } }";
    assert_eq!(value(spec), "a${b}");
}

#[test]
fn an_unused_variable_of_the_command_line_is_a_warning() {
    let mut overrides = Overrides::default();
    overrides.vars.insert("wrd".to_owned(), "x".to_owned());
    let spec = "stack: x\nvars: { word: y }\nimages: { a: { base: debian:12 } }";
    let stack = parse(spec, &[], &overrides).expect("it is valid");
    assert_eq!(stack.warnings().len(), 1);
    assert_eq!(
        stack.warnings()[0].help.as_deref(),
        Some("did you mean `word`?")
    );
}

#[test]
fn a_cycle_of_variables_is_reported() {
    let spec =
        "stack: x\nvars: { a: '${b}', b: '${c}', c: '${a}' }\nimages: { a: { base: debian:12 } }";
    assert_eq!(faults(spec), ["variable cycle: a → b → c → a"]);
}

#[test]
fn an_invalid_variable_is_reported_where_it_is_set_only() {
    let spec = "stack: x\nvars: { v: [x] }\nimages: { a: { base: debian:12, user: '${v}', apt: ['${v}'] } }";
    assert_eq!(faults(spec), ["variable `v` must be a string"]);
}

#[test]
fn only_variables_that_are_declared_and_used_are_used_variables() {
    let spec = "stack: x\nvars: { a: \"${b}\", b: x, c: x, tag: t, label: l, unused: \"${c}\" }\nvariants: { one: { vars: { when: y } }, two: {} }\ntags: [\"${variant}-${tag}-${commit7}\"]\nimages:\n  i: { base: debian:12, vars: { when: z, own: v }, env: { A: \"${a}\" }, steps: [{ run: x, when: { when: y } }], config: { labels: { l: \"${label}\" } } }\n";
    let overrides = Overrides {
        vars: [
            ("undeclared", "secret"),
            ("unused", "secret"),
            ("b", "given"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..Overrides::default()
    };
    let stack = parse(spec, &[], &overrides).expect("it is valid");
    let used: Vec<&String> = stack.used_vars().iter().collect();
    assert_eq!(used, ["a", "b", "label", "tag", "when"]);
}

#[test]
fn an_undeclared_variable_of_the_command_line_has_no_value() {
    let overrides = Overrides {
        vars: [("v".to_owned(), "12".to_owned())].into(),
        ..Overrides::default()
    };
    let spec = "stack: x\nimages: { a: { base: \"debian:${v}\" } }\n";
    let found = parse(spec, &[], &overrides).expect_err("it is not declared");
    assert!(found.contains("error: unknown variable `v`"), "{found}");
    assert!(found.contains("help: declare it in `vars:`"), "{found}");
}

#[test]
fn variables_of_variables_are_bounded() {
    let chain = |links: usize, value: &dyn Fn(usize) -> String| {
        let links: Vec<String> = (1..links)
            .map(|n| format!("  v{n}: '{}'\n", value(n - 1)))
            .collect();
        format!(
            "stack: x\nvars:\n  v0: abcd\n{}images: {{ a: {{ base: debian:12 }} }}",
            links.concat()
        )
    };
    let doubled = |n: usize| format!("${{v{n}}}${{v{n}}}");
    let found = faults(&chain(40, &doubled));
    assert_eq!(found, ["the value of `v15` is too long"]);
    let same = |n: usize| format!("${{v{n}}}");
    stack(&chain(50, &same));
    let deep: String = (0..8000)
        .map(|n| format!("  v{n}: '${{v{}}}'\n", n + 1))
        .collect();
    let deep =
        format!("stack: x\nvars:\n{deep}  v8000: end\nimages: {{ a: {{ base: debian:12 }} }}");
    let found = faults(&deep);
    assert!(found[0].ends_with("is nested too deep"), "{found:?}");
}

#[test]
fn credentials_that_variables_make_up_are_errors() {
    for (value, found) in [
        ("https://${user}@h", true),
        ("https://u:${word}@h", true),
        ("https://u:pw@${env:HOST}", true),
        ("https://${env:USER}:${word}@h", true),
        ("https://${env:USER}:${env:WORD}@h", false),
        ("https://${word}/x", false),
    ] {
        let spec = format!(
            "stack: x\nvars: {{ user: \"u:pw\", word: pw }}\nimages:\n  a: {{ base: \"debian:12\", env: {{ X: \"{value}\" }} }}\n"
        );
        let read = parse(&spec, &[], &Overrides::default());
        let fault = read.err().unwrap_or_default();
        assert_eq!(
            fault.contains("password in a URL"),
            found,
            "{value}: {fault}"
        );
    }
}
