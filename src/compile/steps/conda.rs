//! `conda`: packages of conda channels, installed with py-rattler or with what the image has of mamba,
//! micromamba and conda.

use serde_json::json;

use crate::compile::command::{Arg, Cache, Command, PLACE};
use crate::compile::requirements::{bring, bring_lines, environment_file};
use crate::compile::script::expand;
use crate::compile::shell::{line, quote};
use crate::compile::steps::pip;
use crate::compile::tools::INSTALLER;
use crate::stack::{Conda, CondaEnvironment, CondaTool};

/// The python that uv fetches where an image has none that can run py-rattler: one that this uv knows.
const PYTHON_VERSION: &str = "3.13.18";

/// Returns the command of a `conda` step.
pub fn command(conda: &Conda) -> Command {
    let (prefix, name) = match &conda.environment {
        CondaEnvironment::OnPath => ("", ""),
        CondaEnvironment::Prefix(path) => (path.as_str(), ""),
        CondaEnvironment::Named(name) => ("", name.as_str()),
    };
    let mut script = Arg::from(expand(
        include_str!("../scripts/conda_environment.sh"),
        &[("PREFIX", &quote(prefix)), ("NAME", &quote(name))],
    ));
    match conda.tool {
        CondaTool::Rattler => with_rattler(conda, &mut script),
        CondaTool::Mamba | CondaTool::Micromamba | CondaTool::Conda => {
            with_tool(conda, &mut script)
        }
    }
}

/// Returns the command that installs with py-rattler, and the `pip:` section with uv.
fn with_rattler(conda: &Conda, script: &mut Arg) -> Command {
    let cache = format!("{PLACE}/conda");
    let mut made = Command::default();
    let specs: Vec<&String> = conda
        .content
        .packages
        .iter()
        .chain(&conda.packages)
        .collect();
    let channels: Vec<&String> = conda
        .channels
        .iter()
        .chain(&conda.content.channels)
        .collect();
    let request = json!({
        "specs": specs,
        "channels": channels,
        "priority": conda.channel_priority,
        "upgrade": conda.upgrade,
    });
    made.texts
        .insert("conda_request".to_owned(), request.to_string());
    if !specs.is_empty() {
        script.push(&expand(
            include_str!("../scripts/conda_python.sh"),
            &[("CACHE", &cache), ("VERSION", PYTHON_VERSION)],
        ));
        script.push(&format!(
            "\"$python\" -ISB {PLACE}/rattler/{INSTALLER} \"$prefix\" "
        ));
        script.push_text_path("conda_request");
        script.push(&format!(" {PLACE}/rattler {cache}\n"));
    }
    let mut caches = vec![Cache {
        target: cache,
        id: "laminate-rattler".to_owned(),
        private: false,
    }];
    if !conda.content.pip.is_empty() {
        script.push(&expand(include_str!("../scripts/conda_pip.sh"), &[]));
        let before = bring(&conda.requirements, &mut made);
        script.append(before);
        let file = conda.file.as_deref().expect("it has the section");
        let lines = bring_lines(file, &conda.content.pip, &conda.requirements, &mut made);
        let (before, path) = lines;
        script.append(before);
        let options = conda.requirements.options.iter();
        let options: String = options
            .map(|option| format!(" {}", quote(option)))
            .collect();
        let arguments = format!("{options} -r {}", quote(&path));
        script.push(&pip::install_with_uv(&arguments));
        caches.push(pip::uv_cache());
    }
    made.files.extend(conda.file.clone());
    Command {
        env: pip::uv_env(),
        args: Command::script(std::mem::take(script)).args,
        caches,
        uv: true,
        rattler: true,
        ..made
    }
}

