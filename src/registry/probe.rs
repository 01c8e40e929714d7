//! Whether images can be pushed, without pushing any.
//!
//! An operation of [`Registry`].

use reqwest::Method;

use super::client::{Registry, attempt, push_scope};
use super::error::{Error, Operation};
use crate::name::{Digest, Repository};

impl Registry {
    /// Checks that the account may push to a repository, and that the registry has or makes it. No bytes are sent. What is
    /// returned cancels what was opened.
    ///
    /// Opens an upload, as go-containerregistry does (`pkg/v1/remote/check.go`, `CheckPushPermission`). If the repository has
    /// a blob, that is mounted from the repository itself, which opens no upload (distribution-spec, "Mounting a blob from
    /// another repository"). A registry that does not mount it opens one.
    pub async fn check_push(
        &self,
        repository: Repository,
        blob: Option<&Digest>,
    ) -> Result<impl Future<Output = ()> + use<'_>, Error> {
        let call = |mounted: Option<&Digest>| {
            let mut url = self.transport.url(&repository, "blobs/uploads/");
            if let Some(blob) = mounted {
                (url.query_pairs_mut())
                    .append_pair("mount", blob.as_str())
                    .append_pair("from", repository.path());
            }
            let attempt = attempt(Operation::CheckPush, &repository, "");
            let mut call = self.call(Method::POST, url, attempt);
            call.scopes = vec![push_scope(&repository)];
            // The distribution-spec has 201 for a mounted blob and 202 for an upload; any success is enough here.
            call.expected = &[200, 201, 202];
            call
        };
        let mounted = match blob {
            // Where mounting is refused, uploads may be allowed.
            Some(_) => self.transport.send(&call(blob)).await.ok(),
            None => None,
        };
        let opened = call(None);
        let reply = match mounted {
            Some(reply) => reply,
            None => self.transport.send(&opened).await?,
        };
        Ok(async move {
            // The address that comes with 201 is that of the blob.
            if reply.status == 202 {
                self.cancel(&repository, &opened, &reply).await;
            }
        })
    }
}
