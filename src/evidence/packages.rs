//! Lists of packages, as the tools of the field print them: pip, apt, conda and R.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name, as the tool prints it.
    pub name: String,
    /// Its version, or the place it was installed from.
    pub version: String,
}

/// Returns the packages a text lists, sorted by name; `None` if it is not a list of packages. Known are
/// `pip list --format=json`, `pip freeze`, `pip list`, `dpkg-query -W`, `apt list`, `conda list` and
/// `conda list --json` (and mamba's), and R's `installed.packages()` as a table or CSV.
pub fn parse(text: &str) -> Option<Vec<Package>> {
    let mut list = json(text)
        .or_else(|| lines(text, frozen))
        .or_else(|| lines(text, tabbed))
        .or_else(|| lines(text, apt))
        .or_else(|| lines(text, csv))
        .or_else(|| columns(text))?;
    list.sort();
    list.dedup();
    (!list.is_empty()).then_some(list)
}

/// `[{"name": …, "version": …}, …]`
fn json(text: &str) -> Option<Vec<Package>> {
    let value: Value = serde_json::from_str(text.trim()).ok()?;
    let items = value.as_array()?;
    items
        .iter()
        .map(|item| {
            Some(Package {
                name: item["name"].as_str()?.to_owned(),
                version: item["version"].as_str()?.to_owned(),
            })
        })
        .collect()
}

enum Line {
    Package(Package),
    /// A heading or a comment.
    Nothing,
}

/// Returns the packages of a text if all lines have one form.
fn lines(text: &str, form: fn(&str) -> Option<Line>) -> Option<Vec<Package>> {
    let mut list = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match form(line)? {
            Line::Package(package) => list.push(package),
            Line::Nothing => {}
        }
    }
    Some(list)
}

