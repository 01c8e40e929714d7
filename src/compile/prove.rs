//! Suites and info commands as operations beside an image: they see it as its users start it, with
//! what they need mounted, and leave their results in a tree of their own. Nothing of them is in it.

use std::fmt::Write as _;

use camino::Utf8PathBuf;

use super::command::{Cache, Command, PLACE, in_step};
use super::shell::{line, quote, with_errexit};
use super::{BaseState, Compiler, ROOT, fetching, group, shell_of, user_of};
use crate::diagnostic::Diagnostic;
use crate::llb::{Action, Exec, File, Meta, Mount, MountKind, Network, Origin, Output, Source};
use crate::name::Reference;
use crate::source::Span;
use crate::stack::{self, ImageId, InfoCommand, Serve, Suite, Test};

/// The newest pytest that suites get; with another, `plan::proof::FORMAT` is raised. It runs on
/// Python 3.8 and newer. An older one is taken where the image has an older one of its own, or of what
/// it needs.
pub const PYTEST_VERSION: &str = "8.3.5";

/// The tree a suite or a set of info commands leaves has everything below this folder.
pub const LEFT: &str = "/left";

/// Runs pytest without a trace in the environment of what is tested: a variable would be seen by every
/// process the tests start.
const RUN_PYTEST: &str = r#"import os
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path) != here]
sys.path.append(sys.argv.pop(1))
try:
    import pytest
except ImportError as error:
    sys.exit(f"laminate: pytest cannot be imported: {error}")
sys.exit(pytest.main(sys.argv[1:]))
"#;

/// Finds the Python of the image.
const PYTHON: &str = "python=$(command -v python || command -v python3) || \
                      { echo 'laminate: the image has no python on its PATH' >&2; exit 127; }\n";

