//! A client of buildkitd: connects (or starts one for the run), holds a session, and drives one
//! `Control.Solve` as its gateway client.
//!
//! Main types: [`Client`], [`PrivateEngine`], [`Gateway`]; [`solve`] is the whole protocol. `run` calls
//! it. It has graphs as definitions and images as references; stacks are unknown to it.
//!
//! Protocol facts are those of moby/buildkit v0.32.2; a comment has the file a fact is from.

mod address;
mod connect;
mod container;
mod content;
mod ended;
mod engine;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gateway;
mod session;
mod solve;
mod status;

pub use address::Address;
pub use connect::Client;
pub use container::{Container, Input, Process};
pub use content::Exported;
pub use ended::{Ended, NOT_FOUND, OutputStream};
pub use engine::{EngineError, Notice, Options as EngineOptions, PrivateEngine, exec_engine};
#[cfg(test)]
pub use error::SourceLocation;
pub use error::{Error, Failure, reason};
pub use gateway::{FileEntry, FileKind, FrontendRequest, Gateway, Ref};
pub use session::{CredentialSource, Services};
pub use solve::{Built, Export, Exporter, Request, Returned, Solved, solve};
pub use status::{Update, Vertex};

/// The longest message that is sent and received, bytes; the daemon has the same limit both ways
/// (cmd/buildkitd/main.go).
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// Returns a text that no other client has: 25 letters and digits, as buildctl's ids.
fn unique() -> String {
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..25)
        .map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn ids_have_25_letters_and_digits_and_differ() {
        let (one, two) = (unique(), unique());
        assert_eq!(one.len(), 25);
        assert!(
            one.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert_ne!(one, two);
    }
}
