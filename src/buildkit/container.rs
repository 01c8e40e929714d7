//! Containers in a build (`NewContainer`, `ExecProcess`): processes that the user works with, not steps. Nothing of them is
//! cached or kept.

use std::io;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    ExecMessage, FdMessage, InitMessage, NewContainerRequest, ResizeMessage, SignalMessage,
    exec_message::Input as Message,
};
use bollard_buildkit_proto::pb;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tonic::Streaming;

use super::ended::{Ended, OutputStream, Printed};
use super::{Error, Gateway, unique};
use crate::trace::{self, Track};

/// How long the end of the output may take after the process has ended.
const GRACE: Duration = Duration::from_secs(5);

/// How long a process may take from its start until it takes signals: the first ones would end runc, which starts it.
const STARTING: Duration = Duration::from_millis(500);

/// The exit code of a process that could not be started (`UnknownExitStatus` in frontend/gateway/pb/exit.go).
const NOT_STARTED: u32 = 255;

/// The file systems and the network of a container.
#[derive(Clone, Debug, Default)]
pub struct Container {
    /// Its mounts, `/` among them. `result_id` of each names a [`Ref`](super::Ref) or a mount of an operation that failed in
    /// the same build; without one it is empty.
    pub mounts: Vec<pb::Mount>,
    /// Its network, a `pb::NetMode`.
    pub network: i32,
    /// The file of hosts beside the engine's own.
    pub extra_hosts: Vec<pb::HostIp>,
}

/// The process of a container.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Variables that are secrets of the session.
    pub secret_env: Vec<pb::SecretEnv>,
    /// The folder it starts in.
    pub cwd: String,
    /// A name or number, with or without a group.
    pub user: String,
    /// Whether it has a terminal: one stream of output, and keys such as Ctrl-C are signals.
    pub has_terminal: bool,
}

/// Something for a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Bytes(Vec<u8>),
    /// The end of standard input.
    End,
    /// The size of its terminal.
    Size {
        /// Lines.
        rows: u16,
        /// Characters of a line.
        columns: u16,
    },
    /// A signal, by its name: `SIGINT`.
    Signal(&'static str),
}

impl Gateway {
    /// Runs a process in a new container and waits for it. `inputs` reach it as they come; `write` gets its output, and its
    /// first failure ends the process. Not while operations of the build may fail (gateway.go: a map without a lock).
    pub async fn run_process(
        &self,
        container: Container,
        process: Process,
        inputs: impl Stream<Item = Input> + Send + 'static,
        write: impl AsyncFnMut(OutputStream, &[u8]) -> io::Result<()>,
    ) -> Result<Ended, Error> {
        let _span = trace::span(Track::Engine, || "run a process".to_owned());
        let id = unique();
        let request = NewContainerRequest {
            container_id: id.clone(),
            mounts: container.mounts,
            network: container.network,
            extra_hosts: container.extra_hosts,
            ..NewContainerRequest::default()
        };
        let mut bridge = self.bridge.clone();
        let made = bridge.new_container(self.call(request)).await;
        made.map_err(Error::from_status)?;
        let program = process.args.first().cloned().unwrap_or_default();
        let message = {
            let id = id.clone();
            move |input| ExecMessage {
                process_id: id.clone(),
                input: Some(input),
            }
        };
        let begin = message(Message::Init(init(&id, process)));
        // The daemon reports the end of a process only after the end of its input.
        let (ending, ended) = mpsc::channel::<Input>(1);
        let ended = stream::unfold(ended, async |mut ended| {
            ended.recv().await.map(|input| (input, ended))
        });
        let (takes_signals, signals) = watch::channel(None);
        let inputs = held(inputs, signals);
        let inputs = stream::select(inputs, ended).map(message_of).map(message);
        let (running, over) = oneshot::channel::<()>();
        // At the end of the stream the daemon stops the process: not before it has ended by itself. The stream must end
        // then, or the daemon waits for it when it gets SIGTERM, also if the answers were dropped.
        let messages = stream::once(async { begin })
            .chain(inputs)
            .chain(stream::pending())
            .take_until(over);
        let answer = bridge.exec_process(self.call(messages)).await;
        let answers = answer.map_err(Error::from_status)?.into_inner();
        let running = Running {
            program,
            ending,
            takes_signals,
            _until: running,
        };
        running.wait(answers, write).await
    }
}

/// Returns inputs for a process, in which signals wait until the process can take them.
fn held(
    inputs: impl Stream<Item = Input> + Send + 'static,
    signals: watch::Receiver<Option<Instant>>,
) -> impl Stream<Item = Input> + Send + 'static {
    inputs.then(move |input| {
        let mut signals = signals.clone();
        async move {
            if matches!(input, Input::Signal(_)) {
                let from = signals.wait_for(Option::is_some).await;
                let from = from.ok().and_then(|from| *from);
                if let Some(from) = from {
                    tokio::time::sleep_until(from).await;
                }
            }
            input
        }
    })
}

/// A process that runs.
struct Running {
    /// The first word of its command.
    program: String,
    /// Ends its input.
    ending: mpsc::Sender<Input>,
    /// From when on it can take signals.
    takes_signals: watch::Sender<Option<Instant>>,
    /// Ends the messages to the daemon when it is dropped.
    _until: oneshot::Sender<()>,
}

