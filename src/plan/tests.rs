use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::name::{Digest, ImageName, Reference, Repository, StackName, Tag};
use crate::source::{Sources, Span, Spanned};
use crate::stack::{
    Base, Build, Config, File, Files, Image, ImageId, Kind, OutsideBase, Pip, PipTool, Stack, Step,
    TagPart, TagTemplate, Variant,
};

fn span() -> Span {
    let mut sources = Sources::default();
    Span {
        source: sources.add("specs.yml", ""),
        start: 0,
        end: 0,
    }
}

fn step(title: &str, kind: Kind) -> Step {
    Step {
        span: span(),
        title: title.to_owned(),
        kind,
        user: None,
        cwd: None,
        env: BTreeMap::new(),
        shell: None,
        secrets: Vec::new(),
        network: None,
        finish: Vec::new(),
        vars: BTreeSet::new(),
    }
}

fn pip(path: &str) -> Step {
    step(
        &format!("pip {path}"),
        Kind::Pip(Pip {
            requirements: vec![path.into()],
            includes: Vec::new(),
            packages: Vec::new(),
            tool: PipTool::Uv,
            index: None,
            extra_index: Vec::new(),
            upgrade: false,
        }),
    )
}

pub fn image(name: &str, base: Base, steps: Vec<Step>) -> Image {
    Image {
        name: Spanned::new(ImageName::parse(name).expect("a name"), span()),
        variant: 0,
        base,
        repository: Some(Repository::parse(&format!("localhost/x/{name}")).expect("a repository")),
        vars: BTreeMap::new(),
        env: BTreeMap::new(),
        user: None,
        shell: None,
        steps,
        config: Config::default(),
        writable: None,
        tags: vec![TagTemplate {
            parts: vec![TagPart::Text("2021.2-".to_owned()), TagPart::Commit7],
            span: span(),
        }],
        refresh: None,
        proof: Default::default(),
    }
}

fn reference() -> Reference {
    Reference::parse("debian:bookworm").expect("a reference")
}

pub fn external_base() -> Base {
    Base::Outside(OutsideBase {
        reference: Spanned::new(reference(), span()),
        vars: BTreeSet::new(),
    })
}

/// base → sci → ml, and base → r.
pub fn stack() -> Stack {
    let path = "images/sci/requirements.txt";
    let mut files = Files::default();
    files.0.insert(path.into(), text("numpy==1\n"));
    Stack {
        name: StackName::parse("datahub").expect("a name"),
        registry: None,
        staging: None,
        build: Build::default(),
        variants: vec![Variant {
            name: None,
            series: None,
        }],
        images: vec![
            image(
                "base",
                external_base(),
                vec![step("run true", Kind::Run("true".to_owned()))],
            ),
            image("sci", Base::Image(ImageId(0)), vec![pip(path)]),
            image("ml", Base::Image(ImageId(1)), Vec::new()),
            image("r", Base::Image(ImageId(0)), Vec::new()),
        ],
        files,
        channels: Vec::new(),
        refs: Default::default(),
        sources: Arc::new(Sources::default()),
        warnings: Vec::new(),
    }
}

fn text(text: &str) -> File {
    File::Regular {
        content: text.as_bytes().into(),
        executable: false,
    }
}

fn key_facts() -> KeyFacts {
    KeyFacts {
        platform: "linux/amd64".to_owned(),
        bases: BTreeMap::from([(reference(), Digest::of(b"debian"))]),
        ..KeyFacts::default()
    }
}

fn all_keys(stack: &Stack) -> Keys {
    Keys::new(stack, &key_facts())
}

fn keyed(stack: &Stack, index: usize) -> Keyed {
    let keys = all_keys(stack);
    keys.get(ImageId(index))
        .cloned()
        .expect("every base is known")
}

