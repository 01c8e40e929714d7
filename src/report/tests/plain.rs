//! Plain lines.

use super::*;

fn plain(verbose: bool, color: bool) -> String {
    let written = Written::default();
    show_all(&mut Plain::new(written.clone(), verbose, color), &story());
    written.text()
}

#[test]
fn plain_lines() {
    insta::assert_snapshot!(plain(false, false), @r#"
    reading the stack
    warning: debian:bookworm is not locked
    to build: base, ml, lab
    reused: r
    [base 1/2] apt git
    [base 1/2] cached
    [base 2/2] run useradd
    [base 2/2] done in 1.2 s
    [base] done in 1m 04s
    [ml 1/5] pip requirements.txt
    [ml 1/5] failed
    [ml] failed: step `pip requirements.txt` failed
    [lab] blocked because ml failed
    pushing to localhost/x/stack
    pushing to localhost/x/stack: done
    [base] copied 3 blobs (39 B) to localhost/x/base through this machine: localhost refused
    [base] tagged localhost/x/base:2021.2-d021570 (0123456789ab)
    "#);
}

#[test]
fn plain_lines_with_the_output_of_steps() {
    insta::assert_snapshot!(plain(true, false), @r#"
    reading the stack
    warning: debian:bookworm is not locked
    to build: base, ml, lab
    reused: r
    [base 1/2] apt git
    [base 1/2] cached
    [base 2/2] run useradd
    [base] | adding user
    [base] | no line break
    [base 2/2] done in 1.2 s
    [base] done in 1m 04s
    [ml 1/5] pip requirements.txt
    [ml] | Collecting numpy
    [ml] |
    [ml] |  99%
    [ml] | error: no numpy
    [ml 1/5] failed
    [ml] failed: step `pip requirements.txt` failed
    [lab] blocked because ml failed
    pushing to localhost/x/stack
    pushing to localhost/x/stack: done
    [base] copied 3 blobs (39 B) to localhost/x/base through this machine: localhost refused
    [base] tagged localhost/x/base:2021.2-d021570 (0123456789ab)
    "#);
}

#[test]
fn quiet_shows_only_warnings_and_failures() {
    let written = Written::default();
    show_all(&mut Plain::only_failures(written.clone(), false), &story());
    insta::assert_snapshot!(written.text(), @r#"
    warning: debian:bookworm is not locked
    [ml 1/5] failed: pip requirements.txt
    [ml] failed: step `pip requirements.txt` failed
    [lab] blocked because ml failed
    "#);
}

#[test]
fn colors_are_all_that_color_adds() {
    let colored = plain(true, true);
    let red = Paint { color: true }.text(Ink::Bad, "[ml 1/5] failed");
    assert!(colored.contains(&format!("{red}\n")));
    let stripped = anstream::adapter::strip_str(&colored).to_string();
    assert_eq!(stripped, plain(true, false));
}

#[test]
fn plain_lines_of_verdicts() {
    let written = Written::default();
    let mut view = Plain::new(written.clone(), false, false);
    show_all(&mut view, &verdicts());
    insta::assert_snapshot!(written.text(), @r"
    [ml] test common: 12 passed in 1.5 s
    [ml] test common: 1 of 12 failed in 1.5 s
    [ml] checks: no findings in 0.2 s
    [ml] checks: 2 findings in 0.2 s
    ");
}

#[test]
fn quiet_shows_only_verdicts_that_failed() {
    let written = Written::default();
    let mut view = Plain::only_failures(written.clone(), false);
    show_all(&mut view, &verdicts());
    insta::assert_snapshot!(written.text(), @r"
    [ml] test common: 1 of 12 failed in 1.5 s
    [ml] checks: 2 findings in 0.2 s
    ");
}

#[test]
fn a_note_has_a_level_and_a_title_one_line() {
    let written = Written::default();
    let mut view = Plain::new(written.clone(), false, false);
    let text = "no locks\n  | more".to_owned();
    view.show(&Event::Note { text }, Instant::now());
    let title = "RUN a &&     b";
    view.show(&started("ml", title, 1, 2), Instant::now());
    view.show(&done("ml", title, false, 0), Instant::now());
    view.show(&done("ml", "RUN c   d", true, 0), Instant::now());
    assert_eq!(
        written.text(),
        "note: no locks\n  | more\n[ml 1/2] RUN a && b\n[ml 1/2] done in 0.0 s\n[ml] RUN c d: cached\n"
    );
}

#[test]
fn an_export_prints_its_start_and_its_end() {
    let written = Written::default();
    let mut view = Plain::new(written.clone(), false, false);
    for done in [false, true] {
        let text = "pushing".to_owned();
        view.show(&Event::Exporting { text, done }, Instant::now());
    }
    assert_eq!(written.text(), "pushing\npushing: done\n");
}

#[test]
fn a_step_reported_twice_is_printed_once() {
    let written = Written::default();
    let mut view = Plain::new(written.clone(), false, false);
    for _ in 0..2 {
        view.show(&started("ml", "apt git", 1, 2), Instant::now());
    }
    assert_eq!(written.text(), "[ml 1/2] apt git\n");
}

#[test]
fn an_image_without_tags_is_printed_with_its_digest() {
    let written = Written::default();
    let mut view = Plain::new(written.clone(), false, false);
    let event = Event::Published {
        image: "ml".to_owned(),
        repository: "host/ml".to_owned(),
        tags: Vec::new(),
        digest: Digest::of(b"ml"),
    };
    view.show(&event, Instant::now());
    let digest = Digest::of(b"ml");
    let expected = format!("[ml] host/ml: no tag ({})\n", &digest.hex()[..12]);
    assert_eq!(written.text(), expected);
}
