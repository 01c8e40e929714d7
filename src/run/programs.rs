//! Programs that start a step or a suite and that the image does not have.
//!
//! The kernel, a shell and runc report a missing interpreter in different words, and some of them as if the script was
//! missing. So it is looked up in the files of the image after something failed.

use super::context::Context;
use crate::buildkit::{self, Ref};
use crate::compile::{Process, Program};

/// The exit codes of what could not be started: runc, and shells.
const NOT_STARTED: [u32; 3] = [1, 126, 127];

/// Whether a process that ended like this may not have been started.
pub fn may_lack_a_program(exit_code: Option<u32>) -> bool {
    exit_code.is_none_or(|code| NOT_STARTED.contains(&code))
}

/// Returns the first program of a process that the files of an image lack.
pub async fn missing(
    context: &Context<'_>,
    at: &Ref,
    process: &Process,
) -> Result<Option<Program>, buildkit::Error> {
    for program in &process.programs {
        let mut found = false;
        for path in paths(&program.name, &process.path) {
            found = match context.gateway.read_end(at, &path, 0).await {
                Ok(content) => content.is_some(),
                // It cannot be read, but something is there.
                Err(buildkit::Error::Failed(_)) => true,
                Err(error) => return Err(error),
            };
            if found {
                break;
            }
        }
        if !found {
            return Ok(Some(program.clone()));
        }
    }
    Ok(None)
}

/// Returns the paths at which a program can be.
fn paths(program: &str, folders: &[String]) -> Vec<String> {
    if program.starts_with('/') {
        return vec![program.to_owned()];
    }
    let folders = folders.iter();
    folders
        .map(|folder| format!("{}/{program}", folder.trim_end_matches('/')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_in_each_folder() {
        let folders = ["/usr/bin/", "/bin"].map(str::to_owned);
        assert_eq!(paths("zsh", &folders), ["/usr/bin/zsh", "/bin/zsh"]);
        assert_eq!(paths("/bin/sh", &folders), ["/bin/sh"]);
    }

    #[test]
    fn only_what_may_not_have_started_is_looked_up() {
        assert!(may_lack_a_program(None) && may_lack_a_program(Some(127)));
        assert!(!may_lack_a_program(Some(2)) && !may_lack_a_program(Some(137)));
    }
}
