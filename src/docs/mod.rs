//! The wiki of a stack: pages in Markdown, made from what is known of its releases and channels.
//!
//! Main types: [`Wiki`], all that is known, and [`Made`], what becomes of it. [`pages`] is a pure
//! function; `laminate docs` gathers the one and writes the other. [`text`] keeps what images and
//! people say from becoming markup.

mod names;
mod page;
mod stored;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use crate::evidence::Evidence;
use crate::name::Digest;
use crate::record::{LedgerEntry, Release};
pub use names::{Names, file, is_page};
pub use stored::{Layer, Stored};

/// Texts by the names of their files.
pub type Pages = BTreeMap<String, String>;

/// How a page names another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// `Page`, as wikis do
    #[default]
    Wiki,
    /// `Page.md`, as a folder of files does
    Plain,
}

impl Links {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wiki => "wiki",
            Self::Plain => "plain",
        }
    }
}

/// All that pages are made from.
#[derive(Clone, Debug)]
pub struct Wiki {
    pub stack: String,
    pub links: Links,
    /// Newest first; one at least.
    pub releases: Vec<(Digest, Release)>,
    /// The one on the first page; one of `releases`.
    pub shown: Digest,
    /// What is known of releases that get pages, in the order of their images.
    pub known: BTreeMap<Digest, Vec<Known>>,
    pub channels: Vec<Channel>,
    /// Files that were written before.
    pub written: BTreeSet<String>,
}

/// What is known of an image of a release beside its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub evidence: Option<Evidence>,
    /// Its spec after short keys, variants and variables.
    pub resolved: Option<Value>,
    /// `None` where the registry has it no longer.
    pub stored: Option<Stored>,
}

/// A channel and its moves, newest first.
#[derive(Clone, Debug)]
pub struct Channel {
    pub name: String,
    pub entries: Vec<LedgerEntry>,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub pages: Pages,
    /// Files of earlier releases that stay as they are.
    pub kept: BTreeSet<String>,
}

impl Made {
    /// Files that were written before and are of nothing any longer.
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

/// The templates, with nothing escaped but by the filters of [`text`].
fn environment(links: Links) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    environment.set_syntax(syntax.expect("only blanks are treated differently"));
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
            .expect("our templates are right");
    }
    environment
}

/// Makes all pages.
pub fn pages(wiki: &Wiki) -> Made {
    let environment = environment(wiki.links);
    let mut pages = Pages::new();
    let mut add = |page: &str, template: &str, view: minijinja::Value| {
        let template = environment.get_template(template);
        let text = template.and_then(|template| template.render(view));
        let text = text.unwrap_or_else(|error| panic!("the template of {page}: {error:#}"));
        pages.insert(names::file(page), text);
    };
    fn see(view: &impl serde::Serialize) -> minijinja::Value {
        minijinja::Value::from(Serde(view))
    }
    let book = view::Book::new(wiki);
    add(names::HOME, "home", see(&book.home()));
    add(names::STABLE, "stable", see(&book.stable()));
    add(names::LINEAGE, "lineage", see(&book.lineage()));
    add(names::SIDEBAR, "sidebar", see(&book.sidebar()));
    for (page, image) in book.images() {
        add(page, "image", see(&book.image(image)));
    }
    let mut kept = BTreeSet::new();
    for (digest, release) in &wiki.releases {
        let known = wiki.known.get(digest);
        for (index, image) in release.images.iter().enumerate() {
            let Some(page) = book.page(digest, image) else {
                continue;
            };
            match known {
                Some(known) => add(
                    page,
                    "release",
                    see(&book.release(digest, release, index, known)),
                ),
                None => {
                    kept.insert(names::file(page));
                }
            }
        }
    }
    Made { pages, kept }
}
