//! The integration tests, in one binary: the crate as a library, and the `laminate` binary from outside.

mod support;

mod arguments;
mod bad_specs;
mod channel;
mod channel_faults;
mod channel_races;
mod compile_texts;
mod engine;
mod engine_compile;
mod format;
mod hostile;
mod imports;
mod numbers;
mod pipes;
mod plans;
mod publish;
mod real_registry;
mod registry;
mod registry_blobs;
mod registry_pages;
mod registry_retries;
mod registry_tags;
mod registry_tokens;
mod releases;
mod requests;
mod staging;
mod staging_changes;
mod staging_verdicts;
mod structure;
mod trace;
