//! A group: the commands of its members as one command, and so as one layer.

use super::command::{Arg, Command, MountNames, user_of};
use super::defaults::StepDefaults;
use super::environment::Environment;
use super::exec::NO_FOLDER;
use super::script::expand;
use super::shell::{is_shell_name, line, quote, with_env};
use super::steps;
use crate::diagnostic::Diagnostic;
use crate::stack::{Files, Step};

/// Returns one command that runs the commands of all members, each in a subshell.
pub fn merge(
    group: &Step,
    members: &[Step],
    defaults: &StepDefaults,
    files: &Files,
) -> Result<Command, Diagnostic> {
    let mut whole = Command {
        offline: true,
        ..Command::default()
    };
    let mut script = expand(include_str!("scripts/group.sh"), &[]);
    let mut user = group.user.as_deref().map(user_of);
    for (index, member) in members.iter().enumerate() {
        // `as:` of the group counts for members that have none.
        let mut member = member.clone();
        member.user = member.user.or_else(|| group.user.clone());
        let member = &member;
        let command = steps::command(member, defaults.shell(member), files);
        let command = command.expect("groups are not nested");
        let runs_as = defaults.user(member, &command);
        let user = user.get_or_insert_with(|| runs_as.clone());
        if *user != runs_as {
            return Err(different_users(member, &runs_as, user));
        }
        let names = MountNames {
            prefix: format!("{index}-"),
            first_image: whole.images.len(),
        };
        let env = defaults.env_of(user).with(&group.env);
        script.push_str(&format!("member={index}\n"));
        script.push_str(&subshell(member, &command, env, &names));
        add_inputs(&mut whole, command, &names);
    }
    whole.user = user;
    whole.args = vec!["/bin/sh".into(), "-c".into(), Arg::from(script)];
    Ok(whole)
}

fn different_users(member: &Step, runs_as: &str, before: &str) -> Diagnostic {
    let label = format!("runs as `{runs_as}`, the steps before it as `{before}`");
    Diagnostic::error("the steps of a group run as different users")
        .at(member.span, label)
        .help("set `as: root` for the group, or split it into two steps")
}

/// Returns the shell text of one member: folder, variables and command. `env` is that of the group.
fn subshell(member: &Step, command: &Command, env: Environment, names: &MountNames) -> String {
    let mut text = String::from("(\n");
    if let Some(cwd) = &member.cwd {
        let path = quote(&cwd.path);
        // As the engine does for a step that is not in a group.
        let missing = if cwd.must_exist {
            NO_FOLDER.replace("\"$1\"", &path)
        } else {
            format!("mkdir -p {path}")
        };
        text.push_str(&format!("[ -d {path} ] || {missing}\ncd {path}\n"));
    }
    let mut export = |name: &str, value: Option<&str>| match value {
        _ if !is_shell_name(name) => {}
        Some(value) => text.push_str(&format!("export {name}={}\n", quote(value))),
        None => text.push_str(&format!("unset {name}\n")),
    };
    for (name, value) in &command.env {
        export(name, Some(value));
    }
    let env = env.with(&member.env);
    for name in member.env.keys() {
        export(name, env.get(name));
    }
    let args = command.expanded_args(names);
    text.push_str(&line(&with_env(args, &env.lost_in_a_shell())));
    text.push_str("\n)\n");
    text
}

