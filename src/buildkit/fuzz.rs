//! Inputs of fuzzers; see `fuzzing`.

use bollard_buildkit_proto::moby::buildkit::v1::StatusResponse;
use prost::Message as _;

use super::error::{Error, reason};
use super::status::{Update, Warnings};

pub use super::session::fuzz::packets;

/// Returns the updates in a sequence of responses, each after its length.
pub fn updates(mut bytes: &[u8]) -> Vec<Vec<Update>> {
    let mut warnings = Warnings::default();
    let mut list = Vec::new();
    while let Ok(response) = StatusResponse::decode_length_delimited(&mut bytes) {
        list.push(warnings.updates(response));
    }
    list
}

/// Reads details of an error; it is never returned as success.
pub fn error(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // The paths of its folders are left out, which end with `/` at most.
    assert!(reason(&text).len() <= text.len() + 40);
    let details = bytes.to_vec().into();
    let status = tonic::Status::with_details(tonic::Code::Unknown, text, details);
    let error = Error::from_status(status);
    let _shown = error.to_string();
    assert_ne!(error.into_status().code, 0);
}