impl Compiler<'_> {
    /// Adds a suite on an image. The tree has `LEFT/exit`, `LEFT/log`, and `LEFT/junit.xml`, `LEFT/reason`
    /// and `LEFT/overdue` where there are such. Fails where the image has nothing to start.
    pub fn suite(
        &mut self,
        id: ImageId,
        state: &BaseState,
        suite: &Suite,
    ) -> Result<Output, Diagnostic> {
        let label = crate::plan::label(self.stack, &self.stack.images[id.0]);
        let name = &suite.name.value;
        let meta = Meta {
            name: format!("{label}: test {name}"),
            group: Some(group(&label)),
            origin: Some(self.origin_of(suite.name.span)),
            // Whoever runs a suite wants to know how it goes now.
            ignore_cache: true,
        };
        let mut brought = Command::default();
        let mut mounts = Vec::new();
        let mut test = match &suite.test {
            Some(test) => self.test(state, test, suite, &meta, &mut brought, &mut mounts),
            None => "true".to_owned(),
        };
        if let Some(serve) = &suite.serve {
            test = self.serve(id, state, serve, suite, &test)?;
        }
        let seconds = suite.timeout.as_secs_f64().ceil();
        let args = [
            "/bin/sh",
            "-c",
            RUN_SUITE,
            "laminate",
            &test,
            &seconds.to_string(),
        ];
        let args = args.map(str::to_owned).to_vec();
        let mut env = state.config.env().with(&suite.env);
        let network = match suite.network {
            stack::Network::None => Network::None,
            stack::Network::Default => Network::Default,
        };
        self.trust(network, &mut env, &mut mounts);
        mounts.extend(self.brought_mounts(&brought));
        for secret in &suite.secrets {
            mounts.push(super::secret(secret));
        }
        let user = suite.user.as_deref().or(state.config.user());
        let exec = Exec {
            args,
            env: env.entries(),
            cwd: state.config.workdir().to_owned(),
            user: user.map_or_else(|| ROOT.to_owned(), user_of),
            network,
            root: state.output,
            mounts,
            // Without the network a proxy would only mislead.
            proxy: match network {
                Network::Default => self.environment.proxy.clone(),
                Network::None => None,
            },
        };
        Ok(self.leaving(exec, meta))
    }

    /// Adds info commands on an image. The tree has a folder below [`LEFT`] for each, by its name, with
    /// `out`, `err` and `exit`.
    pub fn info(&mut self, id: ImageId, state: &BaseState, commands: &[&InfoCommand]) -> Output {
        let image = &self.stack.images[id.0];
        let label = crate::plan::label(self.stack, image);
        let shell = shell_of(image.shell.as_ref(), &state.config);
        let mut text = String::new();
        for command in commands {
            let mut args = with_errexit(&shell);
            args.push(command.run.clone());
            let folder = format!("{PLACE}/out{LEFT}/{}", command.name);
            let _ = write!(
                text,
                "mkdir {folder}\n{} >{folder}/out 2>{folder}/err </dev/null\necho $? >{folder}/exit\n",
                line(&args)
            );
        }
        let exec = Exec {
            args: vec!["/bin/sh".to_owned(), "-c".to_owned(), text],
            env: state.config.env().entries(),
            cwd: state.config.workdir().to_owned(),
            user: state.config.user().map_or_else(|| ROOT.to_owned(), user_of),
            network: Network::None,
            root: state.output,
            mounts: Vec::new(),
            proxy: None,
        };
        let names: Vec<&str> = commands
            .iter()
            .map(|command| command.name.as_str())
            .collect();
        let meta = Meta {
            name: format!("{label}: info {}", names.join(", ")),
            group: Some(group(&label)),
            origin: commands.first().map(|command| self.origin_of(command.span)),
            ignore_cache: false,
        };
        self.leaving(exec, meta)
    }

    /// The first layers of a published image.
    pub fn first_layers(&mut self, reference: &Reference, layers: usize) -> Output {
        let source = Source::Image {
            reference: reference.to_string(),
            layers: Some(layers),
        };
        self.graph.source(source, Meta::default())
    }

    pub(super) fn origin_of(&self, span: Span) -> Origin {
        let sources = &self.stack.sources;
        let (start, end) = (sources.start(span), sources.end(span));
        Origin {
            file: sources.path(span).to_owned(),
            start: (start.line, start.column),
            end: (end.line, end.column),
        }
    }

    /// Adds a command with a place to leave its results in, writable for its user; gives what it left.
    fn leaving(&mut self, mut exec: Exec, meta: Meta) -> Output {
        let empty = self.graph.file(
            File {
                base: None,
                actions: vec![Action::MakeFolder {
                    path: LEFT.to_owned(),
                    mode: 0o777,
                    owner: None,
                }],
            },
            Meta {
                name: "room for results".to_owned(),
                ..Meta::default()
            },
        );
        exec.mounts.push(Mount {
            target: PLACE.to_owned(),
            kind: MountKind::Tmpfs,
        });
        let at = exec.mounts.len();
        exec.mounts.push(Mount {
            target: format!("{PLACE}/out"),
            kind: MountKind::Output { input: Some(empty) },
        });
        let outputs = self.graph.exec(exec, meta);
        outputs.mounts[at].expect("the mount is an output")
    }

    /// The shell text of a test; what it needs is put into `brought` and `mounts`.
    fn test(
        &mut self,
        state: &BaseState,
        test: &Test,
        suite: &Suite,
        meta: &Meta,
        brought: &mut Command,
        mounts: &mut Vec<Mount>,
    ) -> String {
        match test {
            Test::Run(text) => {
                let mut args = with_errexit(&shell_of(suite.shell.as_ref(), &state.config));
                args.push(text.clone());
                line(&args)
            }
            Test::Script(file) => {
                brought.files.push(file.clone());
                quote(&in_step(file))
            }
            Test::Pytest {
                folder,
                requirements,
                includes,
            } => {
                let below = self.stack.files.below(folder).map(|(path, _)| path.clone());
                brought.files.push(folder.clone());
                brought.files.extend(below);
                brought
                    .texts
                    .insert("run_pytest.py".to_owned(), RUN_PYTEST.to_owned());
                let input = self.pytest(state, requirements.as_ref(), includes, meta);
                mounts.push(Mount {
                    target: format!("{PLACE}/pytest"),
                    kind: MountKind::ReadOnly {
                        input,
                        selector: String::new(),
                    },
                });
                let folder = quote(&in_step(folder));
                format!(
                    "{PYTHON}\"$python\" {PLACE}/texts/run_pytest.py {PLACE}/pytest \
                     -o cache_dir={PLACE}/out{LEFT}/cache --color=no --rootdir={folder} \
                     --junitxml={PLACE}/out{LEFT}/junit.xml {folder}"
                )
            }
        }
    }

    /// pytest in a tree of its own, fetched with the image's pip, in versions that go with what the
    /// image has. Nothing is fetched for an image that has pytest and needs nothing beside it.
    fn pytest(
        &mut self,
        state: &BaseState,
        more: Option<&Utf8PathBuf>,
        includes: &[Utf8PathBuf],
        meta: &Meta,
    ) -> Output {
        let mut env = state.config.env();
        for (name, value) in [
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
            ("PIP_USER", "0"),
            ("PIP_REQUIRE_VIRTUALENV", "0"),
            ("PIP_CACHE_DIR", "/run/laminate/cache"),
        ] {
            env.set(name, value);
        }
        let mut brought = Command::default();
        let mut wanted = String::new();
        let mut own = false;
        if let Some(file) = more {
            brought.files.push(file.clone());
            brought.files.extend_from_slice(includes);
            let _ = write!(wanted, " -r {}", quote(&in_step(file)));
            if let Some(stack::File::Regular { content, .. }) = self.stack.files.0.get(file) {
                own = names_pytest(&String::from_utf8_lossy(content));
            }
        }
        if !own {
            let _ = write!(wanted, " 'pytest<={PYTEST_VERSION}'");
        }
        let unless = match more {
            Some(_) => String::new(),
            None => "\"$python\" -c 'import pytest' 2>/dev/null && exit 0\n".to_owned(),
        };
        // A version the image has is the one its code was made for: nothing else may come before it.
        let text = format!(
            "{PYTHON}{unless}\
             \"$python\" -m pip list --format=freeze 2>/dev/null | grep -E '^[A-Za-z0-9._-]+==' \
             >{PLACE}/constraints.txt || true\n\
             \"$python\" -m pip install --quiet --no-input --no-warn-conflicts \
             --target {PLACE}/pytest -c {PLACE}/constraints.txt{wanted}\n"
        );
        let cache = Cache {
            target: format!("{PLACE}/cache"),
            id: "laminate-pip".to_owned(),
            private: false,
        };
        let mut mounts = vec![self.cache(&cache, ROOT)];
        mounts.extend(self.brought_mounts(&brought));
        let meta = fetching(meta, "pytest");
        self.fetched("pytest", text, env, mounts, state.output, meta)
    }

    /// The image's own command, started and waited for, then the test, then the end of both.
    fn serve(
        &self,
        id: ImageId,
        state: &BaseState,
        serve: &Serve,
        suite: &Suite,
        test: &str,
    ) -> Result<String, Diagnostic> {
        let command = state.config.command();
        if command.is_empty() {
            let label = crate::plan::label(self.stack, &self.stack.images[id.0]);
            return Err(Diagnostic::error(format!(
                "suite `{}` starts the command of image `{label}`, which has none",
                suite.name.value
            ))
            .at(suite.name.span, "`serve` is said here")
            .help("give the image `config: { cmd: […] }`"));
        }
        let ready = match &serve.ready {
            Some(path) => format!("wait_for answers {}\n", quote(path)),
            None => String::new(),
        };
        Ok(format!(
            "port={port}\nhex={port:04X}\n{SERVE}\
             if listens; then broken \"port $port is taken before the image's own command is started\"; fi\n\
             if command -v setsid >/dev/null; then setsid {command} & else {command} & fi\nserver=$!\n\
             echo $server >{PLACE}/out{LEFT}/server\n\
             echo \"laminate: waiting for port $port\"\n\
             wait_for listens\n{ready}\
             if ended \"$server\"; then gone; fi\n\
             ({test}\n)\ncode=$?\nstop\nexit $code\n",
            port = serve.port,
            command = line(&command),
        ))
    }
}

