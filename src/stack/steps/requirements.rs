//! The grammar of requirements files, as pip reads them (pip, "Requirements File Format" and
//! `pip/_internal/req/req_file.py`): lines, options, and requirements that are local paths.

/// A logical line: without its comment, lines that end in `\` joined with the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its text; not empty.
    pub text: String,
    /// Its first byte in the file.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A requirement, and its options such as `--hash`.
    Requirement(String, Options),
    /// Options with their long names and values.
    Options(Options),
}

/// Options with their long names and values.
pub type Options = Vec<(&'static str, String)>;

/// The options that a requirement can have on its own line.
const OF_ONE: [&str; 4] = [
    "--hash",
    "--config-settings",
    "--global-option",
    "--install-option",
];

/// Whether an option has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    One,
    No,
}

/// The options of requirements files: their names, the first of which is returned.
const OPTIONS: [(&[&str], Value); 18] = [
    (&["--requirement", "-r"], Value::One),
    (&["--constraint", "-c"], Value::One),
    (&["--editable", "-e"], Value::One),
    (&["--index-url", "-i", "--pypi-url"], Value::One),
    (&["--extra-index-url"], Value::One),
    (&["--no-index"], Value::No),
    (&["--find-links", "-f"], Value::One),
    (&["--no-binary"], Value::One),
    (&["--only-binary"], Value::One),
    (&["--prefer-binary"], Value::No),
    (&["--require-hashes"], Value::No),
    (&["--pre"], Value::No),
    (&["--trusted-host"], Value::One),
    (&["--use-feature"], Value::One),
    (&["--hash"], Value::One),
    (&["--config-settings", "--config-setting", "-C"], Value::One),
    (&["--global-option"], Value::One),
    (&["--install-option"], Value::One),
];

/// Endings of files that pip installs (`pip/_internal/utils/filetypes.py`).
const ARCHIVES: [&str; 11] = [
    ".whl", ".zip", ".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz",
    ".tar.lz",
];

/// Where Python's `splitlines` ends a line.
const BREAKS: [char; 10] = [
    '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}',
];

/// Returns the logical lines of a file.
pub fn lines(text: &str) -> Vec<Line> {
    let mut list = Vec::new();
    // pip and uv skip a byte order mark.
    let first = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut joined: Option<(String, usize)> = None;
    let mut end = 0;
    for (start, line) in physical_lines(text, first) {
        end = start + line.len();
        let is_comment = line.trim_start().starts_with('#');
        let (mut whole, begin) = joined.take().unwrap_or((String::new(), start));
        if line.ends_with('\\') && !is_comment {
            whole.push_str(line.trim_matches('\\'));
            joined = Some((whole, begin));
            continue;
        }
        if is_comment {
            whole.push(' ');
        }
        whole.push_str(line);
        add(&mut list, &whole, begin, end);
    }
    if let Some((whole, begin)) = joined {
        add(&mut list, &whole, begin, end);
    }
    list
}

fn add(list: &mut Vec<Line>, whole: &str, start: usize, end: usize) {
    let text = without_comment(whole).trim();
    if !text.is_empty() {
        let text = text.to_owned();
        list.push(Line { text, start, end });
    }
}

/// Returns the lines as Python's `splitlines` does, each with its first byte.
fn physical_lines(text: &str, mut start: usize) -> Vec<(usize, &str)> {
    let mut list = Vec::new();
    while start < text.len() {
        let rest = &text[start..];
        let length = rest.find(BREAKS).unwrap_or(rest.len());
        list.push((start, &rest[..length]));
        let after = &rest[length..];
        let width = if after.starts_with("\r\n") {
            2
        } else {
            after.chars().next().map_or(0, char::len_utf8)
        };
        start += length + width;
    }
    list
}

/// Cuts a line at a `#` that is at its start or follows white space.
fn without_comment(line: &str) -> &str {
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &line[..at];
        }
        before = c;
    }
    line
}

/// Reads a line. The error is the reason why it is invalid.
pub fn entry(line: &str) -> Result<Entry, String> {
    if !line.starts_with('-') {
        let words = line.split(' ').take_while(|word| !word.starts_with('-'));
        let length: usize = words.map(|word| word.len() + 1).sum();
        let (requirement, rest) = line.split_at(length.min(line.len()));
        let requirement = requirement.trim();
        let first = requirement.chars().next();
        if let Some(c) = requirement.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(format!("unexpected character {}", c.escape_unicode()));
        }
        if let Some(c) = first.filter(|c| !can_begin(*c)) {
            return Err(format!("a requirement cannot begin with {}", named(c)));
        }
        let options = options(rest)?;
        if let Some((name, _)) = options.iter().find(|(name, _)| !OF_ONE.contains(name)) {
            return Err(format!("option `{name}` needs a line of its own"));
        }
        return Ok(Entry::Requirement(requirement.to_owned(), options));
    }
    options(line).map(Entry::Options)
}

/// Whether a character can be the first one of a name, a path, a URL or a variable.
fn can_begin(c: char) -> bool {
    c.is_alphanumeric() || "./\\$_~\"'".contains(c)
}

