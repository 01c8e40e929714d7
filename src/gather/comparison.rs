//! What git has checked out, asked before or while the other facts are gathered.

use camino::Utf8Path;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, Options};
use crate::checkout::Checkout;
use crate::git;

/// A git that compares the files of a stack with the commit. It is ended when this is dropped.
pub struct Comparison(AbortOnDropHandle<Result<Option<Checkout>, git::Error>>);

impl Comparison {
    /// Begins to compare `files`, which are relative to `folder`. The result is true of files that are hashed later if they do
    /// not change in between.
    pub fn begin(folder: &Utf8Path, files: &[String]) -> Self {
        let (folder, files) = (folder.to_owned(), files.to_owned());
        let task = tokio::spawn(async move { git::read_checkout(&folder, &files).await });
        Self(AbortOnDropHandle::new(task))
    }
}

/// Returns what git has checked out, and whether git is not installed.
pub(super) async fn checkout(
    options: &Options<'_>,
    comparison: Option<Comparison>,
) -> Result<(Option<Checkout>, bool), Error> {
    let found = match comparison {
        Some(Comparison(task)) => task.await.expect("reading a checkout does not panic"),
        None => git::read_checkout(options.folder, options.files).await,
    };
    match found {
        Ok(checkout) => Ok((checkout, false)),
        Err(git::Error::NotFound) => Ok((None, true)),
        Err(error) => Err(error.into()),
    }
}
