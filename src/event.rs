//! What happens during a run, as facts: any part sends an [`Event`], one reporter shows them. Without a
//! reporter the result is the same.

use std::time::Duration;

use crate::name::Digest;
use crate::tail::Stream;

/// An image as it is shown to people: `scipy-ml-notebook`, `2021.2/scipy-ml-notebook`.
pub type ImageLabel = String;

/// Something that happened to a step.
#[derive(Clone, Debug)]
pub enum StepChange {
    /// It began.
    Started {
        /// Its number in the image, from 1.
        number: usize,
        /// How many steps the image has.
        of: usize,
    },
    /// It wrote bytes to a stream, not cut at lines.
    Output(Stream, Vec<u8>),
    /// A transfer inside of it progressed.
    Progress {
        /// The transfer.
        what: String,
        /// Bytes transferred.
        current: u64,
        /// Bytes in all; 0 if unknown.
        total: u64,
    },
    /// It ended well.
    Done {
        /// Whether its result came from the engine's cache.
        cached: bool,
        /// How long it ran.
        took: Duration,
    },
    /// It failed, with the engine's message.
    Failed(String),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A phase of the run began: `reading the stack`, `asking the registry`, `starting the engine`.
    Phase {
        /// The phase.
        text: String,
    },
    /// A line for people that belongs to no image.
    Note {
        /// The line.
        text: String,
    },
    /// A warning.
    Warning {
        /// The warning, for people.
        text: String,
    },
    /// The plan of a build; sent once before the solve.
    Planned {
        /// Images to build, in order.
        build: Vec<ImageLabel>,
        /// Images that are up to date.
        reuse: Vec<ImageLabel>,
    },
    /// The build of an image began.
    ImageStarted {
        /// The image.
        image: ImageLabel,
    },
    /// Something happened to a step of an image.
    Step {
        /// The image.
        image: ImageLabel,
        /// The step's title.
        step: String,
        /// What happened.
        change: StepChange,
    },
    /// An image was built.
    ImageDone {
        /// The image.
        image: ImageLabel,
        /// How long its steps ran.
        took: Duration,
    },
    /// An image could not be built.
    ImageFailed {
        /// The image.
        image: ImageLabel,
        /// Why.
        error: String,
    },
    /// A suite began.
    SuiteStarted {
        /// The image it runs on.
        image: ImageLabel,
        /// Its name.
        suite: String,
    },
    /// A suite ended.
    SuiteDone {
        /// The image it ran on.
        image: ImageLabel,
        /// Its name.
        suite: String,
        /// Its verdict.
        passed: bool,
        /// `12 passed`, `1 of 12 failed`, or the reason of the failure.
        summary: String,
        /// How long it took.
        took: Duration,
    },
    /// The policy of an image was checked.
    Checked {
        /// The image.
        image: ImageLabel,
        /// How many findings there are.
        findings: usize,
        /// How long it took.
        took: Duration,
    },
    /// An image is not built since another one failed.
    ImageSkipped {
        /// The image.
        image: ImageLabel,
        /// The image that failed.
        because: ImageLabel,
    },
    /// The engine sends the images to the registry or into the archive.
    Exporting {
        /// A line for people.
        text: String,
        /// Whether that is done.
        done: bool,
    },
    /// Blobs the registry refused to mount were copied through this machine.
    BlobsCopied {
        /// The image they belong to.
        image: ImageLabel,
        /// Where they were copied to.
        repository: String,
        /// How many.
        blobs: usize,
        /// Their size as stored, bytes.
        bytes: u64,
        /// Why the first of them was not mounted.
        reason: String,
    },
    /// An image has its tags.
    Published {
        /// The image.
        image: ImageLabel,
        /// Where it is.
        repository: String,
        /// Its tags there.
        tags: Vec<String>,
        /// Its manifest.
        digest: Digest,
    },
    /// A process of the user's gets the terminal: the display leaves it, and answers when it has.
    Release(std::sync::mpsc::Sender<()>),
    /// The last event: the reporter stops here, even if others could still be sent.
    Stop,
}

/// Where events go. Cheap to clone; sending never waits and never fails.
#[derive(Clone, Debug, Default)]
pub struct Events(Option<std::sync::mpsc::Sender<Event>>);

impl Events {
    /// Returns a sender whose events are dropped.
    pub fn none() -> Self {
        Self(None)
    }

    /// Returns a sender, and the receiver for the reporter.
    pub fn channel() -> (Self, std::sync::mpsc::Receiver<Event>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (Self(Some(sender)), receiver)
    }

    /// Sends an event.
    pub fn send(&self, event: Event) {
        if let Some(sender) = &self.0 {
            // A reporter that is gone already changes no result.
            let _ = sender.send(event);
        }
    }
}
