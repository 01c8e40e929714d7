//! One difference of every sort, whole: as text, and as JSON.

use serde_json::json;

use super::super::*;
use super::{new, old};

#[test]
#[expect(clippy::too_many_lines, reason = "the expected output, whole")]
fn a_difference_is_shown_whole() {
    let (old, new) = (old(), new());
    assert_eq!(changed(&old.release, &new.release), ["base", "leaf"]);
    let difference = difference(&old.snapshot(), &new.snapshot());
    insta::assert_snapshot!(text(&difference), @r#"
    from release d758d42c2b99, commit a021570, 2026-11-24T12:00:00Z
    to   release a270cec60222, commit b021570, 2026-11-24T12:00:00Z

    added
      come@752e6a8dfa64

    removed
      gone@b78e1f78dab4

    base  1e9bcb9dd6c0 → caddd7716fba (1.0 MB → 2.5 MB)
      pip packages (pip)
        + einops 0.8.0
        ~ numpy 2.2.0 → 2.2.1
        - six 1.16.0
      packages
        r: only one of the releases has this list
      info
        python packages: Python 3.11.8 → Python 3.11.9
      base
        - debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804
        + debian:bookworm@sha256:96f63dbb16f5f61f8e578e11486341a1ee5c2c508984df5d0efc6f8d88058590
      config
        - config.cmd: ["start"]
        ~ env.LANG: C → C.UTF-8
        + user: 1000
      cache key
        images/base/requirements.txt changed

    leaf  ccbf76d20974 → bac57df66fe6
      pip packages (pip)
        ~ keras 3.0 → 3.1
        3 changes as in base
      base
        base 1e9bcb9dd6c0 → caddd7716fba
      cache key
        variable cuda changed from `126` to `128`
      proven
        checks: passed → failed
        common: passed (12 tests) → failed (1 of 12)
        gpu: not run → passed (12 tests)
        own: passed (12 tests) → dropped (moved to common)

    2 images changed, 1 added, 1 removed, 1 unchanged
    "#);
    insta::assert_snapshot!(markdown(&difference), @r#"
    From release `d758d42c2b99` (commit `a021570`, 2026-11-24T12:00:00Z) to release `a270cec60222` (commit `b021570`, 2026-11-24T12:00:00Z): 2 images changed, 1 added, 1 removed, 1 unchanged.

    Added: `come`

    Removed: `gone`

    ### base

    1e9bcb9dd6c0 → caddd7716fba (1.0 MB → 2.5 MB)

    **pip packages (pip)**

    | package | before | after |
    | --- | --- | --- |
    | einops |  | 0.8.0 |
    | numpy | 2.2.0 | 2.2.1 |
    | six | 1.16.0 |  |

    **packages**

    - `r: only one of the releases has this list`

    **info**

    - `python packages: Python 3.11.8 → Python 3.11.9`

    **base**

    - `- debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804`
    - `+ debian:bookworm@sha256:96f63dbb16f5f61f8e578e11486341a1ee5c2c508984df5d0efc6f8d88058590`

    **config**

    - `- config.cmd: ["start"]`
    - `~ env.LANG: C → C.UTF-8`
    - `+ user: 1000`

    **cache key**

    - `images/base/requirements.txt changed`

    ### leaf

    ccbf76d20974 → bac57df66fe6

    **pip packages (pip)**

    | package | before | after |
    | --- | --- | --- |
    | keras | 3.0 | 3.1 |

    3 changes as in base

    **base**

    - `base 1e9bcb9dd6c0 → caddd7716fba`

    **cache key**

    - `` variable cuda changed from `126` to `128` ``

    **proven**

    - `checks: passed → failed`
    - `common: passed (12 tests) → failed (1 of 12)`
    - `gpu: not run → passed (12 tests)`
    - `own: passed (12 tests) → dropped (moved to common)`
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the expected output, whole")]
fn programs_get_all_of_it() {
    let (old, new) = (old(), new());
    let difference = difference(&old.snapshot(), &new.snapshot());
    let leaf = json!(difference)["changed"][1].take();
    insta::assert_snapshot!(format!("{leaf:#}"), @r#"
    {
      "image": "leaf",
      "variant": null,
      "repository": "ghcr.io/campus/leaf",
      "digest": {
        "from": "sha256:ccbf76d20974e563eb51d22ff1171a30472e0ae643b17863befd53614e7fefad",
        "to": "sha256:bac57df66fe6368188d1d4521bcffaecee76a03a50ff297a13439f7164de0a5f"
      },
      "size": {
        "from": 1000001,
        "to": 1000001
      },
      "packages": {
        "pip": {
          "title": "pip packages",
          "added": [
            {
              "name": "einops",
              "version": "0.8.0",
              "inherited": true
            }
          ],
          "removed": [
            {
              "name": "six",
              "version": "1.16.0",
              "inherited": true
            }
          ],
          "changed": [
            {
              "name": "keras",
              "from": "3.0",
              "to": "3.1",
              "inherited": false
            },
            {
              "name": "numpy",
              "from": "2.2.0",
              "to": "2.2.1",
              "inherited": true
            }
          ]
        }
      },
      "not_compared": [],
      "info": [],
      "base": {
        "from": {
          "image": "base",
          "digest": "sha256:1e9bcb9dd6c054440819a833b8f779f480d93d07d12c48750331aea1290e5c5d"
        },
        "to": {
          "image": "base",
          "digest": "sha256:caddd7716fba6b1c2066b0e13d8972e143e3a2c8c982ba1db156b279ea8627a6"
        }
      },
      "config": [],
      "reasons": [
        {
          "kind": "var",
          "what": "cuda",
          "text": "variable cuda changed from `126` to `128`"
        },
        {
          "kind": "parent",
          "what": "base",
          "text": "its base base is rebuilt"
        }
      ],
      "verdicts": [
        {
          "suite": "common",
          "from": {
            "suite": "common",
            "digest": "sha256:92a5dc04bd6f9fb8f29f8066fed8a5c1e81bc59ad48a11283b63736867e4f2a8",
            "passed": true,
            "tests": 12,
            "failed": 0,
            "cached": false
          },
          "to": {
            "suite": "common",
            "digest": "sha256:92a5dc04bd6f9fb8f29f8066fed8a5c1e81bc59ad48a11283b63736867e4f2a8",
            "passed": false,
            "tests": 12,
            "failed": 1,
            "cached": false
          },
          "dropped": null
        },
        {
          "suite": "gpu",
          "from": null,
          "to": {
            "suite": "gpu",
            "digest": "sha256:e3c5ba51dba85ab0c990db5e309f4d7bdb282470fb02aee75b9022c1399e91c8",
            "passed": true,
            "tests": 12,
            "failed": 0,
            "cached": false
          },
          "dropped": null
        },
        {
          "suite": "own",
          "from": {
            "suite": "own",
            "digest": "sha256:5b3975651c3cab92d044c096dc30a1c2d9525497457472de48c51ecb363d1f4a",
            "passed": true,
            "tests": 12,
            "failed": 0,
            "cached": false
          },
          "to": null,
          "dropped": "moved to common"
        }
      ],
      "checks": {
        "from": true,
        "to": false
      }
    }
    "#);
}
