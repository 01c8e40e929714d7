//! Contents as git names them: by the hash of a blob.

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::name::push_hex;

/// How a repository hashes its objects (git-init(1), `--object-format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectFormat {
    /// SHA-1.
    #[default]
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ObjectFormat {
    /// Returns the format of a hash, by its length in hex digits.
    pub fn of_hash(hex: &str) -> Self {
        if hex.len() == 64 {
            Self::Sha256
        } else {
            Self::Sha1
        }
    }
}

/// The hash of a blob: lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobId(Box<str>);

impl BlobId {
    /// Returns a hash that git printed.
    pub fn from_hex(hex: &str) -> Self {
        Self(hex.into())
    }

    /// Returns the hash of a content.
    pub fn of(format: ObjectFormat, content: &[u8]) -> Self {
        let mut hasher = BlobHasher::new(format, content.len() as u64);
        hasher.update(content);
        hasher.finish()
    }

    /// Returns the hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

/// Hashes a content piece by piece.
#[derive(Clone)]
pub enum BlobHasher {
    /// For [`ObjectFormat::Sha1`].
    Sha1(Sha1),
    /// For [`ObjectFormat::Sha256`].
    Sha256(Sha256),
}

impl BlobHasher {
    /// Begins with a content of `size` bytes, which is hashed before it (gitformat-loose(5)).
    pub fn new(format: ObjectFormat, size: u64) -> Self {
        let header = format!("blob {size}\0");
        match format {
            ObjectFormat::Sha1 => Self::Sha1(Sha1::new_with_prefix(header)),
            ObjectFormat::Sha256 => Self::Sha256(Sha256::new_with_prefix(header)),
        }
    }

    /// Adds a piece.
    pub fn update(&mut self, piece: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(piece),
            Self::Sha256(hash) => hash.update(piece),
        }
    }

    /// Returns the hash of all pieces.
    pub fn finish(self) -> BlobId {
        let mut hex = String::new();
        match self {
            Self::Sha1(hash) => push_hex(&mut hex, &hash.finalize()),
            Self::Sha256(hash) => push_hex(&mut hex, &hash.finalize()),
        }
        BlobId(hex.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git() {
        // `git hash-object --stdin`, in repositories of both formats.
        for (content, format, expected) in [
            (
                "",
                ObjectFormat::Sha1,
                "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
            ),
            (
                "",
                ObjectFormat::Sha256,
                "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
            ),
            (
                "a\n",
                ObjectFormat::Sha1,
                "78981922613b2afb6025042ff6bd878ac1994e85",
            ),
        ] {
            let found = BlobId::of(format, content.as_bytes());
            assert_eq!(found.hex(), expected);
            assert_eq!(ObjectFormat::of_hash(found.hex()), format);
        }
    }
}
