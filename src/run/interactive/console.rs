//! Connects a process of a container to the user's terminal, or to the streams of laminate where it has none.

use futures_util::stream::{self, StreamExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};

use super::{Interactive, TERM};
use crate::buildkit::{self, Container, Ended, Input, OutputStream, Process};
use crate::compile::environment::Environment;
use crate::event::Event;
use crate::run::context::Context;
use crate::terminal::{self, Raw};

/// Runs a process and connects it to laminate's standard streams. With a terminal, keys such as Ctrl-C are its own;
/// without one, signals are passed on to it.
pub async fn attach(
    context: &Context<'_>,
    container: Container,
    mut process: Process,
    interactive: &Interactive,
) -> Result<Ended, buildkit::Error> {
    let (done, released) = std::sync::mpsc::channel();
    context.events.send(Event::Release(done));
    // Without a display there is no answer.
    let _ = released.recv();
    let raw = interactive.has_terminal.then(Raw::begin);
    let raw = raw.and_then(Result::ok);
    process.has_terminal = raw.is_some();
    let (sender, others) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let _forwarding = if raw.is_some() {
        let mut env = Environment::new(process.env.iter().map(String::as_str));
        env.set_default(TERM.0, TERM.1);
        process.env = env.entries();
        watch_size(&sender, &mut tasks);
        None
    } else {
        watch_signals(&sender, &mut tasks);
        let to = sender.clone();
        let forward = interactive.interrupt.forward(move |name| {
            let _ended = to.send(Input::Signal(name));
        });
        Some(forward)
    };
    let typed = ReceiverStream::new(terminal::standard_input()).map(Input::Bytes);
    let typed = typed.chain(stream::once(async { Input::End }));
    let inputs = stream::select(UnboundedReceiverStream::new(others), typed);
    let write = async |stream, bytes: &[u8]| terminal::write(stream == OutputStream::Errors, bytes);
    let running = context
        .gateway
        .run_process(container, process, inputs, write);
    running.await
}

/// Sends the size of the terminal, now and when it changes.
fn watch_size(sender: &UnboundedSender<Input>, tasks: &mut JoinSet<()>) {
    let send = |sender: &UnboundedSender<Input>| {
        if let Some(terminal::Size { rows, columns }) = terminal::size() {
            let _ended = sender.send(Input::Size { rows, columns });
        }
    };
    send(sender);
    if let Ok(mut changes) = signal(SignalKind::window_change()) {
        let sender = sender.clone();
        tasks.spawn(async move {
            while changes.recv().await.is_some() {
                send(&sender);
            }
        });
    }
}

/// Sends the signals that do not stop laminate.
fn watch_signals(sender: &UnboundedSender<Input>, tasks: &mut JoinSet<()>) {
    for (kind, name) in [
        (SignalKind::quit(), "SIGQUIT"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        if let Ok(mut signals) = signal(kind) {
            let sender = sender.clone();
            tasks.spawn(async move {
                while signals.recv().await.is_some() {
                    let _ended = sender.send(Input::Signal(name));
                }
            });
        }
    }
}
