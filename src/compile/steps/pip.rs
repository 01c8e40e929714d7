//! `pip`: Python packages, installed with uv or with the image's own pip.

use crate::compile::command::{Cache, Command, PLACE};
use crate::compile::requirements::{bring, file_arguments, packages};
use crate::compile::script::expand;
use crate::compile::shell::{line, quote};
use crate::stack::{Pip, PipTool};

/// Returns the command of a `pip` step.
pub fn command(pip: &Pip) -> Command {
    let cache = format!("{PLACE}/cache");
    let (script, cache, env) = match pip.tool {
        PipTool::Uv => (include_str!("../scripts/pip_uv.sh"), uv_cache(), uv_env()),
        PipTool::Pip => (
            include_str!("../scripts/pip.sh"),
            Cache {
                target: cache.clone(),
                id: "laminate-pip".to_owned(),
                private: false,
            },
            vec![
                ("PIP_CACHE_DIR", cache),
                ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
                ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
                // Never into ~/.local, which is hidden where a home folder is mounted.
                ("PIP_USER", "0".to_owned()),
                // As uv: an image is not a system that someone maintains.
                ("PIP_BREAK_SYSTEM_PACKAGES", "1".to_owned()),
                ("PIP_REQUIRE_VIRTUALENV", "0".to_owned()),
            ],
        ),
    };
    let mut made = Command::default();
    let mut whole = bring(&pip.requirements, &mut made);
    let folders = line(&target_folders(&pip.args));
    let values = [("ARGUMENTS", arguments(pip)), ("FOLDERS", folders)];
    whole.push(&expand(
        script,
        &values
            .each_ref()
            .map(|(name, value)| (*name, value.as_str())),
    ));
    Command {
        env,
        args: Command::script(whole).args,
        caches: vec![cache],
        uv: pip.tool == PipTool::Uv,
        ..made
    }
}

/// Returns the settings of uv.
pub fn uv_env() -> Vec<(&'static str, String)> {
    vec![
        ("UV_CACHE_DIR", format!("{PLACE}/cache")),
        ("UV_LINK_MODE", "copy".to_owned()),
        ("UV_BREAK_SYSTEM_PACKAGES", "1".to_owned()),
        ("UV_NO_PROGRESS", "1".to_owned()),
        ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
    ]
}

/// Returns the cache of uv.
pub fn uv_cache() -> Cache {
    Cache {
        target: format!("{PLACE}/cache"),
        id: "laminate-uv".to_owned(),
        private: false,
    }
}

/// Returns the shell that installs with uv for the python on the `PATH`.
pub fn install_with_uv(arguments: &str) -> String {
    expand(
        include_str!("../scripts/pip_uv.sh"),
        &[("ARGUMENTS", arguments), ("FOLDERS", "")],
    )
}

/// Returns the folders that arguments of uv install into instead of the environment of python.
fn target_folders(args: &[String]) -> Vec<String> {
    let names = ["--target", "--prefix", "-t"];
    let mut args = args.iter();
    let mut folders = Vec::new();
    while let Some(arg) = args.next() {
        let Some((name, rest)) = names
            .iter()
            .find_map(|name| Some((name, arg.strip_prefix(name)?)))
        else {
            continue;
        };
        let folder = match rest.strip_prefix('=') {
            Some(folder) => Some(folder.to_owned()),
            None if rest.is_empty() => args.next().cloned(),
            None => (*name == "-t").then(|| rest.to_owned()),
        };
        folders.extend(folder);
    }
    folders
}

