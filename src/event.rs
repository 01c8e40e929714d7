//! What happens during a run, as facts. Anybody may send one; one reporter shows them; without a
//! reporter the result is the same.

use std::time::Duration;

use crate::name::Digest;

/// Names an image to a reader: `scipy-ml-notebook`, `2021.2/scipy-ml-notebook`.
pub type ImageLabel = String;

#[derive(Clone, Debug)]
pub enum Event {
    /// A phase of the run began: `reading the stack`, `asking the registry`, `starting the engine`.
    Phase {
        text: String,
    },
    /// A line for people that is not tied to an image.
    Note {
        text: String,
    },
    Warning {
        text: String,
    },
    /// What the run will build, in order; sent once before the solve.
    Planned {
        build: Vec<ImageLabel>,
        reuse: Vec<ImageLabel>,
    },
    ImageStarted {
        image: ImageLabel,
    },
    /// A step of an image began; `number` counts from 1 to `of`.
    StepStarted {
        image: ImageLabel,
        step: String,
        number: usize,
        of: usize,
    },
    /// Bytes a step wrote to its output or error stream, not cut at lines.
    StepLog {
        image: ImageLabel,
        step: String,
        bytes: Vec<u8>,
    },
    /// How far a transfer inside a step is; `total` 0 if unknown. Bytes.
    StepProgress {
        image: ImageLabel,
        step: String,
        what: String,
        current: u64,
        total: u64,
    },
    StepDone {
        image: ImageLabel,
        step: String,
        cached: bool,
        took: Duration,
    },
    StepFailed {
        image: ImageLabel,
        step: String,
        error: String,
    },
    ImageDone {
        image: ImageLabel,
        took: Duration,
    },
    ImageFailed {
        image: ImageLabel,
        error: String,
    },
    /// A descendant of one that failed.
    ImageSkipped {
        image: ImageLabel,
        because: ImageLabel,
    },
    /// The solve's results are on their way to the registry or the archive.
    Exporting {
        text: String,
        done: bool,
    },
    Published {
        image: ImageLabel,
        repository: String,
        tags: Vec<String>,
        digest: Digest,
    },
}

/// The last lines of an output that comes in pieces, cut anywhere. A line that was written over
/// (`\r`, as progress bars do) is kept as it was last; colours are dropped.
#[derive(Clone, Debug)]
pub struct Tail {
    most: usize,
    lines: std::collections::VecDeque<String>,
    open: Vec<u8>,
}

/// A line longer than this is cut there; bytes.
const LONGEST_LINE: usize = 4096;

impl Tail {
    /// Keeps the last `most` lines.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            lines: std::collections::VecDeque::new(),
            open: Vec::new(),
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.open);
                    self.lines.push_back(readable(&line));
                    if self.lines.len() > self.most {
                        self.lines.pop_front();
                    }
                }
                _ if self.open.len() < LONGEST_LINE => self.open.push(*byte),
                _ => {}
            }
        }
    }

    /// What is kept; a last line without an end is one too.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.lines.iter().cloned().collect();
        if !self.open.is_empty() {
            lines.push(readable(&self.open));
        }
        let surplus = lines.len().saturating_sub(self.most);
        lines.split_off(surplus)
    }
}

/// A line as a terminal would show it at its end, without colours.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let shown = text.rsplit('\r').next().unwrap_or(text);
    let mut plain = String::new();
    let mut rest = shown.chars();
    while let Some(c) = rest.next() {
        match c {
            // ESC [ … letter (ECMA-48, "Control sequences").
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    for c in rest.by_ref() {
                        if ('@'..='~').contains(&c) {
                            break;
                        }
                    }
                }
            }
            '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// Where events go. Cheap to clone; sending never waits and never fails.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<std::sync::mpsc::Sender<Event>>);

impl Events {
    /// Events nobody watches.
    pub fn none() -> Self {
        Self(None)
    }

    pub fn channel() -> (Self, std::sync::mpsc::Receiver<Event>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (Self(Some(sender)), receiver)
    }

    pub fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // The reporter may be gone already; that changes no result.
            let _ = sender.send(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_whole_lines_however_the_pieces_were_cut() {
        let text = "one\ntwo é\n 10%\r 50%\r100%\r\n\u{1b}[31mred\u{1b}[0m\nopen";
        for size in 1..text.len() {
            let mut tail = Tail::new(4);
            for piece in text.as_bytes().chunks(size) {
                tail.push(piece);
            }
            assert_eq!(tail.lines(), ["two é", "100%", "red", "open"]);
        }
    }
}
