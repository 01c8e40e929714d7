//! A user's credential for a registry, and why it cannot be looked up.

use std::fmt;

/// A user's secret for one host. An identity token (OAuth2 refresh token) has an empty `username`,
/// as in BuildKit's session.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user's name; empty for an identity token.
    pub username: String,
    /// The password or the identity token.
    pub secret: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({}, …)", self.username)
    }
}

/// Why credentials cannot be looked up; no message has a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A docker config cannot be read.
    #[error("cannot read `{origin}`: {reason}")]
    Unreadable {
        /// The file or variable.
        origin: String,
        /// The cause.
        reason: String,
    },
    /// A docker config has an entry without a credential.
    #[error(
        "invalid entry for `{host}` in `{origin}`: not a credential; log in again with `docker login {host}`"
    )]
    Malformed {
        /// The file or variable.
        origin: String,
        /// The registry's host.
        host: String,
    },
    /// A credential helper is not installed.
    #[error(
        "the credential helper `{program}` for `{host}` is not on PATH; install it, or remove it from `{origin}`"
    )]
    HelperMissing {
        /// The name of the program.
        program: String,
        /// The registry's host.
        host: String,
        /// The file or variable that names it.
        origin: String,
    },
    /// A credential helper failed.
    #[error(
        "the credential helper `{program}` failed for `{host}`{}; try `echo {host} | {program} get`", because(.reason)
    )]
    Helper {
        /// The name of the program.
        program: String,
        /// The registry's host.
        host: String,
        /// What it printed.
        reason: String,
    },
    /// A credential helper does not end.
    #[error(
        "the credential helper `{program}` for `{host}` did not answer within {seconds} s; try `echo {host} | {program} get`"
    )]
    HelperHangs {
        /// The name of the program.
        program: String,
        /// The registry's host.
        host: String,
        /// How long it was waited for.
        seconds: u64,
    },
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_does_not_show_its_secret() {
        let credential = Credential {
            username: "a".to_owned(),
            secret: "hidden".to_owned(),
        };
        assert_eq!(format!("{credential:?}"), "Credential(a, …)");
    }
}