/// Adds everything a member reads to the whole.
fn add_inputs(whole: &mut Command, command: Command, names: &MountNames) {
    for (name, content) in command.texts {
        whole
            .texts
            .insert(format!("{}{name}", names.prefix), content);
    }
    for (path, entry) in command.tree.0 {
        whole.tree.insert(names.in_tree(&path), entry);
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
    whole.rattler |= command.rattler;
    whole.offline &= command.offline;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::config::BaseConfig;
    use crate::compile::tests::{script as script_of, stack, step};
    use crate::stack::Kind;

    /// Returns the command of a group; `keys` follow its members.
    fn merged(members: &str, keys: &str) -> Result<Command, Diagnostic> {
        let group = step(&format!("{{ group: [{members}] {keys} }}"));
        let Kind::Group(members) = &group.kind else {
            panic!("it is a group");
        };
        let base = br#"{"config":{"User":"jovyan","Env":["PATH=/bin"]}}"#;
        let base = BaseConfig::parse(base).expect("an object");
        let stack = stack("");
        let defaults = StepDefaults::new(&stack.images()[0], &base);
        merge(&group, members, &defaults, stack.files())
    }

    fn whole(members: &str) -> Command {
        merged(members, ", as: root").expect("one user")
    }

    /// Returns the script of a group behind its begin, which is always the same.
    fn script(members: &str) -> String {
        let whole = script_of(&whole(members));
        let begin = expand(include_str!("scripts/group.sh"), &[]);
        whole.strip_prefix(&begin).expect("it is there").to_owned()
    }

    #[test]
    fn each_member_runs_in_a_subshell() {
        assert_eq!(
            script("{ run: a }, { run: b }"),
            "member=0\n(\n/bin/sh -e -c a\n)\nmember=1\n(\n/bin/sh -e -c b\n)\n"
        );
    }

    #[test]
    fn folder_and_variables_of_a_member_are_its_own() {
        let script =
            script("{ run: a, cwd: /c d, env: { PATH: \"/a b:${env:PATH}\" } }, { run: b }");
        assert!(script.contains("cd '/c d'\nexport PATH='/a b:/bin'\n/bin/sh -e -c a\n)\n"));
        assert!(script.ends_with("(\n/bin/sh -e -c b\n)\n"));
    }

    #[test]
    fn inputs_of_members_are_kept_apart() {
        let made =
            whole("{ append: { /a: one } }, { append: { /b: two } }, { write: { /c: three } }");
        assert_eq!(made.texts["0-append0"], "one");
        assert_eq!(made.texts["1-append0"], "two");
        assert!(made.tree.0.contains_key("/2-0"));
        let script = script_of(&made);
        assert!(script.contains("laminate_append /run/laminate/texts/1-append0 /b"));
        assert!(script.contains("laminate_file /run/laminate/tree/2-0 /c"));
    }

    #[test]
    fn images_of_members_are_numbered_through() {
        let made = whole(
            "{ copy: { /a: { image: \"golang:1\", from: /x } } }, \
             { copy: { /b: { image: \"alpine:3\", from: /x } } }",
        );
        assert_eq!(made.images.len(), 2);
        let script = script_of(&made);
        assert!(
            script.contains("laminate_image /run/laminate/image0 /x /a"),
            "{script}"
        );
        assert!(
            script.contains("laminate_image /run/laminate/image1 /x /b"),
            "{script}"
        );
    }

    #[test]
    fn texts_of_the_user_are_not_changed() {
        let script = script(
            "{ copy: { /a: { image: \"golang:1\", from: /x } } }, \
             { run: cat /run/laminate/texts/x /run/laminate/image0/y }",
        );
        assert!(script.contains("'cat /run/laminate/texts/x /run/laminate/image0/y'"));
    }

    #[test]
    fn members_share_a_cache_and_uv() {
        let made = whole("{ pip: [six] }, { pip: [wheel] }, { run: a }");
        assert_eq!(made.caches.len(), 1);
        assert!(made.uv);
    }

    #[test]
    fn one_member_that_needs_the_network_is_enough() {
        assert!(whole("{ write: { /a: a } }, { link: { /b: /a } }").offline);
        assert!(!whole("{ write: { /a: a } }, { run: curl }").offline);
    }

    #[test]
    fn members_run_as_one_user() {
        let mixed = "{ write: { /a: a } }, { run: b }";
        let problem = merged(mixed, "").expect_err("root and jovyan");
        assert_eq!(
            problem.message,
            "the steps of a group run as different users"
        );
        let user = |members, keys| merged(members, keys).expect("one user").user;
        assert_eq!(user(mixed, ", as: root").as_deref(), Some("0"));
        let both = "{ write: { /a: a } }, { apt: [git] }";
        assert_eq!(user(both, "").as_deref(), Some("0"));
        let both = "{ run: a }, { run: b }";
        assert_eq!(user(both, "").as_deref(), Some("jovyan"));
    }

    #[test]
    fn the_user_of_all_members_is_that_of_the_group() {
        let user = |members, keys| merged(members, keys).map(|made| made.user);
        let app = "{ run: a, as: app }, { write: { /a: a }, as: app }";
        assert_eq!(user(app, ""), Ok(Some("app".to_owned())));
        assert!(user(app, ", as: root").is_err(), "`as:` of a member counts");
        assert_eq!(user(app, ", as: app"), Ok(Some("app".to_owned())));
    }

    #[test]
    fn variables_that_a_shell_cannot_have_reach_the_command() {
        let script = script("{ run: a, env: { spark.x: \"1 2\", A: b } }");
        assert_eq!(
            script,
            "member=0\n(\nexport A=b\nenv 'spark.x=1 2' /bin/sh -e -c a\n)\n"
        );
    }

    #[test]
    fn the_folder_of_a_member_is_made_if_it_is_missing() {
        let script = script("{ run: a, cwd: /srv/x }");
        assert!(script.contains("(\n[ -d /srv/x ] || mkdir -p /srv/x\ncd /srv/x\n"));
    }
}
