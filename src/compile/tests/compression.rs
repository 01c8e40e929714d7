//! What is built for one `compression:` is not equal to what is built for another.

use super::*;

/// Returns the digests of the operations of steps.
fn steps(compression: &str) -> Vec<String> {
    let stack = crate::testing::stack(&format!(
        "stack: t\n{compression}\nimages:\n  a:\n    base: debian:12\n    steps: [{{ write: {{ /a: b }} }}, {{ run: a }}]\n"
    ));
    let read = |compiler: &mut Compiler, made: Compiled| {
        let definition = compiler.graph.marshal(made.output);
        let of_step =
            |(digest, op): (&String, &_)| made.operations.contains_key(op).then(|| digest.clone());
        definition.digests.iter().filter_map(of_step).collect()
    };
    with_image(&stack, &StepEnvironment::default(), read).expect("it compiles")
}

#[test]
fn an_engine_keeps_layers_of_each_compression_apart() {
    let default = steps("");
    assert_eq!(default.len(), 2);
    assert_eq!(steps("compression: zstd"), default);
    for other in [
        "gzip",
        "{ type: gzip, level: 9 }",
        "{ type: zstd, level: 9 }",
    ] {
        let other = steps(&format!("compression: {other}"));
        assert_eq!(other.len(), 2);
        assert!(other.iter().all(|step| !default.contains(step)));
    }
}
