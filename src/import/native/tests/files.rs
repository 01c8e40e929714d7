//! Tests of files that a command reads: they must be those of the stack.

use super::native;

/// Returns whether `pip install -r` of a Dockerfile, which is its last line, is a `pip` step of a file, and of which.
fn file(dockerfile: &str) -> Option<String> {
    let files = [
        ("requirements.txt", "six"),
        ("more.txt", "-r requirements.txt\nidna"),
        ("b/requirements.txt", "idna"),
        ("c/other", ""),
        ("same/requirements.txt", ""),
    ];
    let files = files.map(|(path, text)| format!("# FILE: images/app/{path}\n{text}\n"));
    let made = native(&format!(
        "{}# FILE: images/app/Dockerfile\nFROM debian:12\nUSER root\nWORKDIR /srv\n{dockerfile}\n",
        files.concat()
    ));
    assert!(!made.contains("dockerfile: "), "{made}");
    let mut lines = made.lines();
    let line = lines.find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("pip: "));
    line.map(str::to_owned)
}

#[test]
fn a_file_that_only_harmless_commands_follow_is_that_of_the_stack() {
    for between in [
        "",
        "ENV X=1",
        "RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*",
        "RUN pip install --upgrade pip 2>&1 | tee /var/log/x",
        "RUN useradd me && chown -R me /srv && chmod 644 requirements.txt && cat requirements.txt",
        "RUN rm -f /usr/bin/more; true",
        "RUN sed -i s/a/b/ /etc/x && mkdir -p /opt/x && ln -s /opt/x /opt/y",
        "RUN curl -o /opt/x https://h/x",
        "RUN cd /opt && curl -O https://h/x",
        "RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install wheel",
        "RUN [\"mkdir\", \"/data\"]",
        "COPY c /opt/c",
        "COPY c .",
        "COPY . .",
    ] {
        let text =
            format!("COPY requirements.txt .\n{between}\nRUN pip install -r requirements.txt");
        assert_eq!(file(&text).as_deref(), Some("requirements.txt"), "{text}");
    }
    let both = "COPY requirements.txt more.txt ./\nRUN pip install -r more.txt && rm more.txt";
    assert_eq!(file(both).as_deref(), Some("more.txt"));
}

#[test]
fn a_file_that_can_have_changed_is_not_that_of_the_stack() {
    for between in [
        "RUN sed -i /six/d requirements.txt",
        "RUN sed -i /six/d /srv/*.txt",
        "RUN sed -i /six/d ../srv/r*",
        "RUN sed -i /six/d \"$FILE\"",
        "RUN cd / && sed -i /six/d srv/requirements.txt",
        "RUN cd $X && sed -i /six/d requirements.txt",
        "RUN echo wheel >requirements.txt",
        "RUN echo wheel >>/srv/requirements.txt 2>&1",
        "RUN echo wheel | tee -a requirements.txt",
        "RUN cp -r /opt/. .",
        "RUN mv /srv /old && true",
        "RUN curl -o requirements.txt https://h/x",
        "RUN tar -xf /x.tar",
        "RUN wget https://h/requirements.txt",
        "RUN curl -sO https://h/requirements.txt",
        "RUN tar -xf /x.tar --directory=/srv",
        "RUN tar -xf /x.tar -C/srv",
        "RUN /opt/change.sh",
        "RUN ./change.sh",
        "RUN bash -c 'echo wheel >requirements.txt'",
        "RUN [\"sed\", \"-i\", \"/six/d\", \"requirements.txt\"]",
        "RUN [\"sh\", \"-c\", \"x\"]",
        "RUN if true; then rm requirements.txt; fi",
        "RUN find . -name 'r*' -delete",
        "RUN find / -name 'r*' -exec sed -i /six/d '{}' +",
        "RUN <<EOF\nmake\nEOF",
        "RUN pip-compile",
        "RUN python3 -c x",
        "RUN $(x)",
        "COPY b .",
        "COPY b/requirements.txt .",
        "COPY b/*.txt .",
        "COPY same /srv",
        "COPY <<EOF requirements.txt\nwheel\nEOF",
        "COPY --from=x:1 /y/ /srv/",
        "COPY --from=x:1 /y /srv/requirements.txt",
    ] {
        let text =
            format!("COPY requirements.txt .\n{between}\nRUN pip install -r requirements.txt");
        let found = file(&text);
        let is_other = found.as_deref() == Some("b/requirements.txt");
        assert!(
            found.is_none() || is_other && between.starts_with("COPY b/requirements.txt"),
            "{text}: {found:?}"
        );
    }
    for text in [
        "COPY requirements.txt .\nRUN sed -i /six/d requirements.txt && pip install -r requirements.txt",
        "COPY requirements.txt /\nWORKDIR /home\nRUN pip install -r requirements.txt",
        "COPY more.txt .\nRUN pip install -r more.txt",
        "COPY more.txt b/requirements.txt ./\nRUN pip install -r more.txt",
        "COPY requirements.txt more.txt ./\nRUN rm requirements.txt\nRUN pip install -r more.txt",
        "COPY requirements.txt .\nRUN --mount=type=bind,source=b,target=/srv pip install -r requirements.txt",
        "COPY requirements.txt .\nRUN --mount=type=secret,id=x,target=/srv/requirements.txt pip install -r requirements.txt",
    ] {
        assert_eq!(file(text), None, "{text}");
    }
    let unknown = "# FILE: images/app/requirements.txt\n# FILE: images/app/Dockerfile\nFROM debian:12\nCOPY requirements.txt /\nRUN pip install -r requirements.txt\n";
    assert!(native(unknown).contains("run: pip install -r requirements.txt"));
}

