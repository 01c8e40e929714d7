//! Rows of the table of differences: files of one folder that differ in the same way share one.

use std::collections::BTreeMap;

use crate::parity::Changed;

/// How many files that differ in the same way have a row each.
const FEW: usize = 5;
/// How many folders above them files that share a row have in common, at least: `/usr/lib`, not `/usr`.
const COMMON_FOLDERS: usize = 2;

/// Returns the rows of some differences, in their order: each is a difference, or stands for several that are alike. Both
/// sides are the same text if only contents or targets of links differ.
pub fn rows(list: &[Changed]) -> Vec<Changed> {
    let mut alike: BTreeMap<&[Option<String>; 2], Vec<usize>> = BTreeMap::new();
    for (number, changed) in list.iter().enumerate() {
        alike.entry(&changed.alike).or_default().push(number);
    }
    let mut made = BTreeMap::new();
    for (alike, members) in alike {
        if alike.iter().any(Option::is_some) {
            add(list, &members, 0, &mut made);
        } else {
            add_singles(list, &members, &mut made);
        }
    }
    made.into_values().collect()
}

/// Adds the rows of differences that are alike and have the first `depth` folders in common, by the number of the first
/// difference of each.
fn add(list: &[Changed], members: &[usize], depth: usize, made: &mut BTreeMap<usize, Changed>) {
    if members.len() <= FEW {
        return add_singles(list, members, made);
    }
    if depth >= COMMON_FOLDERS {
        made.insert(members[0], shared(list, members));
        return;
    }
    let mut parts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &number in members {
        match folders(&list[number].what).nth(depth) {
            Some(part) => parts.entry(part).or_default().push(number),
            None => add_singles(list, &[number], made),
        }
    }
    for members in parts.into_values() {
        add(list, &members, depth + 1, made);
    }
}

fn add_singles(list: &[Changed], numbers: &[usize], made: &mut BTreeMap<usize, Changed>) {
    made.extend(numbers.iter().map(|&number| (number, list[number].clone())));
}

/// Returns the names of the folders above a path, from the root.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    folder.split('/').skip(1)
}

/// Returns the row of several differences that are alike.
fn shared(list: &[Changed], members: &[usize]) -> Changed {
    let mut common: Vec<&str> = folders(&list[members[0]].what).collect();
    for &number in members {
        let pairs = common.iter().zip(folders(&list[number].what));
        let equal = pairs.take_while(|(one, other)| **one == *other).count();
        common.truncate(equal);
    }
    let [first, second] = list[members[0]].alike.clone();
    let [first, second] = match (first.as_deref(), second.as_deref()) {
        (Some("file"), Some("file")) => ["contents differ"; 2].map(|it| Some(it.to_owned())),
        (Some("link"), Some("link")) => ["targets differ"; 2].map(|it| Some(it.to_owned())),
        _ => [first, second],
    };
    let what = format!("{} paths below /{}", members.len(), common.join("/"));
    Changed {
        what,
        first,
        second,
        alike: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(what: &str, first: &str, second: &str) -> Changed {
        let kind = |text: &str| text.split(" of ").next().map(str::to_owned);
        Changed {
            what: what.to_owned(),
            first: Some(first.to_owned()),
            second: Some(second.to_owned()),
            alike: [kind(first), kind(second)],
        }
    }

    fn shown(list: &[Changed]) -> Vec<String> {
        let text = |it: Changed| {
            format!(
                "{}: {}; {}",
                it.what,
                it.first.unwrap_or_default(),
                it.second.unwrap_or_default()
            )
        };
        rows(list).into_iter().map(text).collect()
    }

    #[test]
    fn files_of_one_folder_that_differ_in_the_same_way_share_a_row() {
        let mut list = vec![changed("/etc/x", "mode 644", "mode 600")];
        for name in ["a", "b", "c", "lib/d", "lib/e", "lib/f"] {
            let path = format!("/opt/venv/{name}");
            list.push(changed(&path, "mode 755", "mode 775"));
        }
        list.push(changed("/opt/venv/z", "mode 644", "mode 664"));
        for name in ["a", "b", "c", "d", "e", "f"] {
            let path = format!("/srv/x/{name}");
            list.push(changed(&path, &format!("file of {name}"), "file of 2"));
        }
        let expected = [
            "/etc/x: mode 644; mode 600",
            "6 paths below /opt/venv: mode 755; mode 775",
            "/opt/venv/z: mode 644; mode 664",
            "6 paths below /srv/x: contents differ; contents differ",
        ];
        assert_eq!(shown(&list), expected);
    }

    #[test]
    fn files_that_have_little_in_common_have_a_row_each() {
        let paths = [
            "/a", "/b", "/c/x", "/d/x/1", "/e", "/f", "/g", "/usr/1", "/usr/2", "/usr/3", "/usr/4",
            "/usr/5", "/usr/6", "/usr/x/y",
        ];
        let list: Vec<Changed> = paths.map(|it| changed(it, "folder", "link")).into();
        assert_eq!(rows(&list).len(), paths.len());
        assert_eq!(rows(&list)[0], list[0]);
    }
}
