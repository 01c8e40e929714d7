//! How a process of a container ended: [`Ended`].
//!
//! Whether it was started is known by what runc prints where it was not ([`Printed`]). runc has no other way to report it: it
//! ends with 1, as many programs do, and its text is in the output of the process.

/// The streams of output of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code: 128 and the number of the signal that ended it.
    Exited(u32),
    /// It could not be started.
    NotStarted {
        /// The exit code that shells have for it, if its program is the reason.
        exit: Option<u8>,
        /// The reason.
        reason: String,
    },
    /// Its output could not be written, and is still read by someone.
    Unwritten {
        /// The stream.
        stream: OutputStream,
        /// The reason.
        reason: String,
    },
}

/// The exit code of runc if it cannot start a process.
const RUNC: u32 = 1;

/// How the text of runc begins (runc, utils.go and libcontainer/process_linux.go).
const FAILED: &str = "runc run failed: unable to start container process: ";

/// The exit code of a program that cannot be executed, as shells and Docker have it.
const NOT_EXECUTABLE: u8 = 126;

/// The exit code of a program that is missing, as shells and Docker have it.
pub const NOT_FOUND: u8 = 127;

/// As much of the output of a process as can be a text of runc, bytes.
const LONGEST: usize = 8 << 10;

/// What a process has printed, as far as that can be a text of runc.
#[derive(Debug, Default)]
pub(super) struct Printed {
    text: Vec<u8>,
    is_more: bool,
}

impl Printed {
    /// Adds output.
    pub fn add(&mut self, bytes: &[u8]) {
        self.is_more |= self.text.len() + bytes.len() > LONGEST;
        if !self.is_more {
            self.text.extend_from_slice(bytes);
        }
    }

    /// Returns how a process with an exit code has ended; `program` is the first word of its command.
    pub fn ended(&self, code: u32, program: &str) -> Ended {
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let line = text.trim_end_matches(['\r', '\n']);
        let is_of_runc = code == RUNC && !self.is_more && !line.contains('\n');
        let fault = is_of_runc.then(|| fault(line, program)).flatten();
        fault.unwrap_or(Ended::Exited(code))
    }
}

/// Reads a text of runc.
fn fault(line: &str, program: &str) -> Option<Ended> {
    let not_started = |exit, reason| Some(Ended::NotStarted { exit, reason });
    if let Some(reason) = line.strip_prefix(FAILED) {
        // `exec: "nosuch": executable file not found in $PATH`
        let Some((_, reason)) = reason
            .split_once("exec: \"")
            .and_then(|(_, named)| named.rsplit_once("\": "))
        else {
            return not_started(None, reason.to_owned());
        };
        if is_missing(reason) {
            return not_started(Some(NOT_FOUND), format!("`{program}` not found"));
        }
        let text = format!("`{program}` cannot be executed: {reason}");
        return not_started(Some(NOT_EXECUTABLE), text);
    }
    // `exec /srv/x: exec format error`, of the process that becomes the program.
    let (path, reason) = line.strip_prefix("exec ")?.rsplit_once(": ")?;
    let is_program = path == program || path.ends_with(&format!("/{program}"));
    if !is_program {
        return None;
    }
    if is_missing(reason) {
        let text = format!("the interpreter of `{program}` is missing");
        return not_started(Some(NOT_FOUND), text);
    }
    let text = format!("`{program}` cannot be executed: {reason}");
    not_started(Some(NOT_EXECUTABLE), text)
}

fn is_missing(reason: &str) -> bool {
    reason.ends_with("executable file not found in $PATH")
        || reason.ends_with("no such file or directory")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: u32, program: &str, output: &[&str]) -> Ended {
        let mut printed = Printed::default();
        for text in output {
            printed.add(text.as_bytes());
        }
        printed.ended(code, program)
    }

    #[test]
    fn a_program_that_is_missing_or_not_executable_has_the_codes_of_docker() {
        let not_started = |program: &str, output: &[&str]| match ended(1, program, output) {
            Ended::NotStarted { exit, reason } => (exit, reason),
            other => panic!("{other:?}"),
        };
        let begin = "runc run failed: unable to start container process: ";
        for (program, rest, exit, reason) in [
            (
                "x",
                "exec: \"x\": executable file not found in $PATH\n",
                Some(127),
                "`x` not found",
            ),
            (
                "./x",
                "exec: \"./x\": stat ./x: no such file or directory\r\n",
                Some(127),
                "`./x` not found",
            ),
            (
                "/w",
                "error during container init: exec: \"/w\": is a directory",
                Some(126),
                "`/w` cannot be executed: is a directory",
            ),
            ("x", "error mounting \"a\"", None, "error mounting \"a\""),
        ] {
            assert_eq!(
                not_started(program, &[begin, rest]),
                (exit, reason.to_owned())
            );
        }
        for (program, line, exit, reason) in [
            (
                "/w/x",
                "exec /w/x: no such file or directory\n",
                127,
                "the interpreter of `/w/x` is missing",
            ),
            (
                "x",
                "exec /bin/x: exec format error\n",
                126,
                "`x` cannot be executed: exec format error",
            ),
        ] {
            assert_eq!(
                not_started(program, &[line]),
                (Some(exit), reason.to_owned())
            );
        }
    }

    #[test]
    fn a_process_that_prints_something_else_was_started() {
        let runc =
            "runc run failed: unable to start container process: exec: \"x\": permission denied\n";
        let long = "x".repeat(LONGEST);
        for (code, output) in [
            (1, &[][..]),
            (1, &["fault\n"][..]),
            (1, &["begun\n", runc][..]),
            (1, &[runc, &long][..]),
            (1, &["exec /bin/y: exec format error\n"][..]),
            (3, &[runc][..]),
        ] {
            assert_eq!(ended(code, "x", output), Ended::Exited(code), "{output:?}");
        }
    }
}
