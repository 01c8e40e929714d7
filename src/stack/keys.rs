//! The keys of the whole spec and of an image, and where a key goes that was found at the wrong one.

use super::config;
use super::reader::OtherPlace;
use super::steps::{KINDS, SETTINGS};

/// Keys of the whole spec.
pub const SPEC_KEYS: [&str; 15] = [
    "stack", "registry", "staging", "series", "vars", "tags", "channels", "writable", "policy",
    "info", "tests", "images", "variants", "build", "shell",
];

/// Keys of an image.
pub const IMAGE_KEYS: [&str; 17] = [
    "base",
    "apt",
    "conda",
    "pip",
    "copy",
    "steps",
    "env",
    "user",
    "shell",
    "config",
    "vars",
    "writable",
    "tests",
    "info",
    "policy",
    "refresh",
    "repository",
];

/// Keys that are not those of the whole spec.
pub const NOT_OF_SPEC: [OtherPlace; 3] = [
    (&IMAGE_KEYS, "move it into an image, below `images:`"),
    (&config::KEYS, "move it below `config:` of an image"),
    (&KINDS, "make it a step of an image, below `steps:`"),
];

/// Keys that are not those of an image.
pub const NOT_OF_IMAGE: [OtherPlace; 4] = [
    (&config::KEYS, "move it below `config:`"),
    (&KINDS, "make it a step, below `steps:`"),
    (&SETTINGS, "set it on a step, below `steps:`"),
    (&SPEC_KEYS, "move it to the top of the spec"),
];
