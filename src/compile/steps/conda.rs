//! `conda`: packages of conda channels, installed with what the image has of mamba, micromamba and conda.

use crate::compile::command::{Cache, Command, PLACE};
use crate::compile::requirements::environment_file;
use crate::compile::script::expand;
use crate::compile::shell::{line, quote};
use crate::stack::Conda;

/// Returns the command of a `conda` step.
pub fn command(conda: &Conda) -> Command {
    let channel = |channel: &String| format!(" -c {}", quote(channel));
    let channels: String = conda.channels.iter().map(channel).collect();
    let mut script = expand(include_str!("../scripts/conda.sh"), &[]);
    if let Some(file) = &conda.file {
        let (path, before) = environment_file(file, &conda.requirements);
        script.push_str(&before);
        script.push_str(&expand(
            include_str!("../scripts/conda_file.sh"),
            &[("CHANNELS", &channels), ("FILE", &quote(&path))],
        ));
    }
    if !conda.packages.is_empty() {
        script.push_str(&expand(
            include_str!("../scripts/conda_packages.sh"),
            &[
                ("CHANNELS", &channels),
                ("PACKAGES", &line(&conda.packages)),
            ],
        ));
    }
    let cache = format!("{PLACE}/cache");
    Command {
        env: vec![
            ("CONDA_PKGS_DIRS", cache.clone()),
            ("CONDA_ALWAYS_COPY", "true".to_owned()),
        ],
        files: (conda.file.iter())
            .chain(conda.requirements.all_files())
            .cloned()
            .collect(),
        caches: vec![Cache {
            target: cache,
            id: "laminate-conda".to_owned(),
            private: false,
        }],
        ..Command::script(script)
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::tests::{command, script};

    #[test]
    fn packages_are_installed_from_the_channels() {
        let script = script(&command(
            "{ conda: { packages: [numpy, \"blas=*=mkl\"], channels: [a, b] } }",
        ));
        assert!(script.ends_with("\"$tool\" install -y -c a -c b numpy 'blas=*=mkl'\n"));
        assert!(!script.contains("env update"));
    }

    #[test]
    fn a_file_alone_installs_no_packages() {
        let made = command("{ conda: { file: environment.yml } }");
        assert_eq!(made.files, ["images/base/environment.yml"]);
        let script = script(&made);
        assert!(script.contains("--file /run/laminate/files/images/base/environment.yml ;;\n"));
        assert!(script.ends_with("esac\n"), "{script}");
    }
}
