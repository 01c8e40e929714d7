//! What the user runs in an image: [`Interactive`].

use super::target::Place;
use crate::interrupt::Interrupt;
use crate::stack::ImageId;

/// What the user runs in an image.
#[derive(Clone, Debug)]
pub struct Interactive {
    /// The image.
    pub image: ImageId,
    /// The state of it.
    pub place: Place,
    /// The command.
    pub command: Command,
    /// Whether it gets a terminal.
    pub has_terminal: bool,
    /// Passes signals on to it.
    pub interrupt: Interrupt,
}

/// The command to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The image's own, with other arguments than `Cmd` if there are any.
    OfImage(Vec<String>),
    /// A shell.
    Shell,
    /// Program and arguments.
    Args(Vec<String>),
}
