//! Values for the secrets of steps: `--secret ID=FILE`, `--secret ID=env:NAME`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exit, Failure};
use crate::plan::{Action, Plan};
use crate::stack::{Kind, Stack, Step};

/// Reads the values; none of them is ever shown.
pub fn read(list: &[String]) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut values = BTreeMap::new();
    for text in list {
        let Some((id, source)) = text.split_once('=') else {
            // What has no `=` may be the secret itself.
            return Err(Failure::new(Exit::Usage, "a --secret has no `=`")
                .help("write --secret ID=FILE or --secret ID=env:NAME"));
        };
        let value = match source.strip_prefix("env:") {
            Some(name) => std::env::var(name).map(String::into_bytes).map_err(|_| {
                Failure::new(
                    Exit::Environment,
                    format!("the secret `{id}`: the variable {name} is not set"),
                )
            })?,
            None => fs_err::read(source).map_err(|error| {
                Failure::new(Exit::Environment, format!("the secret `{id}`: {error}"))
            })?,
        };
        values.insert(id.to_owned(), value);
    }
    Ok(values)
}

/// Makes sure that every secret of a step or suite that will run has a value.
pub fn check(
    stack: &Stack,
    plan: &Plan,
    values: &BTreeMap<String, Vec<u8>>,
) -> Result<(), Failure> {
    let mut missing = BTreeSet::new();
    for planned in &plan.images {
        if matches!(planned.action, Action::Build { .. }) {
            for step in &stack.images[planned.id.0].steps {
                collect(step, values, &mut missing);
            }
        }
        let suites = &stack.images[planned.id.0].proof.suites;
        for (suite, planned) in suites.iter().zip(&planned.proofs.suites) {
            if planned.verdict.known.is_none() {
                let wanted = suite.secrets.iter().map(|secret| secret.id.as_str());
                missing.extend(wanted.filter(|id| !values.contains_key(*id)));
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.into_iter().collect();
    Err(Failure::new(
        Exit::Environment,
        format!(
            "steps and suites want secrets that were not given: {}",
            names.join(", ")
        ),
    )
    .help(format!(
        "--secret {}=FILE or --secret {}=env:NAME",
        names[0], names[0]
    )))
}

fn collect<'a>(
    step: &'a Step,
    values: &BTreeMap<String, Vec<u8>>,
    missing: &mut BTreeSet<&'a str>,
) {
    for secret in &step.secrets {
        if !values.contains_key(&secret.id) {
            missing.insert(&secret.id);
        }
    }
    if let Kind::Group(steps) = &step.kind {
        for step in steps {
            collect(step, values, missing);
        }
    }
}
