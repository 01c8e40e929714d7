//! What an exporter made, in the engine's content store: [`Exported`], found by [`Watched`].

use bollard_buildkit_proto::moby::buildkit::v1::VertexStatus;
use http::uri::PathAndQuery;

use super::{Client, Error, MESSAGE_LIMIT};
use crate::name::Digest;

/// An index of images whose blobs are in the registry; the engine has begun to push the manifests.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The digest of the index.
    pub index: Digest,
    client: Client,
}

impl Exported {
    pub(super) fn new(index: Digest, client: &Client) -> Self {
        Self {
            index,
            client: client.clone(),
        }
    }

    /// Reads the index or a manifest, of at most 16 MiB, and checks its digest. Works until the solve ends: the engine may then
    /// delete it. Fails on an engine that does not show its content store.
    pub async fn read(&self, digest: &Digest) -> Result<Vec<u8>, Error> {
        let mut store = self.client.plain();
        store.ready().await.map_err(|error| Error::Lost {
            reason: error.to_string(),
        })?;
        let request = wire::ReadContentRequest {
            digest: digest.to_string(),
            ..wire::ReadContentRequest::default()
        };
        let method = PathAndQuery::from_static("/containerd.services.content.v1.Content/Read");
        let codec =
            tonic_prost::ProstCodec::<wire::ReadContentRequest, wire::ReadContentResponse>::new();
        let request = tonic::Request::new(request);
        let answer = store.server_streaming(request, method, codec).await;
        let mut pieces = answer.map_err(Error::from_status)?.into_inner();
        let mut content = Vec::new();
        while let Some(piece) = pieces.message().await.map_err(Error::from_status)? {
            content.extend(piece.data);
            if content.len() > MESSAGE_LIMIT {
                return Err(Error::Protocol {
                    reason: format!("its content {digest} is not a manifest"),
                });
            }
        }
        if Digest::of(&content) != *digest {
            return Err(Error::Protocol {
                reason: format!("its content {digest} has another digest"),
            });
        }
        Ok(content)
    }
}

/// What the engine has reported of an export.
#[derive(Debug, Default)]
pub(super) struct Watched(Option<Digest>);

impl Watched {
    /// Returns the digest of the index when the blobs of its images are pushed: the engine reports the index that it wrote
    /// (exporter/containerimage/writer.go), and later that it pushes manifests, which it begins when it has pushed all
    /// blobs (util/push/push.go). The report that blobs are pushed proves nothing: it is the same if that failed.
    pub fn pushed(&mut self, status: &VertexStatus) -> Option<Digest> {
        if let Some(digest) = status.id.strip_prefix("exporting manifest list ") {
            self.0 = Digest::parse(digest).ok();
        }
        if status.id.starts_with("pushing manifest for ") {
            return self.0.take();
        }
        None
    }
}

/// Messages of containerd's content service (api/services/content/v1/content.proto), which the engine serves for reading
/// (control/control.go).
mod wire {
    /// What to read.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadContentRequest {
        /// A digest.
        #[prost(string, tag = "1")]
        pub digest: String,
        /// The first byte.
        #[prost(int64, tag = "2")]
        pub offset: i64,
        /// How many bytes; 0 for all.
        #[prost(int64, tag = "3")]
        pub size: i64,
    }

    /// A piece of what is read.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadContentResponse {
        /// Where it begins.
        #[prost(int64, tag = "1")]
        pub offset: i64,
        /// Its bytes.
        #[prost(bytes = "vec", tag = "2")]
        pub data: Vec<u8>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_pushed_when_the_engine_pushes_manifests() {
        let index = Digest::of(b"index");
        let written = format!("exporting manifest list {index}");
        let mut watched = Watched::default();
        let reports = [
            "pushing manifest for a.example/x",
            &written,
            "pushing layers",
            "pushing manifest for a.example/x",
            "pushing manifest for a.example/x",
        ];
        let pushed = reports.map(|id| {
            let status = VertexStatus {
                id: id.to_owned(),
                ..VertexStatus::default()
            };
            watched.pushed(&status)
        });
        assert_eq!(pushed, [None, None, None, Some(index), None]);
    }
}
