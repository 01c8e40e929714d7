//! The command line: one file per command, and the code that commands share.
//!
//! stdout is for data, stderr for people. [`main`] is the whole program.

mod adopt;
mod args;
mod build;
mod certificates;
#[cfg(any(test, fuzzing))]
pub(crate) use certificates::fuzz;
mod channel;
mod context;
mod diff;
mod docs;
mod document;
mod evidence;
mod exit;
mod failure;
mod graph;
mod history;
mod import;
mod init;
mod interrupt;
mod lock;
mod parity;
mod paths;
mod plan;
mod platform_image;
mod prepull;
mod preview;
mod process;
mod rebuild;
mod records;
mod reference;
mod render;
mod show;
mod status;
mod summary;
mod why;
mod workflow;
mod workspace;

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

pub use args::{Args, Command, Global};
use document::pretty;
pub use exit::Exit;
pub use failure::Failure;

use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::report::Reporter;
use crate::shown;
use crate::terminal;
use crate::trace::{self, Track};

/// How long the exit waits for what still runs.
const LAST: Duration = Duration::from_millis(200);

/// The result of a command that did not fail.
struct Answer {
    /// The exit code of the process.
    exit: Exit,
    /// The document on stdout, with `--json`.
    json: Value,
    /// Writes the document instead.
    stream: Option<document::Stream>,
    /// The text on stdout, without `--json`.
    text: String,
    /// The text on stderr, after all progress.
    said: String,
}

impl Answer {
    fn new(exit: Exit, json: Value, text: impl Into<String>) -> Self {
        Self {
            exit,
            json,
            stream: None,
            text: text.into(),
            said: String::new(),
        }
    }

    fn streamed(exit: Exit, stream: document::Stream) -> Self {
        Self {
            stream: Some(stream),
            ..Self::new(exit, Value::Null, "")
        }
    }
}

/// Runs the program with this process's arguments and environment.
pub fn main() -> std::process::ExitCode {
    std::panic::set_hook(Box::new(end_by_panic));
    if let Some(error) = crate::buildkit::exec_engine(std::env::args_os()) {
        print_error(&format!("cannot start the engine: {error}\n"));
        return std::process::ExitCode::from(Exit::Environment.code());
    }
    let exit = match Args::read() {
        Ok(args) => {
            let global = args.global;
            match args.command {
                // These need no async runtime.
                Command::Completions(args) => print(&global, reference::completions(&args)),
                Command::Reference => print(&global, reference::reference()),
                command => asynchronous(&global, command),
            }
        }
        Err(error) => print_usage(&error),
    };
    std::process::ExitCode::from(exit.code())
}

/// Reports a panic in any thread and ends the process: the others could wait for its task for ever, or miss it.
fn end_by_panic(panic: &std::panic::PanicHookInfo<'_>) {
    terminal::restore();
    print_error(&format!(
        "laminate has a bug: {panic}\n\
         Please report it at {}/issues, with the command and this text (version {}).\n",
        env!("CARGO_PKG_REPOSITORY"),
        env!("CARGO_PKG_VERSION"),
    ));
    write_trace();
    #[expect(clippy::exit, reason = "this ends laminate wherever it is")]
    std::process::exit(Exit::Bug.code().into());
}

/// Prints the help or the version that was asked for, or the error of the command line.
fn print_usage(error: &clap::Error) -> Exit {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    if let Some((name, help)) = args::guessed(error, words) {
        let failure = Failure::new(Exit::Usage, format!("unknown command `{name}`")).help(help);
        print_error(&failure.shown(color()));
        let text = if Args::asks_for_json() {
            pretty(&json!({ "error": failure.json() }))
        } else {
            String::new()
        };
        return unless_unwritten(Exit::Usage, write(&text));
    }
    let printed = error.print();
    if !error.use_stderr() {
        let flushed = printed.and_then(|()| std::io::stdout().flush());
        return unless_unwritten(Exit::Done, flushed);
    }
    if Args::asks_for_json() {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let failure = Failure::new(Exit::Usage, first.trim_start_matches("error: "));
        return unless_unwritten(Exit::Usage, write_error(&failure));
    }
    Exit::Usage
}

/// The stack of a thread, bytes: folders below `images/` can be 2,000 levels deep.
const STACK: usize = 16 << 20;

/// Runs a command that contacts something or starts a program, and shows its progress.
fn asynchronous(global: &Global, command: Command) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .thread_stack_size(STACK)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::new(
                Exit::Environment,
                format!("cannot start the async runtime: {error}"),
            );
            return print(global, Err(failure));
        }
    };
    let trace_file = global.trace.as_ref().filter(|path| *path != "");
    let environment = |name: &str| std::env::var(name).ok();
    trace::start(trace_file.map(|path| path.as_std_path()), environment);
    let mut span = trace::span(Track::Command, || command.name().to_owned());
    let color = color();
    let (events, reporter) = Reporter::start(global.progress, global.verbose, color);
    let interrupt = Interrupt::default();
    let answer = runtime.block_on(async {
        interrupt::listen(&interrupt, &events);
        tokio::select! {
            biased;
            answer = dispatch(global, command, &events, &interrupt) => {
                answer.map_err(|failure| failure.with_tags(interrupt.log()))
            }
            failure = interrupt::overdue(&interrupt) => Err(failure),
        }
    });
    reporter.finish();
    match &answer {
        Ok(answer) if matches!(answer.exit, Exit::Done | Exit::Difference) => {}
        Ok(answer) => span.fail(format!("exit code {}", answer.exit.code())),
        Err(failure) => span.fail(failure.text()),
    }
    drop(span);
    write_trace();
    if let Err(reason) = runtime.block_on(trace::send()) {
        print_error(&format!(
            "warning: cannot send the trace to the collector (`OTEL_EXPORTER_OTLP_ENDPOINT`): {reason}\n"
        ));
    }
    // What still runs removes its temporary files. A thread that hangs, as in a program it waits for, must not block the exit.
    runtime.shutdown_timeout(LAST);
    print(global, answer)
}

