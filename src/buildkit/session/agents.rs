//! SSH agents of this machine, for `RUN --mount=type=ssh` (session/sshforward of v0.32.2).

use std::path::PathBuf;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{
    BytesMessage, CheckAgentRequest, CheckAgentResponse,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use super::services::Answers;

/// The metadata with the ID of the agent that a connection is for (session/sshforward/ssh.go, `KeySSHID`).
const ID: &str = "buildkit.ssh.id";

/// The ID of an agent that is not named (session/sshforward/sshprovider/agentprovider.go, `DefaultID`).
const DEFAULT: &str = "default";

/// The most bytes of one message.
const PIECE: usize = 32 << 10;

impl Services {
    fn agent(&self, id: &str) -> Result<&PathBuf, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let found = self.agents.get(id);
        // The daemon reports this code as an agent that is not forwarded, and does without an optional one.
        found.ok_or_else(|| Status::unimplemented(format!("no SSH agent `{id}` is forwarded")))
    }
}

#[tonic::async_trait]
impl Ssh for Services {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.agent(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = Answers<BytesMessage>;

    /// One connection to the agent.
    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID);
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or_default();
        let socket = self.agent(id)?;
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            Status::unavailable(format!("cannot connect to the SSH agent: {error}"))
        })?;
        let (read, mut write) = stream.into_split();
        let mut questions = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(message)) = questions.message().await {
                if write.write_all(&message.data).await.is_err() {
                    return;
                }
            }
            let _closed = write.shutdown().await;
        });
        Ok(Response::new(Box::pin(messages(read))))
    }
}

/// Returns what an agent answers, piece by piece.
fn messages(
    read: tokio::net::unix::OwnedReadHalf,
) -> impl Stream<Item = Result<BytesMessage, Status>> + Send {
    ReaderStream::with_capacity(read, PIECE).map(|piece| {
        let piece = piece.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(BytesMessage {
            data: piece.to_vec(),
        })
    })
}
