//! What the integration tests share.

pub mod cases;
pub mod channel;
pub mod client;
#[path = "registry.rs"]
pub mod fake;
pub mod laminate;
pub mod needed;
