//! Runs the commands of `info:` on an image, all in one step.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::left::Left;
use super::subject::{Prover, Subject};
use crate::buildkit::{self, Ref};
use crate::event::Event;
use crate::evidence::{Info, packages};
use crate::name::Digest;
use crate::run::context::Context;
use crate::stack::{ImageId, InfoCommand};
use crate::trace::{self, Track};

/// The most that is kept of an output that is not a list of packages, bytes.
const TEXT: usize = 64 << 10;

/// The most that is read of an output, bytes.
const OUTPUT: u64 = 8 << 20;

/// The most that is kept of an error stream, bytes.
const ERRORS: u64 = 4096;

/// Info that takes longer is stopped.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs commands with their keys. Returns what they wrote, by name.
pub async fn run(
    prover: &Prover<'_, '_>,
    id: ImageId,
    subject: &Subject,
    commands: &[(&InfoCommand, &Digest)],
) -> Result<BTreeMap<String, Info>, buildkit::Error> {
    let mut all = BTreeMap::new();
    if commands.is_empty() {
        return Ok(all);
    }
    let _turn = prover.suites.acquire().await.expect("it is never closed");
    let context = prover.context;
    let _span = trace::span(Track::Proofs, || format!("{}: info", context.label(id)));
    let files = run_commands(context, id, subject, commands).await?;
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
        match &files {
            Ok(files) => read(context, files, &command.name, &mut info).await?,
            Err(reason) => info.error.clone_from(reason),
        }
        if info.exit != 0 {
            warn(context, id, command, &info);
        }
        all.insert(command.name.clone(), info);
    }
    Ok(all)
}

/// Runs the step. Returns its files, or why it could not be run.
async fn run_commands(
    context: &Context<'_>,
    id: ImageId,
    subject: &Subject,
    commands: &[(&InfoCommand, &Digest)],
) -> Result<Result<Ref, String>, buildkit::Error> {
    let commands: Vec<&InfoCommand> = commands.iter().map(|(command, _)| *command).collect();
    let output = context.compiler().info(id, &subject.state, &commands);
    match tokio::time::timeout(TIMEOUT, context.solve(output)).await {
        Ok(Ok(files)) => Ok(Ok(files)),
        Ok(Err(buildkit::Error::Failed(failure))) => Ok(Err(failure.message)),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Err(format!("it was stopped after {} s", TIMEOUT.as_secs()))),
    }
}

/// Reads what one command left.
async fn read(
    context: &Context<'_>,
    files: &Ref,
    name: &str,
    info: &mut Info,
) -> Result<(), buildkit::Error> {
    let left = Left::of_command(&context.gateway, files, name).await?;
    let text = async |file: &str, most: u64| {
        let text = left.text(file, most).await?;
        Ok::<_, buildkit::Error>(text.unwrap_or_default())
    };
    info.exit = text("exit", 16).await?.trim().parse().unwrap_or(-1);
    let out = text("out", OUTPUT).await?;
    if info.exit != 0 {
        info.error = text("err", ERRORS).await?;
    }
    info.packages = packages::parse(&out);
    if info.packages.is_none() {
        info.text = end(&out, TEXT).to_owned();
    }
    Ok(())
}

/// Returns at most the last `most` bytes of a text, from the beginning of a character.
fn end(text: &str, most: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(most))..]
}

fn warn(context: &Context<'_>, id: ImageId, command: &InfoCommand, info: &Info) {
    let last = info.error.trim().lines().last().unwrap_or_default();
    context.events.send(Event::Warning {
        text: format!(
            "{}: info `{}` failed ({}): {last}",
            context.label(id),
            command.name,
            info.exit
        ),
    });
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn the_end_of_a_text_begins_with_a_whole_character() {
        assert_eq!(end("abc", 9), "abc");
        assert_eq!(end("abc", 2), "bc");
        assert_eq!(end("a\u{ef}b", 2), "b");
        assert_eq!(end("a\u{ef}b", 3), "\u{ef}b");
        assert_eq!(end("", 3), "");
    }
}