/// The facts after everything in `stack` was built.
fn built(stack: &Stack) -> Facts {
    let mut facts = Facts {
        commit: Some(Commit {
            hash: "d021570000000000000000000000000000000000".to_owned(),
            time: 0,
            dirty: false,
        }),
        ..Facts::default()
    };
    for (image, index) in stack.images.iter().zip(0..) {
        let keyed = keyed(stack, index);
        let digest = Digest::of(image.name.as_str().as_bytes());
        facts.stored.insert(keyed.key.clone(), digest.clone());
        facts.records.insert(
            label(stack, image),
            Record {
                key: keyed.key,
                digest,
                components: keyed.components,
            },
        );
    }
    facts
}

fn show(stack: &Stack, facts: &Facts, request: &Request) -> String {
    let plan = Plan::new(stack, &all_keys(stack), facts, request).expect("a tag is free");
    let lines: Vec<String> = plan
        .images
        .iter()
        .map(|image| match &image.action {
            Action::Build { reasons } => {
                let reasons: Vec<String> = reasons
                    .iter()
                    .map(|r| format!("{:?} {}: {}", r.kind, r.what, r.text))
                    .collect();
                format!("{} build: {}", image.label, reasons.join("; "))
            }
            Action::Reuse { .. } => format!("{} reuse", image.label),
            Action::Hold { because } => format!("{} hold: {because}", image.label),
        })
        .collect();
    lines.join("\n")
}

#[test]
fn what_is_stored_is_reused() {
    let stack = stack();
    assert_eq!(
        show(&stack, &built(&stack), &Request::default()),
        "base reuse\nsci reuse\nml reuse\nr reuse"
    );
}

#[test]
fn a_changed_file_is_the_reason_and_the_parent_that_of_its_children() {
    let mut stack = stack();
    let facts = built(&stack);
    let path = "images/sci/requirements.txt";
    stack.files.0.insert(path.into(), text("numpy==2\n"));
    assert_eq!(
        show(&stack, &facts, &Request::default()),
        "base reuse\n\
         sci build: File images/sci/requirements.txt: images/sci/requirements.txt changed\n\
         ml build: Parent sci: its base sci is rebuilt\n\
         r reuse"
    );
}

#[test]
fn a_variable_is_the_reason_instead_of_what_was_made_from_it() {
    let mut stack = stack();
    let facts = |stack: &mut Stack, value: &str| {
        let image = &mut stack.images[3];
        image.vars.insert("r".to_owned(), value.to_owned());
        let mut step = step("run install r", Kind::Run(format!("install {value}")));
        step.vars.insert("r".to_owned());
        image.steps = vec![step];
        built(stack)
    };
    let before = facts(&mut stack, "4.1");
    facts(&mut stack, "4.2");
    assert_eq!(
        show(&stack, &before, &Request::default()),
        "base reuse\nsci reuse\nml reuse\n\
         r build: Var r: variable r changed from `4.1` to `4.2`"
    );
}

#[test]
fn order_missing_and_new_are_different_reasons() {
    let mut stack = stack();
    let two = |texts: [&str; 2]| {
        texts
            .map(|t| step(t, Kind::Run(t.to_owned())))
            .into_iter()
            .collect::<Vec<_>>()
    };
    stack.images[3].steps = two(["a", "b"]);
    let mut facts = built(&stack);
    stack.images[3].steps = two(["b", "a"]);
    let ml = keyed(&stack, 2).key;
    facts.stored.remove(&ml);
    facts.records.remove("sci");
    let sci = keyed(&stack, 1).key;
    facts.stored.remove(&sci);
    let shown = show(&stack, &facts, &Request::default());
    let ml_digest = Digest::of(b"ml");
    assert_eq!(
        shown,
        format!(
            "base reuse\n\
             sci build: New sci: never built for this registry\n\
             ml build: Missing {ml_digest}: staging no longer has it\n\
             r build: Step steps: the steps are in a different order"
        )
    );
}

