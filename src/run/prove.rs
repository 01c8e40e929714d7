//! Proves one image that is there: its suites, checks and info, in the request that builds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::{Broken, Green, Run, tree};
use crate::buildkit::{self, Ref};
use crate::checks::{self, CheckInput, Fault, Tree};
use crate::compile::{BaseState, LEFT};
use crate::event::Event;
use crate::evidence::{Checks, Info, Outcome, Verdict, junit, packages};
use crate::llb::Output;
use crate::name::{Digest, Reference};
use crate::plan;
use crate::stack::{Base, Image, ImageId, InfoCommand, Suite, Test};

/// The most that is kept of what a suite writes, and of an info that is no list of packages; bytes.
const LOG: u64 = 64 << 10;

/// The most that is read of a report or a list, bytes.
const REPORT: u64 = 8 << 20;

/// What a suite whose time is over is given to end by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A shorter secret is no secret, and would tear holes into every text; bytes.
const SECRET: usize = 6;

/// What fetching pytest and the like may take beside a suite's own time.
const FETCHING: Duration = Duration::from_secs(1800);

/// Cases of one suite that are kept, beside those that failed.
const CASES: usize = 1000;

/// Info that takes longer than this is no info.
const INFO_TIMEOUT: Duration = Duration::from_secs(300);

/// What was proven of an image in a run.
#[derive(Clone, Debug, Default)]
pub struct Proven {
    /// By name; those that ran.
    pub suites: BTreeMap<String, Verdict>,
    pub checks: Option<Checks>,
    /// By name; those that ran.
    pub info: BTreeMap<String, Info>,
}

/// What is proven: an image made in this run, or one a registry has.
pub(super) enum Subject {
    Built(Box<Green>),
    Published(Reference),
}

/// A subject in the graph.
struct Seen {
    state: BaseState,
    result: Ref,
    /// Layers of all it stands on, and its own.
    layers: usize,
    subject: Subject,
}

/// By what names the bytes (see `Run::bytes`) and the suite's key.
pub(super) type Verdicts = std::sync::Mutex<BTreeMap<(String, Digest), Arc<OnceCell<Verdict>>>>;

