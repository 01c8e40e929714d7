//! A case for every key of `dockerfile`.

use super::key_cases::{Case, case};

/// Keys of `dockerfile` whose change changes the cache key.
pub(super) const DOCKERFILES: &[Case] = &[
    case(
        "an image: dockerfile",
        "dockerfile: Dockerfile",
        "dockerfile: Other",
    ),
    case(
        "`dockerfile`: file",
        "dockerfile: { file: Dockerfile }",
        "dockerfile: { file: Other }",
    ),
    case(
        "`dockerfile`: context",
        "dockerfile: { file: Dockerfile }",
        "dockerfile: { file: Dockerfile, context: d }",
    ),
    case(
        "`dockerfile`: ignore",
        "dockerfile: { file: Dockerfile }",
        "dockerfile: { file: Dockerfile, ignore: x }",
    ),
    case(
        "`dockerfile`: target",
        "dockerfile: { file: Dockerfile, target: one }",
        "dockerfile: { file: Dockerfile, target: two }",
    ),
    case(
        "`dockerfile`: args",
        "dockerfile: { file: Dockerfile, args: { A: \"1\" } }",
        "dockerfile: { file: Dockerfile, args: { A: \"2\" } }",
    ),
    case(
        "`dockerfile`: contexts",
        "dockerfile: { file: Dockerfile, contexts: { c: debian:12 } }",
        "dockerfile: { file: Dockerfile, contexts: { c: debian:13 } }",
    ),
    case(
        "an entry of `contexts`: folder",
        "dockerfile: { file: Dockerfile, contexts: { c: { folder: d } } }",
        "dockerfile: { file: Dockerfile, contexts: { c: { folder: . } } }",
    ),
    case(
        "`dockerfile`: secrets",
        "dockerfile: { file: Dockerfile, secrets: [a] }",
        "dockerfile: { file: Dockerfile, secrets: [b] }",
    ),
];