#[test]
fn selecting_an_image_brings_the_parents_that_are_missing() {
    let stack = stack();
    let mut facts = built(&stack);
    facts.stored.clear();
    facts.records.clear();
    let request = Request {
        selected: Some(BTreeSet::from([ImageId(1)])),
        no_reuse: false,
        ..Request::default()
    };
    let new = "never built for this registry";
    assert_eq!(
        show(&stack, &facts, &request),
        format!(
            "base build: New base: {new}\n\
             sci build: New sci: {new}\n\
             ml hold: not selected\n\
             r hold: not selected"
        )
    );
}

#[test]
fn an_unknown_external_base_holds_its_descendants() {
    let stack = stack();
    let keys = Keys::new(&stack, &KeyFacts::default());
    let plan = Plan::new(&stack, &keys, &Facts::default(), &Request::default());
    let plan = plan.expect("a tag is free");
    assert!(!plan.builds());
    assert!(
        plan.images
            .iter()
            .all(|image| matches!(image.action, Action::Hold { .. }))
    );
}

/// The plan for what is built already, with `tags` in the registry.
fn tagged(stack: &Stack, tags: &[(&str, &str, Option<&[u8]>)]) -> Result<Plan, NoFreeTag> {
    let mut facts = built(stack);
    for (image, tag, content) in tags {
        let repository = Repository::parse(&format!("localhost/x/{image}")).expect("a repository");
        let tag = Tag::parse(tag).expect("a tag");
        facts
            .tags
            .insert((repository, tag), content.map(Digest::of));
    }
    Plan::new(stack, &all_keys(stack), &facts, &Request::default())
}

fn first_tags(plan: &Plan) -> Vec<&str> {
    plan.images.iter().map(|i| i.tags[0].as_str()).collect()
}

#[test]
fn immutable_tags_have_no_suffix_while_they_are_free() {
    let plan = tagged(&stack(), &[("base", "2021.2-d021570", None)]).expect("a free tag");
    assert_eq!(plan.attempt, 1);
    assert_eq!(first_tags(&plan), ["2021.2-d021570"; 4]);
}

#[test]
fn an_immutable_tag_that_points_at_the_image_is_free() {
    let tags = [("base", "2021.2-d021570", Some(b"base".as_slice()))];
    assert_eq!(tagged(&stack(), &tags).expect("a free tag").attempt, 1);
}

#[test]
fn an_immutable_tag_on_another_image_gives_the_whole_release_the_next_suffix() {
    let tags = [("base", "2021.2-d021570", Some(b"other".as_slice()))];
    let plan = tagged(&stack(), &tags).expect("a free tag");
    assert_eq!(first_tags(&plan), ["2021.2-d021570.2"; 4]);
}

#[test]
fn one_suffix_after_the_other_is_tried() {
    let tags = [
        ("base", "2021.2-d021570", Some(b"other".as_slice())),
        ("ml", "2021.2-d021570.2", Some(b"other".as_slice())),
    ];
    assert_eq!(tagged(&stack(), &tags).expect("a free tag").attempt, 3);
}

#[test]
fn a_key_does_not_know_a_steps_name_but_knows_a_cleared_command() {
    let mut stack = stack();
    let key = |stack: &Stack| keyed(stack, 3).key;
    let before = key(&stack);
    stack.images[3].config.cmd = Some(Vec::new());
    assert_ne!(key(&stack), before);
    stack.images[3].config.cmd = None;
    assert_eq!(key(&stack), before);
    stack.images[0].steps[0].title = "the user".to_owned();
    assert_eq!(key(&stack), before);
    stack.images[0].steps[0].kind = Kind::Run("false".to_owned());
    assert_ne!(key(&stack), before);
}

/// The images a plan builds, with the kinds of their reasons: `sci File, ml Parent`.
fn builds(plan: &Plan) -> String {
    let images = plan.images.iter().filter_map(|image| match &image.action {
        Action::Build { reasons } => {
            let kinds = reasons.iter().map(|reason| format!(" {:?}", reason.kind));
            Some(format!("{}{}", image.label, kinds.collect::<String>()))
        }
        Action::Reuse { .. } | Action::Hold { .. } => None,
    });
    images.collect::<Vec<_>>().join(", ")
}

