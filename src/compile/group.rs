//! A group: the commands of its members as one command, and so as one layer.

use super::command::{Arg, Command, MountNames, ROOT, user_of};
use super::defaults::StepDefaults;
use super::shell::{line, quote};
use super::steps;
use crate::diagnostic::Diagnostic;
use crate::stack::Step;

/// Returns one command that runs the commands of all members, each in a subshell.
pub fn merge(
    group: &Step,
    members: &[Step],
    defaults: &StepDefaults,
) -> Result<Command, Diagnostic> {
    let mut whole = Command {
        offline: true,
        ..Command::default()
    };
    let mut script = String::from("set -e\n");
    let mut user = group.user.as_deref().map(user_of);
    for (index, member) in members.iter().enumerate() {
        check_keys(member)?;
        let command =
            steps::command(member, defaults.shell(member)).expect("groups are not nested");
        let runs_as = defaults.user(member, &command);
        match &user {
            None => user = Some(runs_as),
            Some(user) if *user == runs_as || group.user.is_some() => {}
            Some(user) => return Err(different_users(member, &runs_as, user)),
        }
        let names = MountNames {
            text_prefix: format!("{index}-"),
            first_image: whole.images.len(),
        };
        script.push_str(&subshell(group, member, &command, defaults, &names));
        add_inputs(&mut whole, command, &names);
    }
    whole.root = user.is_some_and(|user| user == ROOT);
    whole.args = vec!["/bin/sh".into(), "-c".into(), Arg::from(script)];
    Ok(whole)
}

/// Fails where a member has a key that applies to a whole layer.
fn check_keys(member: &Step) -> Result<(), Diagnostic> {
    if member.secrets.is_empty() && member.finish.is_empty() && member.network.is_none() {
        return Ok(());
    }
    Err(
        Diagnostic::error("a member of a group cannot have `secrets`, `finish` or `network`")
            .at(member.span, "this member has one of them")
            .help("move it to the keys of the group, next to `group:`"),
    )
}

fn different_users(member: &Step, runs_as: &str, before: &str) -> Diagnostic {
    let label = format!("runs as `{runs_as}`, the steps before it as `{before}`");
    Diagnostic::error("the steps of a group run as different users")
        .at(member.span, label)
        .help("set `as: root` for the group, or split it into two steps")
}

/// Returns the shell text of one member: folder, variables and command.
fn subshell(
    group: &Step,
    member: &Step,
    command: &Command,
    defaults: &StepDefaults,
    names: &MountNames,
) -> String {
    let mut text = String::from("(\n");
    if let Some(cwd) = &member.cwd {
        text.push_str(&format!("cd {}\n", quote(cwd)));
    }
    let mut export = |name: &str, value: &str| {
        text.push_str(&format!("export {name}={}\n", quote(value)));
    };
    for (name, value) in &command.env {
        export(name, value);
    }
    let env = defaults.env.with(&group.env).with(&member.env);
    for name in member.env.keys() {
        export(name, env.get(name).unwrap_or_default());
    }
    text.push_str(&line(&command.expanded_args(names)));
    text.push_str("\n)\n");
    text
}