/// Functions of `serve`. Whether something listens is read from the kernel's own table
/// (Documentation/networking/proc_net_tcp: state 0A), since an image may have no tool for it.
const SERVE: &str = r#"ended() {
[ -r "/proc/$1/stat" ] || return 0
read -r line <"/proc/$1/stat"
case $line in *") Z "*) return 0 ;; esac
return 1
}
listens() {
for table in /proc/net/tcp /proc/net/tcp6; do
[ -r "$table" ] || continue
while read -r _ address _ state _; do
case "$address $state" in *":$hex 0A") return 0 ;; esac
done <"$table"
done
return 1
}
answers() {
url="http://127.0.0.1:$port$1"
python=$(command -v python || command -v python3)
if command -v curl >/dev/null; then curl --noproxy '*' -fsS -o /dev/null --max-time 5 "$url" 2>/dev/null
elif [ -n "$python" ]; then "$python" -c 'import sys, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=5)' "$url" 2>/dev/null
elif command -v wget >/dev/null; then wget -Y off -q -O /dev/null -T 5 "$url" 2>/dev/null
else echo "laminate: nothing in the image can ask for $url: curl, python or wget" >&2; stop; exit 127
fi
}
broken() {
echo "$1" >/run/laminate/out/left/reason
echo "laminate: $1"
exit 1
}
gone() {
wait "$server"
broken "the image's own command ended with exit code $? before port $port answered"
}
wait_for() {
until "$@"; do
if ended "$server"; then gone; fi
sleep 0.2 2>/dev/null || sleep 1
done
}
stop() {
kill -TERM "$server" 2>/dev/null
n=0
while ! ended "$server" && [ "$n" -lt 50 ]; do n=$((n + 1)); sleep 0.2 2>/dev/null || sleep 1; done
# What it started is of its session, where it has one of its own.
kill -KILL "-$server" 2>/dev/null || kill -KILL "$server" 2>/dev/null
}
"#;