impl Run<'_> {
    /// Everything the plan says is to be run on an image.
    pub(super) async fn prove(
        &self,
        id: ImageId,
        subject: Subject,
    ) -> Result<Proven, buildkit::Error> {
        let planned = &self.plan.images[id.0];
        let image = &self.stack.images[id.0];
        let proof = &image.proof;
        let seen = match self.see(id, subject).await {
            Ok(seen) => seen,
            // It is as if every suite had said so; where none is to be run, nobody would.
            Err(Broken::Image(error)) => {
                let unknown = |suite: &plan::PlannedSuite| suite.verdict.known.is_none();
                let checks = planned.proofs.checks.as_ref();
                let unchecked = checks.is_some_and(|checks| checks.known.is_none());
                if unchecked || !planned.proofs.suites.iter().any(unknown) {
                    let failure = buildkit::Failure::new(error.to_string());
                    return Err(buildkit::Error::Failed(Box::new(failure)));
                }
                let mut proven = Proven::default();
                for suite in planned
                    .proofs
                    .suites
                    .iter()
                    .filter(|s| s.verdict.known.is_none())
                {
                    let verdict = self.red(&suite.verdict.key, None, error.to_string());
                    proven.suites.insert(suite.name.clone(), verdict);
                }
                return Ok(proven);
            }
            Err(Broken::Run(error)) => return Err(error),
        };
        let suites = proof.suites.iter().zip(&planned.proofs.suites);
        let suites = suites.filter(|(_, planned)| planned.verdict.known.is_none());
        let suites = try_join_all(
            suites.map(|(suite, planned)| self.suite_once(id, &seen, suite, &planned.verdict.key)),
        );
        let commands = proof.info.iter().zip(&planned.proofs.info);
        let commands = commands.filter(|(_, planned)| planned.known.is_none());
        let commands: Vec<(&InfoCommand, &Digest)> = commands
            .map(|(command, planned)| (command, &planned.key))
            .collect();
        let info = self.info(id, &seen, &commands);
        let wanted = planned.proofs.checks.as_ref();
        let checks = async {
            match wanted.filter(|checks| checks.known.is_none()) {
                Some(checks) => Ok(Some(self.checks(id, &seen, &checks.key).await?)),
                None => Ok(None),
            }
        };
        let (suites, info, checks) = tokio::try_join!(suites, info, checks)?;
        Ok(Proven {
            suites: suites.into_iter().collect(),
            checks,
            info,
        })
    }

    async fn see(&self, id: ImageId, subject: Subject) -> Result<Seen, Broken> {
        let label = self.label(id);
        match subject {
            Subject::Built(green) => {
                let below = green.ground.0["rootfs"]["diff_ids"].as_array();
                Ok(Seen {
                    state: green.compiled.state(),
                    result: green.result.clone(),
                    layers: below.map_or(0, Vec::len) + green.titles.len(),
                    subject: Subject::Built(green),
                })
            }
            Subject::Published(reference) => {
                let config = self.config(&reference, &label).await?;
                let output = {
                    let mut compiler = self.compiler();
                    compiler.reference(&reference, &label)
                };
                let result = self.solved(output).await.map_err(Broken::Run)?;
                let layers = config.0["rootfs"]["diff_ids"].as_array();
                Ok(Seen {
                    layers: layers.map_or(0, Vec::len),
                    state: BaseState { output, config },
                    result,
                    subject: Subject::Published(reference),
                })
            }
        }
    }

    async fn solved(&self, output: Output) -> Result<Ref, buildkit::Error> {
        let definition = {
            let compiler = self.compiler();
            compiler.graph.marshal(output, &self.sources)
        };
        self.gateway.solve(definition.pb).await
    }

    /// Names an image's bytes in this run: the digest of a published one; of one that is built, the image
    /// that is built for all of its key.
    fn bytes(&self, id: ImageId, seen: &Seen) -> String {
        match &seen.subject {
            Subject::Published(reference) => reference.to_string(),
            Subject::Built(green) => match &self.plan.images[id.0].keyed {
                Some(keyed) => format!("built {}", keyed.key),
                None => green.result.name().to_owned(),
            },
        }
    }

    /// Images that are the same bytes are tested once for all.
    async fn suite_once(
        &self,
        id: ImageId,
        seen: &Seen,
        suite: &Suite,
        key: &Digest,
    ) -> Result<(String, Verdict), buildkit::Error> {
        let image = self.bytes(id, seen);
        let cell = {
            let mut cells = self
                .verdicts
                .lock()
                .expect("nothing panics while it is held");
            cells.entry((image, key.clone())).or_default().clone()
        };
        let verdict = cell
            .get_or_try_init(|| self.suite(id, seen, suite, key))
            .await?;
        Ok((suite.name.value.clone(), verdict.clone()))
    }

    async fn suite(
        &self,
        id: ImageId,
        seen: &Seen,
        suite: &Suite,
        key: &Digest,
    ) -> Result<Verdict, buildkit::Error> {
        let _turn = self.turns.acquire().await.expect("it is never closed");
        let label = self.label(id);
        let name = suite.name.value.clone();
        let from = suite.from.as_ref().map(ToString::to_string);
        let begun = Instant::now();
        self.events.send(Event::SuiteStarted {
            image: label.clone(),
            suite: name.clone(),
        });
        let (definition, vertex) = {
            let mut compiler = self.compiler();
            match compiler.suite(id, &seen.state, suite) {
                Ok(output) => {
                    let definition = compiler.graph.marshal(output, &self.sources);
                    for (name, content) in std::mem::take(&mut compiler.large) {
                        let files = &self.options.services.files;
                        files.add(name, crate::compile::LARGE_FILE, content);
                    }
                    let vertex = definition
                        .digests
                        .iter()
                        .find(|(_, operation)| **operation == output.op)
                        .map(|(digest, _)| digest.clone());
                    (definition, vertex.expect("an operation has a digest"))
                }
                Err(problem) => {
                    drop(compiler);
                    let verdict = self.red(key, from, problem.message);
                    self.suite_done(&label, &name, &verdict, begun.elapsed());
                    return Ok(verdict);
                }
            }
        };
        let title = format!("test {name}");
        self.tracker.add_suite(vertex.clone(), label.clone(), title);
        let mut verdict = tokio::select! {
            solved = self.gateway.solve(definition.pb) => match solved {
                Ok(left) => self.verdict(key, from, suite, &left, &vertex).await?,
                Err(buildkit::Error::Failed(failure)) => {
                    // The last words may come a moment after the error.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    let at = failure.vertex.clone().unwrap_or_default();
                    let what = match failure.name.as_deref() {
                        Some(name) if at != vertex => format!("`{name}` failed"),
                        _ => "it could not be run".to_owned(),
                    };
                    let how = match failure.exit_code {
                        Some(code) => format!("{what} (exit code {code})"),
                        None => format!("{what}: {failure}"),
                    };
                    Verdict {
                        log: self.tracker.tail(&at).join("\n"),
                        ..self.red(key, from, how)
                    }
                }
                Err(error) => return Err(error),
            },
            // The suite's own watch stops it. Dropping the call stops the step, whatever is in it.
            () = self.overdue(&vertex, suite.timeout + GRACE) => Verdict {
                log: self.tracker.tail(&vertex).join("\n"),
                ..self.red(key, from, stopped(suite))
            },
        };
        self.hide_secrets(suite, &mut verdict);
        self.suite_done(&label, &name, &verdict, begun.elapsed());
        Ok(verdict)
    }

    /// A verdict is kept where many can read it.
    fn hide_secrets(&self, suite: &Suite, verdict: &mut Verdict) {
        for secret in &suite.secrets {
            let value = self.options.services.secrets.get(&secret.id);
            let value = value.and_then(|value| std::str::from_utf8(value).ok());
            let Some(value) = value.map(str::trim).filter(|value| value.len() >= SECRET) else {
                continue;
            };
            let hide = |text: &mut String| *text = text.replace(value, "[secret]");
            hide(&mut verdict.log);
            verdict.reason.iter_mut().for_each(hide);
            for case in &mut verdict.cases {
                case.message.iter_mut().for_each(hide);
                case.text.iter_mut().for_each(hide);
            }
        }
    }

    fn suite_done(&self, label: &str, name: &str, verdict: &Verdict, took: Duration) {
        self.events.send(Event::SuiteDone {
            image: label.to_owned(),
            suite: name.to_owned(),
            passed: verdict.passed,
            summary: verdict.summary(),
            took,
        });
    }

    async fn overdue(&self, vertex: &str, timeout: Duration) {
        // An engine that says nothing of its work is not waited for without end.
        let most = Instant::now() + timeout + FETCHING;
        while Instant::now() < most {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self
                .tracker
                .running(vertex)
                .is_some_and(|ran| ran > timeout)
            {
                return;
            }
        }
    }

    /// A verdict nobody but us can give.
    fn red(&self, key: &Digest, from: Option<String>, reason: String) -> Verdict {
        Verdict {
            key: key.clone(),
            from,
            passed: false,
            reason: Some(reason),
            tests: 1,
            failed: 1,
            skipped: 0,
            seconds: 0.0,
            time: Timestamp::now(),
            cases: Vec::new(),
            log: String::new(),
        }
    }

    /// Reads what a suite left.
    async fn verdict(
        &self,
        key: &Digest,
        from: Option<String>,
        suite: &Suite,
        left: &Ref,
        vertex: &str,
    ) -> Result<Verdict, buildkit::Error> {
        let text = async |name: &str, most: u64| {
            let path = format!("{LEFT}/{name}");
            let bytes = self.gateway.read_end(left, &path, most).await?;
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Ok::<_, buildkit::Error>(text)
        };
        let code: Option<i32> = text("exit", 16)
            .await?
            .and_then(|code| code.trim().parse().ok());
        let log = text("log", LOG).await?.unwrap_or_default();
        let mut reason = text("reason", 4096)
            .await?
            .map(|reason| reason.trim().to_owned());
        let mut cases = match text("junit.xml", REPORT).await? {
            Some(report) => junit::parse(&report).unwrap_or_else(|error| {
                reason = Some(format!("its report cannot be read: {error}"));
                Vec::new()
            }),
            None => Vec::new(),
        };
        let failed = cases.iter().filter(|case| case.has_failed()).count();
        let skipped = cases
            .iter()
            .filter(|case| case.outcome == Outcome::Skipped)
            .count();
        if text("overdue", 1).await?.is_some() {
            reason = Some(stopped(suite));
        }
        // Tests can end their process with success; only a report says that they ran.
        let reports = matches!(suite.test, Some(Test::Pytest { .. }));
        if reports && code == Some(0) && cases.is_empty() && reason.is_none() {
            reason = Some("pytest ended without a report of any test".to_owned());
        }
        let passed = code == Some(0) && reason.is_none() && failed == 0;
        if !passed && failed == 0 && reason.is_none() {
            reason = Some(match code {
                Some(5) if log.contains("no tests ran") => "no test was found".to_owned(),
                Some(137) => "it was killed (exit code 137): out of memory?".to_owned(),
                Some(code) => format!("exit code {code}"),
                None => "it ended without an exit code".to_owned(),
            });
        }
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let tests = count(cases.len().max(1));
        let mut kept = 0;
        cases.retain(|case| {
            kept += 1;
            case.has_failed() || kept <= CASES
        });
        Ok(Verdict {
            key: key.clone(),
            from,
            passed,
            reason,
            tests,
            failed: match (passed, failed) {
                (false, 0) => 1,
                (_, failed) => count(failed),
            },
            skipped: count(skipped),
            seconds: self.tracker.ran(vertex).as_secs_f64(),
            time: Timestamp::now(),
            cases,
            log,
        })
    }

    /// Runs commands of `info:`, all in one step.
    async fn info(
        &self,
        id: ImageId,
        seen: &Seen,
        commands: &[(&InfoCommand, &Digest)],
    ) -> Result<BTreeMap<String, Info>, buildkit::Error> {
        let mut all = BTreeMap::new();
        if commands.is_empty() {
            return Ok(all);
        }
        let _turn = self.turns.acquire().await.expect("it is never closed");
        let list: Vec<&InfoCommand> = commands.iter().map(|(command, _)| *command).collect();
        let output = {
            let mut compiler = self.compiler();
            compiler.info(id, &seen.state, &list)
        };
        let solved = tokio::time::timeout(INFO_TIMEOUT, self.solved(output)).await;
        let left = match solved {
            Ok(Ok(left)) => Ok(left),
            Ok(Err(buildkit::Error::Failed(failure))) => Err(failure.message),
            Ok(Err(error)) => return Err(error),
            Err(_) => Err(format!("it was stopped after {} s", INFO_TIMEOUT.as_secs())),
        };
        for (command, key) in commands {
            let mut info = Info {
                key: (*key).clone(),
                title: command.title.clone(),
                time: Some(Timestamp::now()),
                exit: -1,
                text: String::new(),
                error: String::new(),
                packages: None,
            };
            match &left {
                Ok(left) => self.told(left, &command.name, &mut info).await?,
                Err(text) => info.error.clone_from(text),
            }
            if info.exit != 0 {
                let error = info.error.trim();
                let last = error.lines().last().unwrap_or_default();
                self.events.send(Event::Warning {
                    text: format!(
                        "{}: info `{}` failed ({}): {last}",
                        self.label(id),
                        command.name,
                        info.exit
                    ),
                });
            }
            all.insert(command.name.clone(), info);
        }
        Ok(all)
    }

    async fn told(&self, left: &Ref, name: &str, info: &mut Info) -> Result<(), buildkit::Error> {
        let text = async |file: &str, most: u64| {
            let path = format!("{LEFT}/{name}/{file}");
            let bytes = self.gateway.read_end(left, &path, most).await?;
            let bytes = bytes.unwrap_or_default();
            Ok::<_, buildkit::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        info.exit = text("exit", 16).await?.trim().parse().unwrap_or(-1);
        let out = text("out", REPORT).await?;
        if info.exit != 0 {
            info.error = text("err", 4096).await?;
        }
        info.packages = packages::parse(&out);
        if info.packages.is_none() {
            let mut start = out.len().saturating_sub(LOG as usize);
            while !out.is_char_boundary(start) {
                start += 1;
            }
            info.text = out[start..].to_owned();
        }
        Ok(())
    }

    /// What the image's policy says of its files.
    async fn checks(
        &self,
        id: ImageId,
        seen: &Seen,
        key: &Digest,
    ) -> Result<Checks, buildkit::Error> {
        let _turn = self.looks.acquire().await.expect("it is never closed");
        let begun = Instant::now();
        let label = self.label(id);
        let image = &self.stack.images[id.0];
        let policy = &image.proof.policy;
        let writable = plan::writable_paths(image);
        let enters = |path: &str| checks::looks_into(policy, &writable, path);
        let tree = match enters("") {
            true => tree::read(&self.gateway, &seen.result, enters).await?,
            false => Tree::default(),
        };
        let base = match policy.root_locked {
            Some(_) => self.outside_tree(image).await?,
            None => Arc::default(),
        };
        let texts = tree::texts(&self.gateway, &seen.result, &tree).await?;
        let asked = CheckInput {
            policy,
            writable: &writable,
            user: seen.state.config.user(),
            tree: &tree,
            base: &base,
            texts: &texts,
        };
        let faults = checks::faults(&asked);
        let mut faults = self.origins(id, seen, &asked, faults).await?;
        if let Some(limits) = &policy.layers {
            let again = match limits.twice {
                Some(_) => self.stored_again(id, seen).await?,
                None => Vec::new(),
            };
            faults.extend(checks::layer_faults(limits, seen.layers, &again));
        }
        let parent = match &image.base {
            Base::Image(parent) => Some(self.stack.images[parent.0].name.as_str()),
            Base::Outside(_) => None,
        };
        let grouped = checks::findings(&faults, &policy.allow, parent);
        self.events.send(Event::Checked {
            image: label,
            findings: grouped.findings.len(),
            took: begun.elapsed(),
        });
        Ok(Checks {
            key: key.clone(),
            passed: grouped.findings.is_empty(),
            time: Timestamp::now(),
            findings: grouped.findings,
            allowed: grouped.allowed,
            unused: grouped.unused,
        })
    }

    /// The files of the outside base an image stands on, read once a run.
    async fn outside_tree(&self, image: &Image) -> Result<Arc<Tree>, buildkit::Error> {
        let mut at = image;
        let reference = loop {
            match &at.base {
                Base::Image(parent) => at = &self.stack.images[parent.0],
                Base::Outside(base) => break &base.reference.value,
            }
        };
        let digest = self.options.bases.get(reference).cloned();
        let pinned = match digest {
            Some(digest) => reference.pinned(digest),
            None => reference.clone(),
        };
        let cell = {
            let mut trees = self.trees.lock().expect("nothing panics while it is held");
            trees.entry(pinned.to_string()).or_default().clone()
        };
        let tree = cell.get_or_try_init(|| async {
            let output = {
                let mut compiler = self.compiler();
                compiler.reference(&pinned, "checks")
            };
            let result = self.solved(output).await?;
            Ok::<_, buildkit::Error>(Arc::new(
                tree::read(&self.gateway, &result, |_| true).await?,
            ))
        });
        tree.await.cloned()
    }

    /// The image after as many of its own steps; `None`: nothing is in it.
    fn after(&self, id: ImageId, seen: &Seen, steps: usize) -> Option<Output> {
        match &seen.subject {
            Subject::Built(green) => Some(green.compiled.states[steps]),
            Subject::Published(reference) => {
                let own = self.stack.images[id.0].steps.len();
                let layers = seen.layers.saturating_sub(own) + steps;
                let mut compiler = self.compiler();
                (layers > 0).then(|| compiler.first_layers(reference, layers))
            }
        }
    }

    /// What the layer of one of an image's own steps has.
    async fn layer(&self, id: ImageId, seen: &Seen, step: usize) -> Result<Tree, buildkit::Error> {
        let (below, above) = (self.after(id, seen, step), self.after(id, seen, step + 1));
        let output = {
            let mut compiler = self.compiler();
            let meta = crate::llb::Meta::default();
            compiler.graph.diff(below, above, meta)
        };
        let result = self.solved(output).await?;
        tree::read(&self.gateway, &result, |_| true).await
    }

    /// Each fault of a path with the step that brought it: the first after which it is always there.
    /// That a layer has a path says little: making a file in a folder puts the folder into it, too.
    async fn origins(
        &self,
        id: ImageId,
        seen: &Seen,
        asked: &CheckInput<'_>,
        faults: Vec<Fault>,
    ) -> Result<Vec<(Fault, Option<usize>)>, buildkit::Error> {
        let (mut open, mut known): (Vec<Fault>, Vec<_>) = (Vec::new(), Vec::new());
        for fault in faults {
            match fault.path.is_empty() {
                true => known.push((fault, None)),
                false => open.push(fault),
            }
        }
        for step in (0..self.stack.images[id.0].steps.len()).rev() {
            if open.is_empty() {
                break;
            }
            let (tree, texts) = match self.after(id, seen, step) {
                Some(output) => {
                    let result = self.solved(output).await?;
                    let above: BTreeSet<&str> = open
                        .iter()
                        .flat_map(|fault| checks::folders_above(&fault.path))
                        .collect();
                    let gateway = &self.gateway;
                    let tree = tree::read(gateway, &result, |path| above.contains(path)).await?;
                    let texts = tree::texts(gateway, &result, &tree).await?;
                    (tree, texts)
                }
                None => Default::default(),
            };
            let before = checks::faults(&CheckInput {
                tree: &tree,
                texts: &texts,
                ..*asked
            });
            let before: BTreeSet<(&str, checks::FaultKind)> = before
                .iter()
                .map(|fault| (fault.path.as_str(), fault.kind))
                .collect();
            let here = |fault: &mut Fault| !before.contains(&(fault.path.as_str(), fault.kind));
            known.extend(open.extract_if(.., here).map(|fault| (fault, Some(step))));
        }
        known.extend(open.into_iter().map(|fault| (fault, None)));
        known.sort();
        Ok(known)
    }

    /// What each of the image's own steps stores although a layer below has it.
    async fn stored_again(
        &self,
        id: ImageId,
        seen: &Seen,
    ) -> Result<Vec<checks::Duplicates>, buildkit::Error> {
        let own = self.stack.images[id.0].steps.len();
        let mut layers = Vec::new();
        for step in 0..own {
            layers.push(self.layer(id, seen, step).await?);
        }
        // What no layer touches is stored once.
        let paths = layers.iter().flat_map(|layer| layer.0.keys());
        let above: BTreeSet<&str> = paths.flat_map(|path| checks::folders_above(path)).collect();
        let mut before = match self.after(id, seen, 0) {
            Some(output) => {
                let result = self.solved(output).await?;
                tree::read(&self.gateway, &result, |path| above.contains(path)).await?
            }
            None => Tree::default(),
        };
        let layers = layers.iter().zip(0..);
        Ok(layers
            .map(|(layer, step)| checks::apply_layer(&mut before, layer, step))
            .collect())
    }
}

fn stopped(suite: &Suite) -> String {
    format!("it was stopped after {} s", suite.timeout.as_secs_f64())
}
