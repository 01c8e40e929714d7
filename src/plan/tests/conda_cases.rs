//! Cases for `conda` steps; see `key_cases`.

use super::key_cases::{Case, case};

/// Keys whose change changes the cache key.
pub(super) const CONDA: &[Case] = &[
    case(
        "`conda`: packages",
        "conda: { packages: [a] }",
        "conda: { packages: [b] }",
    ),
    case(
        "`conda`: channels",
        "conda: { packages: [a] }",
        "conda: { packages: [a], channels: [b] }",
    ),
    case(
        "`conda`: file",
        "conda: { file: a.yml }",
        "conda: { file: b.yml }",
    ),
    case(
        "`conda`: prefix",
        "conda: { packages: [a] }",
        "conda: { packages: [a], prefix: /x }",
    ),
    case(
        "`conda`: env",
        "conda: { packages: [a] }",
        "conda: { packages: [a], env: x }",
    ),
    case(
        "`conda`: tool",
        "conda: { packages: [a] }",
        "conda: { packages: [a], tool: mamba }",
    ),
    case(
        "`conda`: channel-priority",
        "conda: { packages: [a] }",
        "conda: { packages: [a], channel-priority: strict }",
    ),
    case(
        "`conda`: upgrade",
        "conda: { packages: [a] }",
        "conda: { packages: [a], upgrade: true }",
    ),
];
