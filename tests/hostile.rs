//! Specs that are changed in random ways, they give a stack or messages. They never make
//! the program panic, use much memory, or run for long.

use std::time::{Duration, Instant};

use laminate::testing::parse;
use laminate::testing::spec::Overrides;

use crate::bad_specs::{BAD, FILES, GOOD};
use crate::format::{EVERYTHING, SPEC};

/// A generator of numbers, the same ones in each run (SplitMix64).
struct Random(u64);

impl Random {
    /// Returns a number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    /// Returns one of a list that is not empty.
    fn one_of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Texts with a meaning somewhere: of YAML, of variables, of names, of numbers, of paths, of patterns.
const PIECES: &[&str] = &[
    "",
    " ",
    "\n",
    "\n  ",
    "\n      ",
    "\t",
    "\r",
    "\u{0}",
    "\u{feff}",
    "\u{2028}",
    "é",
    "\u{202e}",
    "𝄞",
    "\\L",
    "\\x41",
    "\\u00e9",
    "\\",
    "\"",
    "'",
    "''",
    "- ",
    "-",
    ": ",
    ":",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    " #",
    "&a ",
    "*a",
    "!!str ",
    "| \n",
    ">-\n",
    "|9\n",
    "---\n",
    "...\n",
    "%YAML 9.9\n",
    "<<: ",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "99999999999999999999",
    "1e999",
    "0o777",
    "0x7fffffffff",
    "$",
    "$$",
    "${",
    "}",
    "$${",
    "${v}",
    "${env:PATH}",
    "${é}",
    "${commit7}",
    "${n}",
    "${image}",
    "/",
    "//",
    "..",
    "../",
    "/..",
    "*",
    "**",
    "?",
    "[a-",
    "[!",
    "{a,",
    "{{{{",
    "@",
    "@sha256:",
    "sha256:",
    "10.0.0.256:5000/x",
    "host:+80/",
    "xn--a.example/",
    "[::1]:/",
    "localhost",
    ":65536",
    "=",
    ">=1",
    "; ",
    "-r ",
    "-e .",
    "git+",
    "#egg=",
    "u+s",
    "99999",
    "07777",
    "root:",
    ":0",
    "s",
    "9999999999999h",
];

/// Changes a text at up to six places.
fn mutated(text: &str, random: &mut Random) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(6) {
        let at = random.below(text.len() + 1);
        let end = (at + random.below(30)).min(text.len());
        match random.below(6) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..at, random.one_of(PIECES).chars())),
            2 => drop(text.splice(at..end, random.one_of(PIECES).chars())),
            3 => {
                let copied: Vec<char> = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, copied);
            }
            4 => {
                // A whole value is replaced.
                let value = text[at..]
                    .iter()
                    .position(|c| *c == ':')
                    .map(|of| at + of + 1);
                let start = value.unwrap_or(at);
                let line = text[start..].iter().position(|c| "\n,}]".contains(*c));
                let end = start + line.unwrap_or(0);
                let put = format!(" {}", random.one_of(PIECES));
                text.splice(start..end, put.chars());
            }
            _ => {
                if let Some(c) = text.get_mut(at) {
                    *c = char::from_u32(random.below(0x2_0000) as u32).unwrap_or('x');
                }
            }
        }
    }
    text.into_iter().collect()
}

/// Text files under `images/`, by path.
type TextFiles = &'static [(&'static str, &'static str)];

/// Files of [`SPEC`].
const FILES_OF_SPEC: TextFiles = &[
    ("images/all/requirements.txt", "six\n"),
    ("images/all/x", "x\n"),
    ("images/all/tree/y", "y\n"),
    ("images/all/setup.sh", "#!/bin/sh\ntrue\n"),
];

