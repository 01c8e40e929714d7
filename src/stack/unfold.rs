//! One variant of the stack: its images with their bases, every variable replaced.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::decode::{Fields, Reader, part_of};
use super::paths::Paths;
use super::resolve::{Declared, Unfolded, Whole};
use super::step::{LATER, SHORT, Steps, later};
use super::variables::{BUILT_IN, Variables, Written};
use super::{
    Base, Channel, Config, Image, ImageId, OutsideBase, Proof, Refresh, Stack, TagPart,
    TagTemplate, Writable, channels, config, proof, suite,
};
use crate::diagnostic::Diagnostic;
use crate::name::{ImageName, Reference, Repository};
use crate::source::{Span, Spanned};
use crate::spec::node::{Node, Value};
use crate::spec::template::Part;

const IMAGE: [&str; 17] = [
    "base",
    "apt",
    "conda",
    "pip",
    "copy",
    "steps",
    "env",
    "user",
    "shell",
    "config",
    "vars",
    "writable",
    "tests",
    "info",
    "policy",
    "refresh",
    "repository",
];

/// One variant of the stack.
pub(super) struct Scope<'a, 'w> {
    pub whole: &'w Whole<'a>,
    pub top: &'w Fields<'a>,
    pub unfolded: &'w Unfolded<'a>,
    pub everywhere: &'w BTreeSet<String>,
    pub images: &'w [Declared<'a>],
    pub index: usize,
}

