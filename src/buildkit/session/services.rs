//! The services of a session.

use std::pin::Pin;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::Health;
use bollard_buildkit_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::Secrets;
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::Auth;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use bollard_buildkit_proto::moby::filesync::v1::{
    BytesMessage, CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use futures_util::Stream;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::Services;

/// Answers health checks; after two missed answers the daemon closes the session (session/grpc.go).
pub struct Alive;

/// The stream of answers of a call.
pub(super) type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn serving() -> HealthCheckResponse {
    HealthCheckResponse {
        status: ServingStatus::Serving as i32,
    }
}

#[tonic::async_trait]
impl Health for Alive {
    type WatchStream = Answers<HealthCheckResponse>;

    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only Check is served"))
    }
}

/// Credentials alone: the daemon fetches tokens itself. For the others only `Unimplemented` means
/// "not mine" (session/auth/auth.go).
#[tonic::async_trait]
impl Auth for Services {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let found = match &self.credentials {
            Some(find) => find(request.into_inner().host).await,
            None => None,
        };
        // An empty answer means that none are known.
        let (username, secret) = found.unwrap_or_default();
        Ok(Response::new(CredentialsResponse { username, secret }))
    }

    async fn fetch_token(
        &self,
        _request: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the daemon"))
    }

    async fn get_token_authority(
        &self,
        _request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the daemon"))
    }

    async fn verify_token_authority(
        &self,
        _request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("tokens are fetched by the daemon"))
    }
}

#[tonic::async_trait]
impl Secrets for Services {
    async fn get_secret(
        &self,
        request: Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.secrets.get(&id) {
            Some(data) => Ok(Response::new(GetSecretResponse { data: data.clone() })),
            None => Err(Status::not_found(format!("no secret `{id}` was given"))),
        }
    }
}

/// Takes the archives of exporters.
#[tonic::async_trait]
impl FileSend for Services {
    type DiffCopyStream = Answers<BytesMessage>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let exporter = request
            .metadata()
            .get("buildkit-attachable-exporter-id")
            .and_then(|id| id.to_str().ok()?.parse().ok())
            .unwrap_or(0);
        let archive = self
            .archives
            .get(&exporter)
            .ok_or_else(|| Status::not_found("unknown exporter: it has no archive"))?;
        let failed =
            |error: std::io::Error| Status::internal(format!("cannot write the archive: {error}"));
        archive.set_len(0).map_err(failed)?;
        let archive = archive.try_clone().map_err(failed)?;
        let mut file = tokio::fs::File::from_std(archive);
        file.rewind().await.map_err(failed)?;
        let mut pieces = request.into_inner();
        while let Some(piece) = pieces.message().await? {
            file.write_all(&piece.data).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(Response::new(Box::pin(futures_util::stream::empty())))
    }
}
