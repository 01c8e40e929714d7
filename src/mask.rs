//! Takes the values of secrets out of what programs write, before it is shown or stored.
//!
//! [`Mask`] knows a secret as it is, each of its lines, and what `base64` and URLs make of it. `run` uses it
//! for the output of steps and suites. A program that encodes a secret in another way is not stopped: this
//! prevents accidents.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

/// A shorter secret, or line of one, is none: masking it would tear holes into every text. Bytes.
const SHORTEST: usize = 6;

/// Replaces a secret.
const PUT: &str = "[secret]";

/// The texts that are masked.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// The longest first.
    patterns: Vec<Vec<u8>>,
}

/// The bytes of a stream that can be the beginning of a secret.
#[derive(Clone, Debug, Default)]
pub struct Held(Vec<u8>);

impl Mask {
    /// Returns the mask of the values of secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut patterns = Vec::new();
        for secret in secrets {
            let value = secret.trim_ascii();
            if value.len() < SHORTEST {
                continue;
            }
            patterns.push(value.to_vec());
            let lines = value.split(|byte| matches!(byte, b'\n' | b'\r'));
            patterns.extend(lines.map(|line| line.trim_ascii().to_vec()));
            patterns.extend(encoded(value));
            patterns.push(percent_encode(value, NON_ALPHANUMERIC).to_string().into());
        }
        patterns.retain(|pattern| pattern.len() >= SHORTEST);
        patterns.sort_unstable_by(|a, b| (b.len(), b).cmp(&(a.len(), a)));
        patterns.dedup();
        Self { patterns }
    }

    /// Returns the length of the longest text that is masked, bytes.
    pub fn longest(&self) -> usize {
        self.patterns.first().map_or(0, Vec::len)
    }

    /// Masks a whole text.
    pub fn text(&self, text: &mut String) {
        let (masked, _) = self.masked(text.as_bytes(), true);
        if masked != text.as_bytes() {
            *text = String::from_utf8_lossy(&masked).into_owned();
        }
    }

    /// Masks the next bytes of a stream, cut anywhere. Bytes at the end that can begin a secret are held.
    pub fn push(&self, held: &mut Held, bytes: &[u8]) -> Vec<u8> {
        held.0.extend_from_slice(bytes);
        let (masked, taken) = self.masked(&held.0, false);
        held.0.drain(..taken);
        masked
    }

    /// Returns the rest of a stream.
    pub fn end(&self, held: &mut Held) -> Vec<u8> {
        self.masked(&std::mem::take(&mut held.0), true).0
    }

    /// Returns bytes without secrets, and how many of `bytes` these are; all if they are the end.
    fn masked(&self, bytes: &[u8], is_end: bool) -> (Vec<u8>, usize) {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(first) = bytes.get(at) {
            let rest = &bytes[at..];
            let mut same = self.patterns.iter().filter(|p| p[0] == *first).peekable();
            if same.peek().is_some() {
                // Longer ones come first: what may become one of them is held before a part of it matches.
                let found = same.find(|pattern| {
                    rest.starts_with(pattern) || !is_end && pattern.starts_with(rest)
                });
                match found {
                    Some(pattern) if rest.starts_with(pattern) => {
                        out.extend_from_slice(PUT.as_bytes());
                        at += pattern.len();
                        continue;
                    }
                    Some(_) => return (out, at),
                    None => {}
                }
            }
            out.push(*first);
            at += 1;
        }
        (out, at)
    }
}

/// Returns what base64 makes of a value, wherever it is in the encoded text: only characters that depend on
/// nothing else.
fn encoded(value: &[u8]) -> Vec<Vec<u8>> {
    let mut list = Vec::new();
    for before in 0..3 {
        let mut whole = vec![0; before];
        whole.extend_from_slice(value);
        // 6 bits a character: those that also have bits of a neighbour are left out.
        let start = (before * 8).div_ceil(6);
        let end = whole.len() * 8 / 6;
        for text in [
            STANDARD_NO_PAD.encode(&whole),
            URL_SAFE_NO_PAD.encode(&whole),
        ] {
            list.extend(text.get(start..end).map(|text| text.as_bytes().to_vec()));
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(secret: &str, text: &str) -> String {
        let mut text = text.to_owned();
        Mask::new([secret.as_bytes()]).text(&mut text);
        text
    }

    #[test]
    fn a_secret_is_masked_also_line_by_line() {
        assert_eq!(masked("hunter22\n", "-p hunter22x"), "-p [secret]x");
        let key = "-----BEGIN KEY-----\nabcdefgh\r\nijk\n";
        assert_eq!(masked(key, "| abcdefgh\n| ijk"), "| [secret]\n| ijk");
        assert_eq!(masked("short", "short"), "short");
    }

    #[test]
    fn encoded_secrets_are_masked() {
        use base64::engine::general_purpose::STANDARD;
        for text in ["hunter22", "user:hunter22", "xhunter22!", "xxhunter22"] {
            let text = STANDARD.encode(text);
            let found = masked("hunter22", &text);
            assert!(found.contains("[secret]"), "{text}: {found}");
        }
        assert_eq!(masked("hunter/22", "?t=hunter%2F22"), "?t=[secret]");
    }

    #[test]
    fn what_may_become_a_secret_is_held() {
        let mask = Mask::new([b"hunter22".as_slice()]);
        let mut held = Held::default();
        assert_eq!(mask.push(&mut held, b"a hun"), b"a ");
        assert_eq!(mask.push(&mut held, b"ter22 b hun"), b"[secret] b ");
        assert_eq!(mask.end(&mut held), b"hun");
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_changes_nothing(
            secret in "[ab]{6,9}(\n[ab]{6,9})?", text in "[ab\n]{0,60}", cut in 0..60_usize,
        ) {
            let mask = Mask::new([secret.as_bytes()]);
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let mut held = Held::default();
            let mut found = mask.push(&mut held, first);
            found.extend(mask.push(&mut held, second));
            found.extend(mask.end(&mut held));
            let mut whole = text.clone();
            mask.text(&mut whole);
            prop_assert_eq!(String::from_utf8_lossy(&found), whole.as_str());
            prop_assert!(!whole.contains(&secret));
        }
    }
}
