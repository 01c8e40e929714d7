//! One build: session, `Control.Solve`, status and gateway calls, begun and ended together.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{self, RefMap, ReturnRequest, result};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::content::Watched;
use super::gateway::ensure_fits;
use super::session::Session;
use super::status::Warnings;
use super::{Client, Error, Exported, Failure, Gateway, Ref, Services, Update, unique};
use crate::llb::Platform;
use crate::trace::{self, Track};

/// The parts of a build that are fixed before its gateway calls.
#[derive(Default)]
pub struct Request {
    /// At most one of a kind: the daemon merges their answers.
    pub exporters: Vec<Exporter>,
    /// Attributes that exporters read as well: `platform`, `build-arg:SOURCE_DATE_EPOCH`.
    pub frontend_attrs: BTreeMap<String, String>,
    /// What the daemon can ask for.
    pub services: Services,
}

/// An exporter. The daemon ignores misspelt attributes without a word.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// `image`, `oci`, …
    pub kind: String,
    /// Its attributes.
    pub attrs: BTreeMap<String, String>,
}

/// What is exported. Empty for a request without exporters.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// Each file system with its ID and platform, in the order of the index.
    pub refs: Vec<(String, Ref, Platform)>,
    /// `containerimage.config/<id>` and the like.
    pub metadata: BTreeMap<String, Vec<u8>>,
}

/// What the gateway calls of a build come to.
#[derive(Clone, Debug)]
pub struct Built<T> {
    /// What is exported; `None` ends the solve without an export, which is not an error.
    pub returned: Option<Returned>,
    /// Handed through to the caller of [`solve`].
    pub value: T,
}

/// A build that came to its end.
#[derive(Clone, Debug)]
pub struct Solved<T, P> {
    /// What became of the export.
    pub export: Export<P>,
    /// What the gateway calls made.
    pub value: T,
}

/// How an export ended.
#[derive(Clone, Debug)]
pub enum Export<P> {
    /// The engine has done it.
    Done {
        /// The exporters' answers: `containerimage.digest` and the like. Empty without an export.
        response: BTreeMap<String, String>,
    },
    /// The engine has pushed all blobs, and the caller the manifests.
    TakenOver(P),
}

/// How long an engine may take to open a session.
const OPENING: Duration = Duration::from_secs(60);

/// How long to wait for an answer that is due.
const GRACE: Duration = Duration::from_secs(5);

/// Runs one build: exactly one `Control.Solve`. `build` makes the gateway calls; what it returns is
/// exported, and its error ends the solve with that error.
///
/// The engine pushes the manifests of many images one after the other. When it has pushed their blobs, `take_over` may
/// push the manifests: if it returns something first, the solve ends. If it returns `None`, the engine goes on.
///
/// `updates` gets what each status response of the daemon contains. When `cancel` fires, running steps
/// are stopped and [`Error::Cancelled`] is returned.
pub async fn solve<T, P, Build, Building>(
    client: &Client,
    request: Request,
    updates: impl Fn(Vec<Update>) + Send + 'static,
    cancel: &CancellationToken,
    build: Build,
    take_over: impl AsyncFnOnce(Exported) -> Option<P>,
) -> Result<Solved<T, P>, Error>
where
    Build: FnOnce(Gateway) -> Building,
    Building: Future<Output = Result<Built<T>, Error>>,
{
    let span = trace::span(Track::Engine, || "solve".to_owned());
    let reference = unique();
    let opening_span = trace::span(Track::Engine, || "open the session".to_owned());
    let opening = Session::open(client, request.services);
    let opened = tokio::time::timeout(OPENING, cancel.run_until_cancelled(opening)).await;
    let session = match opened {
        Ok(opened) => opened.ok_or(Error::Cancelled)??,
        Err(_) => {
            return Err(Error::Lost {
                reason: format!("it opened no session within {} s", OPENING.as_secs()),
            });
        }
    };
    drop(opening_span);
    let message = control::SolveRequest {
        r#ref: reference.clone(),
        session: session.id.clone(),
        exporters: request
            .exporters
            .into_iter()
            .map(|exporter| control::Exporter {
                r#type: exporter.kind,
                attrs: exporter.attrs.into_iter().collect(),
            })
            .collect(),
        frontend_attrs: request.frontend_attrs.into_iter().collect(),
        cache: Some(control::CacheOptions::default()),
        // Without a record in the engine's history, for which it would write the provenance of every image before the
        // solve ends (solver/llbsolver/history.go).
        internal: true,
        ..control::SolveRequest::default()
    };
    let mut tasks = JoinSet::new();
    let (pushed, blobs_pushed) = oneshot::channel();
    tasks.spawn(watch(client.clone(), reference.clone(), updates, pushed));

    let parent = span.parent();
    let gateway = Gateway::new(client, &reference, parent.as_deref());
    let take_over = (blobs_pushed, take_over);
    let solved = attend(
        client,
        gateway,
        message,
        (&session, cancel),
        build,
        take_over,
    )
    .await;
    let is_taken_over = |solved: &Solved<T, P>| matches!(solved.export, Export::TakenOver(_));
    if solved.as_ref().is_ok_and(is_taken_over) {
        // That the engine was stopped is not a fault to report.
        tasks.shutdown().await;
    }
    drop(session);
    // The stream ends with the job; a daemon that forgets to end it is not waited for.
    let _late =
        tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    solved
}

