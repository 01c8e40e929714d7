//! `specs.yml` as written: [`parse`] turns its text and the files under `images/` into a [`Spec`].
//!
//! A spec is a tree of texts with their places ([`node`]); texts are cut at their variables
//! ([`template`]), files are kept as git sees them ([`tree`]), and [`lock`] is `specs.lock`.
//! [`read`] and [`find`] read it from the disk and [`hash`] hashes the files that are used; a [`content`] is read when it
//! is needed, and [`Found`] looks whether all is still as it was. `stack` resolves it.

pub mod content;
mod found;
mod hashes;
mod load;
pub mod lock;
pub mod node;
mod parse;
mod path_key;
pub mod template;
pub mod tree;
mod walk;
mod yaml_help;

pub use found::{Again, Found, TextFile};
pub use hashes::{Hashing, hash};
pub use load::{Layout, Unreadable, parse_file, read, read_text};
pub use parse::{DECLARATION, Spec, parse, with_files};
pub use walk::{find, find_tracked};
