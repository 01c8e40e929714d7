//! Trees for local sources (`FileSync`, fsutil's protocol in v0.32.2): for contents too large to lie in
//! the graph itself.
//!
//! Files are read from the disk while they are sent, and hashed: if one has another content than the
//! tree says, the transfer fails, so what was hashed is what is built. The daemon keeps what it got under
//! the tree's name, which holds the digest of all of it, so nothing is sent twice.

use std::collections::BTreeMap;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use futures_util::Stream;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};

use crate::llb::{EARLIEST, ServedContent, ServedEntry, ServedOrigin, ServedTree, time_of};
use crate::name::Digest;
use crate::trace::{self, Track};

/// The most bytes in one packet (session/filesync in the daemon's own client).
const PIECE: usize = 32 << 10;

/// Go's bits for a folder and for a symbolic link in a mode (`io/fs.FileMode`).
const FOLDER: u32 = 1 << 31;
const LINK: u32 = 1 << 27;

/// Trees by their name; may grow while a build runs.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<BTreeMap<String, Arc<ServedTree>>>>);

impl Files {
    /// Serves a tree under a name.
    pub fn add(&self, name: String, tree: ServedTree) {
        let mut trees = self.0.lock().expect("no code under this lock panics");
        trees.insert(name, Arc::new(tree));
    }

    fn get(&self, name: &str) -> Option<Arc<ServedTree>> {
        let trees = self.0.lock().expect("no code under this lock panics");
        trees.get(name).cloned()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind as i32,
        ..Packet::default()
    }
}

/// Returns what the daemon compares: owners are root, times are made from the content.
fn stat(path: &str, entry: &ServedEntry) -> Stat {
    let stat = Stat {
        path: path.to_owned(),
        mod_time: EARLIEST,
        ..Stat::default()
    };
    match entry {
        ServedEntry::Folder(mode) => Stat {
            mode: FOLDER | mode,
            ..stat
        },
        ServedEntry::Link(target) => Stat {
            mode: LINK | 0o777,
            size: i64::try_from(target.len()).unwrap_or(i64::MAX),
            linkname: target.clone(),
            ..stat
        },
        ServedEntry::File { mode, content } => Stat {
            mode: *mode,
            size: i64::try_from(content.size).unwrap_or(i64::MAX),
            mod_time: time_of(&content.digest),
            ..stat
        },
    }
}

/// One transfer of a tree.
pub(super) struct Transfer {
    /// The tree.
    pub tree: Arc<ServedTree>,
    /// Where its packets go.
    pub answers: mpsc::Sender<Result<Packet, Status>>,
}

/// The daemon has closed the stream.
#[derive(Debug)]
pub(super) struct Closed;

/// A packet of the daemon, without data: it sends none.
pub(super) struct FileRequest {
    kind: PacketType,
    id: u32,
}

/// Takes the packets of the daemon.
pub(super) struct FileRequests(mpsc::Sender<FileRequest>);

/// More requests wait at once than the tree has entries.
#[derive(Debug)]
pub(super) struct TooMany;

/// Returns both ends of the requests for a tree. The daemon requests a file once, and ends.
pub(super) fn requests_of(tree: &ServedTree) -> (FileRequests, mpsc::Receiver<FileRequest>) {
    let (sender, received) = mpsc::channel(tree.iter().count() + 1);
    (FileRequests(sender), received)
}

impl FileRequests {
    /// Adds a packet. Fails if the transfer is to end.
    pub fn take(&self, packet: &Packet) -> Result<(), TooMany> {
        let request = FileRequest {
            kind: packet.r#type(),
            id: packet.id,
        };
        self.0.try_send(request).map_err(|_| TooMany)
    }
}

impl Transfer {
    fn send(&self, packet: Packet) -> Result<(), Closed> {
        self.answers.blocking_send(Ok(packet)).map_err(|_| Closed)
    }

