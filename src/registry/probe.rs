//! Whether images can be pushed, without pushing any.
//!
//! An operation of [`Registry`].

use reqwest::Method;

use super::client::{Registry, attempt, push_scope};
use super::error::{Error, Operation};
use crate::name::Repository;

impl Registry {
    /// Checks that the account may push to a repository, and that the registry has or makes it: opens an upload, as
    /// go-containerregistry does (`pkg/v1/remote/check.go`, `CheckPushPermission`). No bytes are sent. What is returned cancels
    /// the upload.
    pub async fn check_push<'a>(
        &'a self,
        repository: &'a Repository,
    ) -> Result<impl Future<Output = ()> + use<'a>, Error> {
        let url = self.transport.url(repository, "blobs/uploads/");
        let attempt = attempt(Operation::CheckPush, repository, "");
        let mut call = self.call(Method::POST, url, attempt);
        call.scopes = vec![push_scope(repository)];
        // The distribution-spec has 202; any success is enough here.
        call.expected = &[200, 201, 202];
        let reply = self.transport.send(&call).await?;
        Ok(async move { self.cancel(repository, &call, &reply).await })
    }
}
