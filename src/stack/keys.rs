//! The keys of the whole spec and of an image, and where a key goes that was found at the wrong one.

use super::config;
use super::reader::KeyHint;
use super::steps::{KINDS, SETTINGS};

/// Keys of the whole spec.
pub const SPEC_KEYS: [&str; 16] = [
    "stack",
    "registry",
    "staging",
    "series",
    "vars",
    "tags",
    "channels",
    "writable",
    "policy",
    "info",
    "tests",
    "images",
    "variants",
    "build",
    "shell",
    "compression",
];

/// Keys of an image.
pub const IMAGE_KEYS: [&str; 18] = [
    "base",
    "dockerfile",
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
pub const NOT_OF_SPEC: [KeyHint; 3] = [
    KeyHint::new(&IMAGE_KEYS, "move it into an image, below `images:`"),
    KeyHint::new(&config::KEYS, "move it below `config:` of an image"),
    KeyHint::new(&KINDS, "make it a step of an image, below `steps:`"),
];

/// Keys that are not those of an image.
pub const NOT_OF_IMAGE: [KeyHint; 4] = [
    KeyHint::new(&config::KEYS, "move it below `config:`"),
    KeyHint::new(&KINDS, "make it a step, below `steps:`"),
    KeyHint::new(&SETTINGS, "set it on a step, below `steps:`"),
    KeyHint::new(&SPEC_KEYS, "move it to the top of the spec"),
];
