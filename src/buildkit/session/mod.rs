//! The session: a tunnel inside one call (`Control.Session`) through which the daemon calls us.
//!
//! Raw bytes of another HTTP/2 connection, in which the daemon is the client (session/grpchijack in
//! v0.32.2). [`Services`] is what it can ask for.

mod agents;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod services;

pub use files::Files;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_server::HealthServer;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::auth_server::AuthServer;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSendServer;
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::SshServer;
use futures_util::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataValue;
use tonic::transport::Server;

use super::{Client, Error, MESSAGE_LIMIT, unique};

/// Finds a user and a secret for a registry's host; an identity token has an empty user.
pub type CredentialSource =
    Arc<dyn Fn(String) -> BoxFuture<'static, Option<(String, String)>> + Send + Sync>;

/// What the daemon can ask for during a build.
#[derive(Clone, Default)]
pub struct Services {
    /// Credentials of registries; `None`: no registry requires a login.
    pub credentials: Option<CredentialSource>,
    /// Secrets by id. Missing ones are answered as such.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Sockets of SSH agents by ID.
    pub agents: BTreeMap<String, PathBuf>,
    /// The file of an exporter's archive, open for writing, by the exporter's index.
    pub archives: BTreeMap<usize, Arc<File>>,
    /// Contents of local sources.
    pub files: Files,
}

/// The methods that are served, as the daemon expects them in metadata.
const METHODS: [&str; 10] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.Auth/Credentials",
    "/moby.filesync.v1.Auth/FetchToken",
    "/moby.filesync.v1.Auth/GetTokenAuthority",
    "/moby.filesync.v1.Auth/VerifyTokenAuthority",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.FileSend/DiffCopy",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.sshforward.v1.SSH/CheckAgent",
    "/moby.sshforward.v1.SSH/ForwardAgent",
];

/// The daemon's way to call us; closed when dropped.
pub struct Session {
    /// Its ID, for requests.
    pub id: String,
    lost: CancellationToken,
    _closed: DropGuard,
    _tasks: JoinSet<()>,
}

impl Session {
    /// Opens a session that serves `services`.
    pub async fn open(client: &Client, services: Services) -> Result<Self, Error> {
        let id = unique();
        let (near, far) = tokio::io::duplex(1 << 20);
        let mut tasks = JoinSet::new();
        let incoming = futures_util::stream::once(async { Ok::<_, std::io::Error>(near) })
            .chain(futures_util::stream::pending());
        let services = Arc::new(services);
        let server = Server::builder()
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(2 << 20)
            .add_service(HealthServer::new(services::Alive))
            .add_service(FileSyncServer::new(services.files.clone()))
            .add_service(AuthServer::from_arc(services.clone()))
            .add_service(SecretsServer::from_arc(services.clone()))
            .add_service(SshServer::from_arc(services.clone()))
            .add_service(
                FileSendServer::from_arc(services).max_decoding_message_size(MESSAGE_LIMIT),
            )
            .serve_with_incoming(incoming);
        tasks.spawn(async move {
            // The tunnel's end is noticed below; this one ends with the session.
            let _ended = server.await;
        });

        let (read, mut write) = tokio::io::split(far);
        // A read that fails is the end of the tunnel.
        let outbound = tokio_util::io::ReaderStream::with_capacity(read, 32 << 10)
            .map_while(|piece| piece.ok())
            .map(|piece| BytesMessage {
                data: piece.to_vec(),
            });
        // The server's own task for the connection outlives the server; this ends it with the session.
        let closed = CancellationToken::new();
        let outbound =
            futures_util::StreamExt::take_until(outbound, closed.clone().cancelled_owned());
        let mut request = tonic::Request::new(outbound);
        let metadata = request.metadata_mut();
        let text = |text: &str| text.parse::<MetadataValue<_>>().expect("ids are ASCII");
        metadata.insert("x-docker-expose-session-uuid", text(&id));
        metadata.insert("x-docker-expose-session-sharedkey", text(""));
        metadata.insert("x-docker-expose-session-name", text("laminate"));
        for method in METHODS {
            metadata.append("x-docker-expose-session-grpc-method", text(method));
        }
        let answer = client
            .control()
            .session(request)
            .await
            .map_err(Error::from_status)?;
        let mut inbound = answer.into_inner();
        let lost = CancellationToken::new();
        let ended = lost.clone().drop_guard();
        tasks.spawn(async move {
            let _ended = ended;
            while let Ok(Some(message)) = inbound.message().await {
                if write.write_all(&message.data).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            id,
            lost,
            _closed: closed.drop_guard(),
            _tasks: tasks,
        })
    }

    /// Waits until the daemon has closed the tunnel; whatever needs the session fails then.
    pub async fn lost(&self) -> String {
        self.lost.cancelled().await;
        "the engine closed the session".to_owned()
    }
}
