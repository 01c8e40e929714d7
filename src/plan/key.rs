//! An image's key: the hash of everything that determines it, and the list of its components.
//!
//! The list ([`Component`]s) is kept with the published image, so that a later plan can report which
//! entry of it changed. Nothing of the host enters: no path, time, owner or commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::name::{Digest, Reference};
use crate::parallel;
use crate::path::by_parts;
use crate::stack::{
    Base, Compression, Config, EnvString, ExternalImage, File, Image, ImageId, ImageSource,
    Refresh, SCRATCH, Stack, Step, Writable, canonical_env,
};

/// Raised when equal specs compile to other images than before; part of every key.
pub const FORMAT: u32 = 4;

/// The kinds of [`Component`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentKind {
    /// [`FORMAT`].
    Format,
    /// `linux/amd64`.
    Platform,
    /// The name of the stack or of the image.
    Name,
    /// The digest of the external base.
    Base,
    /// The key of the base in the stack.
    Parent,
    /// The digest of an external image that files are copied from.
    Image,
    /// The key of an image of the stack that files are copied from.
    Dependency,
    /// A variable that a step or the base uses.
    Var,
    /// A file under `images/` that a step uses.
    File,
    /// A step.
    Step,
    /// A setting of the image: environment, user, config.
    Config,
    /// The period of `refresh:`, or the last `--refresh`.
    Refresh,
}

/// One thing that determines an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its kind.
    pub kind: ComponentKind,
    /// Its name in the spec: a path, a variable, a step's title.
    pub what: String,
    /// Its value, or the digest of it.
    pub value: String,
    /// Variables its value was made from: if one of them changed, that is the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<String>,
}

impl Component {
    fn new(kind: ComponentKind, what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            value: value.into(),
            vars: Vec::new(),
        }
    }

    fn made_from<'a>(mut self, vars: impl IntoIterator<Item = &'a String>) -> Self {
        self.vars = vars.into_iter().cloned().collect();
        self
    }
}

/// An image's key and its components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The hash of the components.
    pub key: Digest,
    /// Everything that determines the image.
    pub components: Vec<Component>,
}

/// The facts keys are computed from, beside the stack.
#[derive(Clone, Debug, Default)]
pub struct KeyFacts {
    /// `linux/amd64`.
    pub platform: String,
    /// The digest of each external image, from the lock or the registry.
    pub external: BTreeMap<Reference, Digest>,
    /// The current period of each refresh: `2026-11-24`, `2026-W48`, `2026-11`.
    pub periods: Periods,
    /// The last `--refresh` of an image, by [`Stack::label`]: it stays part of the key.
    pub refreshed: BTreeMap<String, String>,
}

/// The current periods of `refresh:`, in UTC.
#[derive(Clone, Debug, Default)]
pub struct Periods {
    /// `2026-11-24`
    pub day: String,
    /// `2026-W48`, as ISO 8601 numbers weeks.
    pub week: String,
    /// `2026-11`
    pub month: String,
}

/// The keys of all images of a stack.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<ImageKey>);

/// The key of an image, or the external images it needs whose digests are unknown.
type ImageKey = Result<Arc<Keyed>, BTreeSet<Reference>>;

impl Keys {
    /// Computes the keys. An image that names an external image without a digest in `facts` has none,
    /// nor has an image that needs it.
    pub fn new(stack: &Stack, facts: &KeyFacts) -> Self {
        Self(keys(stack, facts))
    }

    /// Returns the key of an image; `None` if the digest of an external image it needs is unknown.
    pub fn get(&self, id: ImageId) -> Option<&Keyed> {
        self.0[id.0].as_deref().ok()
    }

    /// Returns the key of an image to be kept, as [`Keys::get`].
    pub fn share(&self, id: ImageId) -> Option<Arc<Keyed>> {
        self.0[id.0].clone().ok()
    }

    /// Returns the external images that an image needs and whose digests are unknown.
    pub fn unknown(&self, id: ImageId) -> Vec<Reference> {
        let unknown = self.0[id.0].as_ref().err();
        unknown.into_iter().flatten().cloned().collect()
    }

    /// Returns every key once; images that are built from the same things share one.
    pub fn digests(&self) -> BTreeSet<&Digest> {
        self.0.iter().flatten().map(|keyed| &keyed.key).collect()
    }
}

