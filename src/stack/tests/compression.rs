//! `compression:`.

use super::{faults, stack};

fn compression(text: &str) -> String {
    let spec = format!("stack: x\n{text}\nimages: {{ a: {{ base: \"debian:12\" }} }}");
    stack(&spec).compression().to_string()
}

#[test]
fn layers_are_zstd_of_level_3_by_default() {
    assert_eq!(compression(""), "zstd:3");
    assert_eq!(compression("compression: zstd"), "zstd:3");
    assert_eq!(compression("compression: { type: zstd }"), "zstd:3");
}

#[test]
fn another_type_has_the_level_of_the_engine_by_default() {
    for name in ["gzip", "estargz", "uncompressed"] {
        assert_eq!(compression(&format!("compression: {name}")), name);
    }
    assert_eq!(
        compression("compression: { type: gzip, level: 9 }"),
        "gzip:9"
    );
}

#[test]
fn what_an_engine_would_refuse_or_ignore_is_reported() {
    let faults = |text: &str| {
        let spec =
            format!("stack: x\ncompression: {text}\nimages: {{ a: {{ base: \"debian:12\" }} }}");
        faults(&spec)
    };
    assert_eq!(
        faults("xz"),
        ["`compression` must be one of: zstd, gzip, estargz, uncompressed"]
    );
    assert_eq!(
        faults("{ type: gzip, level: 10 }"),
        ["`level` must be a number from 1 to 9"]
    );
    assert_eq!(
        faults("{ type: uncompressed, level: 1 }"),
        ["`level` cannot be used with `uncompressed`"]
    );
    assert_eq!(faults("{ level: 3 }"), ["missing `type` in `compression`"]);
}
