//! The output of a failed step, shortened for people.

/// A longer line is shortened, characters: pip lists all versions of a package on one.
const LONGEST: usize = 400;

/// Characters that are shown of the beginning of a longer line.
const BEGINNING: usize = 280;

/// Characters that are shown of the end of a longer line.
const END: usize = 80;

/// Shorter lines are all shown, characters: a list of numbers has many alike.
const SHORT: usize = 60;

/// Returns the lines of an output: of three or more in a row that differ in numbers alone, such as those of attempts, the first
/// and how many follow, and of a long line its beginning and its end.
pub fn shortened(lines: &[String]) -> Vec<String> {
    let mut shown = Vec::new();
    for alike in lines.chunk_by(|one, next| is_alike(one, next)) {
        match alike {
            [first, rest @ ..] if rest.len() > 1 => {
                shown.push(shortened_line(first));
                shown.push(format!("… {} more lines like this", rest.len()));
            }
            few => shown.extend(few.iter().map(|line| shortened_line(line))),
        }
    }
    shown
}

/// Whether two long lines differ in words with digits alone.
fn is_alike(one: &str, next: &str) -> bool {
    let is_long = |line: &str| line.chars().count() >= SHORT;
    is_long(one) && is_long(next) && words(one).eq(words(next))
}

/// Returns the words and what is between them, without words that have digits.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_inner = |one: char, next: char| one.is_alphanumeric() && next.is_alphanumeric();
    let mut rest = line;
    let parts = std::iter::from_fn(move || {
        let mut characters = rest.char_indices();
        let (_, mut last) = characters.next()?;
        let end =
            characters.find(|(_, next)| !is_inner(std::mem::replace(&mut last, *next), *next));
        let (part, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(part)
    });
    parts.filter(|part| !part.contains(|c: char| c.is_ascii_digit()))
}

fn shortened_line(line: &str) -> String {
    let length = line.chars().count();
    if length <= LONGEST {
        return line.to_owned();
    }
    let beginning: String = line.chars().take(BEGINNING).collect();
    let end: String = line.chars().skip(length - END).collect();
    let missing = length - BEGINNING - END;
    format!("{beginning} … {missing} characters left out … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Vec<String> {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        shortened(&lines)
    }

    #[test]
    fn lines_that_differ_in_numbers_alone_are_counted() {
        let attempt = |left: usize, at: &str| {
            format!(
                "WARNING: Retrying (Retry(total={left}, connect=None)) after <Connection object at 0x{at}>"
            )
        };
        let lines = [
            attempt(4, "7fa0"),
            attempt(3, "7fb1"),
            attempt(2, "9c"),
            "ERROR".to_owned(),
        ];
        let first = attempt(4, "7fa0");
        let expected = [first.as_str(), "… 2 more lines like this", "ERROR"];
        assert_eq!(shortened(&lines), expected);
        // Two lines, short lines and lines with other words are all shown.
        assert_eq!(shortened(&lines[1..]), lines[1..]);
        let short = ["x = 1", "x = 2", "x = 3", "x = 4"];
        assert_eq!(of(&short), short);
        let long = |word: &str| format!("{word}{}", " and so on".repeat(9));
        let others = [long("one"), long("two"), long("three")];
        assert_eq!(shortened(&others), others);
    }

    #[test]
    fn a_long_line_has_its_beginning_and_its_end() {
        let line = format!("from versions: {}2.2.0)", "é, ".repeat(400));
        let shown = &of(&[&line])[0];
        assert!(shown.starts_with("from versions: é, é, "), "{shown}");
        assert!(shown.ends_with("é, 2.2.0)"), "{shown}");
        let count = |text: &str| text.chars().count();
        assert_eq!(
            count(shown),
            BEGINNING + END + count(" … 861 characters left out … ")
        );
        assert!(shown.contains(" … 861 characters left out … "), "{shown}");
        let longest = "x".repeat(LONGEST);
        assert_eq!(of(&[&longest]), [longest.as_str()]);
    }
}