/// Returns a character as a message shows it: one that cannot be seen by its number.
fn named(c: char) -> String {
    if c.is_ascii_graphic() {
        format!("`{c}`")
    } else {
        format!("character {}", c.escape_unicode())
    }
}

/// Whether uv ends and joins the lines of a file where pip does: uv knows fewer line breaks, and joins no
/// lines that end in `\r\n`, no options, and nothing with the end of the file.
pub fn joins_as_uv(text: &str) -> bool {
    let is_other_break = |c: char| !matches!(c, '\n' | '\r') && BREAKS.contains(&c);
    let is_split_option =
        |line: &Line| line.text.starts_with('-') && text[line.start..line.end].contains("\\\n");
    !text.contains(is_other_break)
        && !text.contains("\\\r")
        && !text.trim_end().ends_with('\\')
        && !lines(text).iter().any(is_split_option)
}

/// Whether a line has one option, with its value in a word of its own or behind `=`: uv reads no others.
pub fn is_one_option(line: &str, options: &Options) -> bool {
    let word = line.split([' ', '\t', '=']).next().unwrap_or_default();
    let is_whole = OPTIONS.iter().any(|(names, _)| names.contains(&word));
    options.len() == 1 && is_whole
}

fn options(text: &str) -> Result<Options, String> {
    let mut words = words(text)?.into_iter();
    let mut list = Vec::new();
    while let Some(word) = words.next() {
        let (name, value, attached) = option(&word)?;
        let value = match (value, attached) {
            (Value::No, None) => String::new(),
            (Value::No, Some(_)) => return Err(format!("option `{name}` has no value")),
            (Value::One, Some(value)) => value,
            (Value::One, None) => words
                .next()
                .ok_or_else(|| format!("option `{name}` needs a value"))?,
        };
        list.push((name, value));
    }
    Ok(list)
}

/// Returns an option's name and the value in the same word: `--index-url=X`, `-rX`.
fn option(word: &str) -> Result<(&'static str, Value, Option<String>), String> {
    for (names, value) in OPTIONS {
        for name in names {
            let rest = word.strip_prefix(name);
            let attached = match rest {
                Some("") => None,
                Some(rest) if name.starts_with("--") => match rest.strip_prefix('=') {
                    Some(rest) => Some(rest),
                    None => continue,
                },
                Some(rest) => Some(rest.strip_prefix('=').unwrap_or(rest)),
                None => continue,
            };
            return Ok((names[0], value, attached.map(str::to_owned)));
        }
    }
    if word.starts_with('-') {
        Err(format!("unknown option `{word}`"))
    } else {
        Err(format!("unexpected `{word}`"))
    }
}

/// Cuts options at white space, as a POSIX shell does (Python's `shlex`).
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => {
                let escaped = chars.next().unwrap_or('\\');
                if quote.is_some() && !matches!(escaped, '"' | '\\') {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(escaped);
            }
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("missing closing quote".to_owned());
    }
    words.extend(word);
    Ok(words)
}

/// Returns the part of a requirement that is a path relative to where it is installed from: `./pkg` of
/// `./pkg[extra] ; marker` and of `pkg @ file:./pkg`. Absolute paths are the image's own.
pub fn local_path(requirement: &str) -> Option<&str> {
    let separator = if requirement.contains("://") {
        "; "
    } else {
        ";"
    };
    let name = requirement.split(separator).next().unwrap_or_default();
    let name = name.trim();
    // `name @ URL` (PEP 508); a path can have an `@` as well.
    let (name, is_direct) = match name.split_once('@') {
        Some((before, url)) if is_name(before.trim_end()) => (url.trim_start(), true),
        _ => (name, false),
    };
    let (name, is_file) = match name.strip_prefix("file:") {
        Some(path) => (path.strip_prefix("//").unwrap_or(path), true),
        None if name.contains("://") => return None,
        None => (name, false),
    };
    let path = match name.split_once('[') {
        Some((path, extras)) if extras.ends_with(']') => path.trim_end(),
        _ => name,
    };
    let path = path.split('#').next().unwrap_or(path);
    let looks_like_path =
        is_file || is_direct || path.contains('/') || path.starts_with('.') || is_archive(path);
    let is_relative = !path.starts_with(['/', '$']) && !path.is_empty();
    (looks_like_path && is_relative).then_some(path)
}

/// Whether a path is that of an archive that can be installed.
pub fn is_archive(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    ARCHIVES.iter().any(|ending| path.ends_with(ending))
}

