//! The packages of an image, by the files that package managers keep.

use std::collections::BTreeMap;

use super::Files;

/// The database of dpkg.
pub const DPKG: &str = "var/lib/dpkg/status";

/// Returns the versions of packages by name: `apt git`, `pip numpy`, `conda python`, `npm yarn`.
pub fn packages(files: &Files) -> BTreeMap<String, String> {
    let mut packages = BTreeMap::new();
    if let Some(text) = files.texts.get(DPKG) {
        add_dpkg(&String::from_utf8_lossy(text), &mut packages);
    }
    for path in files.entries.keys() {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(stem) = name.strip_suffix(".dist-info")
            && let Some((name, version)) = stem.split_once('-')
        {
            packages.insert(
                format!("pip {}", name.replace('_', "-").to_lowercase()),
                version.to_owned(),
            );
        } else if let Some(stem) = name.strip_suffix(".json")
            && folder.rsplit('/').next() == Some("conda-meta")
            && let Some((rest, build)) = stem.rsplit_once('-')
            && let Some((name, version)) = rest.rsplit_once('-')
        {
            packages.insert(format!("conda {name}"), format!("{version} {build}"));
        }
    }
    packages
}

/// Adds the installed packages of dpkg's database (deb-control(5)).
fn add_dpkg(text: &str, packages: &mut BTreeMap<String, String>) {
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            let mut lines = paragraph.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.map(str::trim)
        };
        let is_installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if let (Some(name), Some(version), true) =
            (field("Package"), field("Version"), is_installed)
        {
            packages.insert(format!("apt {name}"), version.to_owned());
        }
    }
}
