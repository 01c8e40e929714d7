//! The calls that a gateway client makes while its build runs (`LLBBridge`): [`Gateway`].

mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    FileRange, PingRequest, ReadFileRequest, ResolveSourceImageRequest, ResolveSourceMetaRequest,
    ReturnRequest, SolveRequest, StatFileRequest, result,
};
use bollard_buildkit_proto::pb;
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use super::{Client, Error, MESSAGE_LIMIT};
use crate::llb::Platform;
use crate::trace::{self, Track};

use folder::wire;
pub use folder::{FileEntry, FileKind};

/// The metadata with the build that a call belongs to (client/buildid/metadata.go).
const BUILD_ID: &str = "buildkit-controlapi-buildid";

/// The header that joins traces: <https://www.w3.org/TR/trace-context/>. The engine reads it in each call.
const TRACE_PARENT: &str = "traceparent";

/// What is large in a request that is.
const OPERATIONS: &str = "the operations with those of the bases";

/// Capabilities that a daemon must have (frontend/gateway/pb/caps.go, solver/pb/caps.go).
const NEEDED: [&str; 7] = [
    "frontend.inputs",
    "gateway.solve.evaluate",
    "return",
    "returnmap",
    "proto.refarray",
    "source.metaresolver",
    "exporter.multiple",
];

/// A build in progress, seen from inside. Clones make calls of the same build, at the same time if
/// need be.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(super) bridge: LlbBridgeClient<Channel>,
    plain: Grpc<Channel>,
    build: MetadataValue<Ascii>,
    parent: Option<MetadataValue<Ascii>>,
    version: String,
}

/// A file system the engine made; alive until the build ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ref(pub(super) String);

impl Ref {
    /// Returns the engine's name of it in this build.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// What a frontend of the engine is to build.
#[derive(Clone, Debug, Default)]
pub struct FrontendRequest {
    /// Options of the frontend, by name.
    pub options: BTreeMap<String, String>,
    /// File systems that options name.
    pub inputs: BTreeMap<String, pb::Definition>,
}

/// What a frontend made of a request; nothing has run.
#[derive(Clone, Debug)]
pub struct Converted {
    /// Its operations; empty for an empty file system.
    pub definition: pb::Definition,
    /// The config of the image, JSON.
    pub config: Vec<u8>,
}

/// Fails with [`Error::TooLarge`] if the engine would not accept a request: the connection would be lost. `what` is the
/// part of it that is large.
pub(super) fn ensure_fits(request: &impl prost::Message, what: &'static str) -> Result<(), Error> {
    let size = request.encoded_len();
    if size > MESSAGE_LIMIT {
        return Err(Error::TooLarge { what, size });
    }
    Ok(())
}

impl Gateway {
    /// Returns the calls of a build that is about to begin.
    /// `parent`: the `traceparent` of the calls.
    pub(super) fn new(client: &Client, build: &str, parent: Option<&str>) -> Self {
        Self {
            bridge: client.bridge(),
            plain: client.plain(),
            build: build.parse().expect("an id is ASCII"),
            parent: parent.map(|parent| parent.parse().expect("it is ASCII")),
            version: client.version.clone(),
        }
    }

    pub(super) fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = self.traced(message);
        request.metadata_mut().insert(BUILD_ID, self.build.clone());
        request
    }