fn planned(stack: &Stack, keys: &KeyFacts, facts: &Facts, request: &Request) -> Plan {
    let keys = Keys::new(stack, keys);
    Plan::new(stack, &keys, facts, request).expect("a tag is free")
}

/// What is rebuilt when the stack changes after everything was built.
fn after(change: impl FnOnce(&mut Stack)) -> String {
    let mut stack = stack();
    let facts = built(&stack);
    change(&mut stack);
    builds(&planned(&stack, &key_facts(), &facts, &Request::default()))
}

/// What is rebuilt when the facts change after everything was built.
fn with_facts(change: impl FnOnce(&Stack, &mut KeyFacts, &mut Facts)) -> String {
    let stack = stack();
    let (mut keys, mut facts) = (key_facts(), built(&stack));
    change(&stack, &mut keys, &mut facts);
    builds(&planned(&stack, &keys, &facts, &Request::default()))
}

/// What a request builds of a stack whose images are all built.
fn requested(request: Request) -> String {
    let stack = stack();
    builds(&planned(&stack, &key_facts(), &built(&stack), &request))
}

const REBUILT: &str = "sci Parent, ml Parent, r Parent";

fn run_step(text: &str) -> Step {
    step(text, Kind::Run(text.to_owned()))
}

#[test]
fn nothing_is_rebuilt_when_nothing_changed() {
    assert_eq!(after(|_| {}), "");
}

#[test]
fn a_changed_step_rebuilds_its_image_and_the_descendants() {
    let changed = after(|stack| stack.images[0].steps = vec![run_step("false")]);
    assert_eq!(changed, format!("base Step Step, {REBUILT}"));
}

#[test]
fn the_text_of_a_step_counts_not_its_title() {
    let renamed = after(|stack| stack.images[0].steps[0].title = "the user".to_owned());
    assert_eq!(renamed, "");
}

#[test]
fn a_new_step_rebuilds_its_image() {
    assert_eq!(
        after(|stack| stack.images[3].steps.push(run_step("true"))),
        "r Step"
    );
}

#[test]
fn a_removed_step_rebuilds_its_image() {
    assert_eq!(
        after(|stack| stack.images[1].steps.clear()),
        "sci File Step, ml Parent"
    );
}

#[test]
fn the_executable_bit_of_a_file_counts() {
    let changed = after(|stack| {
        let file = File::Regular {
            content: b"numpy==1\n".as_slice().into(),
            executable: true,
        };
        let path = "images/sci/requirements.txt";
        stack.files.0.insert(path.into(), file);
    });
    assert_eq!(changed, "sci File, ml Parent");
}

#[test]
fn a_file_that_no_step_uses_does_not_count() {
    let added = after(|stack| {
        stack
            .files
            .0
            .insert("images/sci/notes.txt".into(), text("x"));
    });
    assert_eq!(added, "");
}

#[test]
fn a_variable_that_nothing_uses_does_not_count() {
    let added = after(|stack| {
        let vars = &mut stack.images[3].vars;
        vars.insert("unused".to_owned(), "1".to_owned());
    });
    assert_eq!(added, "");
}

#[test]
fn a_changed_environment_rebuilds_the_image() {
    let changed = after(|stack| {
        stack.images[3].config.cmd = Some(vec!["bash".to_owned()]);
    });
    assert_eq!(changed, "r Config");
}

#[test]
fn a_changed_user_rebuilds_the_image() {
    assert_eq!(
        after(|stack| stack.images[2].user = Some("jovyan".to_owned())),
        "ml Config"
    );
}

#[test]
fn tags_do_not_count() {
    assert_eq!(after(|stack| stack.images[0].tags.clear()), "");
}

#[test]
fn repositories_do_not_count() {
    assert_eq!(after(|stack| stack.images[0].repository = None), "");
}

#[test]
fn another_parent_rebuilds_the_image() {
    let moved = after(|stack| stack.images[2].base = Base::Image(ImageId(0)));
    assert_eq!(moved, "ml Parent");
}

