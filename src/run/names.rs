//! Names of users and groups that no program of the image looks up.
//!
//! The engine places files of an unknown owner as root's, without an error
//! (solver/llbsolver/ops/user_linux.go of BuildKit 0.32.2), and a runtime fails only when the image is
//! started. So [`check`] looks names up as the engine does, in the `/etc/passwd` and `/etc/group` of the
//! file system they are used in.

use super::context::Context;
use super::outcome::{ImageError, StopReason};
use crate::buildkit::{self, Ref};
use crate::compile::Compiled;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::stack::{EnvString, Image, ImageId, Kind, Step};

/// The most bytes of `/etc/passwd` and `/etc/group` that are read, as in the engine.
const MOST: u64 = 10 << 20;

/// A name and where it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    database: Database,
    text: String,
    /// The number of steps that are done when it is looked up.
    steps: usize,
    span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    User,
    Group,
}

/// What the file of a database has of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A line with its numbers.
    Valid,
    /// A line without numbers where they should be: the engine and runtimes take 0, root's.
    Invalid,
    /// No line.
    Missing,
}

impl Database {
    fn path(self) -> &'static str {
        match self {
            Self::User => "/etc/passwd",
            Self::Group => "/etc/group",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }
}

/// Fails if an image that was built uses the name of a user or group it does not have.
pub async fn check(
    context: &Context<'_>,
    id: ImageId,
    compiled: &Compiled,
    result: &Ref,
) -> Result<(), StopReason> {
    let image = context.image(id);
    let mut state: Option<(usize, Ref)> = None;
    for name in names(image) {
        let at = if name.steps == image.steps.len() {
            result.clone()
        } else if let Some((_, known)) = state.as_ref().filter(|(steps, _)| *steps == name.steps) {
            known.clone()
        } else {
            let before = compiled.states[name.steps];
            let made = context.solve(before).await.map_err(StopReason::Run)?;
            state.insert((name.steps, made)).1.clone()
        };
        let problem = match look_up(context, &at, &name)
            .await
            .map_err(StopReason::Run)?
        {
            Entry::Valid => continue,
            Entry::Invalid => invalid(&name),
            Entry::Missing => problem(&name, image),
        };
        return Err(ImageError::Spec(Box::new(problem)).into());
    }
    // A user of a step that is missing by now was there, or the step had not started.
    for name in users_of_steps(image) {
        let entry = look_up(context, result, &name).await;
        if entry.map_err(StopReason::Run)? == Entry::Invalid {
            return Err(ImageError::Spec(Box::new(invalid(&name))).into());
        }
    }
    Ok(())
}

/// Returns the names of all users and groups that steps run as, once each.
fn users_of_steps(image: &Image) -> Vec<Name> {
    let mut list: Vec<Name> = Vec::new();
    for step in &image.steps {
        for user in users_of(step, image) {
            let mut names = Vec::new();
            add(user, image.steps.len(), step.span, &mut names);
            let is_new = |name: &Name| {
                let same = |it: &Name| (it.database, &it.text) == (name.database, &name.text);
                !list.iter().any(same)
            };
            names.retain(is_new);
            list.extend(names);
        }
    }
    list
}

/// Fails if a step that did not start runs as a user or group that its image does not have.
pub async fn check_step(
    context: &Context<'_>,
    id: ImageId,
    compiled: &Compiled,
    index: usize,
) -> Result<(), StopReason> {
    let image = context.image(id);
    let mut users = Vec::new();
    for user in users_of(&image.steps[index], image) {
        add(user, index, image.steps[index].span, &mut users);
    }
    if users.is_empty() {
        return Ok(());
    }
    let state = context.solve(compiled.states[index]).await;
    let state = state.map_err(StopReason::Run)?;
    for name in users {
        let entry = look_up(context, &state, &name).await;
        if entry.map_err(StopReason::Run)? == Entry::Missing {
            let problem = user_problem(&name, image, &image.steps[index]);
            return Err(ImageError::Spec(Box::new(problem)).into());
        }
    }
    Ok(())
}

/// Returns the users that a step may run as; which of them it is depends on its kind.
fn users_of<'a>(step: &'a Step, image: &'a Image) -> Vec<&'a str> {
    if let Some(user) = &step.user {
        return vec![user.as_str()];
    }
    let user = image.user.as_ref().and_then(EnvString::plain);
    let mut users: Vec<&str> = user.into_iter().collect();
    if let Kind::Group(members) = &step.kind {
        users.extend(members.iter().filter_map(|member| member.user.as_deref()));
    }
    users
}