type Answer = Result<tonic::Response<control::SolveResponse>, Error>;

/// The solve and the gateway calls. Both end with this future: calls that are dropped stop their
/// steps, those that only lose their solve do not.
async fn attend<T, P, Build, Building>(
    client: &Client,
    gateway: Gateway,
    message: control::SolveRequest,
    (session, cancel): (&Session, &CancellationToken),
    build: Build,
    take_over: (
        oneshot::Receiver<Exported>,
        impl AsyncFnOnce(Exported) -> Option<P>,
    ),
) -> Result<Solved<T, P>, Error>
where
    Build: FnOnce(Gateway) -> Building,
    Building: Future<Output = Result<Built<T>, Error>>,
{
    let mut caller = client.control();
    let message = gateway.traced(message);
    let inside = gateway.clone();
    let mut solving = pin!(async move { caller.solve(message).await.map_err(Error::from_status) });
    let mut building = pin!(async move {
        inside.ping().await?;
        build(inside).await
    });
    let built = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Cancelled),
        reason = session.lost() => return Err(Error::Lost { reason }),
        // A wrong exporter ends the solve before any gateway call is answered.
        ended = &mut solving => return Err(ended.err().unwrap_or(Error::Protocol {
            reason: "the solve ended before its result".to_owned(),
        })),
        built = &mut building => built,
    };
    let (request, failed, value) = match built {
        Ok(Built {
            returned: Some(returned),
            value,
        }) => {
            let request = returned.into_request();
            match ensure_fits(&request, "the configs of the images") {
                Ok(()) => (request, None, Some(value)),
                Err(error) => (end_with(&error), Some(error), None),
            }
        }
        Ok(Built {
            returned: None,
            value,
        }) => {
            let nothing = Failure::new("no image was built");
            let error = Error::Failed(Box::new(nothing));
            (end_with(&error), Some(error), Some(value))
        }
        Err(error) => (end_with(&error), Some(error), None),
    };
    let is_export = failed.is_none();
    let _span = trace::span(Track::Engine, || "export and end".to_owned());
    let ending = end(&gateway, request, failed, &mut solving);
    let exported = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Cancelled),
        reason = session.lost() => return Err(Error::Lost { reason }),
        exported = exported(ending, take_over) => exported,
    };
    let export = match exported {
        Ok(export) => export,
        Err(error) if is_export || value.is_none() => return Err(error),
        // The caller asked for no export.
        Err(_) => Export::Done {
            response: BTreeMap::new(),
        },
    };
    let value = value.ok_or_else(|| Error::Protocol {
        reason: "the solve succeeded although its build failed".to_owned(),
    })?;
    Ok(Solved { export, value })
}

/// Waits for the end of an export: that of the engine, or that of the caller once it has taken over `pushed`.
async fn exported<E, P>(
    ending: impl Future<Output = Answer>,
    (pushed, take_over): (oneshot::Receiver<E>, impl AsyncFnOnce(E) -> Option<P>),
) -> Result<Export<P>, Error> {
    let mut ending = pin!(ending);
    let done = |answer: tonic::Response<control::SolveResponse>| Export::Done {
        response: answer.into_inner().exporter_response.into_iter().collect(),
    };
    let pushed = tokio::select! {
        biased;
        ended = &mut ending => return ended.map(done),
        Ok(pushed) = pushed => pushed,
    };
    let mut taking_over = pin!(take_over(pushed));
    let ended = tokio::select! {
        biased;
        taken_over = &mut taking_over => match taken_over {
            Some(manifests) => return Ok(Export::TakenOver(manifests)),
            None => return ending.await.map(done),
        },
        ended = &mut ending => ended,
    };
    // What the caller has begun to write is not written twice. If it can, it does not matter that the engine could not: both
    // write at the same moment, and a registry may limit that.
    match taking_over.await {
        Some(manifests) => Ok(Export::TakenOver(manifests)),
        None => ended.map(done),
    }
}

/// The request that ends a build with an error.
fn end_with(error: &Error) -> ReturnRequest {
    ReturnRequest {
        result: None,
        error: Some(error.clone().into_status()),
    }
}

