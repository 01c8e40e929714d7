//! The page of an image in a release: everything known of it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::view::{Book, Link, Row, time};
use super::{Known, Layer, Stored};
use crate::evidence::{Case, Evidence, Finding, Info, Rule, Verdict};
use crate::name::Digest;
use crate::record::{Release, ReleaseImage, ReleaseVerdict};
use crate::report::table::human_size;

/// The longest text shown of what made a layer, characters.
const LONGEST: usize = 160;

/// The page of an image in a release.
#[derive(Serialize)]
pub struct Page {
    row: Row,
    /// By each of its tags.
    references: Vec<String>,
    commit: String,
    release: String,
    run: String,
    git_ref: Option<String>,
    key: String,
    lineage: Vec<Ancestor>,
    verdicts: Vec<VerdictView>,
    dropped: Vec<Dropped>,
    checks: Option<ChecksView>,
    layers: Vec<LayerView>,
    /// The registry has the image.
    is_stored: bool,
    config: Vec<Setting>,
    environment: String,
    labels: String,
    info: Vec<InfoView>,
    resolved: Option<String>,
}

#[derive(Serialize)]
struct Ancestor {
    /// The image itself and an outside base lead nowhere.
    link: Link,
    digest: Option<String>,
}

#[derive(Serialize)]
struct VerdictView {
    suite: String,
    from: String,
    verdict: String,
    tests: u32,
    failed: u32,
    skipped: Option<u32>,
    seconds: Option<String>,
    time: Option<String>,
    digest: Option<String>,
    is_red: bool,
    reason: Option<String>,
    failures: Vec<Failed>,
    log: String,
}

#[derive(Serialize)]
struct Failed {
    name: String,
    message: String,
    text: String,
}

#[derive(Serialize)]
struct Dropped {
    suite: String,
    reason: String,
}

#[derive(Serialize)]
struct ChecksView {
    verdict: String,
    time: Option<String>,
    findings: Vec<FindingView>,
    allowed: Vec<FindingView>,
    unused: Vec<String>,
}

#[derive(Serialize)]
struct FindingView {
    rule: &'static str,
    path: String,
    text: String,
    below: usize,
    step: String,
    reason: String,
}

#[derive(Serialize)]
struct LayerView {
    number: usize,
    size: String,
    step: String,
    from: String,
    digest: String,
}

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct InfoView {
    title: String,
    exit: i32,
    packages: Option<Vec<PackageView>>,
    text: String,
    error: String,
}

#[derive(Serialize)]
struct PackageView {
    name: String,
    version: String,
}