    /// Lists the tree and sends the files that the daemon requests.
    pub fn run(&self, mut requests: mpsc::Receiver<FileRequest>) -> Result<(), Closed> {
        let mut span = trace::span(Track::Engine, || "send files to the engine".to_owned());
        span.note("entries", self.tree.iter().count());
        let mut contents = Vec::new();
        for (path, entry) in self.tree.iter() {
            contents.push(match entry {
                ServedEntry::File { content, .. } => Some(content),
                ServedEntry::Folder(_) | ServedEntry::Link(_) => None,
            });
            self.send(Packet {
                stat: Some(stat(path, entry)),
                ..packet(PacketType::PacketStat)
            })?;
        }
        // Ends the list.
        self.send(packet(PacketType::PacketStat))?;
        while let Some(request) = requests.blocking_recv() {
            match request.kind {
                PacketType::PacketReq => {
                    let index = usize::try_from(request.id).unwrap_or(usize::MAX);
                    let Some(content) = contents.get(index).copied().flatten() else {
                        return Ok(());
                    };
                    if let Err(reason) = self.file(request.id, content)? {
                        self.send(Packet {
                            data: reason.into_bytes(),
                            ..packet(PacketType::PacketErr)
                        })?;
                        return Ok(());
                    }
                }
                PacketType::PacketFin => return self.send(packet(PacketType::PacketFin)),
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// Sends one file; returns why it could not be sent.
    fn file(&self, id: u32, content: &ServedContent) -> Result<Result<(), String>, Closed> {
        let mut reader: Box<dyn Read> = match &content.origin {
            ServedOrigin::Memory(bytes) => Box::new(bytes.as_slice()),
            ServedOrigin::Disk(path) => match open(path) {
                Ok(file) => Box::new(file),
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        let mut hash = Sha256::new();
        let mut piece = vec![0; PIECE];
        loop {
            let count = match reader.read(&mut piece) {
                Ok(count) => count,
                Err(error) => return Ok(Err(error.to_string())),
            };
            hash.update(&piece[..count]);
            if count == 0 && Digest::from_sha256(hash.clone()) != content.digest {
                return Ok(Err(changed(&content.origin)));
            }
            // An empty piece ends the file.
            self.send(Packet {
                id,
                data: piece[..count].to_vec(),
                ..packet(PacketType::PacketData)
            })?;
            if count == 0 {
                return Ok(Ok(()));
            }
        }
    }
}

fn changed(origin: &ServedOrigin) -> String {
    match origin {
        ServedOrigin::Disk(path) => {
            let path = path.display();
            format!("file `{path}` changed while laminate ran")
        }
        ServedOrigin::Memory(_) => "a text differs from its digest".to_owned(),
    }
}

/// Opens a regular file; what took its place is not followed or waited for.
fn open(path: &std::path::Path) -> std::io::Result<fs_err::File> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let mut options = fs_err::OpenOptions::new();
    options.read(true).custom_flags(flags).open(path)
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
        let tree = self
            .get(&name)
            .ok_or_else(|| Status::not_found(format!("no access allowed to dir {name:?}")))?;
        let mut inbound = request.into_inner();
        let (requests, received) = requests_of(&tree);
        // Read at once, whatever we are sending: small frames left unread end the connection.
        tokio::spawn(async move {
            while let Ok(Some(packet)) = inbound.message().await {
                if requests.take(&packet).is_err() {
                    return;
                }
            }
        });
        let (answers, stream) = mpsc::channel(16);
        let transfer = Transfer { tree, answers };
        // Both tasks end with the call: its streams close.
        tokio::task::spawn_blocking(move || {
            let _closed = transfer.run(received);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a tree of one file `x` to a daemon that requests entry 0; returns the packets.
    fn sent(content: ServedContent) -> Vec<Packet> {
        let mut tree = ServedTree::default();
        let mode = 0o755;
        tree.insert("x".to_owned(), ServedEntry::File { mode, content });
        let (requests, received) = requests_of(&tree);
        for kind in [PacketType::PacketReq, PacketType::PacketFin] {
            requests.take(&packet(kind)).expect("open");
        }
        let (answers, mut stream) = mpsc::channel(1 << 10);
        let transfer = Transfer {
            tree: Arc::new(tree),
            answers,
        };
        assert!(transfer.run(received).is_ok());
        drop(transfer);
        let mut packets = Vec::new();
        while let Some(packet) = stream.blocking_recv() {
            packets.push(packet.expect("no status"));
        }
        packets
    }

    fn content(origin: ServedOrigin, bytes: &[u8]) -> ServedContent {
        ServedContent {
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            origin,
        }
    }

    #[test]
    fn a_daemon_that_requests_without_end_is_stopped() {
        let mut tree = ServedTree::default();
        tree.insert("a".to_owned(), ServedEntry::Folder(0o755));
        let (requests, _received) = requests_of(&tree);
        let request = packet(PacketType::PacketReq);
        assert!(requests.take(&request).is_ok() && requests.take(&request).is_ok());
        assert!(requests.take(&request).is_err());
    }

    #[test]
    fn a_file_is_sent_in_pieces_from_the_disk() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let bytes = vec![7; PIECE + 1];
        fs_err::write(file.path(), &bytes).expect("written");
        let origin = ServedOrigin::Disk(file.path().to_owned());
        let packets = sent(content(origin, &bytes));
        let stat = packets[0].stat.as_ref().expect("the list");
        assert_eq!((stat.path.as_str(), stat.mode), ("x", 0o755));
        assert_eq!(stat.size, i64::try_from(bytes.len()).expect("small"));
        let data: Vec<u8> = packets.iter().flat_map(|p| p.data.clone()).collect();
        assert!(data == bytes, "other bytes were sent");
        let kinds: Vec<PacketType> = packets[2..].iter().map(Packet::r#type).collect();
        let data = PacketType::PacketData;
        assert_eq!(kinds, [data, data, data, PacketType::PacketFin]);
    }

    #[test]
    fn a_file_that_changed_is_not_finished() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs_err::write(file.path(), "new").expect("written");
        let origin = ServedOrigin::Disk(file.path().to_owned());
        let packets = sent(content(origin, b"old"));
        let path = file.path().display();
        let reason = format!("file `{path}` changed while laminate ran");
        let last = packets.last().expect("an answer");
        assert_eq!(last.r#type(), PacketType::PacketErr);
        assert_eq!(last.data, reason.as_bytes());
    }

    #[test]
    fn a_missing_file_fails_with_its_reason() {
        let origin = ServedOrigin::Disk("/nowhere/x".into());
        let packets = sent(content(origin, b""));
        let last = packets.last().expect("an answer");
        let reason = String::from_utf8_lossy(&last.data);
        assert!(reason.contains("No such file"), "{reason}");
    }

    #[test]
    fn folders_and_links_have_the_modes_of_go() {
        let folder = stat("a", &ServedEntry::Folder(0o750));
        assert_eq!(folder.mode, 0x8000_0000 | 0o750);
        let link = stat("a", &ServedEntry::Link("to".to_owned()));
        assert_eq!(
            (link.mode, link.linkname.as_str()),
            (0x0800_0000 | 0o777, "to")
        );
    }
}