fn user_problem(name: &Name, image: &Image, step: &Step) -> Diagnostic {
    let Name { database, text, .. } = name;
    let what = database.what();
    let user = image.user.as_ref().and_then(EnvString::plain);
    let by_image = user.is_some_and(|user| user.contains(text));
    let key = match (&step.user, by_image) {
        (None, true) => "`user:` of the image",
        _ => "`as:`",
    };
    Diagnostic::error(format!("unknown {what} `{text}`"))
        .at(
            step.span,
            format!("runs as `{text}` by {key}, but the image has no such {what} yet"),
        )
        .help(format!(
            "create the {what} in an earlier step with `as: root`, or set `as: root` for this step"
        ))
}

async fn look_up(context: &Context<'_>, at: &Ref, name: &Name) -> Result<Entry, buildkit::Error> {
    let file = name.database.path();
    let found = context.gateway.read_end(at, file, MOST).await?;
    let found = found.unwrap_or_default();
    let numbers = match name.database {
        Database::User => 2,
        Database::Group => 1,
    };
    Ok(entry(&name.text, &String::from_utf8_lossy(&found), numbers))
}

/// Returns what a file of the form of `/etc/passwd` has of a name. Its first line counts, as for the engine and
/// runtimes (moby/sys/user, `ParsePasswdFilter`). `numbers`: how many fields after the second are numbers.
pub(super) fn entry(name: &str, file: &str, numbers: usize) -> Entry {
    let mut lines = file.lines();
    let Some(line) = lines.find(|line| line.split(':').next().map(str::trim) == Some(name)) else {
        return Entry::Missing;
    };
    let fields = line.split(':').skip(2).take(numbers);
    let valid = fields.filter(|field| field.trim().parse::<u32>().is_ok());
    if valid.count() == numbers {
        Entry::Valid
    } else {
        Entry::Invalid
    }
}

fn invalid(name: &Name) -> Diagnostic {
    let Name { database, text, .. } = name;
    let (what, path) = (database.what(), database.path());
    Diagnostic::error(format!("invalid entry of {what} `{text}` in {path}"))
        .at(
            name.span,
            format!("the line of this {what} lacks a valid number"),
        )
        .help("correct the line in an earlier step with `as: root`, or use a number")
}

fn problem(name: &Name, image: &Image) -> Diagnostic {
    let Name { database, text, .. } = name;
    let what = database.what();
    let before = if name.steps == image.steps.len() {
        "the finished image"
    } else {
        "the image before this step"
    };
    Diagnostic::error(format!("unknown {what} `{text}`"))
        .at(name.span, format!("not in {} of {before}", database.path()))
        .help(format!(
            "create the {what} in an earlier step, or use a number"
        ))
}

/// Returns the names that are to be looked up, in the order of the steps. A name that a program looks up,
/// which fails then, is left out.
fn names(image: &Image) -> Vec<Name> {
    let mut list = Vec::new();
    for (index, step) in image.steps.iter().enumerate() {
        for (owner, span) in owners(step) {
            add(owner, index, span, &mut list);
        }
    }
    let user = image.config.user.as_ref().or(image.user.as_ref());
    // One of the environment is mostly a user of the base.
    if let Some(user) = user
        && let Some(name) = user.plain()
    {
        add(name, image.steps.len(), user.span, &mut list);
    }
    list
}

/// Returns the owners of files that a step places.
fn owners(step: &Step) -> Vec<(&str, Span)> {
    let own: Vec<(Option<&String>, Span)> = match &step.kind {
        Kind::Copy(list) => list.iter().map(|to| (to.owner.as_ref(), to.span)).collect(),
        Kind::Write(list) => list.iter().map(|to| (to.owner.as_ref(), to.span)).collect(),
        Kind::Link(list) => list.iter().map(|to| (None, to.span)).collect(),
        _ => Vec::new(),
    };
    let all = own.into_iter();
    all.filter_map(|(owner, span)| {
        let owner = owner.or(step.user.as_ref())?;
        Some((owner.as_str(), span))
    })
    .collect()
}

