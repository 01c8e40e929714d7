//! What git has checked out in the folder of a stack.
//!
//! Main type: [`Checkout`]. `git` reads it, `plan` decides by it.

use crate::name::Commit;

/// The commit that is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its whole hash.
    pub commit: Commit,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// Files of the stack differ from it.
    pub dirty: bool,
}
