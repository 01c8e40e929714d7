//! Times of the files that laminate brings: made from the content, so that equal content has an equal time
//! on every machine, and other content another time.
//!
//! A constant time would be as reproducible, but programs compare times: Python would run the bytecode of
//! another file of the same size, and a web server would send the same `ETag`.

use crate::name::Digest;

/// 1980-01-01, nanoseconds since 1970: archives of some formats have no earlier times. Folders and links
/// have this time.
pub const EARLIEST: i64 = 315_532_800 * SECOND;

const SECOND: i64 = 1_000_000_000;

/// 30 years, seconds: all times are earlier than any commit, so that exporters do not change them.
const SPAN: u32 = 30 * 365 * 24 * 60 * 60;

/// Returns the time of modification of a file with this content, nanoseconds since 1970, in whole
/// seconds.
pub fn time_of(content: &Digest) -> i64 {
    let first = u32::from_str_radix(&content.hex()[..8], 16).expect("a digest is hexadecimal");
    EARLIEST + i64::from(first % SPAN) * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_depends_on_the_content_alone() {
        let time = |text: &str| time_of(&Digest::of(text.as_bytes()));
        assert_eq!(time("a"), time("a"));
        assert_ne!(time("a"), time("b"));
    }

    #[test]
    fn times_are_between_1980_and_2010_in_whole_seconds() {
        for text in ["", "a", "b", "c"] {
            let time = time_of(&Digest::of(text.as_bytes()));
            assert!((EARLIEST..1_262_304_000 * SECOND).contains(&time), "{time}");
            assert_eq!(time % SECOND, 0);
        }
    }
}
