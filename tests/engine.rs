//! The client against a real buildkitd: one solve with several results, failures with their places and
//! last lines, archives, cancelling.
//!
//! Needs `LAMINATE_TEST_ENGINE` (an address) and `LAMINATE_TEST_BASE` (a small Debian in a registry
//! that takes pushes), which `integration/test` sets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::needed::needed;
use laminate::testing::buildkit::{
    Built, Client, Error, Export, Exported, Exporter, Request, Returned, Services, Update, solve,
};
use laminate::testing::llb::{
    self, Definition, Exec, Graph, Meta, Mount, MountKind, Network, Origin, Output, Sharing, Source,
};
use laminate::testing::name::Digest;
use tokio_util::sync::CancellationToken;

struct World {
    client: Client,
    base: String,
    repository: String,
}

async fn world(test: &str) -> Option<World> {
    let engine = std::env::var("LAMINATE_TEST_ENGINE").ok();
    let engine = needed(test, "LAMINATE_TEST_ENGINE", engine)?;
    let base = needed(
        test,
        "LAMINATE_TEST_BASE",
        std::env::var("LAMINATE_TEST_BASE").ok(),
    )?;
    let address = engine.parse().expect("an address");
    let client = Client::connect(&address, Duration::from_secs(5))
        .await
        .expect("an engine");
    let host = base.split('/').next().expect("a host").to_owned();
    Some(World {
        client,
        base,
        repository: format!("{host}/engine/{test}"),
    })
}

fn graph() -> Graph {
    Graph::new(llb::Platform::linux(std::env::consts::ARCH))
}

fn platform(variant: &str) -> llb::Platform {
    llb::Platform {
        variant: variant.to_owned(),
        ..llb::Platform::linux(std::env::consts::ARCH)
    }
}

fn base(graph: &mut Graph, world: &World) -> Output {
    let reference = world.base.clone();
    graph.source(
        Source::Image {
            reference,
            layers: None,
        },
        Meta::default(),
    )
}

fn run(graph: &mut Graph, root: Output, text: &str, line: u32, mounts: Vec<Mount>) -> Output {
    let exec = Exec {
        args: ["/bin/sh", "-ec", text].map(str::to_owned).to_vec(),
        env: vec!["PATH=/usr/bin:/bin".to_owned()],
        cwd: "/".to_owned(),
        user: "0".to_owned(),
        network: Network::None,
        root,
        mounts,
        proxy: None,
    };
    let meta = Meta {
        name: format!("line {line}"),
        origin: Some(Origin {
            file: "specs.yml".to_owned(),
            start: (line, 3),
            end: (line, 9),
        }),
        // Each run of the tests does its steps.
        ignore_cache: true,
        ..Meta::default()
    };
    graph.exec(exec, meta).root
}

/// Returns the definition with the text of its file: error trailers pass the limits of usual clients.
fn with_text(mut definition: Definition) -> Definition {
    let source = definition.pb.source.as_mut().expect("always there");
    source.infos[0].data = b"a line of the spec\n".repeat(4000);
    definition
}

fn exported(returned: Returned) -> Built<()> {
    Built {
        returned: Some(returned),
        value: (),
    }
}

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["A=b"]}}"#;

/// Lets the engine push the manifests.
async fn to_the_engine(_: Exported) -> Option<()> {
    None
}

/// Returns the digest of what was exported, by the answer of the engine.
fn digest(export: &Export<()>) -> Option<&str> {
    match export {
        Export::Done { response } => response.get("containerimage.digest").map(String::as_str),
        Export::TakenOver(()) => None,
    }
}

/// The status responses of a solve.
type Responses = Arc<Mutex<Vec<Vec<Update>>>>;

/// The request of two images that are pushed by digest, and their IDs.
fn two_images(world: &World) -> (Request, [String; 2]) {
    let architecture = platform("").architecture;
    let ids = ["x0", "x1"].map(|variant| format!("linux/{architecture}/{variant}"));
    let attrs = [
        ("name", world.repository.as_str()),
        ("push", "true"),
        ("push-by-digest", "true"),
        ("oci-mediatypes", "true"),
    ];
    let request = Request {
        exporters: vec![Exporter {
            kind: "image".to_owned(),
            attrs: attrs.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        }],
        frontend_attrs: BTreeMap::from([("platform".to_owned(), ids.join(","))]),
        services: Services::default(),
    };
    (request, ids)
}

