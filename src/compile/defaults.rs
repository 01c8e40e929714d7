//! What steps get from the base and the image unless they set it themselves.

use super::command::{Command, ROOT, user_of};
use super::config::{BaseConfig, config};
use super::environment::Environment;
use crate::stack::{Image, Step};

/// User, shell, folder and variables of an image's steps.
pub struct StepDefaults {
    /// The base's environment with the image's `env:`.
    pub env: Environment,
    /// The user that steps run as.
    pub user: String,
    /// The shell of `run` steps.
    pub shell: Vec<String>,
    /// The folder steps run in.
    pub workdir: String,
    /// The folder that the finished image starts in.
    pub starts_in: String,
    /// The user that the finished image starts as.
    pub starts_as: String,
}

impl StepDefaults {
    /// Returns the defaults of an image on a base.
    pub fn new(image: &Image, base: &BaseConfig) -> Self {
        let env = base.env().with(&image.env);
        let made = config(image, base);
        let user = image.user.as_ref().map(|user| env.fill(user));
        let user = user.as_deref().or(base.user());
        Self {
            user: user.map_or_else(|| ROOT.to_owned(), user_of),
            env,
            shell: shell_of(image.shell.as_ref(), base),
            workdir: base.workdir(),
            starts_in: made.workdir(),
            starts_as: made.user().map_or_else(|| ROOT.to_owned(), user_of),
        }
    }

    /// Returns the user that a step's command runs as.
    pub fn user(&self, step: &Step, command: &Command) -> String {
        match step.user.as_deref().or(command.user.as_deref()) {
            Some(user) => user_of(user),
            None if command.root => ROOT.to_owned(),
            None => self.user.clone(),
        }
    }

    /// Returns the environment of steps that run as `user`.
    ///
    /// `HOME` of the image is that of its user. Another user gets none here, so that the runtime sets it
    /// by the image's `/etc/passwd` (libcontainer/init_linux.go of runc 1.3): root would leave files in
    /// the home folder of a user who cannot write to them then.
    pub fn env_of(&self, user: &str) -> Environment {
        let mut env = self.env.clone();
        if user != self.user {
            env.remove("HOME");
        }
        env
    }

    /// Returns the shell that runs a step's text.
    pub fn shell<'a>(&'a self, step: &'a Step) -> &'a [String] {
        step.shell.as_deref().unwrap_or(&self.shell)
    }
}

/// Returns the declared shell, else the base's, else `/bin/sh -c`.
pub fn shell_of(declared: Option<&Vec<String>>, base: &BaseConfig) -> Vec<String> {
    let shell = declared.cloned().or_else(|| base.shell());
    shell.unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(config: &str) -> BaseConfig {
        BaseConfig::parse(format!("{{\"config\":{config}}}").as_bytes()).expect("an object")
    }

    #[test]
    fn the_shell_is_the_declared_one_else_the_bases_else_sh() {
        let bash = vec!["bash".to_owned(), "-c".to_owned()];
        let with_shell = base(r#"{"Shell":["zsh","-c"]}"#);
        assert_eq!(shell_of(Some(&bash), &with_shell), bash);
        assert_eq!(shell_of(None, &with_shell), ["zsh", "-c"]);
        assert_eq!(shell_of(None, &base("{}")), ["/bin/sh", "-c"]);
    }
}