#[test]
fn settings_of_a_tool_that_its_step_does_not_read_keep_the_command() {
    let made = |below: &str, own: &str| {
        native(&format!(
            "# FILE: images/app/pip.conf\n# FILE: images/app/root/etc/pip.conf\n# FILE: images/app/set.sh\npip config set a b\n\
             # FILE: images/below/pip.conf\n# FILE: images/below/Dockerfile\nFROM debian:12\n{below}\n\
             # FILE: images/app/Dockerfile\nFROM below\nUSER root\n{own}\n"
        ))
    };
    let pip = "RUN pip install six";
    for setting in [
        "RUN pip config set --global install.constraint /c.txt",
        "RUN [\"pip\", \"config\", \"set\", \"a\", \"b\"]",
        "RUN <<EOF\npip config set a b\nEOF",
        "RUN mkdir ~/.pip && echo x >~/.pip/pip.conf",
        "COPY <<EOF /opt/venv/pip.conf\nx\nEOF",
        "COPY pip.conf /etc/",
        "COPY --from=x:1 /pip.conf /etc/pip.conf",
        "ENV PIP_CONFIG_FILE=/x",
        "ENV UV_INDEX=https://x",
    ] {
        for (below, own) in [
            ("RUN true", setting),
            (setting, "RUN true"),
            (&*format!("{setting}\nONBUILD RUN x"), "RUN true"),
        ] {
            let found = made(below, &format!("{own}\n{pip}"));
            assert!(
                found.contains("run: pip install six"),
                "{below}\n{own}\n{found}"
            );
        }
    }
    for setting in ["COPY root/ /", "COPY set.sh /\nRUN /set.sh"] {
        let found = made("RUN true", &format!("{setting}\n{pip}"));
        assert!(found.contains("run: pip install six"), "{setting}\n{found}");
    }
    assert!(made("RUN true", pip).contains("pip: [six]"));
    let apt = "RUN echo 'APT::Install-Recommends \"0\";' >/etc/apt/apt.conf.d/x";
    let found = made(apt, "RUN apt-get update && apt-get install -y git");
    assert!(found.contains("apt-get install -y git\n"), "{found}");
    let found = made(
        apt,
        "RUN apt-get update && apt-get install -y --no-install-recommends git",
    );
    assert!(found.contains("apt: [git]"), "{found}");
    let found = made(
        "RUN mamba config append channels x",
        "RUN mamba install -y six",
    );
    assert!(found.contains("run: mamba install -y six"), "{found}");
    let found = made("COPY pip.conf /etc/pip.conf", "RUN mamba install -y six");
    assert!(found.contains("conda: [six]"), "{found}");
}