/// Solves two images, and a step that fails. Returns what became of the export, and the step's error.
async fn solve_two_and_a_failure<P>(
    world: &World,
    bad: Definition,
    responses: &Responses,
    take_over: impl AsyncFnOnce(Exported) -> Option<P>,
) -> (Export<P>, Option<Error>) {
    let mut graph = graph();
    let root = base(&mut graph, world);
    let one = run(&mut graph, root, "echo one >/one", 11, vec![]);
    let two = run(&mut graph, root, "sleep 1; echo two >/two", 12, vec![]);
    let [one, two] = [one, two].map(|output| graph.marshal(output));
    let (request, ids) = two_images(world);
    let seen = responses.clone();
    let solved = solve(
        &world.client,
        request,
        move |list| seen.lock().expect("no panic").push(list),
        &CancellationToken::new(),
        |gateway| async move {
            let (one, two, bad) = tokio::join!(
                gateway.solve(one.pb),
                gateway.solve(two.pb),
                gateway.solve(bad.pb)
            );
            let mut returned = Returned::default();
            for (id, built, variant) in [(&ids[0], one?, "x0"), (&ids[1], two?, "x1")] {
                returned.refs.push((id.clone(), built, platform(variant)));
                let key = format!("containerimage.config/{id}");
                returned.metadata.insert(key, CONFIG.as_bytes().to_vec());
            }
            Ok(Built {
                returned: Some(returned),
                value: bad.err(),
            })
        },
        take_over,
    )
    .await
    .expect("a solve");
    (solved.export, solved.value)
}