/// Runs a suite (`$1`) for at most `$2` seconds with its output and its exit code kept. It always ends
/// with 0: that a suite is red is a result, and its files are wanted.
///
/// A rootless engine without a PID namespace leaves behind whatever outlives a step, so the suite, its
/// watch and the image's own command have sessions of their own, where the image has `setsid`, and end
/// with them.
const RUN_SUITE: &str = r#"left=/run/laminate/out/left
own=
command -v setsid >/dev/null && own=setsid
end() {
[ -n "$1" ] || return 0
kill -KILL "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null
}
reader=
log=$left/log
if command -v tee >/dev/null && mkfifo $left/pipe 2>/dev/null; then
tee $left/log <$left/pipe &
reader=$!
log=$left/pipe
fi
$own /bin/sh -c "$1" >$log 2>&1 </dev/null &
suite=$!
$own /bin/sh -c 'sleep "$1"
: >'$left'/overdue
for leader in "$2" "$(cat '$left'/server 2>/dev/null)"; do
[ -z "$leader" ] || kill -KILL "-$leader" 2>/dev/null || kill -KILL "$leader" 2>/dev/null
done' laminate "$2" "$suite" >/dev/null 2>&1 </dev/null &
watch=$!
wait $suite
code=$?
end $watch
[ -z "$own" ] || end $suite
end "$(cat $left/server 2>/dev/null)"
if [ -n "$reader" ]; then
# Something the suite left running may hold the pipe open.
$own /bin/sh -c 'sleep 2; kill "$1"' laminate $reader >/dev/null 2>&1 </dev/null &
watch=$!
wait $reader
end $watch
rm -f $left/pipe
else
cat $left/log
fi
echo $code >$left/exit
exit 0
"#;

/// Whether a requirements file names pytest itself.
fn names_pytest(requirements: &str) -> bool {
    requirements.lines().any(|line| {
        let line = line.trim().to_ascii_lowercase();
        let name: String = line
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
            .collect();
        name == "pytest"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_may_name_pytest() {
        assert!(names_pytest("requests\npytest>=8\n"));
        assert!(names_pytest("PyTest [x]\n"));
        assert!(!names_pytest("pytest-xdist\n# pytest\n"));
    }
}
