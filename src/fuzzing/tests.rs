//! Short runs of all targets: the files of their corpora, and changes of them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{TARGETS, edited, run};
use crate::diagnostic::render;
use crate::stack::{Overrides, Stack};

/// How much processor time one input may take, in a build without optimization.
const LONG: Duration = Duration::from_secs(20);

/// How long the changes of one target are tried: `LAMINATE_TEST_FUZZ_SECONDS`, or shortly.
fn time() -> Duration {
    let given = std::env::var("LAMINATE_TEST_FUZZ_SECONDS").ok();
    let given = given.and_then(|text| text.parse().ok());
    Duration::from_secs_f64(given.unwrap_or(0.1))
}

/// The files of a corpus, by their names.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fuzz/corpus", name]
        .iter()
        .collect();
    let entries = fs_err::read_dir(folder).expect("each target has a corpus");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("it is readable");
            let bytes = fs_err::read(entry.path()).expect("it is readable");
            (entry.file_name().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    files.sort();
    files
}

fn in_time(name: &str, bytes: &[u8]) {
    let before = processor_time();
    run(name, bytes);
    let took = processor_time().saturating_sub(before);
    assert!(took < LONG, "{name} took {took:?}");
}

/// Returns the processor time of this thread: a machine with other work makes no input slow. Nothing where the system
/// does not count it.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|count| count.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

fn changes(name: &str) {
    let corpus = corpus(name);
    for (_, bytes) in &corpus {
        in_time(name, bytes);
    }
    let began = Instant::now();
    let config = Config {
        cases: u32::MAX,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(
        config,
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let input = (0..corpus.len(), prop::collection::vec(any::<u64>(), 1..8));
    let mut tried = 0;
    while tried == 0 || began.elapsed() < time() {
        tried += 1;
        let tree = input.new_tree(&mut runner).expect("no input is rejected");
        let result = runner.run_one(tree, |(file, seeds)| {
            let start = corpus[file].1.clone();
            let bytes = seeds
                .iter()
                .fold(start, |bytes, seed| edited(&bytes, *seed));
            in_time(name, &bytes);
            Ok(())
        });
        if let Err(error) = result {
            panic!(
                "{name}, of {:?}: {error}",
                corpus.iter().map(|(name, _)| name).collect::<Vec<_>>()
            );
        }
    }
}

/// Changes of an invalid spec do not get far.
#[test]
fn the_specs_of_the_corpus_are_valid() {
    for (name, bytes) in corpus("spec") {
        let text = String::from_utf8_lossy(&bytes);
        let spec = crate::spec::parse("specs.yml", &text, super::spec::files_of(&text));
        let made = Stack::new(&spec, &Overrides::default());
        let faults = made.map_err(|faults| render(&faults.problems, &faults.sources, false));
        if name != "stack" {
            assert!(
                faults.is_ok(),
                "{name}: {}",
                faults.err().unwrap_or_default()
            );
        }
    }
}

/// One test for each target, so that they run beside each other.
macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                changes(stringify!($name));
            }
        )*

        #[test]
        fn each_target_has_a_test() {
            let names = TARGETS.map(|(name, _)| name);
            assert_eq!(names.as_slice(), [$(stringify!($name)),*]);
        }
    };
}

tests! {
    archives challenges credentials dockerfile image junit lists lock manifests names output packets patterns records
    requirements script spec status users variables
}