#[test]
fn the_name_of_the_stack_counts_for_every_image() {
    let renamed = after(|stack| stack.name = StackName::parse("other").expect("a name"));
    assert_eq!(
        renamed,
        "base Config, sci Parent Config, ml Parent Config, r Parent Config"
    );
}

#[test]
fn a_new_digest_of_the_external_base_rebuilds_everything() {
    let moved = with_facts(|_, keys, _| {
        keys.bases.insert(reference(), Digest::of(b"newer"));
    });
    assert_eq!(moved, format!("base Base, {REBUILT}"));
}

#[test]
fn a_digest_from_the_lock_is_a_reason_of_the_lock() {
    let moved = with_facts(|_, keys, facts| {
        keys.bases.insert(reference(), Digest::of(b"newer"));
        facts.locked = true;
    });
    assert_eq!(moved, format!("base Lock, {REBUILT}"));
}

#[test]
fn another_platform_rebuilds_everything() {
    let moved = with_facts(|_, keys, _| keys.platform = "linux/arm64".to_owned());
    assert_eq!(
        moved,
        "base Config, sci Parent Config, ml Parent Config, r Parent Config"
    );
}

#[test]
fn the_commit_does_not_count() {
    assert_eq!(with_facts(|_, _, facts| facts.commit = None), "");
}

#[test]
fn an_image_that_staging_lost_is_rebuilt() {
    let lost = with_facts(|stack, _, facts| {
        facts.stored.remove(&keyed(stack, 3).key);
    });
    assert_eq!(lost, "r Missing");
}

#[test]
fn an_image_that_staging_has_is_reused_although_its_record_is_lost() {
    assert_eq!(with_facts(|_, _, facts| facts.records.clear()), "");
}

#[test]
fn an_image_that_was_never_built_is_new() {
    let new = with_facts(|stack, _, facts| {
        facts.stored.remove(&keyed(stack, 3).key);
        facts.records.remove("r");
    });
    assert_eq!(new, "r New");
}

#[test]
fn a_lost_parent_is_not_rebuilt_for_a_child_that_is_there() {
    let lost = with_facts(|stack, _, facts| {
        facts.stored.remove(&keyed(stack, 0).key);
    });
    assert_eq!(lost, "base Missing");
}

#[test]
fn a_lost_parent_is_not_rebuilt_if_only_its_child_is_selected() {
    let stack = stack();
    let mut facts = built(&stack);
    facts.stored.remove(&keyed(&stack, 0).key);
    let request = Request {
        selected: Some(BTreeSet::from([ImageId(1)])),
        ..Request::default()
    };
    assert_eq!(builds(&planned(&stack, &key_facts(), &facts, &request)), "");
}

#[test]
fn no_reuse_rebuilds_everything() {
    let request = Request {
        no_reuse: true,
        ..Request::default()
    };
    assert_eq!(requested(request), "base Flag, sci Flag, ml Flag, r Flag");
}

#[test]
fn no_reuse_rebuilds_only_selected_images() {
    let request = Request {
        no_reuse: true,
        selected: Some(BTreeSet::from([ImageId(3)])),
        ..Request::default()
    };
    assert_eq!(requested(request), "r Flag");
}

/// What is rebuilt, and with `!` what ignores BuildKit's cache, when `base` has `refresh: daily`, was built
/// on the first day, and `change` happens.
fn refreshed(change: impl FnOnce(&mut KeyFacts, &mut Request)) -> String {
    let mut stack = stack();
    stack.images[0].refresh = Some(crate::stack::Refresh::Daily);
    let mut keys = key_facts();
    keys.periods.day = "2026-11-26".to_owned();
    let mut facts = Facts::default();
    let all = Keys::new(&stack, &keys);
    for (image, index) in stack.images.iter().zip(0..) {
        let Keyed { key, components } = all.get(ImageId(index)).cloned().expect("a known base");
        let digest = Digest::of(image.name.as_str().as_bytes());
        facts.stored.insert(key.clone(), digest.clone());
        let record = Record {
            key,
            digest,
            components,
        };
        facts.records.insert(label(&stack, image), record);
    }
    let mut request = Request::default();
    change(&mut keys, &mut request);
    let plan = planned(&stack, &keys, &facts, &request);
    let ignoring = plan.images.iter().filter(|image| image.ignore_cache);
    let ignoring: Vec<&str> = ignoring.map(|image| image.label.as_str()).collect();
    format!(
        "{}; ignoring the cache: {}",
        builds(&plan),
        ignoring.join(" ")
    )
}