fn keys(stack: &Stack, facts: &KeyFacts) -> Vec<ImageKey> {
    let mut keys: Vec<Option<ImageKey>> = vec![None; stack.images().len()];
    for level in levels(stack) {
        let made = parallel::map(&level, |id| {
            let image = &stack[*id];
            let images = images(stack, image, &keys, facts);
            images.map(|images| Arc::new(keyed(stack, image, images, facts)))
        });
        for (id, key) in level.into_iter().zip(made) {
            keys[id.0] = Some(key);
        }
    }
    let keys = keys.into_iter();
    keys.map(|key| key.expect("each image is on a level"))
        .collect()
}

/// Returns all images by how many are below them: none of a level needs another one of it.
fn levels(stack: &Stack) -> Vec<Vec<ImageId>> {
    let mut heights: Vec<usize> = Vec::with_capacity(stack.images().len());
    let mut levels: Vec<Vec<ImageId>> = Vec::new();
    for id in stack.ids() {
        // An image is after those that it needs.
        let below = stack[id].copied.values().copied().chain(stack.base(id));
        let height = below.map(|needed| heights[needed.0] + 1).max().unwrap_or(0);
        heights.push(height);
        if levels.len() == height {
            levels.push(Vec::new());
        }
        levels[height].push(id);
    }
    levels
}

/// Returns the components of all images that an image needs: first its base, then those it copies from,
/// by name. Fails with the external images that are not known.
fn images(
    stack: &Stack,
    image: &Image,
    keys: &[Option<ImageKey>],
    facts: &KeyFacts,
) -> Result<Vec<Component>, BTreeSet<Reference>> {
    let in_stack = |kind: ComponentKind, id: ImageId| {
        let key = keys[id.0].as_ref().expect("it is on a lower level");
        let key = &key.as_ref().map_err(BTreeSet::clone)?.key;
        Ok::<_, BTreeSet<Reference>>(Component::new(kind, stack[id].name.as_str(), key.as_str()))
    };
    let external = |kind: ComponentKind, external: &ExternalImage| {
        let reference = &external.reference.value;
        let unknown = || BTreeSet::from([reference.clone()]);
        let digest = facts.external.get(reference).ok_or_else(unknown)?;
        let component = Component::new(kind, reference.to_string(), digest.as_str());
        Ok(component.made_from(&external.vars))
    };
    let mut list = vec![match &image.base {
        Base::Image(parent) => in_stack(ComponentKind::Parent, *parent),
        Base::External(base) => external(ComponentKind::Base, base),
        Base::Scratch => Ok(Component::new(ComponentKind::Base, SCRATCH, "")),
    }];
    for source in image.copy_sources().into_values() {
        list.push(match source {
            ImageSource::InStack(name) => {
                in_stack(ComponentKind::Dependency, image.copied[&name.value])
            }
            ImageSource::External(image) => external(ComponentKind::Image, image),
        });
    }
    let unknown = list.iter().filter_map(|image| image.as_ref().err());
    let unknown: BTreeSet<Reference> = unknown.flatten().cloned().collect();
    if unknown.is_empty() {
        Ok(list.into_iter().flatten().collect())
    } else {
        Err(unknown)
    }
}

