//! What steps and settings contribute to keys. `stack` knows it for each kind of step.

use serde_json::Value;

use crate::stack::{Config, Env, Network, Secret, Step, canonical_env, canonical_secrets};

/// A step, without its name and place.
pub fn step(step: &Step) -> Value {
    step.canonical()
}

/// Secrets and where each is mounted.
pub fn secrets(secrets: &[Secret]) -> Value {
    canonical_secrets(secrets)
}

/// The word of the spec for a network.
pub fn network(network: Network) -> Value {
    network.canonical()
}

/// Changes to the environment.
pub fn env(env: &Env) -> Value {
    canonical_env(env)
}

/// The settings of `config:`, unset ones as null or empty.
pub fn config(config: &Config) -> Vec<(&'static str, Value)> {
    config.canonical()
}