/// Returns the command that installs with a program of the image.
fn with_tool(conda: &Conda, script: &mut Arg) -> Command {
    let tool = conda.tool.name();
    let channels = conda.channels.iter();
    let options: String = channels
        .map(|channel| format!(" -c {}", quote(channel)))
        .collect();
    script.push(&expand(
        include_str!("../scripts/conda_tool.sh"),
        &[("TOOL", tool)],
    ));
    if let Some(file) = &conda.file {
        let (path, before) = environment_file(file, &conda.requirements);
        script.push(&before);
        let is_environment = matches!(file.extension(), Some("yml" | "yaml"));
        let text = if is_environment {
            include_str!("../scripts/conda_tool_file.sh")
        } else {
            include_str!("../scripts/conda_tool_packages.sh")
        };
        let path = quote(&path);
        script.push(&expand(
            text,
            &[
                ("TOOL", tool),
                ("VERB", "\"$verb\""),
                ("OPTIONS", &options),
                ("FILE", &path),
                ("PACKAGES", &format!("--file {path}")),
            ],
        ));
    }
    if !conda.packages.is_empty() {
        // Only `update` replaces packages that fit.
        let verb = if conda.upgrade { "update" } else { "\"$verb\"" };
        script.push(&expand(
            include_str!("../scripts/conda_tool_packages.sh"),
            &[
                ("TOOL", tool),
                ("VERB", verb),
                ("OPTIONS", &options),
                ("PACKAGES", &line(&conda.packages)),
            ],
        ));
    }
    let cache = format!("{PLACE}/conda");
    Command {
        env: tool_env(conda, &cache),
        files: (conda.file.iter())
            .chain(conda.requirements.all_files())
            .cloned()
            .collect(),
        caches: vec![Cache {
            target: cache,
            id: "laminate-conda".to_owned(),
            private: false,
        }],
        ..Command::script(std::mem::take(script))
    }
}

/// Returns the settings of mamba, micromamba and conda.
fn tool_env(conda: &Conda, cache: &str) -> Vec<(&'static str, String)> {
    let mut env = vec![
        ("CONDA_PKGS_DIRS", cache.to_owned()),
        ("CONDA_ALWAYS_COPY", "true".to_owned()),
        ("CONDA_ALWAYS_YES", "true".to_owned()),
        ("MAMBA_ALWAYS_YES", "true".to_owned()),
    ];
    if let Some(priority) = conda.channel_priority {
        env.push(("CONDA_CHANNEL_PRIORITY", priority.to_owned()));
        env.push(("MAMBA_CHANNEL_PRIORITY", priority.to_owned()));
    }
    env
}

#[cfg(test)]
mod tests {
    use crate::compile::tests::{command, script};

    #[test]
    fn py_rattler_is_the_default_and_gets_a_request() {
        let made = command(
            "{ conda: { packages: [numpy, \"blas=*=mkl\"], channels: [a, b], channel-priority: flexible } }",
        );
        assert!(made.rattler && made.uv);
        assert_eq!(
            made.texts["conda_request"],
            r#"{"specs":["numpy","blas=*=mkl"],"channels":["a","b"],"priority":"flexible","upgrade":false}"#
        );
        assert_eq!(made.caches.len(), 1);
        let script = script(&made);
        assert!(script.contains("prefix=''\nname=''\n"));
        let python = "\"$pythons\"/cpython-3.13.18-*/bin/python3; do";
        assert!(script.contains(python), "{script}");
    }

    #[test]
    fn a_prefix_and_a_name_reach_the_script() {
        let prefix = command("{ conda: { packages: [a], prefix: \"/srv/a b/\" } }");
        assert!(script(&prefix).contains("prefix='/srv/a b'\nname=''\n"));
        let named = command("{ conda: { packages: [a], env: r } }");
        assert!(script(&named).contains("prefix=''\nname=r\n"));
    }

    #[test]
    fn a_file_brings_its_packages_channels_and_pip_section() {
        let made = command("{ conda: { file: environment.yml } }");
        assert_eq!(
            made.texts["conda_request"],
            r#"{"specs":["python=3.11"],"channels":["conda-forge"],"priority":null,"upgrade":false}"#
        );
        assert_eq!(made.texts["conda_pip"], "six\n");
        let script = script(&made);
        assert!(script.contains(" -r /run/laminate/local/images/base/environment.yml.pip"));
        assert_eq!(made.caches.len(), 2);
    }

    #[test]
    fn a_tool_of_the_image_installs_into_the_same_environment() {
        let made = command("{ conda: { packages: [numpy], channels: [a], tool: mamba } }");
        assert!(!made.rattler && !made.uv);
        let script = script(&made);
        assert!(
            script.contains("mamba \"$verb\" -y -p \"$prefix\" -c a numpy\n"),
            "{script}"
        );
        assert!(!script.contains("env update"));
    }

    #[test]
    fn a_tool_of_the_image_reads_the_file_itself() {
        let made = command("{ conda: { file: environment.yml, tool: conda } }");
        assert_eq!(made.files, ["images/base/environment.yml"]);
        assert!(
            script(&made).contains("--file /run/laminate/files/images/base/environment.yml ;;\n")
        );
    }
}