/// Writes the trace if `--trace` asks for one. If that fails, the result of the command stays what it is.
fn write_trace() {
    if let Err((path, error)) = trace::write() {
        let path = path.display();
        print_error(&format!(
            "warning: cannot write the trace to `{path}`: {error}\n"
        ));
    }
}

/// Runs a command.
async fn dispatch(
    global: &Global,
    command: Command,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let cancel = interrupt.cancel();
    match command {
        Command::Graph(args) => graph::run(global, &args).await,
        Command::Init(args) => init::run(global, &args),
        Command::Import(args) => import::run(global, &args).await,
        Command::Parity(args) => parity::run(global, &args, events, cancel).await,
        Command::Render(args) => render::run(global, &args, events, cancel).await,
        Command::Run(args) => process::run(global, args, events, interrupt).await,
        Command::Shell(args) => process::shell(global, args, events, interrupt).await,
        Command::Plan(args) => plan::run(global, &args, events, cancel).await,
        Command::Build(args) => build::run(global, &args, events, interrupt).await,
        Command::Test(args) => build::test(global, &args, events, interrupt).await,
        Command::Lock(args) => lock::run(global, &args, events, cancel).await,
        Command::Evidence(args) => evidence::run(global, &args, events, cancel).await,
        Command::Promote(args) => channel::promote(global, &args, events, interrupt).await,
        Command::Revert(args) => channel::revert(global, &args, events, interrupt).await,
        Command::Adopt(args) => adopt::run(global, &args, events, interrupt).await,
        Command::Status => status::run(global, events, cancel).await,
        Command::Prepull(args) => prepull::run(global, &args, events, cancel).await,
        Command::Docs(args) => docs::run(global, &args, events, cancel).await,
        Command::History(args) => history::run(global, &args, events, cancel).await,
        Command::Diff(args) => diff::run(global, &args, events, cancel).await,
        Command::Rebuild(args) => rebuild::run(global, &args, events, cancel).await,
        Command::Show(args) => show::run(global, &args, events, cancel).await,
        Command::Why(args) => why::run(global, &args, events, cancel).await,
        Command::Completions(_) | Command::Reference => {
            unreachable!("they need no runtime")
        }
    }
}

/// Returns whether stderr gets colours: it is a terminal, and no variable overrides that (`NO_COLOR`,
/// `CLICOLOR_FORCE`, `CLICOLOR`).
fn color() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Writes to stderr. A closed stderr is not a fault: there is no other place to report it.
fn print_error(text: &str) {
    let _closed = std::io::stderr().write_all(text.as_bytes());
}

/// Prints an answer or a failure: data on stdout, the rest on stderr. Returns the exit code.
fn print(global: &Global, answer: Result<Answer, Failure>) -> Exit {
    let runner = exit::is_github();
    let (exit, written) = match answer {
        Ok(answer) => {
            if !answer.said.is_empty() {
                print_error(&shown::text(&answer.said, runner));
            }
            let mut out = std::io::stdout().lock();
            let written = match answer.stream.filter(|_| global.json) {
                Some(stream) => stream(&mut out),
                None if global.json => document::write(&answer.json, out),
                None => write(&shown::text(&answer.text, runner)),
            };
            (answer.exit, written)
        }
        Err(failure) => {
            print_error(&shown::text(&failure.shown(color()), runner));
            failure.annotate();
            let written = if global.json {
                write_error(&failure)
            } else {
                Ok(())
            };
            (failure.exit, written)
        }
    };
    unless_unwritten(exit, written)
}

/// Writes the document of a failure to stdout.
fn write_error(failure: &Failure) -> std::io::Result<()> {
    let document = json!({ "error": failure.json() });
    document::write(&document, std::io::stdout().lock())
}

/// Writes to stdout.
fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Returns the exit code of a command, or that of a failure if its answer could not be written.
fn unless_unwritten(exit: Exit, written: std::io::Result<()>) -> Exit {
    match written {
        // A closed pipe (`laminate plan | head`) is not an error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let failure = Failure::new(
                Exit::Environment,
                format!("cannot write to standard output: {error}"),
            );
            print_error(&failure.shown(color()));
            // What the command did is not undone by that.
            if matches!(exit, Exit::Done | Exit::Difference) {
                Exit::Environment
            } else {
                exit
            }
        }
        _ => exit,
    }
}

/// Returns a value as YAML.
fn yaml(value: &Value) -> String {
    // Commands are not wrapped.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).expect("plain data")
}
