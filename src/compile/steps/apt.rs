//! `apt`: packages of the distribution, with the downloads in a cache.

use crate::compile::command::{Cache, Command, path_in_step};
use crate::compile::script::expand;
use crate::compile::shell::{line, quote};
use crate::stack::{Apt, AptSource};

/// Returns the command of an `apt` step.
pub fn command(apt: &Apt) -> Command {
    let recommends = if apt.recommends {
        "--install-recommends"
    } else {
        "--no-install-recommends"
    };
    let sources: String = apt.sources.iter().map(add_source).collect();
    let script = expand(
        include_str!("../scripts/apt.sh"),
        &[
            ("SOURCES", sources.trim_end()),
            ("RECOMMENDS", recommends),
            ("PACKAGES", &line(&apt.packages)),
        ],
    );
    let cache = |target: &str, id: &str| Cache {
        target: target.to_owned(),
        id: id.to_owned(),
        private: true,
    };
    Command {
        root: true,
        env: vec![("DEBIAN_FRONTEND", "noninteractive".to_owned())],
        files: apt
            .sources
            .iter()
            .map(|source| source.key.clone())
            .collect(),
        caches: vec![
            cache("/var/cache/apt", "laminate-apt-archives"),
            cache("/var/lib/apt/lists", "laminate-apt-lists"),
        ],
        ..Command::script(script)
    }
}

/// Returns the shell text that adds a source: a deb822 file, and the key that may sign it. apt takes the
/// form of a key from the end of its name: `.asc` is text.
fn add_source(source: &AptSource) -> String {
    let AptSource {
        name,
        uri,
        suite,
        components,
        key,
    } = source;
    let mut lines = vec![
        "Types: deb".to_owned(),
        format!("URIs: {uri}"),
        format!("Suites: {suite}"),
    ];
    if !components.is_empty() {
        lines.push(format!("Components: {}", components.join(" ")));
    }
    expand(
        include_str!("../scripts/apt_source.sh"),
        &[
            ("NAME", name),
            ("KEY", &quote(&path_in_step(key))),
            ("LINES", &line(&lines)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use crate::compile::tests::{command, script};

    #[test]
    fn recommended_packages_are_installed_on_request() {
        let script = |yaml: &str| script(&command(yaml));
        let plain = script("{ apt: [git] }");
        assert!(
            plain.contains("--force-unsafe-io install -y --no-install-recommends git\n"),
            "{plain}"
        );
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

    #[test]
    fn sources_are_added_with_their_keys_before_the_lists_are_read() {
        let made = command(
            "{ apt: { packages: [tool], sources: [{ uri: \"https://x.org/deb\", suite: stable, \
             components: [main, extra], key: x }] } }",
        );
        assert_eq!(made.files, ["images/base/x"]);
        let script = script(&made);
        let at = |text: &str| {
            script
                .find(text)
                .unwrap_or_else(|| panic!("{text}: {script}"))
        };
        assert!(
            at("'URIs: https://x.org/deb' 'Suites: stable' 'Components: main extra'")
                < at("update")
        );
        assert!(at("Signed-By: $key") < at("update"));
    }

    #[test]
    fn packages_of_a_file_are_those_of_the_step() {
        let keys = "steps: [{ apt: apt.txt }]";
        let spec = format!("stack: t\nimages:\n  a:\n    base: debian:12\n    {keys}\n");
        let files = [("images/a/apt.txt", "# tools\ngit jq # more\n\nr-base=4.*\n")];
        let stack = crate::testing::stack_with(&spec, &files);
        assert_eq!(stack.images()[0].steps[0].title, "apt git jq r-base=4.*");
    }
}