/// Adds the names in `USER`, `USER:GROUP` or `:GROUP`.
fn add(owner: &str, steps: usize, span: Span, list: &mut Vec<Name>) {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    for (database, text) in [(Database::User, user), (Database::Group, group)] {
        let is_number = text.parse::<u32>().is_ok();
        // The engine and runtimes know root without a file.
        if text.is_empty() || is_number || text == "root" {
            continue;
        }
        let text = text.to_owned();
        list.push(Name {
            database,
            text,
            steps,
            span,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(keys: &str) -> Vec<(usize, String)> {
        let keys = keys.replace('\n', "\n    ");
        let spec = format!("stack: t\nimages:\n  a:\n    base: debian:12\n    {keys}\n");
        let stack = crate::testing::stack(&spec);
        let list = names(&stack.images()[0]).into_iter();
        list.map(|name| {
            (
                name.steps,
                format!("{} {}", name.database.what(), name.text),
            )
        })
        .collect()
    }

    #[test]
    fn names_of_owners_are_looked_up_before_their_step() {
        let steps = "steps:\n  - run: a\n  - write: { /x: { text: x, owner: \"j:users\" }, /y: { text: y, owner: \"1:2\" } }";
        let expected = [(1, "user j".to_owned()), (1, "group users".to_owned())];
        assert_eq!(found(steps), expected);
    }

    #[test]
    fn the_user_of_a_step_owns_its_files() {
        let steps = "steps: [{ write: { /x: x }, as: j }, { run: x, as: j }]";
        assert_eq!(found(steps), [(0, "user j".to_owned())]);
    }

    #[test]
    fn links_and_the_working_folder_have_an_owner_as_well() {
        let steps = "steps: [{ link: { /x: /y }, as: j }]\nconfig: { workdir: /w, user: app }";
        let expected = [(0, "user j"), (2, "user app")];
        assert_eq!(
            found(steps),
            expected.map(|(steps, name)| (steps, name.to_owned()))
        );
    }

    #[test]
    fn the_user_of_the_image_is_looked_up_in_the_finished_image() {
        assert_eq!(
            found("user: app\nsteps: [{ run: x }]"),
            [(1, "user app".to_owned())]
        );
        let own = "user: app\nconfig: { user: \"1000:staff\" }";
        assert_eq!(found(own), [(0, "group staff".to_owned())]);
        assert_eq!(found("user: root"), []);
    }

    #[test]
    fn the_key_that_makes_a_step_run_as_a_user_is_named() {
        let problem = |step: &str| {
            let spec = format!(
                "stack: t\nimages:\n  a: {{ base: \"debian:12\", user: app, steps: [{step}] }}\n"
            );
            let stack = crate::testing::stack(&spec);
            let image = &stack.images()[0];
            let step = &image.steps[0];
            let mut names = Vec::new();
            for user in users_of(step, image) {
                add(user, 0, step.span, &mut names);
            }
            let problem = user_problem(&names[0], image, step);
            problem.primary.expect("it has a place").text
        };
        assert_eq!(
            problem("{ run: a }"),
            "runs as `app` by `user:` of the image, but the image has no such user yet"
        );
        assert_eq!(
            problem("{ run: a, as: \"other:1\" }"),
            "runs as `other` by `as:`, but the image has no such user yet"
        );
    }

    #[test]
    fn a_name_is_the_first_field_of_a_line() {
        let file = "root:x:0:0:root:/root:/bin/sh\njovyan:x:1000:100:::\n";
        assert_eq!(entry("jovyan", file, 2), Entry::Valid);
        assert_eq!(entry("x", file, 2), Entry::Missing);
        assert_eq!(entry("jov", file, 2), Entry::Missing);
    }

    #[test]
    fn a_line_without_its_numbers_is_not_root() {
        let users =
            "\nodd\na:x:one:100::/:\nb:x:1001\nc:x:99999999999:5::/:\nd:x:-1:5::/:\ne:x:5:5";
        for name in ["odd", "a", "b", "c", "d"] {
            assert_eq!(entry(name, users, 2), Entry::Invalid, "{name}");
        }
        assert_eq!(entry("e", users, 2), Entry::Valid);
        assert_eq!(entry("odd", "odd\n", 1), Entry::Invalid);
        assert_eq!(entry("g", "g:x:7:", 1), Entry::Valid);
    }

    #[test]
    fn users_of_steps_are_looked_up_once() {
        let spec = "stack: t\nimages:\n  a: { base: \"debian:12\", user: app, steps: [{ run: a }, { run: b, as: \"other:1\" }, { run: c, as: app }] }\n";
        let stack = crate::testing::stack(spec);
        let users = users_of_steps(&stack.images()[0]);
        let users: Vec<&str> = users.iter().map(|name| name.text.as_str()).collect();
        assert_eq!(users, ["app", "other"]);
    }
}
