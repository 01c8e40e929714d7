//! The tags laminate sets in the staging repository, in one table:
//!
//! | tag | on |
//! |---|---|
//! | `run-<run>` | the index of a run |
//! | `key-<40 hex digits>` | the image with that cache key |
//! | `state` | the last build of each image |
//! | `evidence-<40 hex digits>` | what is proven of the image with that cache key |
//! | `release-<7 hex digits>[.<attempt>]` | a release, by its commit |
//! | `release-adopted.<40 hex digits>` | a release of images that were there before laminate, by their digests |
//! | `release-<7 hex digits>_<attempt>_<random>` | nothing: a run announces that it publishes that commit |
//! | `number-<000001>`, `numbered-<40 hex digits>` | the version number of a release, by number and by release |
//! | `gate-<40 hex digits>` | a verdict on a gate from outside a run |
//! | `<channel>-<000001>` | an entry of a channel's ledger |
//! | `<channel>-<000001>_<random>` | nothing: a run announces that it claims that entry |
//! | `<channel>-current`, `<channel>-aborted` | the entry a channel is at, and the last one taken back |
//!
//! Pure: `stack` refuses channels whose tags would be another document's ([`RESERVED`]), and tags of images in staging ([`is_own`]); `staging`,
//! `gather`, `publish` and `build` set and read them.

use crate::name::{Commit, Digest, Tag};

/// Channel names that are refused, since other tags begin with them.
pub const RESERVED: [&str; 8] = [
    "number", "numbered", "release", "run", "key", "evidence", "gate", "state",
];

/// The longest name of a channel, characters: a tag has 128, and the ledger's begin with it.
pub const LONGEST_CHANNEL: usize = 100;

const RELEASE: &str = "release-";
/// Stands for the commit of an adopted release.
const ADOPTED: &str = "adopted.";
const NUMBER: &str = "number-";
const CURRENT: &str = "-current";
const ABORTED: &str = "-aborted";
const STATE: &str = "state";
/// How many hex digits of a digest are in a tag.
const DIGITS: usize = 40;

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("prefixes, digits and short names make a legal tag")
}

fn with_digest(prefix: &str, digest: &Digest) -> Tag {
    tag(&format!("{prefix}-{}", &digest.hex()[..DIGITS]))
}

/// The tag on the index of a run.
pub fn run(run: &Tag) -> Tag {
    tag(&format!("run-{run}"))
}

/// The tag on the image with a cache key.
pub fn key(key: &Digest) -> Tag {
    with_digest("key", key)
}

/// The tag on the state.
pub fn state() -> Tag {
    tag(STATE)
}

/// The tag on the evidence of the image with a cache key.
pub fn evidence(key: &Digest) -> Tag {
    with_digest("evidence", key)
}

/// The tag on the release of a commit; the attempt counts from 1 and is shown from 2.
pub fn release(commit: &Commit, attempt: u32) -> Tag {
    match attempt {
        0 | 1 => tag(&format!("{RELEASE}{}", commit.abbreviated())),
        n => tag(&format!("{RELEASE}{}.{n}", commit.abbreviated())),
    }
}

/// The tag on a release of images that were there before laminate, by a digest of what is adopted. No channel has it: those
/// end with a number, `current` or `aborted`.
pub fn adopted_release(content: &Digest) -> Tag {
    tag(&format!("{RELEASE}{ADOPTED}{}", &content.hex()[..DIGITS]))
}

/// The immutable tag on an adopted image, in its own repository.
pub fn adopted_image(digest: &Digest) -> Tag {
    tag(&format!("adopted-{}", digest.short()))
}

