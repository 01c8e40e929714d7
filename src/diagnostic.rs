//! (being written)
#[derive(Clone, Debug)]
pub struct Diagnostic;
