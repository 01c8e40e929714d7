//! The wiki of a stack: Markdown pages about its images, releases and channels.
//!
//! Main types: [`Wiki`], the input, and [`Made`], the pages. [`pages`] is a pure function; `laminate docs`
//! gathers its input and writes the pages. [`text`] escapes texts of images and people.

mod dockerfile;
mod names;
mod page;
mod parts;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod verdicts;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::evidence::Evidence;
use crate::name::Digest;
use crate::record::{GateVerdict, LedgerEntry, StoredRelease};
pub use dockerfile::{Dockerfile, keep_dockerfile};
pub use names::{Names, file, is_page};
pub use stored::{Layer, Stored};

/// Pages by the names of their files.
pub type Pages = BTreeMap<String, String>;

/// How pages link to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// By page name: `Page`.
    #[default]
    Wiki,
    /// By file name: `Page.md`.
    Plain,
}

impl Links {
    /// Returns the name of the kind, as in `--links`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wiki => "wiki",
            Self::Plain => "plain",
        }
    }
}

/// The input of all pages.
#[derive(Clone, Debug)]
pub struct Wiki {
    /// The name of the stack.
    pub stack: String,
    /// How pages link to each other.
    pub links: Links,
    /// All releases, newest first; at least one.
    pub releases: Vec<StoredRelease>,
    /// The release on the first page; one of `releases`.
    pub shown: Digest,
    /// Details of the releases that get pages, in the order of their images.
    pub details: BTreeMap<Digest, Vec<ImageDetails>>,
    /// All channels.
    pub channels: Vec<Channel>,
    /// Files that earlier runs wrote.
    pub written: BTreeSet<String>,
}

/// Details of an image of a release that its record does not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImageDetails {
    /// Its verdicts and lists.
    pub evidence: Option<Evidence>,
    /// Verdicts from outside.
    pub outside: Vec<GateVerdict>,
    /// Its resolved spec: after short keys, variants and variables.
    pub resolved: Option<Value>,
    /// The stored image; `None` if it is no longer in the registry.
    pub stored: Option<Stored>,
    /// A Dockerfile that builds the same files; `None`: the stack of the release is not at hand.
    pub dockerfile: Option<Dockerfile>,
}

/// A channel and its moves.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Its moves, newest first.
    pub entries: Vec<LedgerEntry>,
}

/// The pages to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Generated pages.
    pub pages: Pages,
    /// Existing pages of earlier releases, which stay as they are.
    pub kept: BTreeSet<String>,
}

impl Made {
    /// Returns files that earlier runs wrote and that no page needs now.
    pub fn stale<'a>(&'a self, written: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
        let wanted = |file: &&String| {
            !self.pages.contains_key(*file) && !self.kept.contains(*file) && is_page(file)
        };
        written.iter().filter(wanted)
    }
}

const TEMPLATES: [(&str, &str); 6] = [
    ("home", include_str!("templates/home.md")),
    ("stable", include_str!("templates/stable.md")),
    ("lineage", include_str!("templates/lineage.md")),
    ("sidebar", include_str!("templates/sidebar.md")),
    ("image", include_str!("templates/image.md")),
    ("release", include_str!("templates/release.md")),
];

/// Returns the templates. Only the filters of [`text`] escape.
fn environment(links: Links) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    environment.set_syntax(syntax.expect("the syntax is constant"));
    environment.add_filter("cell", |text: String| text::cell(&text));
    environment.add_filter("code", |text: String| text::code(&text));
    environment.add_filter("fence", |text: String, language: Option<String>| {
        text::fence(&text, &language.unwrap_or_default())
    });
    environment.add_filter("label", |text: String| text::label(&text));
    environment.add_filter("link", move |text: String, page: Option<String>| {
        let text = text::cell(&text);
        match (page, links) {
            (None, _) => text,
            (Some(page), Links::Wiki) => format!("[{text}]({page})"),
            (Some(page), Links::Plain) => format!("[{text}]({})", names::file(&page)),
        }
    });
    for (name, template) in TEMPLATES {
        environment
            .add_template(name, template)
            .expect("the templates are constant");
    }
    environment
}

/// Generates all pages.
pub fn pages(wiki: &Wiki) -> Made {
    let environment = environment(wiki.links);
    let mut pages = Pages::new();
    let mut add = |page: &str, template: &str, view: minijinja::Value| {
        let template = environment.get_template(template);
        let text = template.and_then(|template| template.render(view));
        let text = text.unwrap_or_else(|error| panic!("the template of {page}: {error:#}"));
        pages.insert(names::file(page), text);
    };
    fn context(view: &impl serde::Serialize) -> minijinja::Value {
        minijinja::Value::from(Serde(view))
    }
    let book = view::Book::new(wiki);
    add(names::HOME, "home", context(&book.home()));
    add(names::STABLE, "stable", context(&book.stable()));
    add(names::LINEAGE, "lineage", context(&book.lineage()));
    add(names::SIDEBAR, "sidebar", context(&book.sidebar()));
    for (page, image) in book.images() {
        add(page, "image", context(&book.image(image)));
    }
    let mut kept = BTreeSet::new();
    for stored in &wiki.releases {
        let details = wiki.details.get(&stored.digest);
        for (index, image) in stored.release.images.iter().enumerate() {
            let Some(page) = book.page(&stored.digest, image) else {
                continue;
            };
            match details {
                Some(details) => add(
                    page,
                    "release",
                    context(&book.release(stored, index, details)),
                ),
                None => {
                    kept.insert(names::file(page));
                }
            }
        }
    }
    Made { pages, kept }
}
