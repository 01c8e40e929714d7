//! Files from memory (`FileSync`, fsutil's protocol in v0.32.2): each served folder holds one file.
//!
//! For contents too large to lie in the graph itself. The daemon keeps what it got under the tree's
//! name, which holds the content's digest, so nothing is sent twice.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::Stream;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::llb::time_of;
use crate::name::Digest;

/// The most bytes in one packet (session/filesync in the daemon's own client).
const PIECE: usize = 32 << 10;

/// The one file of a tree.
#[derive(Clone)]
struct File {
    name: String,
    content: Arc<[u8]>,
}

/// Files by the name of their tree; may grow while a build runs.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<BTreeMap<String, File>>>);

impl Files {
    /// Serves a tree that holds one file of this name and content.
    pub fn add(&self, tree: String, name: &str, content: Arc<[u8]>) {
        let name = name.to_owned();
        let mut files = self.0.lock().expect("no code under this lock panics");
        files.insert(tree, File { name, content });
    }

    fn get(&self, tree: &str) -> Option<File> {
        let files = self.0.lock().expect("no code under this lock panics");
        files.get(tree).cloned()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind as i32,
        ..Packet::default()
    }
}

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = Answers;
    type TarStreamStream = Answers;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Answers>, Status> {
        let name = request
            .metadata()
            .get("dir-name")
            .and_then(|name| name.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let File { name, content } = self
            .get(&name)
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))?;
        let mut inbound = request.into_inner();
        let (requests, mut received) = mpsc::unbounded_channel();
        // Read at once, whatever we are sending: small frames left unread end the connection.
        tokio::spawn(async move {
            while let Ok(Some(packet)) = inbound.message().await {
                if requests.send(packet).is_err() {
                    return;
                }
            }
        });
        let (answers, stream) = mpsc::channel(16);
        // Both tasks end with the call.
        tokio::spawn(async move {
            let stat = Stat {
                path: name,
                mode: 0o644,
                size: i64::try_from(content.len()).unwrap_or(i64::MAX),
                mod_time: time_of(&Digest::of(&content)),
                ..Stat::default()
            };
            let listed = Packet {
                stat: Some(stat),
                ..packet(PacketType::PacketStat)
            };
            // The second ends the list.
            for packet in [listed, packet(PacketType::PacketStat)] {
                if answers.send(Ok(packet)).await.is_err() {
                    return;
                }
            }
            while let Some(request) = received.recv().await {
                match request.r#type() {
                    PacketType::PacketReq => {
                        let pieces = content.chunks(PIECE).chain([[].as_slice()]);
                        for piece in pieces {
                            let data = Packet {
                                id: request.id,
                                data: piece.to_vec(),
                                ..packet(PacketType::PacketData)
                            };
                            if answers.send(Ok(data)).await.is_err() {
                                return;
                            }
                        }
                    }
                    PacketType::PacketFin => {
                        // The daemon has hung up only if it needs nothing more.
                        let _hung_up = answers.send(Ok(packet(PacketType::PacketFin))).await;
                        return;
                    }
                    _ => return,
                }
            }
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn tar_stream(
        &self,
        _request: Request<Streaming<Packet>>,
    ) -> Result<Response<Answers>, Status> {
        Err(Status::unimplemented("only DiffCopy is served"))
    }
}