impl Running {
    /// Writes the output of the process, and waits for its end.
    async fn wait(
        self,
        mut answers: Streaming<ExecMessage>,
        mut write: impl AsyncFnMut(OutputStream, &[u8]) -> io::Result<()>,
    ) -> Result<Ended, Error> {
        let mut printed = Printed::default();
        let mut end: Option<(u32, Option<String>)> = None;
        loop {
            let next = answers.message();
            let next = match end {
                None => next.await,
                Some(_) => match tokio::time::timeout(GRACE, next).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            let input = match next {
                Ok(Some(next)) => next.input,
                Ok(None) => break,
                // What it reports of the end of a container does not change how its process ended.
                Err(_) if end.is_some() => break,
                Err(status) => return Err(Error::from_status(status)),
            };
            match input {
                Some(Message::Started(_)) => {
                    let soon = Instant::now() + STARTING;
                    self.takes_signals.send_replace(Some(soon));
                }
                Some(Message::File(file)) if !file.data.is_empty() => {
                    self.takes_signals.send_replace(Some(Instant::now()));
                    printed.add(&file.data);
                    let stream = match file.fd {
                        2 => OutputStream::Errors,
                        _ => OutputStream::Output,
                    };
                    if let Err(error) = write(stream, &file.data).await {
                        // Dropping the call ends the process.
                        return Ok(unwritten(stream, &error));
                    }
                }
                Some(Message::Exit(exit)) => {
                    end = Some((exit.code, exit.error.map(|error| error.message)));
                    let _already = self.ending.try_send(Input::End);
                }
                // Input that cannot be written, since the process has ended, closes its output before its end is reported
                // (gateway.go, `ExecProcess`).
                Some(Message::Done(_)) if end.is_some() => break,
                _ => {}
            }
        }
        match end {
            Some((code, error)) => Ok(how_ended(code, error, &printed, &self.program)),
            None => Err(Error::Lost {
                reason: "the process has no exit code".to_owned(),
            }),
        }
    }
}

/// Returns the end of a process whose output cannot be written. A pipe without a reader is not a fault: the process ends as
/// by SIGPIPE.
fn unwritten(stream: OutputStream, error: &io::Error) -> Ended {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ended::Exited(BROKEN_PIPE);
    }
    let reason = error.to_string();
    Ended::Unwritten { stream, reason }
}

/// The exit code of a process whose output is not read any more: 128 and SIGPIPE.
const BROKEN_PIPE: u32 = 128 + 13;

fn init(container: &str, process: Process) -> InitMessage {
    InitMessage {
        container_id: container.to_owned(),
        meta: Some(pb::Meta {
            args: process.args,
            env: process.env,
            cwd: process.cwd,
            user: process.user,
            ..pb::Meta::default()
        }),
        fds: vec![0, 1, 2],
        tty: process.has_terminal,
        secretenv: process.secret_env,
        ..InitMessage::default()
    }
}

fn message_of(input: Input) -> Message {
    let file = |data, eof| FdMessage { fd: 0, eof, data };
    match input {
        Input::Bytes(bytes) => Message::File(file(bytes, false)),
        Input::End => Message::File(file(Vec::new(), true)),
        Input::Size { rows, columns } => Message::Resize(ResizeMessage {
            rows: rows.into(),
            cols: columns.into(),
        }),
        // The daemon knows `INT`, not `SIGINT` (moby/sys/signal).
        Input::Signal(name) => Message::Signal(SignalMessage {
            name: name.strip_prefix("SIG").unwrap_or(name).to_owned(),
        }),
    }
}

/// Returns how a process ended, by what the daemon reports and what it printed. A process that ran has an exit code of its
/// own, and the text `exit code: 7`.
fn how_ended(code: u32, error: Option<String>, printed: &Printed, program: &str) -> Ended {
    let error = error.filter(|text| code == NOT_STARTED && !text.ends_with("exit code: 255"));
    match error {
        Some(reason) => Ended::NotStarted { exit: None, reason },
        None => printed.ended(code, program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_name_that_the_daemon_knows() {
        let Message::Signal(sent) = message_of(Input::Signal("SIGINT")) else {
            panic!("a signal");
        };
        assert_eq!(sent.name, "INT");
    }

    #[test]
    fn a_process_that_ends_with_255_was_started() {
        let end = |code, text: &str| {
            let error = Some(text.to_owned());
            how_ended(code, error, &Printed::default(), "x")
        };
        assert_eq!(end(7, "exit code: 7"), Ended::Exited(7));
        assert_eq!(end(255, "exit code: 255"), Ended::Exited(255));
        let not_started = Ended::NotStarted {
            exit: None,
            reason: "unable to find user x".to_owned(),
        };
        assert_eq!(end(255, "unable to find user x"), not_started);
    }

    #[test]
    fn a_pipe_without_a_reader_is_not_a_fault() {
        let end = |errno| unwritten(OutputStream::Output, &io::Error::from_raw_os_error(errno));
        assert_eq!(end(32), Ended::Exited(141));
        let Ended::Unwritten { reason, .. } = end(28) else {
            panic!("a full device");
        };
        assert!(reason.starts_with("No space left on device"), "{reason}");
    }

    #[tokio::test]
    async fn signals_wait_until_the_process_can_take_them() {
        let (sender, signals) = watch::channel(None);
        let given = [Input::Bytes(vec![1]), Input::Signal("SIGINT"), Input::End];
        let inputs = held(stream::iter(given.clone()), signals);
        let mut inputs = std::pin::pin!(inputs);
        assert_eq!(inputs.next().await.as_ref(), Some(&given[0]));
        let waiting = tokio::time::timeout(Duration::from_millis(50), inputs.next()).await;
        assert!(waiting.is_err(), "it was not started");
        let begun = Instant::now();
        sender.send_replace(Some(begun + STARTING));
        assert_eq!(inputs.next().await.as_ref(), Some(&given[1]));
        assert!(begun.elapsed() >= STARTING);
        assert_eq!(inputs.next().await.as_ref(), Some(&given[2]));
    }
}
