use super::*;

fn log(bytes: &[u8]) -> Update {
    Update::Log {
        vertex: "a".to_owned(),
        is_error: false,
        bytes: bytes.to_vec(),
    }
}

fn step(image: &str, title: &str, (number, of): (usize, usize)) -> Step {
    Step {
        image: image.to_owned(),
        title: title.to_owned(),
        number,
        of,
    }
}

#[test]
fn secrets_are_in_no_output_of_a_step() {
    let (events, received) = Events::channel();
    let tracker = Tracker::new(events, Mask::new([b"hunter22".as_slice()]));
    tracker.add("a".to_owned(), step("base", "run x", (1, 1)));
    tracker.update(vec![log(b"curl -H hun"), log(b"ter22\nlast: hunt")]);
    let ended = Vertex {
        digest: "a".to_owned(),
        completed: Some(Duration::from_secs(1)),
        error: "failed: hunter22".to_owned(),
        ..Vertex::default()
    };
    tracker.update(vec![Update::Vertex(ended)]);
    assert_eq!(tracker.tail("a"), ["curl -H [secret]", "last: hunt"]);
    let shown = format!("{:?}", received.try_iter().collect::<Vec<_>>());
    assert!(shown.contains("failed: [secret]"), "{shown}");
    let output: Vec<u8> = b"hunter22".to_vec();
    assert!(!shown.contains("hunter22") && !shown.contains(&format!("{output:?}")));
}

#[test]
fn an_image_is_announced_after_the_end_of_its_last_step() {
    let (events, received) = Events::channel();
    let tracker = Tracker::new(events, Mask::default());
    for number in 1..=2 {
        tracker.add(
            number.to_string(),
            step("base", &format!("run {number}"), (number, 2)),
        );
    }
    let ran = |digest: &str, end| {
        Update::Vertex(Vertex {
            digest: digest.to_owned(),
            started: Some(Duration::from_secs(1)),
            completed: end,
            ..Vertex::default()
        })
    };
    let done = || {
        let events = received.try_iter();
        let done = events.filter_map(|event| match event {
            Event::ImageDone { image, took } => Some((image, took)),
            _ => None,
        });
        done.collect::<Vec<_>>()
    };
    // The first step was in the cache and is not reported.
    tracker.update(vec![ran("2", None)]);
    tracker.built("base".to_owned());
    assert_eq!(done(), []);
    tracker.update(vec![ran("2", Some(Duration::from_secs(8)))]);
    assert_eq!(done(), [("base".to_owned(), Duration::from_secs(7))]);
    tracker.built("base".to_owned());
    tracker.built("without steps".to_owned());
    assert_eq!(done().len(), 2);

    tracker.add("3".to_owned(), step("child", "run 3", (1, 1)));
    tracker.built("child".to_owned());
    assert_eq!(done(), []);
    tracker.end();
    assert_eq!(done(), [("child".to_owned(), Duration::ZERO)]);
}

#[test]
fn impossible_times_are_the_longest_time() {
    let tracker = Tracker::new(Events::channel().0, Mask::default());
    tracker.add("a".to_owned(), step("base", "run x", (1, 1)));
    for start in 0..3 {
        tracker.update(vec![Update::Vertex(Vertex {
            digest: "a".to_owned(),
            started: Some(Duration::from_secs(start)),
            completed: Some(Duration::from_secs(i64::MAX.unsigned_abs())),
            ..Vertex::default()
        })]);
    }
    assert_eq!(tracker.took("base"), Duration::MAX);
    assert_eq!(tracker.ran("a"), Duration::MAX);
}

#[test]
fn the_member_that_failed_is_read_and_not_shown() {
    let bytes = b"no such file\n\x1b]laminate;12\x1b\\";
    assert_eq!(member_in(bytes), Some(12));
    assert_eq!(member_in(b"\x1b]laminate;x\x1b\\"), None);
    assert_eq!(member_in(b"laminate;1"), None);
    let mut tail = Tail::new(9);
    tail.push(Stream::Errors, bytes);
    assert_eq!(tail.lines(), ["no such file"]);
}
