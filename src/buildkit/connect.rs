//! The connection to a buildkitd: [`Client`].

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::InfoRequest;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tower::Service as _;

use super::{Address, Error, MESSAGE_LIMIT};

/// Error trailers carry the text of the spec and stacks of the daemon; hyper's default of 16 KiB
/// would lose them.
const HEADER_LIMIT: u32 = 16 << 20;

/// A buildkitd that answers. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    /// Where it listens.
    pub address: Address,
    /// `v0.32.2`; empty if it reports none.
    pub version: String,
}

impl Client {
    /// Connects, and waits up to `patience` for an engine that is still starting. Fails with
    /// [`Error::Connect`] after that.
    pub async fn connect(address: &Address, patience: Duration) -> Result<Self, Error> {
        let channel = channel(address)?;
        let mut client = Self {
            channel,
            address: address.clone(),
            version: String::new(),
        };
        let start = tokio::time::Instant::now();
        loop {
            let mut control = client.control();
            let asking = control.info(InfoRequest {});
            let answer = tokio::time::timeout(Duration::from_secs(10), asking).await;
            let reason = match answer {
                Ok(Ok(info)) => {
                    let version = info.into_inner().buildkit_version;
                    client.version = version.map(|v| v.version).unwrap_or_default();
                    return Ok(client);
                }
                // An engine that is too old to report its version is an engine.
                Ok(Err(status)) if status.code() == Code::Unimplemented => return Ok(client),
                Ok(Err(status)) => connection_reason(&status),
                Err(_) => "it does not answer".to_owned(),
            };
            if start.elapsed() >= patience {
                return Err(Error::Connect {
                    address: address.to_string(),
                    reason,
                });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns the client of `Control`.
    pub(super) fn control(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    /// Returns the client of methods with messages of our own.
    pub(super) fn plain(&self) -> Grpc<Channel> {
        Grpc::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Returns the client of `LLBBridge`.
    pub(super) fn bridge(&self) -> LlbBridgeClient<Channel> {
        LlbBridgeClient::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }
}

/// How often an engine on another machine is asked whether it is there; a server that is asked more often than every
/// 5 minutes closes the connection (google.golang.org/grpc, keepalive/keepalive.go, `EnforcementPolicy`).
const PING: Duration = Duration::from_secs(310);
/// How long it may take to answer that.
const PING_TIMEOUT: Duration = Duration::from_secs(60);
/// After this silence, TCP asks whether the other machine is there: 3 times, every 10 s.
const SILENCE: Duration = Duration::from_secs(30);

/// Returns a connection that is opened when it is used.
fn channel(address: &Address) -> Result<Channel, Error> {
    let configured = |endpoint: Endpoint| {
        endpoint
            .connect_timeout(Duration::from_secs(10))
            .http2_max_header_list_size(HEADER_LIMIT)
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(2 << 20)
    };
    match address {
        Address::Unix(path) => {
            let path = path.clone();
            let endpoint = configured(Endpoint::from_static("http://localhost"));
            let connector = tower::service_fn(move |_| {
                let path = path.clone();
                async move {
                    let (read, write) = UnixStream::connect(path).await?.into_split();
                    Ok::<_, std::io::Error>(TokioIo::new(queued(read, write)))
                }
            });
            Ok(endpoint.connect_with_connector_lazy(connector))
        }
        Address::Tcp(host) => {
            let endpoint = Endpoint::from_shared(format!("http://{host}"));
            let endpoint = configured(endpoint.map_err(|error| Error::Address {
                text: address.to_string(),
                reason: error.to_string(),
            })?);
            // An engine that vanishes closes nothing: without these its build would be waited for for ever.
            let endpoint = endpoint
                .http2_keep_alive_interval(PING)
                .keep_alive_timeout(PING_TIMEOUT);
            let mut http = HttpConnector::new();
            http.set_nodelay(true);
            http.set_keepalive(Some(SILENCE));
            http.set_keepalive_interval(Some(Duration::from_secs(10)));
            http.set_keepalive_retries(Some(3));
            let connector = tower::service_fn(move |to| {
                let opening = http.call(to);
                async move {
                    let (read, write) = opening.await?.into_inner().into_split();
                    Ok::<_, <HttpConnector as tower::Service<Uri>>::Error>(TokioIo::new(queued(
                        read, write,
                    )))
                }
            });
            Ok(endpoint.connect_with_connector_lazy(connector))
        }
    }
}

/// How many bytes can wait for the engine to read them.
const QUEUE: usize = 64 << 20;

/// How many bytes are sent at once.
const PIECE: usize = 64 << 10;

/// Returns a connection on which no write waits for the engine.
///
/// HTTP/2 of hyper does not read while an answer to a frame cannot be written, and the engine's server does not read while 50
/// answers to frames wait (google.golang.org/grpc, internal/transport/controlbuf.go, `maxQueuedTransportResponseFrames`). With
/// hundreds of calls at once, each waited for the other to read.
fn queued(
    read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin + Send + 'static,
) -> impl AsyncRead + AsyncWrite + Unpin {
    let (queue, waiting) = tokio::io::duplex(QUEUE);
    tokio::spawn(async move {
        let mut waiting = BufReader::with_capacity(PIECE, waiting);
        // If that fails, the engine is gone: reading and the next write fail as well.
        let _sent = tokio::io::copy_buf(&mut waiting, &mut write).await;
        let _closed = write.shutdown().await;
    });
    tokio::io::join(read, queue)
}

/// Returns the innermost cause: tonic's own text is `transport error`.
fn connection_reason(status: &tonic::Status) -> String {
    let mut reason = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        reason = error.to_string();
        source = error.source();
    }
    reason
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn writes_do_not_wait_until_the_engine_reads() {
        const SIZE: usize = 8 << 20;
        let (own, engine) = UnixStream::pair().expect("a pair");
        let (read, write) = own.into_split();
        let mut own = queued(read, write);
        let (mut from, mut to) = engine.into_split();
        // It reads only when all that it wrote is read.
        let engine = tokio::spawn(async move {
            to.write_all(&vec![1; SIZE]).await.expect("written");
            let mut all = Vec::new();
            from.read_to_end(&mut all).await.expect("read");
            all.len()
        });
        own.write_all(&vec![2; SIZE]).await.expect("written");
        let mut all = vec![0; SIZE];
        own.read_exact(&mut all).await.expect("read");
        own.shutdown().await.expect("closed");
        assert_eq!(engine.await.expect("no panic"), SIZE);
    }

    #[tokio::test]
    async fn a_connection_ends_when_the_engine_is_gone() {
        let (own, engine) = UnixStream::pair().expect("a pair");
        let (read, write) = own.into_split();
        let mut own = queued(read, write);
        drop(engine);
        assert_eq!(own.read(&mut [0; 1]).await.expect("the end"), 0);
        let until_it_fails = async { while own.write_all(&[0; 1024]).await.is_ok() {} };
        let ended = tokio::time::timeout(Duration::from_secs(10), until_it_fails);
        ended.await.expect("a write fails");
    }
}