/// Returns the operation of a step that fails.
fn failing(world: &World) -> Definition {
    let mut graph = graph();
    let root = base(&mut graph, world);
    let bad = run(&mut graph, root, "echo last words >&2; exit 7", 13, vec![]);
    with_text(graph.marshal(bad))
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_are_there_to_be_read_before_the_engine_has_pushed_them() {
    let Some(world) = world("manifests").await else {
        return;
    };
    let read = async |exported: Exported| {
        let index = exported.read(&exported.index).await.expect("the index");
        let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
        let mut layers = Vec::new();
        for entry in index["manifests"].as_array().expect("a list") {
            let digest = entry["digest"].as_str().expect("a digest");
            let digest = Digest::parse(digest).expect("valid");
            let manifest = exported.read(&digest).await.expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
            layers.push(manifest["layers"].as_array().expect("a list").len());
        }
        let missing = exported.read(&Digest::of(b"missing")).await;
        assert!(missing.is_err());
        Some(layers)
    };
    for _ in 0..2 {
        let responses = Responses::default();
        let solved = solve_two_and_a_failure(&world, failing(&world), &responses, read).await;
        let Export::TakenOver(layers) = solved.0 else {
            panic!("the engine pushed them: {:?}", solved.0);
        };
        assert!(layers.len() == 2 && layers[0] == layers[1], "{layers:?}");
        let responses = responses.lock().expect("no panic");
        let errors = responses
            .iter()
            .flatten()
            .filter_map(|update| match update {
                Update::Vertex(vertex) if vertex.error.contains("canceled") => Some(&vertex.name),
                _ => None,
            });
        assert_eq!(errors.count(), 0, "that the solve is ended is not reported");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_solve_gives_several_images_and_a_failure_stops_no_other() {
    let Some(world) = world("several").await else {
        return;
    };
    let bad = failing(&world);
    let vertices = bad.digests.keys().cloned().collect::<Vec<_>>();
    let responses = Responses::default();
    let (export, error) = solve_two_and_a_failure(&world, bad, &responses, to_the_engine).await;
    let exported = digest(&export).unwrap_or_default();
    assert!(exported.starts_with("sha256:"), "{export:?}");

    let Some(Error::Failed(failure)) = error else {
        panic!("the third fails");
    };
    assert_eq!(failure.exit_code, Some(7));
    let digest = failure.vertex.expect("the daemon reports the operation");
    assert!(
        vertices.contains(&digest),
        "{digest} is one of ours: {vertices:?}"
    );
    let place = failure.place.expect("the source map is attached");
    assert_eq!(
        (place.file.as_str(), place.line, place.column),
        ("specs.yml", 13, 3)
    );
    let responses = responses.lock().expect("no panic");
    // The run waits for the operation's failure alone, so its output must be there by then.
    let is_failure = |update: &Update| matches!(update, Update::Vertex(vertex) if vertex.digest == digest && !vertex.error.is_empty());
    let failed = responses
        .iter()
        .position(|list| list.iter().any(is_failure));
    let until = &responses[..=failed.expect("the stream has the failure")];
    let words: Vec<u8> = until
        .iter()
        .flatten()
        .filter_map(|update| match update {
            Update::Log { vertex, bytes, .. } if *vertex == digest => Some(bytes.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(String::from_utf8_lossy(&words), "last words\n");
    let mut updates = responses.iter().flatten();
    let warning = updates.find(|update| matches!(update, Update::Warning(_)));
    assert_eq!(warning, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_comes_through_the_session_with_a_secret_on_the_way() {
    let Some(world) = world("archive").await else {
        return;
    };
    let mut graph = graph();
    let root = base(&mut graph, &world);
    let mount = |target: &str, kind| Mount {
        target: target.to_owned(),
        kind,
    };
    let secret = |id: &str| MountKind::Secret {
        id: id.to_owned(),
        uid: 0,
        gid: 0,
        mode: 0o444,
        optional: false,
    };
    let mounts = vec![
        mount("/run/place", MountKind::Tmpfs { size: 0 }),
        mount("/run/place/token", secret("token")),
        mount(
            "/cache",
            MountKind::Cache {
                id: "engine-test".to_owned(),
                sharing: Sharing::Shared,
                seed: None,
                selector: String::new(),
            },
        ),
    ];
    let text = "test \"$(cat /run/place/token)\" = s3cret && touch /run/place/x && touch /cache/y";
    let made = run(&mut graph, root, text, 5, mounts);
    let made = graph.marshal(made);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.tar");
    let archive = std::fs::File::create(&path).expect("a file");
    let id = format!("linux/{}", platform("").architecture);
    let request = Request {
        exporters: vec![Exporter {
            kind: "oci".to_owned(),
            attrs: BTreeMap::new(),
        }],
        frontend_attrs: BTreeMap::new(),
        services: Services {
            secrets: BTreeMap::from([("token".to_owned(), b"s3cret".to_vec())]),
            archives: BTreeMap::from([(0, Arc::new(archive))]),
            ..Services::default()
        },
    };
    solve(
        &world.client,
        request,
        |_| {},
        &CancellationToken::new(),
        |gateway| async move {
            let built = gateway.solve(made.pb).await?;
            let config = (
                format!("containerimage.config/{id}"),
                CONFIG.as_bytes().to_vec(),
            );
            Ok(exported(Returned {
                refs: vec![(id, built, platform(""))],
                metadata: BTreeMap::from([config]),
            }))
        },
        to_the_engine,
    )
    .await
    .expect("a solve");
    let mut names = Vec::new();
    let mut tar = tar::Archive::new(std::fs::File::open(path).expect("an archive"));
    for entry in tar.entries().expect("entries") {
        let entry = entry.expect("an entry");
        names.push(entry.path().expect("a path").display().to_string());
    }
    for wanted in ["oci-layout", "index.json"] {
        assert!(names.iter().any(|name| name == wanted), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_what_runs() {
    let Some(world) = world("cancel").await else {
        return;
    };
    let mut graph = graph();
    let root = base(&mut graph, &world);
    let made = run(&mut graph, root, "echo begun; sleep 100", 1, vec![]);
    let made = graph.marshal(made);
    let cancel = CancellationToken::new();
    let (trigger, begun) = (cancel.clone(), Arc::new(Mutex::new(None)));
    let at = begun.clone();
    let ended = solve(
        &world.client,
        Request::default(),
        move |list| {
            if list
                .iter()
                .any(|update| matches!(update, Update::Log { .. }))
            {
                *at.lock().expect("no panic") = Some(Instant::now());
                trigger.cancel();
            }
        },
        &cancel,
        |gateway| async move {
            gateway.solve(made.pb).await?;
            Ok(exported(Returned::default()))
        },
        to_the_engine,
    )
    .await;
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    let begun = begun.lock().expect("no panic").expect("the step began");
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_exporter_ends_the_solve_at_once() {
    let Some(world) = world("wrong").await else {
        return;
    };
    let request = Request {
        exporters: vec![Exporter {
            kind: "nosuch".to_owned(),
            attrs: BTreeMap::new(),
        }],
        ..Request::default()
    };
    let ended = solve(
        &world.client,
        request,
        |_| {},
        &CancellationToken::new(),
        |_| async { Ok(exported(Returned::default())) },
        to_the_engine,
    )
    .await;
    let error = ended.expect_err("no such exporter").to_string();
    assert!(error.contains("nosuch"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_of_nothing_gives_its_value_and_no_export() {
    let Some(world) = world("nothing").await else {
        return;
    };
    let solved = solve(
        &world.client,
        Request::default(),
        |_| {},
        &CancellationToken::new(),
        |_| async {
            Ok(Built {
                returned: None,
                value: 7,
            })
        },
        to_the_engine,
    )
    .await
    .expect("it is not an error");
    assert_eq!(solved.value, 7);
    assert_eq!(digest(&solved.export), None);
}
