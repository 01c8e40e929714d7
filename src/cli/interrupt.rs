//! Ctrl-C and SIGTERM: the first asks a command to stop, the second ends the process.
//!
//! [`listen`] is called once by `main`; commands wrap what can be interrupted in [`unless_cancelled`].

use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, print_error};

/// Returns a token that fires at the first Ctrl-C or SIGTERM; the second ends the process.
pub fn listen() -> CancellationToken {
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let listen = async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                trigger.cancel();
                print_error("stopping; press Ctrl-C again to stop immediately\n");
            } else {
                #[expect(
                    clippy::exit,
                    reason = "the second Ctrl-C ends laminate wherever it is"
                )]
                std::process::exit(Exit::Interrupted.code().into());
            }
        }
    };
    // Ends with the runtime.
    tokio::spawn(listen);
    cancel
}

/// Waits for `work`, or returns [`Failure::interrupted`] if the token fires first. Only for work that may
/// stop anywhere: moves of tags are not wrapped, since half a set of tags is worse than a late stop.
pub async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::interrupted()),
        done = work => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_fired_wins_over_work_that_is_done() {
        let cancel = CancellationToken::new();
        let done = unless_cancelled(&cancel, async { Ok(1) }).await;
        assert_eq!(done.expect("not cancelled"), 1);
        cancel.cancel();
        let stopped = unless_cancelled(&cancel, async { Ok(1) }).await;
        assert_eq!(stopped.expect_err("cancelled").exit, Exit::Interrupted);
    }
}
