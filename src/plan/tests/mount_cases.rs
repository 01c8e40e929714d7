//! Cases for mounts, texts of the environment, and lists that are added to; see `key_cases`.

use super::key_cases::{Case, case};

/// Keys whose change changes the cache key.
pub(super) const MOUNTS_AND_TEXTS: &[Case] = &[
    case(
        "`writable` with `add`: add",
        "writable: { add: [/x] }",
        "writable: { add: [/y] }",
    ),
    case(
        "`config`: cmd",
        "config: { cmd: [a] }",
        "config: { cmd: a }",
    ),
    case(
        "`config`: workdir",
        "config: { workdir: /x }",
        "config: { workdir: \"${env:X}\" }",
    ),
    case(
        "an image: user",
        "user: \"$${env:X}\"",
        "user: \"${env:X}\"",
    ),
    case(
        "a step: mounts",
        "steps: [{ run: a }]",
        "steps: [{ run: a, mounts: { /m: { cache: c } } }]",
    ),
    case(
        "a mount: bind",
        "steps: [{ run: a, mounts: { /m: { bind: x } } }]",
        "steps: [{ run: a, mounts: { /m: { bind: y } } }]",
    ),
    case(
        "a mount: image",
        "steps: [{ run: a, mounts: { /m: { image: a:1 } } }]",
        "steps: [{ run: a, mounts: { /m: { image: b:1 } } }]",
    ),
    case(
        "a mount: cache",
        "steps: [{ run: a, mounts: { /m: { cache: a } } }]",
        "steps: [{ run: a, mounts: { /m: { cache: b } } }]",
    ),
    case(
        "a mount: tmpfs",
        "steps: [{ run: a, mounts: { /m: { tmpfs: 1m } } }]",
        "steps: [{ run: a, mounts: { /m: { tmpfs: 2m } } }]",
    ),
    case(
        "a mount: from",
        "steps: [{ run: a, mounts: { /m: { image: a:1, from: /x } } }]",
        "steps: [{ run: a, mounts: { /m: { image: a:1, from: /y } } }]",
    ),
    case(
        "a mount: rw",
        "steps: [{ run: a, mounts: { /m: { bind: x } } }]",
        "steps: [{ run: a, mounts: { /m: { bind: x, rw: true } } }]",
    ),
    case(
        "a mount: sharing",
        "steps: [{ run: a, mounts: { /m: { cache: a } } }]",
        "steps: [{ run: a, mounts: { /m: { cache: a, sharing: locked } } }]",
    ),
    case(
        "a mount: mode",
        "steps: [{ run: a, mounts: { /m: { cache: a } } }]",
        "steps: [{ run: a, mounts: { /m: { cache: a, mode: \"700\" } } }]",
    ),
    case(
        "a mount: uid",
        "steps: [{ run: a, mounts: { /m: { cache: a } } }]",
        "steps: [{ run: a, mounts: { /m: { cache: a, uid: 1 } } }]",
    ),
    case(
        "a mount: gid",
        "steps: [{ run: a, mounts: { /m: { cache: a } } }]",
        "steps: [{ run: a, mounts: { /m: { cache: a, gid: 1 } } }]",
    ),
    case(
        "an entry of `copy`: from",
        "copy: { /d/: { from: [x] } }",
        "copy: { /d/: { from: [x, y] } }",
    ),
];
