//! The calls that a gateway client makes while its build runs (`LLBBridge`): [`Gateway`].

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

use super::{Client, Error};
use crate::llb::Platform;
use crate::trace::{self, Track};

/// The metadata with the build that a call belongs to (client/buildid/metadata.go).
const BUILD_ID: &str = "buildkit-controlapi-buildid";

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

/// An entry of a folder in a [`Ref`], links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name in the folder; any bytes but `/` and 0.
    pub name: Vec<u8>,
    /// Its kind.
    pub kind: FileKind,
    /// Permissions with setuid, setgid and sticky, as `chmod` takes them: `0o4755`.
    pub mode: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// File capabilities (`security.capability`), a bit each.
    pub capabilities: u64,
}

/// The kinds of entries of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file with content.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// `ReadDir` with names as bytes: a name on a disk can be invalid UTF-8, the daemon sends it as it is,
/// and prost would refuse the whole answer (frontend/gateway/pb/gateway.proto; stat.proto of fsutil).
mod wire {
    /// The request.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadDirRequest {
        /// The file system, see [`super::Ref`].
        #[prost(string, tag = "1")]
        pub at: String,
        /// A path.
        #[prost(bytes = "vec", tag = "2")]
        pub path: Vec<u8>,
    }

    /// The answer.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ReadDirResponse {
        /// The entries of the folder.
        #[prost(message, repeated, tag = "1")]
        pub entries: Vec<Stat>,
    }

    /// One entry.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Stat {
        /// A path.
        #[prost(bytes = "vec", tag = "1")]
        pub path: Vec<u8>,
        /// Bits of [`super::go_mode`].
        #[prost(uint32, tag = "2")]
        pub mode: u32,
        /// Its user.
        #[prost(uint32, tag = "3")]
        pub uid: u32,
        /// Its group.
        #[prost(uint32, tag = "4")]
        pub gid: u32,
        /// Bytes.
        #[prost(int64, tag = "5")]
        pub size: i64,
        /// Extended attributes.
        #[prost(message, repeated, tag = "10")]
        pub attributes: Vec<Attribute>,
    }

    /// An entry of a map on the wire.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Attribute {
        /// The name.
        #[prost(bytes = "vec", tag = "1")]
        pub name: Vec<u8>,
        /// The value.
        #[prost(bytes = "vec", tag = "2")]
        pub value: Vec<u8>,
    }
}

/// Bits of Go's `fs.FileMode`, which is what the daemon sends.
mod go_mode {
    /// `ModeDir`
    pub const FOLDER: u32 = 1 << 31;
    /// `ModeSymlink`
    pub const LINK: u32 = 1 << 27;
    /// `ModeDevice`
    pub const DEVICE: u32 = 1 << 26;
    /// `ModeNamedPipe`
    pub const PIPE: u32 = 1 << 25;
    /// `ModeSocket`
    pub const SOCKET: u32 = 1 << 24;
    /// `ModeSetuid`
    pub const SETUID: u32 = 1 << 23;
    /// `ModeSetgid`
    pub const SETGID: u32 = 1 << 22;
    /// `ModeCharDevice`
    pub const CHARACTER: u32 = 1 << 21;
    /// `ModeSticky`
    pub const STICKY: u32 = 1 << 20;
    /// `ModeIrregular`
    pub const IRREGULAR: u32 = 1 << 19;
}