/// Returns the arguments of `install`, which are the same for both tools, each after a blank.
fn arguments(pip: &Pip) -> String {
    let mut text = String::new();
    if pip.upgrade {
        text.push_str(" --upgrade");
    }
    if let Some(index) = &pip.index {
        text.push_str(&format!(" --index-url {}", quote(index)));
    }
    for index in &pip.extra_index {
        text.push_str(&format!(" --extra-index-url {}", quote(index)));
    }
    if pip.no_deps {
        text.push_str(" --no-deps");
    }
    if let (Some(strategy), PipTool::Uv) = (pip.index_strategy, pip.tool) {
        text.push_str(&format!(" --index-strategy {strategy}"));
    }
    for option in pip.requirements.options.iter().chain(&pip.args) {
        text.push_str(&format!(" {}", quote(option)));
    }
    text.push_str(&file_arguments(&pip.requirements));
    if !pip.packages.is_empty() {
        let packages = packages(&pip.requirements, &pip.packages);
        text.push_str(&format!(" -- {}", line(&packages)));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::compile::tests::{command, script};

    use super::*;

    #[test]
    fn locks_are_removed_where_arguments_install_into() {
        let folders = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
            target_folders(&args)
        };
        assert_eq!(
            folders(&["--target", "/a b", "--prefix=/p"]),
            ["/a b", "/p"]
        );
        assert_eq!(
            folders(&["-t/a", "-t", "b", "--targets", "--pre"]),
            ["/a", "b"]
        );
        let args = "{ pip: { packages: [six], args: [--target, /opt/x] } }";
        assert!(script(&command(args)).contains(" /opt/x; do\n"));
    }

    const UV: &str = "{ pip: [six] }";
    const PIP: &str = "{ pip: { packages: [six], tool: pip } }";

    #[test]
    fn uv_is_mounted_only_for_uv() {
        assert!(command(UV).uv);
        assert!(!command(PIP).uv);
    }

    #[test]
    fn each_tool_has_a_cache_of_its_own() {
        assert_eq!(command(UV).caches[0].id, "laminate-uv");
        assert_eq!(command(PIP).caches[0].id, "laminate-pip");
    }

    #[test]
    fn only_uvs_locks_are_removed() {
        assert!(script(&command(UV)).contains("rm -f"));
        assert!(!script(&command(PIP)).contains("lock"));
    }

    #[test]
    fn included_requirements_are_mounted_and_not_arguments() {
        let made = command("{ pip: { requirements: requirements.txt, tool: pip } }");
        assert_eq!(
            made.files,
            ["images/base/requirements.txt", "images/base/more.txt"]
        );
        let script = script(&made);
        assert!(script.ends_with(" -r /run/laminate/files/images/base/requirements.txt\n"));
    }

    #[test]
    fn indexes_and_upgrade_come_before_the_packages() {
        let script = script(&command(
            "{ pip: { packages: [\"six>1\"], upgrade: true, index: \"https://a/b?c\", \
             extra-index: [\"https://d\"] } }",
        ));
        assert!(script.contains(
            " --upgrade --index-url 'https://a/b?c' --extra-index-url https://d -- 'six>1'\n"
        ));
    }

    #[test]
    fn options_come_before_the_packages() {
        let keys = "no-deps: true, args: [\"--config-settings\", \"a=b c\"]";
        let script = script(&command(&format!(
            "{{ pip: {{ packages: [six], index-strategy: unsafe-best-match, {keys} }} }}"
        )));
        assert!(script.contains(
            " --no-deps --index-strategy unsafe-best-match --config-settings 'a=b c' -- six\n"
        ));
    }

    #[test]
    fn pip_has_one_strategy_and_no_option_for_it() {
        let pip = "{ pip: { packages: [six], tool: pip, index-strategy: unsafe-best-match } }";
        assert!(!script(&command(pip)).contains("strategy"));
    }

    #[test]
    fn the_title_has_the_rule_for_several_indexes() {
        let title = |keys: &str| {
            let yaml = format!("{{ pip: {{ packages: [six], {keys} }} }}");
            crate::compile::tests::step(&yaml).title
        };
        assert_eq!(title("upgrade: true"), "pip six");
        assert_eq!(
            title("extra-index: [\"https://d\"]"),
            "pip (uv, first-index) six"
        );
        assert_eq!(
            title("extra-index: [\"https://d\"], tool: pip"),
            "pip (pip, unsafe-best-match) six"
        );
    }
}