/// Whether a tag is a release's. A channel may be called `release-candidate`.
pub fn is_release(tag: &Tag) -> bool {
    let Some(rest) = tag.as_str().strip_prefix(RELEASE) else {
        return false;
    };
    if let Some(digits) = rest.strip_prefix(ADOPTED) {
        return digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let (commit, attempt) = rest.split_once('.').unwrap_or((rest, "1"));
    commit.len() == 7
        && commit.chars().all(|c| c.is_ascii_hexdigit())
        && attempt.chars().all(|c| c.is_ascii_digit())
}

/// Whether a tag is on a release of a commit, given by its first hex digits, at least 7.
pub fn is_release_of(tag: &Tag, commit: &str) -> bool {
    let rest = tag.as_str().strip_prefix(RELEASE);
    let short = rest.and_then(|rest| rest.split('.').next());
    is_release(tag) && short.is_some_and(|short| commit.starts_with(short))
}

/// The tag on the first release of a commit, given by its first hex digits; `None` if that are fewer than 7.
pub fn first_release(commit: &str) -> Option<Tag> {
    Tag::parse(&format!("{RELEASE}{}", commit.get(..7)?)).ok()
}

/// The tag by which a run announces that it publishes a commit. No two runs have the same one. It sorts behind the tags of
/// all releases of the commit.
pub fn announcement(commit: &Commit, attempt: u32, random: u128) -> Tag {
    let attempt = attempt.max(1);
    tag(&format!(
        "{RELEASE}{}_{attempt}_{random:032x}",
        commit.abbreviated()
    ))
}

/// Whether a tag announces a run for the same commit and attempt as another, or is that one.
pub fn is_rival(tag: &Tag, announced: &Tag) -> bool {
    let part = |tag: &Tag| {
        tag.as_str()
            .rsplit_once('_')
            .map(|(part, _)| part.to_owned())
    };
    let is_announcement = announced.as_str().contains('_');
    is_announcement && part(tag) == part(announced)
}

/// Returns what sorts just before the tags of all releases and announcements of a commit, and is the beginning of them.
pub fn before_releases(commit: &Commit) -> Tag {
    tag(&format!("{RELEASE}{}", &commit.abbreviated()[..6]))
}

/// The tag that claims a version number.
pub fn number(number: u64) -> Tag {
    tag(&format!("{NUMBER}{number:06}"))
}

/// The version number a tag claims.
pub fn claimed_number(tag: &Tag) -> Option<u64> {
    tag.as_str().strip_prefix(NUMBER)?.parse().ok()
}

/// The tag on the version number of a release.
pub fn numbered(release: &Digest) -> Tag {
    with_digest("numbered", release)
}

/// The tag on the newest verdict on a gate for the image with a digest.
pub fn gate(gate: &str, digest: &Digest) -> Tag {
    with_digest("gate", &Digest::of(format!("{gate}\n{digest}").as_bytes()))
}

/// The tag on the entry of a channel's ledger with a number, from 1.
pub fn entry(channel: &str, number: u64) -> Tag {
    tag(&format!("{channel}-{number:06}"))
}

/// The tag by which a run announces that it claims an entry of a channel's ledger. No two runs have the same one. `None` if it
/// would be too long.
pub fn entry_announcement(channel: &str, number: u64, random: u64) -> Option<Tag> {
    Tag::parse(&format!("{}_{random:016x}", entry(channel, number))).ok()
}

/// Whether a text is the number of an entry in a tag.
fn is_number(text: &str) -> bool {
    text.len() >= 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of an entry of a channel's ledger, from its tag.
pub fn entry_number(channel: &str, tag: &Tag) -> Option<u64> {
    let number = tag.as_str().strip_prefix(channel)?.strip_prefix('-')?;
    number.parse().ok().filter(|_| is_number(number))
}

/// The channel whose ledger may have an entry with this tag: other tags can look like that.
pub fn channel_of_entry(tag: &Tag) -> Option<&str> {
    let (channel, number) = tag.as_str().rsplit_once('-')?;
    (is_number(number) && !RESERVED.contains(&channel)).then_some(channel)
}

/// The tag on the entry a channel is at.
pub fn current(channel: &str) -> Tag {
    tag(&format!("{channel}{CURRENT}"))
}

/// Whether a tag is on the entry a channel is at.
pub fn is_current(tag: &Tag) -> bool {
    tag.as_str().ends_with(CURRENT)
}

/// The tag on the entry of a channel that was taken back last.
pub fn aborted(channel: &str) -> Tag {
    tag(&format!("{channel}{ABORTED}"))
}

/// Whether a tag can be on the entry of a channel with a number. The name may be that of no channel.
pub fn is_of_channel(tag: &Tag, channel: &str, number: u64) -> bool {
    let rest = tag.as_str().strip_prefix(channel);
    match rest.and_then(|rest| rest.strip_prefix('-')) {
        Some("current" | "aborted") => true,
        Some(_) => entry_number(channel, tag) == Some(number),
        None => false,
    }
}

/// Whether laminate could set a tag itself in the staging repository of a stack with these channels.
pub fn is_own<'c>(tag: &Tag, channels: impl IntoIterator<Item = &'c str>) -> bool {
    let text = tag.as_str();
    let is_reserved = |(first, _)| RESERVED.contains(&first);
    // Of any channel that there was.
    let is_place = [CURRENT, ABORTED].iter().any(|end| text.ends_with(end));
    let is_entry = |channel| {
        let rest = text
            .strip_prefix(channel)
            .and_then(|rest| rest.strip_prefix('-'));
        let number = rest.and_then(|rest| rest.split('_').next());
        number.is_some_and(is_number)
    };
    text == STATE
        || text.split_once('-').is_some_and(is_reserved)
        || is_place
        || channels.into_iter().any(is_entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        Commit::parse("d021570aa00000000000000000000000000000bb").expect("a commit")
    }

    #[test]
    fn a_tag_that_laminate_could_set_is_its_own() {
        let is_own = |text: &str| is_own(&Tag::parse(text).expect("a tag"), ["stable"]);
        let own = [
            run(&tag("x")),
            state(),
            release(&commit(), 1),
            announcement(&commit(), 1, 7),
            number(1),
            entry("stable", 1),
            entry_announcement("stable", 1, 7).expect("short"),
            current("stable"),
            aborted("of-before"),
        ];
        for tag in own {
            assert!(is_own(tag.as_str()), "{tag}");
        }
        for text in [
            "r-abcdef0",
            "stable",
            "stable-2026",
            "x-000001",
            "release",
            "key",
            "2026-11-30",
        ] {
            assert!(!is_own(text), "{text}");
        }
    }

    #[test]
    fn a_channels_tag_is_not_a_releases() {
        let is_release = |text: &str| is_release(&Tag::parse(text).expect("a tag"));
        assert!(is_release("release-d021570") && is_release("release-d021570.2"));
        assert!(!is_release("release-candidate-000001"));
        assert!(!is_release("release-candidate-current"));
        let adopted = adopted_release(&Digest::of(b"x"));
        assert!(is_release(adopted.as_str()) && !is_release_of(&adopted, "d021570"));
        assert_eq!(channel_of_entry(&adopted), None);
        assert!(!is_release("release-adopted.000001") && !is_current(&adopted));
    }

    #[test]
    fn a_release_is_tagged_by_commit_and_attempt() {
        assert_eq!(release(&commit(), 1).as_str(), "release-d021570");
        assert_eq!(release(&commit(), 12).as_str(), "release-d021570.12");
        assert!(is_release(&release(&commit(), 12)));
    }

    #[test]
    fn an_announcement_is_no_other_tag_and_sorts_behind_the_releases() {
        let announced = announcement(&commit(), 1, 7);
        assert!(announced.as_str().starts_with("release-d021570_1_000"));
        assert!(!is_release(&announced) && !is_release_of(&announced, "d021570"));
        assert_eq!(channel_of_entry(&announced), None);
        let moving = entry_announcement("a-b", 7, 123_456).expect("short");
        assert!(moving > entry("a-b", 7) && moving < entry("a-b", 8));
        assert_eq!(
            (channel_of_entry(&moving), entry_number("a-b", &moving)),
            (None, None)
        );
        assert!(!is_current(&moving) && !is_rival(&entry("a-b", 7), &moving));
        assert!(is_rival(
            &entry_announcement("a-b", 7, 8).expect("short"),
            &moving
        ));
        assert!(announced > release(&commit(), 1000));
        assert!(before_releases(&commit()) < release(&commit(), 1));
        assert!(
            announced
                .as_str()
                .starts_with(before_releases(&commit()).as_str())
        );
        assert!(is_rival(&announcement(&commit(), 1, 8), &announced));
        assert!(!is_rival(&announcement(&commit(), 11, 8), &announced));
        assert!(!is_rival(&release(&commit(), 1), &announced));
    }

    #[test]
    fn numbers_sort_as_text_and_are_read_back() {
        assert_eq!(number(7).as_str(), "number-000007");
        assert_eq!(claimed_number(&number(7)), Some(7));
        assert_eq!(claimed_number(&number(1_234_567)), Some(1_234_567));
        assert_eq!(claimed_number(&numbered(&Digest::of(b"release"))), None);
    }

    #[test]
    fn no_other_tag_is_of_a_legal_channel() {
        let digest = Digest::of(b"x");
        let others = [
            run(&Tag::parse("r1").expect("a tag")),
            key(&digest),
            state(),
            evidence(&digest),
            release(&commit(), 2),
            adopted_release(&digest),
            announcement(&commit(), 2, 0),
            number(1),
            numbered(&digest),
            gate("gpu", &digest),
        ];
        for other in others {
            let first = other.as_str().split('-').next().unwrap_or_default();
            assert!(RESERVED.contains(&first), "{other}");
            assert!(!is_current(&other), "{other}");
        }
    }

    #[test]
    fn an_entry_is_found_by_its_number() {
        for number in [1, 42, 1_234_567] {
            assert_eq!(entry_number("a-b", &entry("a-b", number)), Some(number));
        }
        assert_eq!(channel_of_entry(&entry("a-b", 7)), Some("a-b"));
        assert_eq!(channel_of_entry(&number(7)), None);
        assert_eq!(channel_of_entry(&current("a")), None);
        assert_eq!(entry_number("a", &entry("a-b", 1)), None);
        assert_eq!(entry_number("a", &current("a")), None);
        assert_eq!(
            entry_number("a", &Tag::parse("a-2021").expect("a tag")),
            None
        );
    }

    #[test]
    fn the_releases_of_a_commit_are_found_by_tag() {
        let (hash, tag) = (commit(), release(&commit(), 2));
        assert!(is_release_of(&tag, hash.as_str()) && is_release_of(&tag, "d021570"));
        assert!(!is_release_of(&tag, "d021571"));
        assert!(!is_release_of(&number(1), "d021570"));
    }

    #[test]
    fn the_longest_channel_still_has_its_tags() {
        let name = "c".repeat(LONGEST_CHANNEL);
        assert!(is_current(&current(&name)));
        assert_eq!(entry(&name, 3).as_str(), format!("{name}-000003"));
        assert!(!is_current(&aborted(&name)));
    }
}
