//! Steps that run although the engine has their results.

use super::*;

#[test]
fn a_period_of_refresh_is_in_every_command_and_not_in_the_image() {
    let environment = StepEnvironment {
        refreshed: [(ImageId(0), "2026-W48".to_owned())].into(),
        ..StepEnvironment::default()
    };
    let settings =
        "writable: { gid: 100, paths: [/opt] }\nsteps: [{ run: a }, { group: [{ run: b }] }]";
    let ops = compile_in(settings, &environment);
    let commands = ops.0.iter().filter_map(|op| match op {
        pb::op::Op::Exec(exec) => exec.meta.as_ref(),
        _ => None,
    });
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let has = command
            .env
            .iter()
            .any(|entry| entry == "LAMINATE_REFRESH=2026-W48");
        assert!(has, "{:?}", command.env);
    }
}

#[test]
fn a_step_that_must_run_ignores_the_cache() {
    for must_run in [false, true] {
        let environment = StepEnvironment {
            ignore_cache: must_run.then_some(ImageId(0)).into_iter().collect(),
            ..StepEnvironment::default()
        };
        let read = |compiler: &mut Compiler, made: Compiled| {
            let metadata = compiler.graph.marshal(made.output).pb.metadata;
            metadata.values().any(|meta| meta.ignore_cache)
        };
        let stack = stack("steps: [{ run: a }]");
        let found = with_image(&stack, &environment, read).expect("it compiles");
        assert_eq!(found, must_run);
    }
}