/// Adds everything a member reads to the whole.
fn add_inputs(whole: &mut Command, command: Command, names: &MountNames) {
    for (name, content) in command.texts {
        whole
            .texts
            .insert(format!("{}{name}", names.text_prefix), content);
    }
    whole.files.extend(command.files);
    for cache in command.caches {
        let known = |known: &super::command::Cache| known.target == cache.target;
        if !whole.caches.iter().any(known) {
            whole.caches.push(cache);
        }
    }
    whole.images.extend(command.images);
    whole.uv |= command.uv;
    whole.offline &= command.offline;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::command::image_folder;
    use crate::compile::config::BaseConfig;
    use crate::compile::tests::{copy_from_image, image, pip, step, write};
    use crate::stack::{EnvChange, EnvPart, EnvText, Kind, Network, PipTool};

    fn run(text: &str) -> Step {
        step(Kind::Run(text.to_owned()))
    }

    fn group(user: Option<&str>) -> Step {
        Step {
            user: user.map(str::to_owned),
            ..step(Kind::Group(Vec::new()))
        }
    }

    fn merged(user: Option<&str>, members: &[Step]) -> Result<Command, Diagnostic> {
        let base = br#"{"config":{"User":"jovyan","Env":["PATH=/bin"]}}"#;
        let base = BaseConfig::parse(base).expect("an object");
        merge(&group(user), members, &StepDefaults::new(&image(), &base))
    }

    fn script(members: &[Step]) -> String {
        let whole = merged(Some("root"), members).expect("one user");
        whole.args[2].expand(&MountNames::default())
    }

    #[test]
    fn each_member_runs_in_a_subshell() {
        assert_eq!(
            script(&[run("a"), run("b")]),
            "set -e\n(\n/bin/sh -e -c a\n)\n(\n/bin/sh -e -c b\n)\n"
        );
    }

    #[test]
    fn folder_and_variables_of_a_member_are_its_own() {
        let path = EnvText(vec![
            EnvPart::Text("/a b:".to_owned()),
            EnvPart::Env("PATH".to_owned()),
        ]);
        let member = Step {
            cwd: Some("/c d".to_owned()),
            env: [("PATH".to_owned(), EnvChange::Set(path))].into(),
            ..run("a")
        };
        assert!(script(&[member]).contains("(\ncd '/c d'\nexport PATH='/a b:/bin'\n/bin/sh"));
    }

    #[test]
    fn texts_of_members_are_kept_apart() {
        let whole = merged(None, &[write("/a", "one"), write("/b", "two")]).expect("one user");
        assert_eq!(whole.texts["0-write0"], "one");
        assert_eq!(whole.texts["1-write0"], "two");
        let script = whole.args[2].expand(&MountNames::default());
        assert!(script.contains("cat /run/laminate/texts/1-write0 >/b"));
    }

    #[test]
    fn images_of_members_are_numbered_through() {
        let members = [copy_from_image("golang:1"), copy_from_image("alpine:3")];
        let whole = merged(None, &members).expect("one user");
        assert_eq!(whole.images.len(), 2);
        let script = whole.args[2].expand(&MountNames::default());
        assert!(
            script.contains(&format!("{}/x", image_folder(1))),
            "{script}"
        );
    }

    #[test]
    fn texts_of_the_user_are_not_changed() {
        let script = script(&[
            copy_from_image("golang:1"),
            run("cat /run/laminate/texts/x /run/laminate/image0/y"),
        ]);
        assert!(script.contains("'cat /run/laminate/texts/x /run/laminate/image0/y'"));
    }

    #[test]
    fn members_share_a_cache() {
        let members = [pip(PipTool::Uv), pip(PipTool::Uv)];
        let whole = merged(None, &members).expect("one user");
        assert_eq!(whole.caches.len(), 1);
        assert!(whole.uv);
    }

    #[test]
    fn one_member_that_needs_the_network_is_enough() {
        assert!(merged(None, &[write("/a", "")]).expect("one user").offline);
        let both = [write("/a", ""), run("curl")];
        assert!(!merged(Some("root"), &both).expect("one user").offline);
    }

    #[test]
    fn members_have_one_user() {
        assert!(!merged(None, &[run("a")]).expect("one user").root);
        assert!(merged(None, &[write("/a", "")]).expect("one user").root);
        let problem = merged(None, &[write("/a", ""), run("b")]).expect_err("two users");
        assert_eq!(
            problem.message,
            "the steps of a group run as different users"
        );
        assert!(merged(Some("0"), &[write("/a", ""), run("b")]).is_ok());
    }

    #[test]
    fn keys_of_a_whole_layer_belong_to_the_group() {
        let member = Step {
            network: Some(Network::None),
            ..run("a")
        };
        let problem = merged(None, &[member]).expect_err("rejected");
        assert_eq!(
            problem.message,
            "a member of a group cannot have `secrets`, `finish` or `network`"
        );
    }
}
