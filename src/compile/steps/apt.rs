//! `apt`: packages of the distribution, with the downloads in a cache.

use crate::compile::command::{Cache, Command};
use crate::compile::script::expand;
use crate::compile::shell::line;

/// Returns the command of an `apt` step.
pub fn command(packages: &[String], recommends: bool) -> Command {
    let recommends = if recommends {
        "--install-recommends"
    } else {
        "--no-install-recommends"
    };
    let script = expand(
        include_str!("../scripts/apt.sh"),
        &[("RECOMMENDS", recommends), ("PACKAGES", &line(packages))],
    );
    let cache = |target: &str, id: &str| Cache {
        target: target.to_owned(),
        id: id.to_owned(),
        private: true,
    };
    Command {
        root: true,
        env: vec![("DEBIAN_FRONTEND", "noninteractive".to_owned())],
        caches: vec![
            cache("/var/cache/apt", "laminate-apt-archives"),
            cache("/var/lib/apt/lists", "laminate-apt-lists"),
        ],
        ..Command::script(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(packages: &[&str], recommends: bool) -> String {
        let packages: Vec<String> = packages.iter().map(|name| (*name).to_owned()).collect();
        command(&packages, recommends).args[2].expand(&Default::default())
    }

    #[test]
    fn recommended_packages_are_installed_on_request() {
        assert!(script(&["git"], false).contains("install -y --no-install-recommends git\n"));
        assert!(script(&["git"], true).contains("install -y --install-recommends git\n"));
    }

    #[test]
    fn a_package_is_one_word() {
        assert!(script(&["git", "a;b"], false).contains(" git 'a;b'\n"));
    }

    #[test]
    fn it_runs_as_root_with_the_network_and_caches_of_its_own() {
        let made = command(&["git".to_owned()], false);
        assert!(made.root && !made.offline);
        assert!(made.caches.len() == 2 && made.caches.iter().all(|cache| cache.private));
    }
}