    /// Returns a call whose spans, if the engine makes any, belong to the trace of this process.
    pub(super) fn traced<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Some(parent) = &self.parent {
            request.metadata_mut().insert(TRACE_PARENT, parent.clone());
        }
        request
    }

    /// Waits until the daemon knows the build, and checks its capabilities.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let mut bridge = self.bridge.clone();
        let ping = bridge.ping(self.call(PingRequest {}));
        let pong = tokio::time::timeout(Duration::from_secs(15), ping)
            .await
            .map_err(|_| Error::Lost {
                reason: "no answer".to_owned(),
            })?
            .map_err(Error::from_status)?
            .into_inner();
        let able: BTreeSet<&str> = pong
            .frontend_api_caps
            .iter()
            .chain(&pong.llb_caps)
            .filter(|cap| cap.enabled)
            .map(|cap| cap.id.as_str())
            .collect();
        let missing: Vec<&str> = NEEDED.into_iter().filter(|id| !able.contains(id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::TooOld {
            version: self.version.clone(),
            missing: missing.join(", "),
        })
    }

    /// Has a definition solved and waits until it is done. Dropping the future stops its steps.
    pub async fn solve(&self, definition: pb::Definition) -> Result<Ref, Error> {
        let mut span = trace::span(Track::Engine, || "solve in the build".to_owned());
        span.note("operations", definition.def.len());
        let request = SolveRequest {
            definition: Some(definition),
            allow_result_return: true,
            allow_result_array_ref: true,
            evaluate: true,
            ..SolveRequest::default()
        };
        ensure_fits(&request, OPERATIONS)?;
        let mut bridge = self.bridge.clone();
        let answer = bridge
            .solve(self.call(request))
            .await
            .map_err(Error::from_status)?;
        match answer.into_inner().result.and_then(|r| r.result) {
            Some(result::Result::Ref(reference)) => Ok(Ref(reference.id)),
            other => Err(Error::Protocol {
                reason: format!("expected one result of a solve, found {other:?}"),
            }),
        }
    }

    /// Has the Dockerfile frontend of the engine read a Dockerfile. Nothing of it runs.
    pub async fn convert(&self, asked: FrontendRequest) -> Result<Converted, Error> {
        let _span = trace::span(Track::Engine, || "read a Dockerfile".to_owned());
        let request = SolveRequest {
            frontend: "dockerfile.v0".to_owned(),
            frontend_opt: asked.options.into_iter().collect(),
            frontend_inputs: asked.inputs.into_iter().collect(),
            allow_result_return: true,
            allow_result_array_ref: true,
            ..SolveRequest::default()
        };
        ensure_fits(&request, OPERATIONS)?;
        let mut bridge = self.bridge.clone();
        let answer = bridge.solve(self.call(request)).await;
        let answer = answer.map_err(Error::from_status)?.into_inner().result;
        let unexpected = |what: &str| Error::Protocol {
            reason: format!("expected {what} of the Dockerfile frontend"),
        };
        let mut answer = answer.ok_or_else(|| unexpected("a result"))?;
        let config = answer.metadata.remove("containerimage.config");
        let config = config.ok_or_else(|| unexpected("the config of an image"))?;
        match answer.result {
            Some(result::Result::Ref(reference)) => Ok(Converted {
                definition: reference.def.unwrap_or_default(),
                config,
            }),
            _ => Err(unexpected("one image")),
        }
    }

    /// Returns the config of a reference's image, JSON. `label` is shown while the registry is asked.
    pub async fn image_config(
        &self,
        reference: &str,
        platform: &Platform,
        label: &str,
    ) -> Result<Vec<u8>, Error> {
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
        match answer.map_err(Error::from_status)?.into_inner().image {
            Some(image) => Ok(image.config),
            None => Err(Error::Protocol {
                reason: format!("no config of the image {reference}"),
            }),
        }
    }

    /// Returns the entries of a folder, by an absolute path.
    pub async fn read_folder(&self, at: &Ref, path: &[u8]) -> Result<Vec<FileEntry>, Error> {
        let _span = trace::span(Track::Engine, || {
            format!("read the folder {}", String::from_utf8_lossy(path))
        });
        let request = wire::ReadDirRequest {
            at: at.0.clone(),
            path: path.to_vec(),
        };
        let mut plain = self.plain.clone();
        plain.ready().await.map_err(|error| Error::Lost {
            reason: error.to_string(),
        })?;
        let method = PathAndQuery::from_static("/moby.buildkit.v1.frontend.LLBBridge/ReadDir");
        let codec = tonic_prost::ProstCodec::<wire::ReadDirRequest, wire::ReadDirResponse>::new();
        let answer = plain.unary(self.call(request), method, codec).await;
        let entries = answer.map_err(Error::from_status)?.into_inner().entries;
        Ok(entries.into_iter().map(FileEntry::new).collect())
    }

    /// Returns the last `most` bytes of a file, all of them if there are no more; `None` if the file is
    /// missing. Links are followed inside the tree. `most` is below 16 MiB, the limit of a message.
    pub async fn read_end(
        &self,
        at: &Ref,
        path: &str,
        most: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let _span = trace::span(Track::Engine, || format!("read the file {path}"));
        let request = StatFileRequest {
            r#ref: at.0.clone(),
            path: path.to_owned(),
            ..StatFileRequest::default()
        };
        let mut bridge = self.bridge.clone();
        let size = match bridge
            .stat_file(self.call(request))
            .await
            .map_err(Error::from_status)
        {
            Ok(answer) => {
                let size = answer.into_inner().stat.map_or(0, |stat| stat.size);
                u64::try_from(size).unwrap_or_default()
            }
            Err(Error::Failed(failure)) if failure.is_missing_file() => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = self.read_end_of(at, path, size, most).await?;
        Ok(Some(bytes))
    }

    /// Returns the last `most` bytes of a file whose size is known, as [`read_end`](Self::read_end) does.
    pub async fn read_end_of(
        &self,
        at: &Ref,
        path: &str,
        size: u64,
        most: u64,
    ) -> Result<Vec<u8>, Error> {
        if size == 0 {
            return Ok(Vec::new());
        }
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let request = ReadFileRequest {
            r#ref: at.0.clone(),
            file_path: path.to_owned(),
            range: Some(FileRange {
                offset: signed(size.saturating_sub(most)),
                length: signed(size.min(most)),
            }),
            ..ReadFileRequest::default()
        };
        let mut bridge = self.bridge.clone();
        let answer = bridge
            .read_file(self.call(request))
            .await
            .map_err(Error::from_status)?;
        Ok(answer.into_inner().data)
    }

    /// Ends the build from inside; once. Never without a result or an error, which would end the
    /// daemon (frontend/gateway/gateway.go).
    pub(super) async fn end(&self, request: ReturnRequest) -> Result<(), Error> {
        debug_assert!(request.result.is_some() != request.error.is_some());
        let mut bridge = self.bridge.clone();
        bridge
            .r#return(self.call(request))
            .await
            .map_err(Error::from_status)?;
        Ok(())
    }
}
