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