/// Files of [`EVERYTHING`].
const FILES_OF_EVERYTHING: TextFiles = &[
    ("images/ground/requirements.txt", REQUIREMENTS),
    ("images/ground/more.txt", "-c ../shared/constraints.txt\n"),
    ("images/ground/environment.yml", "name: x\n"),
    ("images/ground/x", "x\n"),
    ("images/ground/a.txt", "x\n"),
    ("images/ground/tree/deep/z", "z\n"),
    ("images/ground/link", "-> x"),
    ("images/ground/local/setup.py", "x\n"),
    ("images/shared/constraints.txt", "numpy<2\n"),
    ("images/middle/x", "x\n"),
    ("images/middle/setup.sh", "#!/bin/sh\ntrue\n"),
    ("images/leaf/environment.yml", "name: leaf\n"),
];

/// Requirements with everything pip knows.
const REQUIREMENTS: &str = "six==1.16.0 --hash=sha256:aa  # a comment\n-r more.txt\n\
    requests[security]>=2,<3; python_version < '3.12'\n./local\n\
    --index-url https://example.org/simple\nnumpy @ https://example.org/numpy.whl\n\
    -e ./local\nscipy \\\n  == 1.0\n";

/// The valid and invalid specs of the tests.
fn corpus() -> Vec<(String, TextFiles)> {
    let invalid = BAD.iter().map(|(old, new)| GOOD.replacen(old, new, 1));
    let mut all: Vec<(String, TextFiles)> = invalid.map(|text| (text, FILES)).collect();
    // So that a third is valid.
    for _ in 0..all.len() / 6 {
        all.push((GOOD.to_owned(), FILES));
        all.push((SPEC.to_owned(), FILES_OF_SPEC));
        all.push((EVERYTHING.to_owned(), FILES_OF_EVERYTHING));
    }
    all
}

/// How many specs are tried: `LAMINATE_TEST_MUTATIONS`, or a few.
fn count() -> usize {
    let given = std::env::var("LAMINATE_TEST_MUTATIONS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(1500)
}

#[test]
fn no_changed_spec_makes_it_panic_or_hang() {
    let corpus = corpus();
    let mut failed = Vec::new();
    for number in 0..count() {
        let mut random = Random(number as u64);
        let (text, files) = &corpus[random.below(corpus.len())];
        let text = mutated(text, &mut random);
        let mut files = files.to_vec();
        let changed = random.below(files.len());
        let (path, content) = files[changed];
        let content = mutated(content, &mut random);
        files[changed] = (path, &content);
        let began = Instant::now();
        let result = std::panic::catch_unwind(|| drop(parse(&text, &files, &Overrides::default())));
        if result.is_err() || began.elapsed() > Duration::from_secs(20) {
            failed.push(format!("=== {number}\n{text}\n--- {path}\n{content}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn a_long_chain_of_images_is_resolved() {
    let mut spec =
        "stack: x\nregistry: registry.example.org/team\nimages:\n  i0: { base: debian:12 }\n"
            .to_owned();
    for number in 1..3000 {
        spec.push_str(&format!("  i{number}: {{ base: i{} }}\n", number - 1));
    }
    let began = Instant::now();
    let found = parse(&spec, &[], &Overrides::default());
    assert!(found.is_ok_and(|stack| stack.images().len() == 3000));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn large_mappings_and_aliases_are_bounded() {
    let keys: String = (0..20_000)
        .map(|number| format!("k{number}: x\n"))
        .collect();
    let text = "x".repeat(1 << 20);
    let aliases = format!("a: &a {text}\nb: [{}]\n", "*a, ".repeat(50_000));
    for spec in [
        keys,
        aliases,
        "[".repeat(100_000),
        "a: ".repeat(100_000),
        "- ".repeat(100_000),
    ] {
        let began = Instant::now();
        assert!(parse(&spec, &[], &Overrides::default()).is_err());
        let took = began.elapsed();
        let beginning: String = spec.chars().take(20).collect();
        assert!(took < Duration::from_secs(20), "{beginning}: {took:?}");
    }
}