fn keyed(stack: &Stack, image: &Image, images: Vec<Component>, facts: &KeyFacts) -> Keyed {
    let mut list = vec![
        Component::new(ComponentKind::Format, "laminate", FORMAT.to_string()),
        Component::new(ComponentKind::Platform, "platform", &facts.platform),
        Component::new(ComponentKind::Name, "stack", stack.name().as_str()),
        Component::new(ComponentKind::Name, "image", image.name.as_str()),
    ];
    list.extend(images);
    let mut vars: BTreeSet<&String> = BTreeSet::new();
    for external in image.external_images() {
        vars.extend(&external.vars);
    }
    for step in &image.steps {
        step.collect_vars(&mut vars);
    }
    for name in vars {
        if let Some(value) = image.vars.get(name) {
            list.push(Component::new(ComponentKind::Var, name, value));
        }
    }
    let mut files: Vec<_> = image.steps.iter().flat_map(Step::files).collect();
    files.sort_unstable_by(|one, other| by_parts(one.as_str(), other.as_str()));
    files.dedup();
    for path in files {
        if let Some(file) = stack.files().get(path) {
            list.push(Component::new(
                ComponentKind::File,
                path.as_str(),
                file_value(file),
            ));
        }
    }
    let mut titles: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &image.steps {
        let seen = titles.entry(&step.title).or_default();
        *seen += 1;
        let what = match *seen {
            1 => step.title.clone(),
            n => format!("{} ({n})", step.title),
        };
        let value = digest_of(&step.canonical());
        let mut vars = BTreeSet::new();
        step.collect_vars(&mut vars);
        list.push(Component::new(ComponentKind::Step, what, value).made_from(vars));
    }
    let compression = stack.compression();
    if compression != Compression::default() {
        let value = compression.to_string();
        list.push(Component::new(ComponentKind::Config, "compression", value));
    }
    for (what, value) in settings(image) {
        list.push(Component::new(
            ComponentKind::Config,
            what,
            digest_of(&value),
        ));
    }
    if let Some(refresh) = image.refresh {
        let period = match refresh {
            Refresh::Daily => &facts.periods.day,
            Refresh::Weekly => &facts.periods.week,
            Refresh::Monthly => &facts.periods.month,
        };
        list.push(Component::new(ComponentKind::Refresh, "refresh", period));
    }
    if let Some(when) = facts.refreshed.get(&stack.label_of(image)) {
        list.push(Component::new(ComponentKind::Refresh, "--refresh", when));
    }
    // Large stacks keep thousands of these lists.
    list.shrink_to_fit();
    Keyed {
        key: hash(&list),
        components: list,
    }
}

/// Returns the settings of an image beside its steps, as `env`, `config.labels`; unset ones are left out.
pub fn settings(image: &Image) -> Vec<(String, Value)> {
    // Without `..`: a new field must be in the key, or be listed here as one that is not. Those of the
    // first group are other components; those of the second are not part of the key.
    let Image {
        name: _,
        base: _,
        copied: _,
        vars: _,
        steps: _,
        refresh: _,
        variant: _,
        repository: _,
        tags: _,
        proof: _,
        env,
        user,
        shell,
        config,
        writable,
    } = image;
    let is_set = |value: &Value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        // An empty list is a setting: `cmd: []` clears.
        _ => true,
    };
    let mut list = Vec::new();
    let mut add = |what: &str, value: Value| {
        if is_set(&value) {
            list.push((what.to_owned(), value));
        }
    };
    add("env", canonical_env(env));
    add("user", json!(user.as_ref().map(EnvString::canonical)));
    add("shell", json!(shell));
    if let Some(Writable {
        gid,
        paths,
        span: _,
        inherited: _,
    }) = writable
    {
        add("writable", json!({ "gid": gid, "paths": paths }));
    }
    if *config != Config::default() {
        for (name, value) in config.canonical() {
            add(&format!("config.{name}"), value);
        }
    }
    list
}

fn hash(list: &[Component]) -> Digest {
    // Only what determines the image: not which variables a value was made from.
    let list: Vec<Hashed> = list.iter().map(Hashed).collect();
    Digest::of(&serde_json::to_vec(&list).expect("plain data"))
}

/// A component as it is hashed: a list of its kind, name and value.
struct Hashed<'a>(&'a Component);

impl Serialize for Hashed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Component {
            kind,
            what,
            value,
            vars: _,
        } = self.0;
        match kind {
            // A step's title may be a name for people.
            ComponentKind::Step => (kind, value).serialize(serializer),
            _ => (kind, what, value).serialize(serializer),
        }
    }
}

fn digest_of(value: &Value) -> String {
    digest_of_value(value).as_str().to_owned()
}

/// Returns the digest of a value's JSON. Maps in it are sorted, or in an order that counts: `preserve_order`
/// of serde_json is on, so the text is always the same.
pub(super) fn digest_of_value(value: &Value) -> Digest {
    Digest::of(&serde_json::to_vec(value).expect("plain data"))
}

/// Returns the value of a file in a key: its mode and the digest of its content, or a link's target.
pub(super) fn file_value(file: &File) -> String {
    match file {
        File::Regular {
            content,
            executable,
        } => {
            let mode = if *executable { "0755" } else { "0644" };
            format!("{mode} {}", content.digest())
        }
        File::Link { target } => format!("link {target}"),
        File::Folder => "folder".to_owned(),
        // It is not copied.
        File::Special(special) => special.describe().to_owned(),
    }
}
