//! Changes of inputs that fuzzers seldom find: texts with a meaning, and parts repeated many times.

use super::LONGEST;

/// Texts with a meaning in one of the formats.
const PIECES: &[&str] = &[
    "\n",
    "\n  ",
    "\r",
    "\t",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{202e}",
    "é",
    "𝄞",
    "\u{1b}[",
    "\u{1b}]8;;",
    "m",
    "##[",
    "::",
    "\\",
    "\"",
    "'",
    "- ",
    ": ",
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
    "---\n",
    "<<: ",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "4294967295",
    "18446744073709551615",
    "0.1",
    "$",
    "$$",
    "${",
    "$${",
    "${v}",
    "${env:PATH}",
    "${image}",
    "/",
    "//",
    "..",
    "../",
    "./",
    "*",
    "**",
    "**/",
    "?",
    "[a-",
    "[!",
    "{a,",
    "@",
    "@sha256:",
    "sha256:",
    "host:+80/",
    "xn--a.example/",
    "[::1]:/",
    ":65536",
    "=",
    "==",
    ">=1",
    "; ",
    "-r ",
    "-c ",
    "-e .",
    "--hash=",
    "git+",
    "file:",
    "#egg=",
    "u+s",
    "07777",
    "root:",
    ":0",
    "s",
    "<",
    "</",
    "/>",
    "&lt;",
    "&#0;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "<!DOCTYPE a [",
    "<testcase ",
    "<failure>",
    "Bearer ",
    "Basic ",
    "realm=",
    "\"\\",
    ">; rel=next",
    "2026-11-24T12:00:00Z",
    "-009999-01-02T01:59:59Z",
];

/// Takes numbers from a seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let limit = u64::try_from(limit).expect("64 bits");
        usize::try_from((mixed ^ (mixed >> 31)) % limit).expect("below the limit")
    }
}

/// Returns an input with one change, chosen by `seed`; at most [`LONGEST`] bytes.
pub fn edited(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    let mut made = bytes.to_vec();
    let at = numbers.below(made.len() + 1);
    let length = 1 << numbers.below(12);
    let end = (at + numbers.below(length + 1)).min(made.len());
    let piece = PIECES[numbers.below(PIECES.len())].bytes();
    match numbers.below(8) {
        0 => drop(made.drain(at..end)),
        1 => drop(made.splice(at..at, piece)),
        2 => drop(made.splice(at..end, piece)),
        3 => {
            let part = made[at..end].to_vec();
            let to = numbers.below(made.len() + 1);
            made.splice(to..to, part);
        }
        4 if at < made.len() => made[at] = u8::try_from(numbers.below(256)).expect("a byte"),
        // Whatever is quadratic shows when a part is there thousands of times.
        5 => {
            let part: Vec<u8> = piece.collect();
            repeat(&mut made, at, &part, &mut numbers);
        }
        _ => {
            let part = made[at..end].to_vec();
            repeat(&mut made, at, &part, &mut numbers);
        }
    }
    made.truncate(LONGEST);
    made
}

fn repeat(made: &mut Vec<u8>, at: usize, part: &[u8], numbers: &mut Numbers) {
    let room = LONGEST.saturating_sub(made.len());
    let most = room / part.len().max(1);
    let many = 1 << numbers.below(16);
    let times = numbers.below(most.min(many) + 1);
    made.splice(at..at, part.repeat(times));
}