/// Returns the build's result to the daemon, and waits for what the daemon makes of it.
async fn end(
    gateway: &Gateway,
    request: ReturnRequest,
    failed: Option<Error>,
    mut solving: &mut std::pin::Pin<&mut impl Future<Output = Answer>>,
) -> Answer {
    let returned = tokio::select! {
        returned = gateway.end(request) => returned,
        ended = &mut solving => return match failed {
            Some(error) => Err(prefer(error, ended)),
            None => ended,
        },
    };
    match (failed, returned) {
        (None, Ok(())) => solving.await,
        (Some(error), _) | (None, Err(error)) => match tokio::time::timeout(GRACE, solving).await {
            Ok(ended) => Err(prefer(error, ended)),
            Err(_) => Err(error),
        },
    }
}

/// Returns the build's own error or the one the solve ended with: the solve's if the build's own only
/// reports that the solve is gone, which has no code of its own.
fn prefer(own: Error, ended: Answer) -> Error {
    match (own, ended) {
        (Error::Failed(own), Err(theirs)) if own.message.contains("no such job") => theirs,
        (own, _) => own,
    }
}

impl Returned {
    fn into_request(self) -> ReturnRequest {
        if self.refs.is_empty() {
            // A result of nothing: an empty reference is scratch (frontend/gateway/gateway.go).
            let nothing = frontend::Ref {
                id: String::new(),
                def: None,
            };
            return ReturnRequest {
                result: Some(frontend::Result {
                    result: Some(result::Result::Ref(nothing)),
                    ..frontend::Result::default()
                }),
                error: None,
            };
        }
        let platforms: Vec<_> = self
            .refs
            .iter()
            .map(|(id, _, platform)| {
                let mut value = json!({ "architecture": platform.architecture, "os": platform.os });
                if !platform.variant.is_empty() {
                    value["variant"] = json!(platform.variant);
                }
                json!({ "ID": id, "Platform": value })
            })
            .collect();
        let mut metadata: std::collections::HashMap<_, _> = self.metadata.into_iter().collect();
        let platforms = json!({ "Platforms": platforms }).to_string();
        metadata.insert("refs.platforms".to_owned(), platforms.into_bytes());
        let refs = self
            .refs
            .into_iter()
            .map(|(id, reference, _)| {
                let reference = frontend::Ref {
                    id: reference.0,
                    def: None,
                };
                (id, reference)
            })
            .collect();
        ReturnRequest {
            result: Some(frontend::Result {
                metadata,
                attestations: Default::default(),
                result: Some(result::Result::Refs(RefMap { refs })),
            }),
            error: None,
        }
    }
}

/// Passes on what the engine reports of a build, and to `pushed` the index of its images when their blobs are pushed.
async fn watch(
    client: Client,
    reference: String,
    updates: impl Fn(Vec<Update>),
    pushed: oneshot::Sender<Exported>,
) {
    let request = control::StatusRequest { r#ref: reference };
    // Without a status the build goes on; the solve reports what fails.
    let Ok(answer) = client.control().status(request).await else {
        return;
    };
    let mut stream = answer.into_inner();
    let (mut warnings, mut watched) = (Warnings::default(), Watched::default());
    let mut pushed = Some(pushed);
    while let Ok(Some(response)) = stream.message().await {
        let index = response
            .statuses
            .iter()
            .find_map(|status| watched.pushed(status));
        if let Some(index) = index
            && let Some(pushed) = pushed.take()
        {
            // It is not needed once the solve has ended.
            let _ended = pushed.send(Exported::new(index, &client));
        }
        updates(warnings.updates(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How an export ends whose engine ends after some milliseconds, well or not, and whose caller returns `taken` after 20.
    async fn ended(engine: (u64, bool), taken: Option<u8>) -> Result<Option<u8>, String> {
        let (pushed, blobs_pushed) = oneshot::channel();
        pushed.send(()).expect("it is received");
        let ending = async {
            tokio::time::sleep(Duration::from_millis(engine.0)).await;
            let refused = Failure::new("refused");
            let answer = tonic::Response::new(control::SolveResponse::default());
            engine
                .1
                .then_some(answer)
                .ok_or(Error::Failed(Box::new(refused)))
        };
        let take_over = async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            taken
        };
        match exported(ending, (blobs_pushed, take_over)).await {
            Ok(Export::TakenOver(taken)) => Ok(Some(taken)),
            Ok(Export::Done { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn what_the_caller_pushed_counts_however_the_engine_ends() {
        let refused = || Err("refused".to_owned());
        for engine in [(1, true), (1, false), (50, true), (50, false)] {
            assert_eq!(ended(engine, Some(7)).await, Ok(Some(7)), "{engine:?}");
            let expected = if engine.1 { Ok(None) } else { refused() };
            assert_eq!(ended(engine, None).await, expected, "{engine:?}");
        }
    }

    #[tokio::test]
    async fn without_a_report_the_engine_pushes() {
        let (pushed, blobs_pushed) = oneshot::channel::<()>();
        drop(pushed);
        let ending = async { Ok(tonic::Response::new(control::SolveResponse::default())) };
        let exported = exported(ending, (blobs_pushed, async |()| Some(7))).await;
        assert!(matches!(exported, Ok(Export::Done { .. })), "{exported:?}");
    }
}
