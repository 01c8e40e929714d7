//! The connection to a buildkitd: [`Client`].

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::InfoRequest;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use hyper_util::rt::TokioIo;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

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
        let endpoint = Endpoint::from_static("http://localhost")
            .connect_timeout(Duration::from_secs(10))
            .http2_max_header_list_size(HEADER_LIMIT)
            .initial_connection_window_size(8 << 20)
            .initial_stream_window_size(2 << 20);
        let channel = match address {
            Address::Unix(path) => {
                let path = path.clone();
                endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                    let path = path.clone();
                    async move {
                        let stream = tokio::net::UnixStream::connect(path).await?;
                        Ok::<_, std::io::Error>(TokioIo::new(stream))
                    }
                }))
            }
            Address::Tcp(host) => {
                let host = host.clone();
                endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                    let host = host.clone();
                    async move {
                        let stream = tokio::net::TcpStream::connect(host).await?;
                        stream.set_nodelay(true)?;
                        Ok::<_, std::io::Error>(TokioIo::new(stream))
                    }
                }))
            }
        };
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
