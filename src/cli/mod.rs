//! The command line: one file a command, and what they share.
//!
//! stdout is data, stderr is for people. [`main`] is the whole program.

mod args;
mod build;
mod channel;
mod context;
mod diff;
mod docs;
mod evidence;
mod exit;
mod graph;
mod history;
mod interrupt;
mod lock;
mod place;
mod plan;
mod prepull;
mod rebuild;
mod records;
mod reference;
mod show;
mod summary;
mod why;

use std::io::Write as _;

use serde_json::{Value, json};

pub use args::{Args, Command, Global};
pub use exit::{Exit, Failure};

use crate::report::Reporter;

/// What a command says and how it ended.
struct Answer {
    exit: Exit,
    /// With `--json`: the one document on stdout.
    json: Value,
    /// Without: the text on stdout.
    text: String,
    /// For people, on stderr, behind all progress.
    said: String,
}

impl Answer {
    fn new(exit: Exit, json: Value, text: impl Into<String>) -> Self {
        Self {
            exit,
            json,
            text: text.into(),
            said: String::new(),
        }
    }
}

/// Runs the program with this process's arguments and environment.
pub fn main() -> std::process::ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "laminate has a bug: {panic}\n\
             Please report it at {}/issues, with the command and this text (version {}).",
            env!("CARGO_PKG_REPOSITORY"),
            env!("CARGO_PKG_VERSION"),
        );
    }));
    let run = || {
        let args = Args::read();
        let global = args.global;
        match args.command {
            // These start no runtime.
            Command::Completions(args) => tell(&global, reference::completions(&args)),
            Command::Reference => tell(&global, reference::reference()),
            Command::Graph(args) => tell(&global, graph::run(&global, &args)),
            command => asynchronous(&global, command),
        }
    };
    let exit = std::panic::catch_unwind(run).unwrap_or(Exit::Bug);
    std::process::ExitCode::from(exit.code())
}

fn asynchronous(global: &Global, command: Command) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(Exit::Environment, format!("no threads: {error}"));
            return tell(global, Err(failure));
        }
    };
    let color = color();
    let (events, reporter) = Reporter::start(global.progress, global.verbose, color);
    let answer = runtime.block_on(async {
        let cancel = interrupt::listen();
        match command {
            Command::Plan(args) => plan::run(global, &args, &events, &cancel).await,
            Command::Build(args) => build::run(global, &args, &events, &cancel).await,
            Command::Test(args) => build::test(global, &args, &events, &cancel).await,
            Command::Lock(args) => lock::run(global, &args, &events, &cancel).await,
            Command::Evidence(args) => evidence::run(global, &args, &events, &cancel).await,
            Command::Promote(args) => channel::promote(global, &args, &events, &cancel).await,
            Command::Revert(args) => channel::revert(global, &args, &events, &cancel).await,
            Command::Status => channel::status(global, &events, &cancel).await,
            Command::Prepull(args) => prepull::run(global, &args, &events, &cancel).await,
            Command::Docs(args) => docs::run(global, &args, &events, &cancel).await,
            Command::History(args) => history::run(global, &args, &events, &cancel).await,
            Command::Diff(args) => diff::run(global, &args, &events, &cancel).await,
            Command::Rebuild(args) => rebuild::run(global, &args, &events, &cancel).await,
            Command::Show(args) => show::run(global, &args, &events, &cancel).await,
            Command::Why(args) => why::run(global, &args, &events, &cancel).await,
            Command::Graph(_) | Command::Completions(_) | Command::Reference => {
                unreachable!("they need no runtime")
            }
        }
    });
    reporter.finish();
    tell(global, answer)
}

/// Whether stderr gets colours: a terminal, unless `NO_COLOR` or `CLICOLOR_FORCE` say otherwise.
fn color() -> bool {
    use std::io::IsTerminal as _;
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty() && v != *"0");
    match (set("NO_COLOR"), set("CLICOLOR_FORCE")) {
        (true, _) => false,
        (false, true) => true,
        (false, false) => std::io::stderr().is_terminal(),
    }
}

/// Writes an answer: data on stdout, the rest on stderr.
fn tell(global: &Global, answer: Result<Answer, Failure>) -> Exit {
    let mut out = std::io::stdout().lock();
    let (exit, text) = match answer {
        Ok(answer) => {
            if !answer.said.is_empty() {
                eprint!("{}", answer.said);
            }
            let text = match global.json {
                true => format!("{}\n", pretty(&answer.json)),
                false => answer.text,
            };
            (answer.exit, text)
        }
        Err(failure) => {
            eprint!("{}", failure.shown(color()));
            failure.annotate();
            let json = json!({ "error": failure.json() });
            let text = match global.json {
                true => format!("{}\n", pretty(&json)),
                false => String::new(),
            };
            (failure.exit, text)
        }
    };
    // A closed pipe (`laminate plan | head`) is no error of ours.
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    exit
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("plain data")
}
