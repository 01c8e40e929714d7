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
    use crate::compile::tests::{command, script};

    #[test]
    fn recommended_packages_are_installed_on_request() {
        let script = |yaml: &str| script(&command(yaml));
        let plain = script("{ apt: [git] }");
        assert!(plain.contains("install -y --no-install-recommends git\n"));
        let more = script("{ apt: { packages: [git], recommends: true } }");
        assert!(more.contains("install -y --install-recommends git\n"));
    }

    #[test]
    fn it_runs_as_root_with_the_network() {
        let made = command("{ apt: [git] }");
        assert!(made.root && !made.offline);
    }

    #[test]
    fn downloads_and_lists_are_in_caches_with_one_writer() {
        let caches = command("{ apt: [git] }").caches;
        let targets: Vec<&str> = caches.iter().map(|cache| &*cache.target).collect();
        assert_eq!(targets, ["/var/cache/apt", "/var/lib/apt/lists"]);
        assert!(caches.iter().all(|cache| cache.private));
    }
}
