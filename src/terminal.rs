//! The user's terminal and standard streams, for a process that the user works with.
//!
//! [`Raw`] hands the terminal to the process: keys are not interpreted here. It is restored when that ends, however it
//! ends: [`restore`] is called by what ends laminate itself.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios};
use tokio::sync::mpsc;

/// As much of standard input as is read at once, bytes.
const CHUNK: usize = 32 << 10;

/// How the terminal was before it was handed over.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Whether standard input and standard output are terminals.
pub fn is_interactive() -> bool {
    use std::io::IsTerminal as _;
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Lines and characters of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Returns the size of the terminal that is standard output; `None` if it is none, or its size is not known.
pub fn size() -> Option<Size> {
    let found = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (found.ws_row > 0 && found.ws_col > 0).then_some(Size {
        rows: found.ws_row,
        columns: found.ws_col,
    })
}

/// The terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Sets the terminal that is standard input to raw mode.
    pub fn begin() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = rustix::termios::tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // What was typed during the build is for the process.
        rustix::termios::tcsetattr(stdin.as_fd(), OptionalActions::Drain, &raw)?;
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal if it is in raw mode.
pub fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // A terminal that is gone needs nothing.
        let _ = rustix::termios::tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &before);
    }
}

/// Returns what comes in on standard input, until its end or an error. It is read by a thread, which ends with the
/// process.
pub fn standard_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let stdin = rustix::stdio::stdin();
        let mut bytes = vec![0; CHUNK];
        loop {
            match rustix::io::read(stdin, bytes.as_mut_slice()) {
                Ok(0) => break,
                Ok(read) => {
                    if sender.blocking_send(bytes[..read].to_vec()).is_err() {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
    });
    receiver
}

/// Writes to standard output, or to standard error.
pub fn write(is_error: bool, bytes: &[u8]) -> io::Result<()> {
    if is_error {
        io::stderr().write_all(bytes)
    } else {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }
}
