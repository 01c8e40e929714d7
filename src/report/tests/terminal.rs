//! What a terminal shows.

use super::*;

/// The screen after the first `count` events of the story, `millis` after it began.
fn screen(count: usize, millis: u64, verbose: bool, ended: bool) -> String {
    let memory = InMemoryTerm::new(24, 80);
    let target = ProgressDrawTarget::term_like(Box::new(memory.clone()));
    let mut terminal = Terminal::new(target, verbose, false);
    let began = Instant::now();
    for event in &story()[..count] {
        terminal.show(event, began);
    }
    terminal.tick(began + Duration::from_millis(millis));
    if ended {
        terminal.end();
    }
    memory.contents()
}

#[test]
fn a_terminal_shows_the_image_being_built() {
    insta::assert_snapshot!(screen(15, 4_500, false, false), @r#"
    warning: debian:bookworm is not locked
    reused: r
    built   base  1m 04s, 1 of 2 steps cached
    building  1 of 3 images  4.5 s
      ml    1/5 pip requirements.txt  12 MB of 152 MB  4.5 s
    "#);
}

#[test]
fn a_terminal_shows_the_last_line_of_output_if_asked() {
    insta::assert_snapshot!(screen(15, 4_500, true, false), @r#"
    warning: debian:bookworm is not locked
    reused: r
    built   base  1m 04s, 1 of 2 steps cached
    building  1 of 3 images  4.5 s
      ml    1/5 pip requirements.txt  12 MB of 152 MB  4.5 s  | Collecting n
    "#);
}

#[test]
fn a_terminal_keeps_results() {
    insta::assert_snapshot!(screen(story().len(), 64_000, false, true), @r#"
    warning: debian:bookworm is not locked
    reused: r
    built   base  1m 04s, 1 of 2 steps cached
    failed  ml    1/5 pip requirements.txt: step `pip requirements.txt` failed
    blocked lab   because ml failed
    copied  base  3 blobs (39 B) to localhost/x/base through this machine: localhost
     refused
    tagged  base  localhost/x/base:2021.2-d021570 (0123456789ab)
    "#);
}

#[test]
fn a_terminal_shows_an_image_between_two_steps() {
    insta::assert_snapshot!(screen(6, 100, false, false), @r#"
    warning: debian:bookworm is not locked
    reused: r
    building  0 of 3 images  0.1 s
      base  waiting
    "#);
}

#[test]
fn a_terminal_looks_the_same_with_colors_and_cuts_lines_at_its_width() {
    let drawn = |color: bool| {
        let memory = InMemoryTerm::new(24, 30);
        let target = ProgressDrawTarget::term_like(Box::new(memory.clone()));
        let mut terminal = Terminal::new(target, true, color);
        let began = Instant::now();
        for event in &story()[2..15] {
            terminal.show(event, began);
        }
        terminal.tick(began);
        (
            memory.contents(),
            String::from_utf8_lossy(&memory.contents_formatted()).contains("\x1b[1m"),
        )
    };
    let (plain, plain_has_bold) = drawn(false);
    let (colored, colored_has_bold) = drawn(true);
    assert_eq!(plain, colored);
    assert_eq!((plain_has_bold, colored_has_bold), (false, true));
    insta::assert_snapshot!(plain, @r#"
    reused: r
    built   base  1m 04s, 1 of 2 s
    teps cached
    building  1 of 3 images  0.0 s
      ml    1/5 pip requirements.t
    "#);
}

#[test]
fn more_images_than_rows_leave_the_line_of_the_run_in_sight() {
    let memory = InMemoryTerm::new(5, 40);
    let target = ProgressDrawTarget::term_like(Box::new(memory.clone()));
    let mut terminal = Terminal::new(target, false, false);
    let began = Instant::now();
    for number in 0..9 {
        let image = format!("image-{number}");
        terminal.show(&Event::ImageStarted { image }, began);
    }
    terminal.tick(began);
    insta::assert_snapshot!(memory.contents(), @r#"
    building  0.0 s
      image-0  waiting
      image-1  waiting
      image-2  waiting
      image-3  waiting
    "#);
    terminal.end();
    assert_eq!(memory.contents(), "");
}

#[test]
fn auto_draws_only_for_people() {
    use Progress::*;
    assert_eq!(Auto.resolve(true, None), Tty);
    assert_eq!(Auto.resolve(true, Some("")), Tty);
    assert_eq!(Auto.resolve(true, Some("true")), Plain);
    assert_eq!(Auto.resolve(false, None), Plain);
    assert_eq!(Tty.resolve(false, Some("true")), Tty);
}

#[test]
fn a_terminal_shows_verdicts_as_passed_and_failed() {
    let memory = InMemoryTerm::new(24, 80);
    let target = ProgressDrawTarget::term_like(Box::new(memory.clone()));
    show_all(&mut Terminal::new(target, false, false), &verdicts());
    insta::assert_snapshot!(memory.contents(), @r"
    passed  ml  common: 12 passed, 1.5 s
    failed  ml  common: 1 of 12 failed, 1.5 s
    passed  ml  checks: no findings, 0.2 s
    failed  ml  checks: 2 findings, 0.2 s
    ");
}