fn package(name: &str, version: &str) -> Option<Line> {
    let good = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    (good(name) && good(version)).then(|| {
        Line::Package(Package {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    })
}

/// `numpy==2.2.0`, `x @ file:///…`, `-e git+https://…#egg=x`
fn frozen(line: &str) -> Option<Line> {
    if line.starts_with("-e ") || line.starts_with('#') {
        return Some(Line::Nothing);
    }
    match line.split_once("==") {
        Some((name, version)) => package(name.trim(), version.trim()),
        None => {
            let (name, place) = line.split_once(" @ ")?;
            package(name.trim(), place.trim())
        }
    }
}

/// `adduser<tab>3.134`; a package that was removed but for its configuration has no version.
fn tabbed(line: &str) -> Option<Line> {
    let (name, version) = line.split_once('\t')?;
    match version.trim() {
        "" => Some(Line::Nothing),
        version => package(name.trim(), version),
    }
}

/// `adduser/stable,now 3.134 all [installed]`
fn apt(line: &str) -> Option<Line> {
    if line.starts_with("Listing...") {
        return Some(Line::Nothing);
    }
    let mut words = line.split_whitespace();
    let name = words.next()?.split_once('/')?.0;
    package(name, words.next()?)
}

/// `"ggplot2","3.5.1"`, with or without the names of rows before
fn csv(line: &str) -> Option<Line> {
    let cells: Vec<&str> = line
        .split(',')
        .map(|cell| cell.trim().strip_prefix('"')?.strip_suffix('"'))
        .collect::<Option<_>>()?;
    let (name, version) = match cells.as_slice() {
        [name, version] | [_, name, version] => (*name, *version),
        _ => return None,
    };
    match (name, version) {
        ("Package", "Version") => Some(Line::Nothing),
        _ => package(name, version),
    }
}

/// A table in columns with a heading: pip's, conda's and R's.
fn columns(text: &str) -> Option<Vec<Package>> {
    let mut list = Vec::new();
    let mut heading = false;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let plain = line.trim_start_matches('#').split_whitespace();
        let low: Vec<String> = plain.take(2).map(str::to_lowercase).collect();
        if low == ["package", "version"] || low == ["name", "version"] {
            heading = true;
            continue;
        }
        if line.starts_with('#') || line.chars().all(|c| "-\u{2500} ".contains(c)) {
            continue;
        }
        // mamba prints `List of packages in environment` before the heading.
        if !heading {
            if line.starts_with("List of packages") {
                continue;
            }
            return None;
        }
        // R repeats the name of the package as the name of its row.
        let words = match words.as_slice() {
            [row, name, rest @ ..] if row == name && !rest.is_empty() => &words[1..],
            all => all,
        };
        let clean = |word: &str| word.trim_matches('"').to_owned();
        list.push(Package {
            name: clean(words.first()?),
            version: clean(words.get(1)?),
        });
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Option<String> {
        let list = parse(text)?;
        let items: Vec<String> = list
            .iter()
            .map(|p| format!("{} {}", p.name, p.version))
            .collect();
        Some(items.join(", "))
    }

    #[test]
    fn the_list_of_each_tool_is_read() {
        let expected = Some("numpy 2.2.0, six 1.16.0".to_owned());
        for text in [
            r#"[{"name": "six", "version": "1.16.0"}, {"name": "numpy", "version": "2.2.0"}]"#,
            "numpy==2.2.0\nsix==1.16.0\n# comment\n-e git+https://example.org/x#egg=x\n",
            "Package Version\n------- -------\nnumpy   2.2.0\nsix     1.16.0\n",
            "numpy\t2.2.0\nsix\t1.16.0\nremoved\t\n",
            "Listing... Done\nnumpy/stable,now 2.2.0 all [installed]\nsix/stable 1.16.0 all\n",
            "# packages in environment at /opt/conda:\n#\n# Name      Version   Build  Channel\n\
             numpy    2.2.0   py311  conda-forge\nsix      1.16.0   pyh  conda-forge\n",
        ] {
            assert_eq!(short(text), expected, "{text}");
        }
        let r = "        Package   Version\nnumpy   numpy   2.2.0\nsix     six   1.16.0\n";
        assert_eq!(short(r), expected);
        let csv =
            "\"\",\"Package\",\"Version\"\n\"1\",\"numpy\",\"2.2.0\"\n\"2\",\"six\",\"1.16.0\"\n";
        assert_eq!(short(csv), expected);
        let mamba = "List of packages in environment: \"/opt/conda\"\n\n  Name   Version  Build\n\
             \u{2500}\u{2500}\u{2500}\u{2500}\n  numpy  2.2.0  py311\n  six  1.16.0  pyh\n";
        assert_eq!(short(mamba), expected);
        assert_eq!(short("\"numpy\",\"2.2.0\"\n\"six\",\"1.16.0\"\n"), expected);
    }

    #[test]
    fn other_texts_are_not_lists() {
        for text in [
            "Python 3.11.2\n",
            "",
            "{}",
            "[]",
            "a b c\nd e f\n",
            "[1, 2]",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_package_from_a_file_keeps_its_place() {
        let text = "x @ file:///src/x\ny==1\n";
        assert_eq!(short(text), Some("x file:///src/x, y 1".to_owned()));
    }

    #[test]
    fn a_package_that_is_listed_twice_is_one() {
        assert_eq!(
            short("six==1\nsix==1\nsix==2\n"),
            Some("six 1, six 2".to_owned())
        );
    }

    #[test]
    fn conda_lists_as_json_have_more_keys() {
        let text = r#"[{"name": "six", "version": "1", "channel": "conda-forge"}]"#;
        assert_eq!(short(text), Some("six 1".to_owned()));
        assert_eq!(parse(r#"[{"name": "six"}]"#), None);
    }

    #[test]
    fn one_line_of_another_form_makes_it_another_text() {
        assert_eq!(parse("six==1\nWARNING: pip is old\n"), None);
    }

    #[test]
    fn a_list_of_only_headings_is_not_a_list() {
        assert_eq!(parse("Listing... Done\n"), None);
        assert_eq!(parse("Package Version\n------- -------\n"), None);
    }

    #[test]
    fn windows_line_ends_are_read() {
        assert_eq!(
            short("six==1\r\nwheel==2\r\n"),
            Some("six 1, wheel 2".to_owned())
        );
    }
}
