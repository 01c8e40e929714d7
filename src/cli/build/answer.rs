//! What a build says at its end, for programs and for people.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Work, proof};
use crate::cli::{Answer, Exit, Failure, color, exit, plan as plan_command, summary};
use crate::diagnostic::{Diagnostic, render};
use crate::name::{Digest, Tag};
use crate::plan::{Action, Planned};
use crate::report::table;
use crate::run::{ImageError, Outcome};

impl Work<'_> {
    pub(super) fn answer(
        self,
        started: Instant,
        problem: Option<Failure>,
    ) -> Result<Answer, Failure> {
        let stack = &self.context.stack;
        let mut images = Vec::new();
        let mut rows = Vec::new();
        let mut said = String::new();
        for planned in &self.plan.images {
            let outcome = self.report.images.get(&planned.id);
            let mut value = plan_command::image(self.context, self.gathered, planned);
            let mut action = match (&planned.action, outcome) {
                (Action::Build { .. }, Some(Outcome::Built { .. })) => "built",
                (Action::Build { .. }, Some(Outcome::Failed(_))) => "failed",
                (Action::Build { .. }, _) => "skipped",
                (Action::Reuse { .. }, _) => "reused",
                (Action::Hold { .. }, _) => "held",
            };
            let digest = self.digest(planned);
            value["digest"] = json!(digest.as_ref().map(Digest::as_str));
            let size = self.size(planned);
            value["size"] = json!(size);
            let mut took = String::new();
            match outcome {
                Some(Outcome::Built { took: time }) => {
                    value["seconds"] = json!(time.as_secs_f64());
                    took = table::human_duration(*time);
                }
                Some(Outcome::Failed(error)) => {
                    let (json, text) = self.failure(planned, error);
                    value["error"] = json;
                    said.push_str(&text);
                }
                Some(Outcome::Skipped { because }) => {
                    value["because"] = json!(because);
                    action = "skipped";
                }
                None => {}
            }
            value["action"] = json!(action);
            let evidence = self.evidence.get(&planned.id);
            proof::json(&mut value, self.context, planned, evidence);
            rows.push(vec![
                planned.label.clone(),
                action.to_owned(),
                took,
                size.map(table::human_size).unwrap_or_default(),
                digest
                    .as_ref()
                    .map(|d| d.short().to_owned())
                    .unwrap_or_default(),
                evidence.map(proof::cell).unwrap_or_default(),
                match self.published {
                    true => planned
                        .tags
                        .iter()
                        .map(Tag::as_str)
                        .collect::<Vec<_>>()
                        .join(" "),
                    false => String::new(),
                },
            ]);
            images.push(value);
        }
        let staging = match (&self.staging, &self.report.index) {
            (Some(repository), Some(index)) => json!({
                "repository": repository.to_string(),
                "digest": index.as_str(),
                "tag": self.run_tag().as_str(),
            }),
            _ => Value::Null,
        };
        let headers = ["IMAGE", "ACTION", "TIME", "SIZE", "DIGEST", "PROOF", "TAGS"];
        let run = self.run.to_string();
        summary::build(
            self.context,
            &headers,
            &rows,
            &[
                ("run", &run),
                ("published", if self.published { "true" } else { "false" }),
            ],
        )?;
        said.push_str(&self.red_text());
        let exit = match (&problem, self.failed(), self.red()) {
            (_, true, _) => Exit::Step,
            (_, false, true) => Exit::Gate,
            (Some(failure), false, false) => failure.exit,
            (None, false, false) => Exit::Done,
        };
        if let Some(failure) = &problem {
            said.push_str(&failure.shown(color()));
        }
        let json = json!({
            "stack": stack.name.as_str(),
            "run": run,
            "commit": self.gathered.facts.commit.as_ref().map(|commit| &commit.hash),
            "solves": self.report.solves,
            "seconds": started.elapsed().as_secs_f64(),
            "staging": staging,
            "images": images,
            "published": self.published,
            "error": problem.as_ref().map(Failure::json),
        });
        let mut answer = Answer::new(exit, json, table::plain(&headers, &rows));
        answer.said = said;
        Ok(answer)
    }

    /// A failed image, for programs and for people.
    fn failure(&self, planned: &Planned, error: &ImageError) -> (Value, String) {
        let stack = &self.context.stack;
        let sources = &stack.sources;
        let image = &stack.images[planned.id.0];
        let label = &planned.label;
        let (problem, span, kind, code, log) = match error {
            ImageError::Step { step, failure, log } => {
                let step = step.and_then(|index| image.steps.get(index));
                let what = match (step, &failure.name) {
                    (Some(step), _) => format!("step `{}`", step.title),
                    (None, Some(name)) => format!("`{name}`"),
                    (None, None) => "a step".to_owned(),
                };
                let span = step.map_or(image.name.span, |step| step.span);
                let problem = Diagnostic::error(format!("image `{label}`: {what} failed"))
                    .at(span, error.to_string());
                (
                    problem,
                    Some(span),
                    "step",
                    failure.exit_code,
                    log.as_slice(),
                )
            }
            ImageError::Spec(problem) => {
                let span = problem.primary.as_ref().map(|label| label.span);
                ((**problem).clone(), span, "spec", None, [].as_slice())
            }
            ImageError::Base { .. } => {
                let problem = Diagnostic::error(format!("image `{label}`: {error}"))
                    .at(image.name.span, "this image");
                (problem, Some(image.name.span), "base", None, [].as_slice())
            }
        };
        exit::annotate(sources, &problem);
        let mut text = render(std::slice::from_ref(&problem), sources, color());
        // What a step wrote last was shown when it failed; of what we do for a step it was not.
        if matches!(error, ImageError::Step { step: None, .. }) {
            for line in log {
                text.push_str(&format!("  | {line}\n"));
            }
        }
        text.push('\n');
        let json = json!({
            "kind": kind,
            "where": span.map(|span| exit::place(sources, span)),
            "exit_code": code,
            "log_tail": log,
            "text": error.to_string(),
        });
        (json, text)
    }
}