impl FileEntry {
    fn new(stat: wire::Stat) -> Self {
        let has = |bit: u32| stat.mode & bit != 0;
        let other = go_mode::DEVICE
            | go_mode::PIPE
            | go_mode::SOCKET
            | go_mode::CHARACTER
            | go_mode::IRREGULAR;
        let kind = if has(go_mode::FOLDER) {
            FileKind::Folder
        } else if has(go_mode::LINK) {
            FileKind::Link
        } else if has(other) {
            FileKind::Other
        } else {
            FileKind::Regular
        };
        let mut mode = stat.mode & 0o777;
        for (bit, unix) in [
            (go_mode::SETUID, 0o4000),
            (go_mode::SETGID, 0o2000),
            (go_mode::STICKY, 0o1000),
        ] {
            if has(bit) {
                mode |= unix;
            }
        }
        let name = stat.path.rsplit(|byte| *byte == b'/').next();
        let name = name.unwrap_or_default().to_vec();
        Self {
            name,
            kind,
            mode,
            uid: stat.uid,
            gid: stat.gid,
            size: u64::try_from(stat.size).unwrap_or_default(),
            capabilities: stat
                .attributes
                .iter()
                .find(|attribute| attribute.name == b"security.capability")
                .map_or(0, |attribute| capabilities(&attribute.value)),
        }
    }
}

/// Returns the permitted and inheritable capabilities (`struct vfs_cap_data` in linux/capability.h: little-endian, the
/// version, then both sets by words). All of them for an unknown version: that is safer.
fn capabilities(value: &[u8]) -> u64 {
    let words: Vec<u64> = value
        .chunks_exact(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])))
        .collect();
    match words[..] {
        [_, permitted, inheritable] => permitted | inheritable,
        // The third version also has the user that root is mapped to.
        [_, low, low_inheritable, high, high_inheritable]
        | [_, low, low_inheritable, high, high_inheritable, _] => {
            low | low_inheritable | (high | high_inheritable) << 32
        }
        _ => u64::MAX,
    }
}

impl Gateway {
    /// Returns the calls of a build that is about to begin.
    pub(super) fn new(client: &Client, build: &str) -> Self {
        Self {
            bridge: client.bridge(),
            plain: client.plain(),
            build: build.parse().expect("an id is ASCII"),
            version: client.version.clone(),
        }
    }

    pub(super) fn call<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert(BUILD_ID, self.build.clone());
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
            Ok(answer) => answer.into_inner().stat.map_or(0, |stat| stat.size),
            // A missing file has no code of its own, only this text: Unknown, "open /x: no such file or
            // directory".
            Err(Error::Failed(failure)) if failure.message.contains("no such file") => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        if size == 0 {
            return Ok(Some(Vec::new()));
        }
        let request = ReadFileRequest {
            r#ref: at.0.clone(),
            file_path: path.to_owned(),
            range: Some(FileRange {
                offset: (size - most).max(0),
                length: size.min(most),
            }),
            ..ReadFileRequest::default()
        };
        let answer = bridge
            .read_file(self.call(request))
            .await
            .map_err(Error::from_status)?;
        Ok(Some(answer.into_inner().data))
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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::{FileEntry, capabilities, wire};

    #[test]
    fn a_name_can_have_any_bytes() {
        let entry = wire::ReadDirResponse {
            entries: vec![wire::Stat {
                path: b"srv/a\xff".to_vec(),
                mode: super::go_mode::SETUID | 0o755,
                ..wire::Stat::default()
            }],
        };
        let bytes = entry.encode_to_vec();
        let back = wire::ReadDirResponse::decode(&*bytes).expect("a valid message");
        let found = FileEntry::new(back.entries[0].clone());
        assert_eq!((&*found.name, found.mode), (&b"a\xff"[..], 0o4755));
    }

    #[test]
    fn capabilities_of_all_versions() {
        let words =
            |list: &[u32]| -> Vec<u8> { list.iter().flat_map(|word| word.to_le_bytes()).collect() };
        assert_eq!(
            capabilities(&words(&[0x0100_0001, 1 << 13, 1])),
            1 << 13 | 1
        );
        let second = words(&[0x0200_0001, 1 << 13, 0, 1 << 6, 0]);
        assert_eq!(capabilities(&second), 1 << 13 | 1 << 38);
        let third = words(&[0x0300_0001, 1 << 7, 0, 0, 0, 100_000]);
        assert_eq!(capabilities(&third), 1 << 7);
        assert_eq!(capabilities(b"what"), u64::MAX);
    }
}