impl<'a> Scope<'a, '_> {
    fn say(&self, problem: Diagnostic) {
        self.whole.say(problem);
    }

    /// The variables of this variant, and of one image of it.
    fn variables(&self, image: Option<(&ImageName, Option<&'a Node>)>) -> Variables {
        let mut declared: BTreeMap<String, Written> = BTreeMap::new();
        let own = image.and_then(|(_, node)| node);
        for node in [self.top.get("vars"), self.unfolded.vars, own]
            .into_iter()
            .flatten()
        {
            let Value::Map(entries) = &node.value else {
                self.say(
                    Diagnostic::error("`vars` is a mapping")
                        .at(node.span, format!("here is {}", node.describe())),
                );
                continue;
            };
            for entry in entries {
                let name = entry.key.text.as_str();
                let reserved =
                    BUILT_IN.contains(&name) || matches!(name, "commit" | "commit7" | "n");
                if reserved || !crate::spec::template::is_name(name) {
                    let reason = match reserved {
                        true => "the stack itself gives it its value",
                        false => "letters, digits, `_`, `-` and `.` are wanted, a letter first",
                    };
                    self.say(
                        Diagnostic::error(format!("a variable cannot be named `{name}`"))
                            .at(entry.key.span, reason),
                    );
                    continue;
                }
                declared.insert(name.to_owned(), Written::Node(&entry.value));
            }
        }
        for (name, value) in &self.whole.overrides.vars {
            declared.insert(name.clone(), Written::Given(value));
        }
        let mut built_in = BTreeMap::new();
        if let Some(Node {
            value: Value::Scalar { text, .. },
            ..
        }) = self.top.get("stack")
        {
            built_in.insert("stack".to_owned(), text.clone());
        }
        let variant = &self.unfolded.variant;
        if let Some(series) = &variant.series {
            built_in.insert("series".to_owned(), series.clone());
        }
        if let Some(name) = &variant.name {
            built_in.insert("variant".to_owned(), name.to_string());
        }
        if let Some((name, _)) = image {
            built_in.insert("image".to_owned(), name.to_string());
        }
        let mut elsewhere = self.everywhere.clone();
        elsewhere.insert("image".to_owned());
        let mut problems = self.whole.problems.borrow_mut();
        Variables::new(&declared, built_in, &elsewhere, &mut problems)
    }

    /// What is said of the whole stack, in this variant: what every image is to be proven by.
    pub fn stack_wide(&self, used: &mut BTreeSet<Utf8PathBuf>) -> Proof {
        let variables = self.variables(None);
        let reader = Reader::new(&variables, self.whole.problems);
        let paths = Paths {
            files: &self.whole.spec.files,
            folder: Utf8PathBuf::from("images"),
        };
        let shell = self.top.get("shell");
        let shell = shell.and_then(|node| reader.texts(node, "`shell`"));
        let mut general = Proof::default();
        if let Some(node) = self.top.get("tests") {
            let declared = suite::read(&reader, &paths, node, None, shell.as_ref(), used);
            let (suites, _) = suite::inherit(&[], &declared, |problem| self.say(problem));
            general.suites = suites;
        }
        if let Some(node) = self.top.get("policy") {
            general.policy = proof::policy(&reader, node, true);
        }
        if let Some(node) = self.top.get("info") {
            general.info = proof::info(&reader, node);
        }
        general
    }

    /// The tags `channels:` moves in this variant.
    pub fn channels(
        &self,
        variants: &[Unfolded],
        channel_tags: &mut BTreeMap<String, (Span, String)>,
        channels: &mut Vec<Channel>,
    ) {
        let variables = self.variables(None);
        let reader = Reader::new(&variables, self.whole.problems);
        let Some(node) = self.top.get("channels") else {
            return;
        };
        let names: BTreeSet<String> = variants
            .iter()
            .filter_map(|unfolded| unfolded.variant.name.as_ref().map(ToString::to_string))
            .collect();
        let name = self.unfolded.variant.name.as_ref().map(ToString::to_string);
        let images = self
            .images
            .iter()
            .map(|image| image.name.as_str())
            .collect();
        for tag in channels::channels(&reader, node, name.as_deref(), &names, &images) {
            let here = name.clone().unwrap_or_default();
            let text = tag.tag.to_string();
            match channel_tags.get(&text) {
                Some((span, other)) if *span == tag.span => self.say(
                    Diagnostic::error(format!(
                        "in variants `{other}` and `{here}` this channel moves the same tag, `{text}`"
                    ))
                    .at(tag.span, "an image would have to be two")
                    .help("put `${series}` into it, or name the one `variant:` it is of"),
                ),
                Some((span, _)) => self.say(
                    Diagnostic::error(format!("two channels move the tag `{text}`"))
                        .at(tag.span, "this one")
                        .also(*span, "and this one"),
                ),
                None => {
                    channel_tags.insert(text, (tag.span, here));
                    match channels.iter_mut().find(|c| c.name == tag.channel) {
                        Some(channel) => {
                            channel.tags.insert(self.index, tag.tag);
                        }
                        None => channels.push(Channel {
                            name: tag.channel,
                            gates: tag.gates,
                            auto: tag.auto,
                            from: tag.from,
                            tags: BTreeMap::from([(self.index, tag.tag)]),
                        }),
                    }
                }
            }
        }
    }

    /// The images of this variant, parents first.
    pub fn images(&self, stack: &mut Stack, used: &mut BTreeSet<Utf8PathBuf>, general: &Proof) {
        let mut read: Vec<Read> = Vec::new();
        for declared in self.images {
            if self.unfolded.images.contains(declared.name.as_str())
                && let Some(node) = declared.node
                && let Some(image) = self.image(declared, node, stack, used)
            {
                read.push(image);
            }
        }
        self.order(read, stack, general);
    }

    /// One image, and the name and place of its base if that is an image of the stack.
    fn image(
        &self,
        declared: &Declared<'a>,
        node: &'a Node,
        stack: &Stack,
        used: &mut BTreeSet<Utf8PathBuf>,
    ) -> Option<Read> {
        let name = &declared.name;
        let what = format!("image `{name}`");
        let plain = Variables::default();
        let plain = Reader::new(&plain, self.whole.problems);
        let entries = plain.entries(node, &what)?;
        for entry in entries {
            let key = entry.key.text.as_str();
            if LATER.contains(&key) {
                later(&plain, key, entry.key.span);
            } else if !IMAGE.contains(&key) {
                plain.unknown_key(&entry.key, &what, &IMAGE);
            }
        }
        let find = |key: &str| entries.iter().find(|entry| entry.key.text == key);
        let get = |key: &str| find(key).map(|entry| &entry.value);
        let variables = self.variables(Some((name, get("vars"))));
        let reader = Reader::new(&variables, self.whole.problems);
        let paths = Paths {
            files: &self.whole.spec.files,
            folder: Utf8Path::new("images").join(name.as_str()),
        };
        let base = match get("base") {
            Some(node) => self.base(&reader, name, node),
            None => {
                if !entries.iter().any(|entry| entry.key.text == "dockerfile") {
                    self.say(
                        Diagnostic::error(format!("image `{name}` has no base"))
                            .at(declared.key.span, "`base:` is missing")
                            .help("an image of the stack, or one of a registry with its tag"),
                    );
                }
                None
            }
        };
        let steps_reader = Steps {
            reader: &reader,
            paths: &paths,
        };
        let mut steps = Vec::new();
        for key in SHORT {
            if let Some(entry) = find(key) {
                steps.extend(steps_reader.short(entry));
            }
        }
        if let Some(node) = get("steps") {
            steps.extend(steps_reader.list(node, "`steps`", false));
        }
        let mut files = BTreeSet::new();
        for step in &steps {
            step.collect_files(&mut files);
        }
        used.extend(files.into_iter().cloned());
        let env = get("env")
            .map(|node| config::env(&reader, node))
            .unwrap_or_default();
        let config = match get("config") {
            Some(node) => config::config(&reader, node),
            None => Config::default(),
        };
        let shell = get("shell").or_else(|| self.top.get("shell"));
        let shell = shell.and_then(|node| reader.texts(node, "`shell`"));
        let writable: Option<Writable> = match get("writable") {
            Some(node) => config::writable(&reader, node),
            // A base of the stack has its say first; see `order`.
            None => None,
        };
        let refresh = get("refresh").and_then(|node| {
            let known = [
                ("daily", Refresh::Daily),
                ("weekly", Refresh::Weekly),
                ("monthly", Refresh::Monthly),
            ];
            reader.one_of(node, "`refresh`", &known)
        });
        let tests = match get("tests") {
            Some(node) => suite::read(&reader, &paths, node, Some(name), shell.as_ref(), used),
            None => Vec::new(),
        };
        // What it inherits of these is known in `order`.
        let proof = Proof {
            policy: match get("policy") {
                Some(node) => proof::policy(&reader, node, false),
                None => Default::default(),
            },
            info: match get("info") {
                Some(node) => proof::info(&reader, node),
                None => Vec::new(),
            },
            ..Proof::default()
        };
        let user = get("user").and_then(|node| reader.text(node, "`user`"));
        let repository = match get("repository") {
            Some(node) => self.repository(&reader, node, stack),
            None => stack
                .registry
                .as_ref()
                .and_then(|registry| registry.join(name.as_str()).ok()),
        };
        let tags = self.tag_templates(&reader);
        let (base, parent) = match base? {
            Found::Image(parent, span) => (None, Some((parent, span))),
            Found::Outside(base) => (Some(base), None),
        };
        let image = Image {
            name: Spanned::new(name.clone(), declared.key.span),
            variant: self.index,
            // A base of the stack gets its number in `order`.
            base: base.map_or(Base::Image(ImageId(usize::MAX)), Base::Outside),
            repository,
            vars: variables.values.clone(),
            env,
            user,
            shell,
            steps,
            config,
            writable,
            tags,
            refresh,
            proof,
        };
        Some(Read {
            image,
            parent,
            tests,
        })
    }

    fn base(&self, reader: &Reader, name: &ImageName, node: &Node) -> Option<Found> {
        reader.used.borrow_mut().clear();
        let text = reader.text(node, "`base`")?;
        let vars = reader.used.take();
        if self.images.iter().any(|image| image.name.as_str() == text) {
            if self.unfolded.images.contains(&text) {
                return Some(Found::Image(text, node.span));
            }
            let variant = self.unfolded.key;
            let problem = Diagnostic::error(format!(
                "image `{name}` stands on `{text}`, which variant `{}` leaves out",
                variant.map(|key| key.text.as_str()).unwrap_or_default()
            ))
            .at(node.span, "its base is not there");
            let problem = match variant {
                Some(key) => problem.also(key.span, "in this variant"),
                None => problem,
            };
            self.say(problem.help(format!("leave `{name}` out, too, or keep `{text}`")));
            return None;
        }
        if !text.contains(['/', ':', '@']) {
            let names = || self.images.iter().map(|image| image.name.as_str());
            let problem = Diagnostic::error(format!(
                "image `{name}` is built on an unknown image `{text}`"
            ))
            .at(node.span, "no image of that name");
            self.say(match crate::diagnostic::nearest(&text, names()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!(
                    "an image of a registry is written with its tag, `{text}:latest`"
                )),
            });
            return None;
        }
        match Reference::parse(&text) {
            Ok(reference) => Some(Found::Outside(OutsideBase {
                reference: Spanned::new(reference, node.span),
                vars,
            })),
            Err(error) => {
                self.say(
                    Diagnostic::error(format!("`{text}` is no reference of an image"))
                        .at(node.span, error.to_string()),
                );
                None
            }
        }
    }

    fn repository(&self, reader: &Reader, node: &Node, stack: &Stack) -> Option<Repository> {
        let text = reader.text(node, "`repository`")?;
        let host = text.split('/').next().unwrap_or_default();
        let made = match text.contains('/') && host.contains(['.', ':']) {
            true => Repository::parse(&text),
            false => stack.registry.as_ref()?.join(&text),
        };
        match made {
            Ok(repository) => Some(repository),
            Err(error) => {
                self.say(
                    Diagnostic::error(format!("`{text}` is no repository"))
                        .at(node.span, error.to_string()),
                );
                None
            }
        }
    }

    fn tag_templates(&self, reader: &Reader) -> Vec<TagTemplate> {
        let Some(node) = self.top.get("tags") else {
            return Vec::new();
        };
        let mut list = Vec::new();
        for item in reader.list(node, "`tags`").unwrap_or_default() {
            let Some(text) = reader.literal(item, "a tag") else {
                continue;
            };
            let Some(template) = reader.template(text, item.span) else {
                continue;
            };
            let mut parts = Vec::new();
            let mut whole = true;
            for part in &template.0 {
                match part {
                    Part::Text(text) => parts.push(TagPart::Text(text.clone())),
                    Part::Var(variable) if variable.name == "commit" => parts.push(TagPart::Commit),
                    Part::Var(variable) if variable.name == "commit7" => {
                        parts.push(TagPart::Commit7);
                    }
                    Part::Var(variable) if variable.name == "n" => parts.push(TagPart::Number),
                    Part::Var(variable) => {
                        let at = part_of(item.span, text, variable.start, variable.end);
                        let meant = ["commit", "commit7"];
                        let near = crate::diagnostic::nearest(&variable.name, meant);
                        match (reader.vars.get(&variable.name), near) {
                            (None, Some(near)) if !reader.vars.is_broken(&variable.name) => {
                                whole = false;
                                self.say(
                                    Diagnostic::error(format!(
                                        "there is no variable `{}`",
                                        variable.name
                                    ))
                                    .at(at, "not set anywhere")
                                    .help(format!("did you mean `{near}`?")),
                                );
                            }
                            _ => match reader.variable(&variable.name, at) {
                                Some(value) => parts.push(TagPart::Text(value)),
                                None => whole = false,
                            },
                        }
                    }
                    Part::Env(_) => {
                        whole = false;
                        self.say(
                            Diagnostic::error("`${env:…}` is known in values of `env:` only")
                                .at(item.span, "there is no environment here"),
                        );
                    }
                }
            }
            let named = parts.iter().any(|part| !matches!(part, TagPart::Text(_)));
            if whole && !named {
                self.say(
                    Diagnostic::error("a fixed tag names its commit")
                        .at(item.span, "the next commit would have the same tag")
                        .help("put `${commit7}` into it, or `${n}` for a version number; tags that move are `channels:`"),
                );
                continue;
            }
            if whole {
                list.push(TagTemplate {
                    parts,
                    span: item.span,
                });
            }
        }
        if !list.is_empty() && list.iter().all(TagTemplate::is_numbered) {
            self.say(
                Diagnostic::error("no tag names the commit")
                    .at(
                        node.span,
                        "an image has its number only when it is promoted",
                    )
                    .help("add `${commit7}`, with `${series}` or what tells your variants apart"),
            );
        }
        list
    }

    /// Adds the images to the stack, each behind its base.
    fn order(&self, read: Vec<Read>, stack: &mut Stack, general: &Proof) {
        let places: BTreeMap<String, usize> = read
            .iter()
            .enumerate()
            .map(|(index, read)| (read.image.name.to_string(), index))
            .collect();
        let mut order: Vec<usize> = Vec::new();
        let mut state = vec![0_u8; read.len()];
        for start in 0..read.len() {
            let mut path = vec![];
            let mut at = Some(start);
            while let Some(index) = at {
                match state[index] {
                    0 => {
                        state[index] = 1;
                        path.push(index);
                        at = read[index]
                            .parent
                            .as_ref()
                            .and_then(|(parent, _)| places.get(parent).copied());
                    }
                    1 => {
                        let from = path.iter().position(|other| *other == index);
                        self.cycle(&read, &path[from.unwrap_or(0)..]);
                        at = None;
                    }
                    _ => at = None,
                }
            }
            while let Some(index) = path.pop() {
                state[index] = 2;
                order.push(index);
            }
        }
        let mut numbers: BTreeMap<String, ImageId> = BTreeMap::new();
        let mut read: Vec<Option<Read>> = read.into_iter().map(Some).collect();
        let plain = self.variables(None);
        let plain = Reader::new(&plain, self.whole.problems);
        let writable = self
            .top
            .get("writable")
            .and_then(|node| config::writable(&plain, node));
        for index in order {
            let Read {
                mut image,
                parent,
                tests,
            } = read[index].take().expect("each is in the order once");
            let inherited = match &parent {
                Some((parent, _)) => {
                    // A base that is wrong has been said; what stands on it is not looked at further.
                    let Some(id) = numbers.get(parent) else {
                        continue;
                    };
                    image.base = Base::Image(*id);
                    let base = &stack.images[id.0];
                    if image.writable.is_none() {
                        image.writable.clone_from(&base.writable);
                    }
                    &base.proof
                }
                None => {
                    if image.writable.is_none() {
                        image.writable.clone_from(&writable);
                    }
                    general
                }
            };
            let (suites, dropped) =
                suite::inherit(&inherited.suites, &tests, |problem| self.say(problem));
            let own = std::mem::take(&mut image.proof);
            image.proof = Proof {
                suites,
                dropped,
                policy: proof::inherit_policy(&inherited.policy, own.policy),
                info: proof::inherit_info(&inherited.info, own.info),
            };
            self.writable_gid(&image);
            numbers.insert(image.name.to_string(), ImageId(stack.images.len()));
            stack.images.push(image);
        }
    }

    /// A policy of writable paths needs a group.
    fn writable_gid(&self, image: &Image) {
        if let Some(policy) = &image.proof.policy.writable
            && policy.gid.is_none()
            && image.writable.is_none()
        {
            self.say(
                Diagnostic::error("nothing says which group the paths are writable for")
                    .at(
                        policy.span,
                        format!("image `{}` has no `writable:`", image.name.value),
                    )
                    .help("write `writable: { gid: 100, paths: […] }` here"),
            );
        }
    }

    fn cycle(&self, read: &[Read], members: &[usize]) {
        let mut names: Vec<&str> = members
            .iter()
            .map(|index| read[*index].image.name.as_str())
            .collect();
        names.push(names[0]);
        let mut problem =
            Diagnostic::error(format!("images stand on each other: {}", names.join(" → ")));
        for (number, index) in members.iter().enumerate() {
            let Read { image, parent, .. } = &read[*index];
            if let Some((parent, span)) = parent {
                let text = format!("`{}` stands on `{parent}`", image.name.value);
                problem = match number {
                    0 => problem.at(*span, text),
                    _ => problem.also(*span, text),
                };
            }
        }
        self.say(problem);
    }
}

/// An image as its own entry says it.
struct Read {
    image: Image,
    /// The name and place of its base, if that is an image of the stack.
    parent: Option<(String, Span)>,
    tests: Vec<suite::Declared>,
}

/// What `base:` names.
enum Found {
    Image(String, Span),
    Outside(OutsideBase),
}