/// Whether a text is the name of a package, perhaps with extras.
fn is_name(text: &str) -> bool {
    let name = text.split('[').next().unwrap_or_default().trim_end();
    !name.is_empty()
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_those_of_pip() {
        let text = "\u{feff}-r base.txt\r\n# comment\n\nsix  # why\n  url#egg=x\nnum\\\npy \\\r\n >1\r-c \\\n# cut \\\nlast\\";
        assert_eq!(
            texts(text),
            ["-r base.txt", "six", "url#egg=x", "numpy  >1", "-c", "last"]
        );
        assert_eq!(texts("a\u{c}b\u{2028}c"), ["a", "b", "c"]);
    }

    #[test]
    fn what_uv_joins_in_another_way_is_known() {
        for text in [
            "six\n",
            "six \\\n  --hash=x\n",
            "-r x\r\nsix",
            "a\rb\r",
            "# a\\\nsix\n",
        ] {
            assert!(joins_as_uv(text), "{text:?}");
        }
        for text in [
            "six\\\r\n==1",
            "-c \\\n x",
            "six \\",
            "six \\\n",
            "a\u{c}b",
            "a\u{2028}b",
            "a\u{85}",
        ] {
            assert!(!joins_as_uv(text), "{text:?}");
        }
    }

    #[test]
    fn a_line_with_one_option_is_read_by_uv() {
        let is_one = |line: &str| match entry(line) {
            Ok(Entry::Options(list)) => is_one_option(line, &list),
            other => panic!("{other:?}"),
        };
        for line in [
            "-r x",
            "-r\tx",
            "--requirement=x",
            "-c 'a b'",
            "--pre",
            "--no-index",
        ] {
            assert!(is_one(line), "{line}");
        }
        for line in ["-rx", "-c/opt/x", "-f x --no-index", "--pre --no-index"] {
            assert!(!is_one(line), "{line}");
        }
    }

    #[test]
    fn a_line_has_its_place() {
        let line = &lines("\u{feff}# x\nnum\\\npy\n")[0];
        assert_eq!((line.start, line.end), (7, 14));
    }

    #[test]
    fn options_are_written_in_several_ways() {
        let one = |name, value: &str| Ok(Entry::Options(vec![(name, value.to_owned())]));
        for text in [
            "-r x.txt",
            "-rx.txt",
            "--requirement x.txt",
            "--requirement=x.txt",
            "-r 'x.txt'",
            "-r  x\\.txt",
        ] {
            assert_eq!(entry(text), one("--requirement", "x.txt"), "{text}");
        }
        assert_eq!(entry("--pre"), one("--pre", ""));
        assert_eq!(
            entry("-i https://a --extra-index-url=https://b"),
            Ok(Entry::Options(vec![
                ("--index-url", "https://a".to_owned()),
                ("--extra-index-url", "https://b".to_owned()),
            ]))
        );
    }

    #[test]
    fn a_requirement_is_read_without_its_options() {
        let requirement = |text: &str| Ok(Entry::Requirement(text.to_owned(), Vec::new()));
        let hashes = ["sha256:aa", "sha256:bb"].map(|hash| ("--hash", hash.to_owned()));
        assert_eq!(
            entry("six==1.16 --hash=sha256:aa --hash sha256:bb"),
            Ok(Entry::Requirement("six==1.16".to_owned(), hashes.to_vec()))
        );
        let marker = "six ; python_version < '3' and os_name == \"nt\"";
        assert_eq!(entry(marker), requirement(marker));
    }

    #[test]
    fn other_options_are_errors() {
        for (text, expected) in [
            ("--user", "unknown option `--user`"),
            ("--prefix x", "unknown option `--prefix`"),
            ("-r", "option `--requirement` needs a value"),
            ("--pre=yes", "option `--pre` has no value"),
            ("--pre six", "unexpected `six`"),
            ("-r 'x", "missing closing quote"),
            ("six --frobnicate", "unknown option `--frobnicate`"),
            ("six --pre", "option `--pre` needs a line of its own"),
            ("six -r x", "option `--requirement` needs a line of its own"),
            ("six\0", "unexpected character \\u{0}"),
            (
                "\u{feff}-r x",
                "a requirement cannot begin with character \\u{feff}",
            ),
            ("=six", "a requirement cannot begin with `=`"),
        ] {
            assert_eq!(entry(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn relative_paths_are_local() {
        for (text, expected) in [
            ("./mypkg", "./mypkg"),
            ("../mypkg[extra] ; os_name == 'posix'", "../mypkg"),
            ("wheels/six-1.whl", "wheels/six-1.whl"),
            ("six-1.16-py3-none-any.whl", "six-1.16-py3-none-any.whl"),
            (".", "."),
            ("pkg @ ./mypkg", "./mypkg"),
            ("pkg[x] @ file:mypkg", "mypkg"),
            ("file:./mypkg#egg=x", "./mypkg"),
            ("file://./mypkg", "./mypkg"),
        ] {
            assert_eq!(local_path(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn packages_urls_and_paths_of_the_image_are_not_local() {
        for text in [
            "six",
            "six[x]>=1,<2 ; python_version < '3'",
            "/opt/wheels/six.whl",
            "file:///opt/x",
            "pkg @ file:///opt/x",
            "pkg @ https://host/x.whl",
            "https://host/x.whl",
            "git+ssh://git@host/x.git@v1#subdirectory=y",
            "${WHEELS}/x.whl",
        ] {
            assert_eq!(local_path(text), None, "{text}");
        }
    }
}