impl Book<'_> {
    /// What is known of one image of a release; `known` is in the order of its images.
    pub fn release(
        &self,
        digest: &Digest,
        release: &Release,
        index: usize,
        known: &[Known],
    ) -> Page {
        let image = &release.images[index];
        let nothing = Known::default();
        let known_of = |image: &ReleaseImage| {
            let mut all = release.images.iter();
            let at = all.position(|other| std::ptr::eq(other, image));
            at.and_then(|at| known.get(at)).unwrap_or(&nothing)
        };
        // From the image down to what it all stands on.
        let mut chain: Vec<&ReleaseImage> = release.with_parents(image).collect();
        chain.reverse();
        let mut lineage = Vec::new();
        if let Some(base) = &chain[0].base {
            lineage.push(Ancestor {
                link: Link {
                    text: base.clone(),
                    page: None,
                },
                digest: chain[0].base_digest.as_ref().map(ToString::to_string),
            });
        }
        lineage.extend(chain.iter().map(|ancestor| Ancestor {
            link: Link {
                text: ancestor.label(),
                page: match std::ptr::eq(*ancestor, image) {
                    true => None,
                    false => self.page(digest, ancestor).map(str::to_owned),
                },
            },
            digest: Some(ancestor.digest.to_string()),
        }));
        let ours = known_of(image);
        let stored = ours.stored.as_ref();
        let evidence = ours.evidence.as_ref();
        let info = evidence.map(|evidence| evidence.info.values());
        let ancestors: Vec<(&str, Option<&Stored>)> = chain
            .iter()
            .map(|image| (image.image.as_str(), known_of(image).stored.as_ref()))
            .collect();
        let config = stored.map_or(&Value::Null, |stored| &stored.config["config"]);
        Page {
            row: self.row(digest, release, image),
            references: image
                .tags
                .iter()
                .map(|tag| format!("{}:{tag}", image.repository))
                .collect(),
            commit: release.commit.to_string(),
            release: digest.to_string(),
            run: release.run.clone(),
            git_ref: release.git_ref.clone(),
            key: image.key.to_string(),
            lineage,
            verdicts: suites(image, evidence),
            dropped: image
                .dropped
                .iter()
                .map(|dropped| Dropped {
                    suite: dropped.suite.clone(),
                    reason: dropped.reason.clone(),
                })
                .collect(),
            checks: checks(image, evidence),
            layers: stored
                .map(|stored| layers(stored, &ancestors))
                .unwrap_or_default(),
            is_stored: stored.is_some(),
            config: settings(config),
            environment: lines(&config["Env"]),
            labels: lines(&config["Labels"]),
            info: info.into_iter().flatten().map(info_view).collect(),
            resolved: ours.resolved.as_ref().map(pretty),
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// All suites of an image: its record says which are in force, the evidence what came of them.
fn suites(image: &ReleaseImage, evidence: Option<&Evidence>) -> Vec<VerdictView> {
    let mut list: BTreeMap<&str, (Option<&ReleaseVerdict>, Option<&Verdict>)> = BTreeMap::new();
    for verdict in &image.verdicts {
        list.entry(&verdict.suite).or_default().0 = Some(verdict);
    }
    for (suite, verdict) in evidence.into_iter().flat_map(|known| &known.suites) {
        list.entry(suite).or_default().1 = Some(verdict);
    }
    let views = list.into_iter().map(|(suite, (record, proven))| {
        let passed = match (record, proven) {
            (Some(record), _) => record.passed,
            (None, Some(proven)) => proven.passed,
            (None, None) => unreachable!("it is in the list for one of them"),
        };
        let from = record.map_or_else(
            || proven.and_then(|proven| proven.from.clone()),
            |record| record.from.clone(),
        );
        let count = |record: Option<u32>, proven: Option<u32>| record.or(proven).unwrap_or(0);
        let digest = record.map(|record| record.digest.short().to_owned());
        VerdictView {
            suite: suite.to_owned(),
            from: from.unwrap_or_else(|| "the stack".to_owned()),
            verdict: word(passed).to_owned(),
            tests: count(record.map(|r| r.tests), proven.map(|p| p.tests)),
            failed: count(record.map(|r| r.failed), proven.map(|p| p.failed)),
            skipped: proven.map(|proven| proven.skipped),
            seconds: proven.map(|proven| format!("{:.1} s", proven.seconds)),
            time: proven.map(|proven| time(proven.time)),
            digest: digest.or_else(|| evidence.map(|e| e.digest.short().to_owned())),
            is_red: !passed,
            reason: proven.and_then(|proven| proven.reason.clone()),
            failures: proven
                .map(|proven| proven.cases.iter().filter(|case| case.has_failed()))
                .into_iter()
                .flatten()
                .map(failed)
                .collect(),
            log: proven.map(|proven| proven.log.clone()).unwrap_or_default(),
        }
    });
    views.collect()
}

fn word(passed: bool) -> &'static str {
    match passed {
        true => "passed",
        false => "failed",
    }
}

fn failed(case: &Case) -> Failed {
    let class = match case.class.is_empty() {
        true => String::new(),
        false => format!("{}.", case.class),
    };
    Failed {
        name: format!("{class}{}", case.name),
        message: case.message.clone().unwrap_or_default(),
        text: case.text.clone().unwrap_or_default(),
    }
}

/// `3 suites passed (24 tests), checks passed`
pub fn verdicts(image: &ReleaseImage, evidence: Option<&Evidence>) -> String {
    let suites = suites(image, evidence);
    let mut said = Vec::new();
    for red in suites.iter().filter(|suite| suite.is_red) {
        said.push(format!(
            "{} failed ({} of {})",
            red.suite, red.failed, red.tests
        ));
    }
    let green: Vec<_> = suites.iter().filter(|suite| !suite.is_red).collect();
    if !green.is_empty() {
        let tests: u64 = green.iter().map(|suite| u64::from(suite.tests)).sum();
        let plural = if green.len() == 1 { "suite" } else { "suites" };
        said.push(format!("{} {plural} passed ({tests} tests)", green.len()));
    }
    if let Some(checks) = checks(image, evidence) {
        said.push(format!("checks {}", checks.verdict));
    }
    match said.is_empty() {
        true => "none".to_owned(),
        false => said.join(", "),
    }
}

fn checks(image: &ReleaseImage, evidence: Option<&Evidence>) -> Option<ChecksView> {
    let proven = evidence.and_then(|evidence| evidence.checks.as_ref());
    let passed = image.checks.or(proven.map(|checks| checks.passed))?;
    let mut view = ChecksView {
        verdict: word(passed).to_owned(),
        time: proven.map(|checks| time(checks.time)),
        findings: Vec::new(),
        allowed: Vec::new(),
        unused: Vec::new(),
    };
    if let Some(proven) = proven {
        view.findings = proven.findings.iter().map(|f| finding(f, "")).collect();
        let allowed = proven.allowed.iter();
        view.allowed = allowed.map(|a| finding(&a.finding, &a.reason)).collect();
        view.unused.clone_from(&proven.unused);
    }
    Some(view)
}

fn finding(finding: &Finding, reason: &str) -> FindingView {
    let step = finding.step.map(|index| format!("step {}", index + 1));
    let from = finding.inherited.as_ref();
    FindingView {
        rule: match finding.rule {
            Rule::Root => "root",
            Rule::Writable => "writable",
            Rule::Layers => "layers",
            Rule::User => "user",
        },
        path: finding.path.clone(),
        text: finding.text.clone(),
        below: finding.below,
        step: match (step, from) {
            (Some(step), Some(from)) => format!("{step} of {from}"),
            (Some(step), None) => step,
            (None, Some(from)) => from.clone(),
            (None, None) => String::new(),
        },
        reason: reason.to_owned(),
    }
}

/// Layers, lowest first. A layer is of the first of the `ancestors` that has so many.
fn layers(stored: &Stored, ancestors: &[(&str, Option<&Stored>)]) -> Vec<LayerView> {
    let layers = stored.layers.iter().enumerate();
    let views = layers.map(|(index, layer)| {
        let has = |stored: &Stored| {
            let same = |own: &Layer| own.digest == layer.digest;
            stored.layers.get(index).is_some_and(same)
        };
        let first = ancestors
            .iter()
            .find(|(_, stored)| stored.is_some_and(has))
            .map_or("", |(name, _)| name);
        LayerView {
            number: index + 1,
            size: human_size(layer.size),
            step: cut(&layer.step),
            from: match layer.is_ours {
                true => first.to_owned(),
                false => "outside base".to_owned(),
            },
            digest: layer.digest.short().to_owned(),
        }
    });
    views.collect()
}

/// What a config says beside its environment and labels.
fn settings(config: &Value) -> Vec<Setting> {
    let names = [
        "User",
        "WorkingDir",
        "Entrypoint",
        "Cmd",
        "Shell",
        "ExposedPorts",
        "Volumes",
        "StopSignal",
        "Healthcheck",
    ];
    let said = names.into_iter().filter_map(|name| {
        let value = match &config[name] {
            Value::Null => return None,
            Value::String(text) if text.is_empty() => return None,
            Value::String(text) => text.clone(),
            // A set is a map to nothing.
            Value::Object(map)
                if map
                    .values()
                    .all(|value| *value == Value::Object(Default::default())) =>
            {
                let keys: Vec<&str> = map.keys().map(String::as_str).collect();
                keys.join(", ")
            }
            value => value.to_string(),
        };
        Some(Setting { name, value })
    });
    said.collect()
}

/// A list, or a map, a line each.
fn lines(value: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let lines: Vec<String> = match value {
        Value::Array(list) => list.iter().map(text).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect(),
        _ => Vec::new(),
    };
    lines.join("\n")
}

fn info_view(info: &Info) -> InfoView {
    let packages = info.packages.as_ref().map(|list| {
        let views = list.iter().map(|package| PackageView {
            name: package.name.clone(),
            version: package.version.clone(),
        });
        views.collect()
    });
    InfoView {
        title: info.title.clone(),
        exit: info.exit,
        packages,
        text: info.text.clone(),
        error: info.error.clone(),
    }
}
