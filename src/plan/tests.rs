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

pub fn outside() -> Base {
    Base::Outside(OutsideBase {
        reference: Spanned::new(reference(), span()),
        vars: BTreeSet::new(),
    })
}

/// base → sci → ml, and r on base.
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
                outside(),
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
         ml build: Parent sci: its base sci is built anew\n\
         r reuse"
    );
}

#[test]
fn a_variable_is_named_instead_of_what_was_made_from_it() {
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
fn order_and_missing_and_new_are_told_apart() {
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
             sci build: New sci: it was never built for this registry\n\
             ml build: Missing {ml_digest}: staging no longer has it\n\
             r build: Step steps: the steps have another order"
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
    let new = "it was never built for this registry";
    assert_eq!(
        show(&stack, &facts, &request),
        format!(
            "base build: New base: {new}\n\
             sci build: New sci: {new}\n\
             ml hold: it was not asked for\n\
             r hold: it was not asked for"
        )
    );
}

#[test]
fn an_unknown_outside_base_holds_all_that_stands_on_it() {
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
