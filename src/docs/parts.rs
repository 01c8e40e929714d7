//! Parts of pages: links, times and sizes.

use jiff::Timestamp;
use serde::Serialize;

use crate::size::human as human_size;

/// A text, and the page it links to.
#[derive(Serialize)]
pub struct Link {
    /// The text.
    pub text: String,
    /// The page; `None` for text without a link.
    pub page: Option<String>,
}

/// Returns a time, as in `2025-06-15 15:06 UTC`.
pub fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Returns a size; 0 is unknown.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "unknown".to_owned(),
        bytes => human_size(bytes),
    }
}
