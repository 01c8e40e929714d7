//! The calls a gateway client makes while its build runs (`LLBBridge`).

use std::collections::BTreeSet;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    PingRequest, ResolveSourceImageRequest, ResolveSourceMetaRequest, ReturnRequest, SolveRequest,
    result,
};
use bollard_buildkit_proto::pb;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::{Client, Error};
use crate::llb::Platform;

/// Names the build a call belongs to (client/buildid/metadata.go).
const BUILD_ID: &str = "buildkit-controlapi-buildid";

/// What a daemon must be able to do (frontend/gateway/pb/caps.go, solver/pb/caps.go).
const NEEDED: [&str; 6] = [
    "gateway.solve.evaluate",
    "return",
    "returnmap",
    "proto.refarray",
    "source.metaresolver",
    "exporter.multiple",
];

/// A build in progress, seen from inside. Clones make calls of the same build, all at once if wanted.
#[derive(Clone, Debug)]
pub struct Gateway {
    bridge: LlbBridgeClient<Channel>,
    build: MetadataValue<Ascii>,
    version: String,
}

/// A file system the engine made; alive until the build ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref(pub(super) String);

/// What a registry says of an image.
#[derive(Clone, Debug)]
pub struct ImageMeta {
    /// What the reference names: that of the index, if it is one.
    pub digest: String,
    /// The config of the platform's image, JSON.
    pub config: Vec<u8>,
}

impl Gateway {
    pub(super) fn new(client: &Client, build: &str) -> Self {
        Self {
            bridge: client.bridge(),
            build: build.parse().expect("an id is ASCII"),
            version: client.version.clone(),
        }
    }

    fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(BUILD_ID, self.build.clone());
        request
    }

    /// Makes sure that the build is known and the daemon is able enough.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let mut bridge = self.bridge.clone();
        let ping = bridge.ping(self.call(PingRequest {}));
        let pong = tokio::time::timeout(Duration::from_secs(15), ping)
            .await
            .map_err(|_| Error::Lost {
                reason: "it does not answer".to_owned(),
            })?
            .map_err(Error::of)?
            .into_inner();
        let able: BTreeSet<&str> = pong
            .frontend_api_caps
            .iter()
            .chain(&pong.llb_caps)
            .filter(|cap| cap.enabled)
            .map(|cap| cap.id.as_str())
            .collect();
        let missing: Vec<&str> = NEEDED.into_iter().filter(|id| !able.contains(id)).collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(Error::TooOld {
                version: self.version.clone(),
                missing: missing.join(", "),
            }),
        }
    }

    /// Has a definition solved and waits until it is done. Dropping the future stops its steps.
    pub async fn solve(&self, definition: pb::Definition) -> Result<Ref, Error> {
        let request = SolveRequest {
            definition: Some(definition),
            allow_result_return: true,
            allow_result_array_ref: true,
            evaluate: true,
            ..SolveRequest::default()
        };
        let mut bridge = self.bridge.clone();
        let answer = bridge.solve(self.call(request)).await.map_err(Error::of)?;
        match answer.into_inner().result.and_then(|r| r.result) {
            Some(result::Result::Ref(reference)) => Ok(Ref(reference.id)),
            other => Err(Error::Protocol {
                reason: format!("a solve gives one result, not {other:?}"),
            }),
        }
    }

    /// The digest and config behind a reference. `label` is shown while the registry is asked.
    pub async fn resolve_image(
        &self,
        reference: &str,
        platform: &Platform,
        label: &str,
    ) -> Result<ImageMeta, Error> {
        let request = ResolveSourceMetaRequest {
            source: Some(pb::SourceOp {
                identifier: format!("docker-image://{reference}"),
                ..pb::SourceOp::default()
            }),
            platform: Some(pb::Platform {
                os: platform.os.clone(),
                architecture: platform.architecture.clone(),
                ..pb::Platform::default()
            }),
            log_name: label.to_owned(),
            image: Some(ResolveSourceImageRequest::default()),
            ..ResolveSourceMetaRequest::default()
        };
        let mut bridge = self.bridge.clone();
        let answer = bridge.resolve_source_meta(self.call(request)).await;
        match answer.map_err(Error::of)?.into_inner().image {
            Some(image) => Ok(ImageMeta {
                digest: image.digest,
                config: image.config,
            }),
            None => Err(Error::Protocol {
                reason: format!("nothing is said of the image {reference}"),
            }),
        }
    }

    /// Ends the build from inside; once. Never without a result or an error, which would end the
    /// daemon (frontend/gateway/gateway.go).
    pub(super) async fn end(&self, request: ReturnRequest) -> Result<(), Error> {
        debug_assert!(request.result.is_some() != request.error.is_some());
        let mut bridge = self.bridge.clone();
        bridge
            .r#return(self.call(request))
            .await
            .map_err(Error::of)?;
        Ok(())
    }
}