#[test]
fn within_its_period_a_refreshed_image_is_reused() {
    assert_eq!(refreshed(|_, _| {}), "; ignoring the cache: ");
}

#[test]
fn a_new_period_rebuilds_without_the_cache() {
    let next = refreshed(|keys, _| keys.periods.day = "2026-11-27".to_owned());
    assert_eq!(
        next,
        format!("base Flag, {REBUILT}; ignoring the cache: base")
    );
}

#[test]
fn a_new_period_of_another_length_does_not_count() {
    let next = refreshed(|keys, _| keys.periods.month = "2026-12".to_owned());
    assert_eq!(next, "; ignoring the cache: ");
}

#[test]
fn refresh_rebuilds_a_selected_image_without_the_cache() {
    let selected = refreshed(|keys, request| {
        keys.refreshed.insert("r".to_owned(), "now".to_owned());
        request.refresh.insert(ImageId(3));
    });
    assert_eq!(selected, "r Flag; ignoring the cache: r");
}

#[test]
fn an_earlier_refresh_stays_part_of_the_key() {
    let before = refreshed(|keys, _| {
        keys.refreshed.insert("r".to_owned(), "before".to_owned());
    });
    assert_eq!(before, "r Flag; ignoring the cache: r");
}

#[test]
fn tags_of_images_that_are_built_or_reused_are_looked_up() {
    let stack = stack();
    let look_up = |facts: &Facts, request: &Request| {
        tags_to_look_up(&stack, &all_keys(&stack), facts, request).len()
    };
    let mut facts = built(&stack);
    assert_eq!(look_up(&facts, &Request::default()), 4);
    facts.stored.remove(&keyed(&stack, 3).key);
    let request = Request {
        selected: Some(BTreeSet::from([ImageId(0)])),
        ..Request::default()
    };
    assert_eq!(look_up(&facts, &request), 3, "r is held");
    facts.commit = None;
    assert_eq!(look_up(&facts, &Request::default()), 0, "there are no tags");
}

#[test]
fn the_next_suffix_is_looked_up_only_if_a_tag_is_in_use() {
    let stack = stack();
    let keys = all_keys(&stack);
    let mut facts = built(&stack);
    let request = Request::default();
    let first = tags_to_look_up(&stack, &keys, &facts, &request);
    facts
        .tags
        .extend(first.iter().cloned().map(|place| (place, None)));
    assert!(tags_to_look_up(&stack, &keys, &facts, &request).is_empty());
    let place = first.first().cloned().expect("there are four");
    facts.tags.insert(place, Some(Digest::of(b"other")));
    let second = tags_to_look_up(&stack, &keys, &facts, &request);
    let second: BTreeSet<&str> = second.iter().map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(second, BTreeSet::from(["2021.2-d021570.2"]));
}

#[test]
fn when_every_suffix_is_in_use_the_plan_fails() {
    let stack = stack();
    let keys = all_keys(&stack);
    let mut facts = built(&stack);
    let request = Request::default();
    loop {
        let tags = tags_to_look_up(&stack, &keys, &facts, &request);
        if tags.is_empty() {
            break;
        }
        let other = Some(Digest::of(b"other"));
        facts
            .tags
            .extend(tags.into_iter().map(|place| (place, other.clone())));
    }
    let error = Plan::new(&stack, &keys, &facts, &request).expect_err("no tag is free");
    assert_eq!(error.tag, "2021.2-d021570");
}
