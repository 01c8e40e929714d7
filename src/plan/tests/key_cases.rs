//! A case for every key of an image and of its steps: with which settings it is in the cache key, or why it is not.

/// A key of the spec: what has it, and two images that differ in it alone.
pub(super) struct Case {
    pub key: &'static str,
    pub one: &'static str,
    pub other: &'static str,
}

pub(super) const fn case(key: &'static str, one: &'static str, other: &'static str) -> Case {
    Case { key, one, other }
}

/// Keys whose change changes the cache key.
pub(super) const IN_KEY: &[Case] = &[
    case("an image: base", "base: debian:12", "base: debian:13"),
    case("an image: apt", "apt: [a]", "apt: [b]"),
    case("an image: conda", "conda: [a]", "conda: [b]"),
    case("an image: pip", "pip: [a]", "pip: [b]"),
    case("an image: copy", "copy: { /x: x }", "copy: { /x: y }"),
    case(
        "an image: steps",
        "steps: [{ run: a }]",
        "steps: [{ run: b }]",
    ),
    case("an image: env", "env: { A: a }", "env: { A: b }"),
    case("an image: user", "user: a", "user: b"),
    case("an image: shell", "shell: [a]", "shell: [b]"),
    case(
        "an image: config",
        "config: { user: a }",
        "config: { user: b }",
    ),
    case(
        "an image: vars",
        "vars: { v: a }\nsteps: [{ exec: [\"${v}\"] }]",
        "vars: { v: b }\nsteps: [{ exec: [\"${v}\"] }]",
    ),
    case(
        "an image: writable",
        "writable: { gid: 1, paths: [/x] }",
        "writable: { gid: 2, paths: [/x] }",
    ),
    case("an image: refresh", "refresh: daily", "refresh: weekly"),
    case(
        "`writable`: gid",
        "writable: { gid: 1, paths: [/x] }",
        "writable: { gid: 2, paths: [/x] }",
    ),
    case(
        "`writable`: paths",
        "writable: { gid: 1, paths: [/x] }",
        "writable: { gid: 1, paths: [/y] }",
    ),
    case(
        "a value of `env`: append",
        "env: { A: { append: a } }",
        "env: { A: { append: b } }",
    ),
    case(
        "a value of `env`: prepend",
        "env: { A: { prepend: a } }",
        "env: { A: { append: a } }",
    ),
    case(
        "a value of `env`: sep",
        "env: { A: { append: a } }",
        "env: { A: { append: a, sep: \",\" } }",
    ),
    case(
        "`apt`: packages",
        "apt: { packages: [a] }",
        "apt: { packages: [b] }",
    ),
    case(
        "`apt`: recommends",
        "apt: { packages: [a] }",
        "apt: { packages: [a], recommends: true }",
    ),
    case(
        "`pip`: requirements",
        "pip: { requirements: x }",
        "pip: { requirements: y }",
    ),
    case(
        "`pip`: packages",
        "pip: { packages: [a] }",
        "pip: { packages: [b] }",
    ),
    case(
        "`pip`: tool",
        "pip: { packages: [a] }",
        "pip: { packages: [a], tool: pip }",
    ),
    case(
        "`pip`: index",
        "pip: { packages: [a] }",
        "pip: { packages: [a], index: \"https://a\" }",
    ),
    case(
        "`pip`: extra-index",
        "pip: { packages: [a] }",
        "pip: { packages: [a], extra-index: [\"https://a\"] }",
    ),
    case(
        "`pip`: upgrade",
        "pip: { packages: [a] }",
        "pip: { packages: [a], upgrade: true }",
    ),
    case(
        "an entry of `copy`: from",
        "copy: { /x: { from: x } }",
        "copy: { /x: { from: y } }",
    ),
    case(
        "an entry of `copy`: image",
        "copy: { /x: { image: a:1, from: /x } }",
        "copy: { /x: { image: b:1, from: /x } }",
    ),
    case(
        "an entry of `copy`: owner",
        "copy: { /x: { from: x } }",
        "copy: { /x: { from: x, owner: a } }",
    ),
    case(
        "an entry of `copy`: mode",
        "copy: { /x: { from: x } }",
        "copy: { /x: { from: x, mode: \"600\" } }",
    ),
    case(
        "an entry of `write`: text",
        "steps: [{ write: { /x: { text: a } } }]",
        "steps: [{ write: { /x: { text: b } } }]",
    ),
    case(
        "an entry of `write`: owner",
        "steps: [{ write: { /x: a } }]",
        "steps: [{ write: { /x: { text: a, owner: a } } }]",
    ),
    case(
        "an entry of `write`: mode",
        "steps: [{ write: { /x: a } }]",
        "steps: [{ write: { /x: { text: a, mode: \"600\" } } }]",
    ),
    case(
        "an entry of `write`: vars",
        "steps: [{ write: { /x: \"${image}\" } }]",
        "steps: [{ write: { /x: { text: \"${image}\", vars: true } } }]",
    ),
    case(
        "an entry of `append`: from",
        "steps: [{ append: { /x: { from: x } } }]",
        "steps: [{ append: { /x: { from: y } } }]",
    ),
    case(
        "an entry of `append`: text",
        "steps: [{ append: { /x: { text: a } } }]",
        "steps: [{ append: { /x: { text: b } } }]",
    ),
    case(
        "an entry of `append`: vars",
        "steps: [{ append: { /x: \"${image}\" } }]",
        "steps: [{ append: { /x: { text: \"${image}\", vars: true } } }]",
    ),
    case(
        "an entry of `link`: to",
        "steps: [{ link: { /x: { to: /a } } }]",
        "steps: [{ link: { /x: { to: /b } } }]",
    ),
    case(
        "an entry of `link`: replace",
        "steps: [{ link: { /x: /a } }]",
        "steps: [{ link: { /x: { to: /a, replace: true } } }]",
    ),
    case(
        "an entry of `perms`: owner",
        "steps: [{ perms: { /x: { owner: a } } }]",
        "steps: [{ perms: { /x: { owner: b } } }]",
    ),
    case(
        "an entry of `perms`: mode",
        "steps: [{ perms: { /x: { mode: \"600\" } } }]",
        "steps: [{ perms: { /x: { mode: \"700\" } } }]",
    ),
    case(
        "an entry of `perms`: recursive",
        "steps: [{ perms: { /x: { owner: a } } }]",
        "steps: [{ perms: { /x: { owner: a, recursive: true } } }]",
    ),
    case(
        "an entry of `finish`: perms",
        "steps: [{ run: a, finish: [{ perms: { /x: { owner: a } } }] }]",
        "steps: [{ run: a, finish: [{ perms: { /x: { owner: b } } }] }]",
    ),
    case(
        "a step: apt",
        "steps: [{ apt: [a] }]",
        "steps: [{ apt: [b] }]",
    ),
    case(
        "a step: conda",
        "steps: [{ conda: [a] }]",
        "steps: [{ conda: [b] }]",
    ),
    case(
        "a step: pip",
        "steps: [{ pip: [a] }]",
        "steps: [{ pip: [b] }]",
    ),
    case(
        "a step: copy",
        "steps: [{ copy: { /x: x } }]",
        "steps: [{ copy: { /y: x } }]",
    ),
    case(
        "a step: write",
        "steps: [{ write: { /x: a } }]",
        "steps: [{ write: { /y: a } }]",
    ),
    case(
        "a step: append",
        "steps: [{ append: { /x: a } }]",
        "steps: [{ append: { /y: a } }]",
    ),
    case(
        "a step: link",
        "steps: [{ link: { /x: /a } }]",
        "steps: [{ link: { /y: /a } }]",
    ),
    case(
        "a step: perms",
        "steps: [{ perms: { /x: { owner: a } } }]",
        "steps: [{ perms: { /y: { owner: a } } }]",
    ),
    case("a step: run", "steps: [{ run: a }]", "steps: [{ run: b }]"),
    case(
        "a step: exec",
        "steps: [{ exec: [a] }]",
        "steps: [{ exec: [b] }]",
    ),
    case(
        "a step: script",
        "steps: [{ script: a.sh }]",
        "steps: [{ script: b.sh }]",
    ),
    case(
        "a step: group",
        "steps: [{ group: [{ run: a }] }]",
        "steps: [{ group: [{ run: b }] }]",
    ),
    case(
        "a step: as",
        "steps: [{ run: a }]",
        "steps: [{ run: a, as: b }]",
    ),
    case(
        "`cwd`: path",
        "steps: [{ run: a, cwd: { path: /b } }]",
        "steps: [{ run: a, cwd: { path: /c } }]",
    ),
    case(
        "`cwd`: must-exist",
        "steps: [{ run: a, cwd: { path: /b } }]",
        "steps: [{ run: a, cwd: { path: /b, must-exist: true } }]",
    ),
    case(
        "a step: cwd",
        "steps: [{ run: a }]",
        "steps: [{ run: a, cwd: /b }]",
    ),
    case(
        "a step: env",
        "steps: [{ run: a }]",
        "steps: [{ run: a, env: { A: b } }]",
    ),
    case(
        "a step: shell",
        "steps: [{ run: a }]",
        "steps: [{ run: a, shell: [b] }]",
    ),
    case(
        "a step: secrets",
        "steps: [{ run: a, secrets: [b] }]",
        "steps: [{ run: a, secrets: { b: /b } }]",
    ),
    case(
        "a step: network",
        "steps: [{ run: a }]",
        "steps: [{ run: a, network: none }]",
    ),
    case(
        "a step: when",
        "steps: [{ run: a, when: { image: i } }]",
        "steps: [{ run: a, when: { image: j } }]",
    ),
    case(
        "a step: finish",
        "steps: [{ run: a }]",
        "steps: [{ run: a, finish: { /x: { owner: a } } }]",
    ),
    case(
        "`config`: user",
        "config: { user: a }",
        "config: { user: b }",
    ),
    case(
        "`config`: workdir",
        "config: { workdir: /a }",
        "config: { workdir: /b }",
    ),
    case(
        "`config`: env",
        "config: { env: { A: a } }",
        "config: { env: { A: b } }",
    ),
    case(
        "`config`: labels",
        "config: { labels: { a: a } }",
        "config: { labels: { a: b } }",
    ),
    case(
        "`config`: entrypoint",
        "config: { user: a }",
        "config: { user: a, entrypoint: [] }",
    ),
    case(
        "`config`: cmd",
        "config: { user: a }",
        "config: { user: a, cmd: [] }",
    ),
    case(
        "`config`: ports",
        "config: { ports: [1] }",
        "config: { ports: [2] }",
    ),
    case(
        "`config`: volumes",
        "config: { volumes: [/a] }",
        "config: { volumes: [/b] }",
    ),
    case(
        "`config`: stop-signal",
        "config: { stop-signal: SIGINT }",
        "config: { stop-signal: SIGTERM }",
    ),
    case(
        "`config`: healthcheck",
        "config: { user: a }",
        "config: { user: a, healthcheck: none }",
    ),
    case(
        "`config`: shell",
        "config: { shell: [a] }",
        "config: { shell: [b] }",
    ),
    case(
        "`healthcheck`: test",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: b } }",
    ),
    case(
        "`healthcheck`: interval",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: a, interval: 1s } }",
    ),
    case(
        "`healthcheck`: timeout",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: a, timeout: 1s } }",
    ),
    case(
        "`healthcheck`: start-period",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: a, start-period: 1s } }",
    ),
    case(
        "`healthcheck`: start-interval",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: a, start-interval: 1s } }",
    ),
    case(
        "`healthcheck`: retries",
        "config: { healthcheck: { test: a } }",
        "config: { healthcheck: { test: a, retries: 1 } }",
    ),
    case(
        "`config`: onbuild",
        "config: { user: a }",
        "config: { user: a, onbuild: ignore }",
    ),
    case(
        "a secret: path",
        "steps: [{ run: a, secrets: { b: { path: /b } } }]",
        "steps: [{ run: a, secrets: { b: { path: /c } } }]",
    ),
    case(
        "a secret: mode",
        "steps: [{ run: a, secrets: [b] }]",
        "steps: [{ run: a, secrets: { b: { mode: \"440\" } } }]",
    ),
    case(
        "a secret: uid",
        "steps: [{ run: a, secrets: [b] }]",
        "steps: [{ run: a, secrets: { b: { uid: 1 } } }]",
    ),
    case(
        "a secret: gid",
        "steps: [{ run: a, secrets: [b] }]",
        "steps: [{ run: a, secrets: { b: { gid: 1 } } }]",
    ),
    case(
        "`pip`: no-deps",
        "pip: { packages: [a] }",
        "pip: { packages: [a], no-deps: true }",
    ),
    case(
        "`pip`: index-strategy",
        "pip: { packages: [a] }",
        "pip: { packages: [a], index-strategy: first-index }",
    ),
    case(
        "`pip`: args",
        "pip: { packages: [a] }",
        "pip: { packages: [a], args: [\"--x\"] }",
    ),
    case(
        "`apt`: sources",
        "apt: { packages: [a] }",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: x }] }",
    ),
    case(
        "an entry of `sources`: uri",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: x }] }",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://b\", suite: s/, key: x }] }",
    ),
    case(
        "an entry of `sources`: suite",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: x }] }",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: t/, key: x }] }",
    ),
    case(
        "an entry of `sources`: components",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s, components: [c], key: x }] }",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s, components: [d], key: x }] }",
    ),
    case(
        "an entry of `sources`: key",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: x }] }",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: y }] }",
    ),
    case(
        "an entry of `sources`: name",
        "apt: { packages: [a], sources: [{ name: n, uri: \"https://a\", suite: s/, key: x }] }",
        "apt: { packages: [a], sources: [{ name: m, uri: \"https://a\", suite: s/, key: x }] }",
    ),
];

/// Keys that do not determine the image: `docs/spec.md`, "Cache keys".
pub(super) const NOT_IN_KEY: &[Case] = &[
    // A name for people.
    case(
        "a step: name",
        "steps: [{ run: a }]",
        "steps: [{ run: a, name: b }]",
    ),
    // They are run on the image when it is built, and have keys of their own.
    case(
        "an image: tests",
        "user: a",
        "user: a\ntests: { t: { run: x } }",
    ),
    case(
        "an image: info",
        "user: a",
        "user: a\ninfo: { t: { run: x } }",
    ),
    case(
        "an image: policy",
        "user: a",
        "user: a\npolicy: { user: not-root }",
    ),
    // Where the image is published.
    case(
        "an image: repository",
        "user: a",
        "user: a\nrepository: other",
    ),
];
