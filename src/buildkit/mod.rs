//! A client of buildkitd: connects (or starts one for the run), holds a session, and drives one
//! `Control.Solve` as its gateway client.
//!
//! Main types: [`Client`], [`PrivateEngine`], [`Gateway`]; [`solve`] is the whole protocol. `run` calls
//! it. It knows graphs as definitions and images as references; nothing of stacks.
//!
//! Protocol facts are those of moby/buildkit v0.32.2; a comment names the file a fact is from.

mod address;
mod connect;
mod engine;
mod error;
mod gateway;
mod session;
mod solve;
mod status;

pub use address::Address;
pub use connect::Client;
pub use engine::{EngineError, Options as EngineOptions, PrivateEngine};
pub use error::{Error, Failure, Place};
pub use gateway::{FileEntry, FileKind, Gateway, ImageMeta, Ref};
pub use session::{CredentialSource, Files, Services};
pub use solve::{Exporter, Request, Returned, solve};
pub use status::{Update, Vertex};

/// Messages up to this size are taken and sent, bytes; the daemon has the same limit both ways
/// (cmd/buildkitd/main.go).
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// A text nobody else makes: 25 letters and digits, as buildctl's ids.
fn unique() -> String {
    use std::hash::{BuildHasher, Hasher};
    const LETTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::new();
    while text.len() < 25 {
        // Each `RandomState` has keys of its own, from the system's randomness.
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        let mut number = hasher.finish();
        for _ in 0..12 {
            let index = usize::try_from(number % 36).expect("below 36");
            text.push(char::from(LETTERS[index]));
            number /= 36;
        }
    }
    text.truncate(25);
    text
}
