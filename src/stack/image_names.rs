//! Texts that name an image: one of the stack, or one of a registry.
//!
//! `base:` of an image and `image:` of a `copy` or a mount are read by [`ImageNames`], so that both follow one rule.

use std::collections::BTreeSet;

use super::image_source::{ExternalImage, ImageSource, KnownImage, KnownImages, SCRATCH};
use super::reader::Reader;
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::{ImageName, Reference, Repository};
use crate::source::{Span, Spanned};
use crate::spec::node::{Key, Node};

/// Longer lists of images are not shown in a hint.
const MOST_NAMES: usize = 20;

/// How an image uses another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It is based on it.
    Base,
    /// It copies files from it.
    Copy,
    /// A step of it mounts it.
    Mount,
}

/// What a name in a Dockerfile can stand for, beside images.
#[derive(Clone, Debug, Default)]
pub struct OtherNames<'a> {
    /// Stages, and named contexts.
    pub stages: Vec<&'a str>,
    /// Variables, if the name can have some.
    pub args: Vec<&'a str>,
    /// What has the name, if it is not the instruction.
    pub written: Option<WrittenName>,
}

/// Where a name is that an instruction has by a variable.
#[derive(Clone, Copy, Debug)]
pub enum WrittenName {
    /// In the spec, as the value of an argument.
    Argument(Span),
    /// In the Dockerfile, as the default of an `ARG`.
    Default(Span),
}

/// Reads texts that name an image, in one image of one variant.
pub struct ImageNames<'a> {
    /// All images of the spec.
    pub known: &'a KnownImages,
    /// Those the variant has.
    pub images: &'a BTreeSet<String>,
    /// The key of the variant in the file.
    pub variant: Option<&'a Key>,
    /// The image whose declaration is read.
    pub image: &'a ImageName,
}

impl ImageNames<'_> {
    /// Reads the name or the whole repository of an image of the stack, or a reference with a tag or a
    /// digest.
    pub fn read(&self, reader: &Reader, node: &Node, of: Use) -> Option<ImageSource> {
        let what = match of {
            Use::Base => "`base`",
            Use::Copy | Use::Mount => "`image`",
        };
        let before = reader.used.take();
        let text = reader.text(node, what);
        let vars = reader.used.take();
        reader.used.borrow_mut().extend(before);
        reader.used.borrow_mut().extend(vars.iter().cloned());
        let text = text?;
        let problem = match self.known(&text) {
            Some(known) if self.images.contains(known.name.as_str()) => {
                let name = Spanned::new(known.name.clone(), node.span);
                return Some(ImageSource::InStack(name));
            }
            Some(known) => self.left_out(&known.name, node.span, of),
            None => match Reference::parse(&text) {
                Ok(_) if !text.contains(['/', ':', '@']) => self.unknown(&text, node.span),
                Ok(_) if !Reference::is_exact(&text) => self.without_tag(&text, node.span),
                Ok(reference) => {
                    let reference = Spanned::new(reference, node.span);
                    return Some(ImageSource::External(ExternalImage { reference, vars }));
                }
                Err(error) => {
                    let kind = "image reference";
                    Diagnostic::invalid(kind, &text, node.span, error.to_string())
                }
            },
        };
        reader.report(problem);
        None
    }

    /// Reads a name of a Dockerfile: that of an image of the stack, as [`Self::read`] does, or a reference, whose tag is
    /// `latest` if it has none. `others`: what the name could also stand for, if it was written correctly. A name that is near
    /// to one of these or to an image of the stack can be a typo: it is an error if the spec gives it, and else a warning. Faults
    /// are at the text that has the name, which is not the instruction if that has a variable.
    pub fn of_dockerfile(
        &self,
        reader: &Reader,
        text: &str,
        span: Span,
        of: Use,
        others: &OtherNames,
    ) -> Option<ImageSource> {
        let instruction = span;
        let (span, is_given) = match others.written {
            Some(WrittenName::Argument(span)) => (span, true),
            Some(WrittenName::Default(span)) => (span, false),
            None => (span, false),
        };
        let problem = match self.known(text) {
            Some(known) if self.images.contains(known.name.as_str()) => {
                return Some(ImageSource::InStack(Spanned::new(known.name.clone(), span)));
            }
            Some(known) => self.left_out(&known.name, span, of),
            None => match Reference::parse(text) {
                Ok(reference) => {
                    let near = self.near(text, others);
                    if let (Some(near), true) = (&near, is_given) {
                        let problem = Diagnostic::error(format!("unknown image `{text}`"));
                        let problem = problem.at(span, "no such image");
                        let problem = problem.also(instruction, "an image is expected here");
                        reader.report(problem.help(meant(near, text)));
                        return None;
                    }
                    if let Some(near) = near {
                        let problem = Diagnostic::warning(format!(
                            "`{text}` is neither a stage nor an image of the stack"
                        ));
                        let problem = problem.at(span, format!("taken for `{reference}`"));
                        reader.report(problem.help(meant(&near, text)));
                    }
                    return Some(ImageSource::External(ExternalImage {
                        reference: Spanned::new(reference, span),
                        vars: BTreeSet::new(),
                    }));
                }
                Err(error) => {
                    let kind = "image reference";
                    let problem = Diagnostic::invalid(kind, text, span, error.to_string());
                    match self.near(text, others) {
                        Some(near) => problem.help(format!("did you mean `{near}`?")),
                        None => problem,
                    }
                }
            },
        };
        reader.report(problem);
        None
    }

    /// Returns the image of the spec that a text names by its name or its repository.
    fn known(&self, text: &str) -> Option<&KnownImage> {
        if Reference::is_exact(text) {
            return None;
        }
        // A name has no `/`, and a whole repository has one.
        if text.contains('/') {
            let repository = Repository::parse(text).ok()?;
            self.known.published_in(&repository)
        } else {
            self.known.named(text)
        }
    }

    /// Returns what a short name of a Dockerfile probably stands for.
    fn near(&self, text: &str, others: &OtherNames) -> Option<String> {
        if text.contains(['/', ':', '@']) {
            return None;
        }
        let lower = text.to_lowercase();
        let names = self.names().filter(|name| *name != self.image.as_str());
        let plain = nearest(&lower, others.stages.iter().copied().chain(names));
        let variable = || nearest(text, others.args.iter().copied());
        let plain = plain.map(str::to_owned);
        plain.or_else(|| Some(format!("${}", variable()?)))
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.known.names()
    }

    fn unknown(&self, text: &str, span: Span) -> Diagnostic {
        let names: Vec<&str> = self.names().collect();
        let tagged = format!("`{text}:latest`");
        let help = match nearest(text, names.iter().copied()) {
            Some(near) => meant(near, text),
            None if text == SCRATCH => {
                "steps need a base with files: write a Dockerfile that begins with `FROM scratch`, and name it in `dockerfile`".to_owned()
            }
            None if names.len() > MOST_NAMES => {
                format!("write an image of a registry with its tag: {tagged}")
            }
            None => {
                let names = names.join(", ");
                format!(
                    "write an image of a registry with its tag: {tagged}; the stack has {names}"
                )
            }
        };
        Diagnostic::error(format!("unknown image `{text}`"))
            .at(span, "no such image")
            .help(help)
    }

    fn without_tag(&self, text: &str, span: Span) -> Diagnostic {
        let last = text.rsplit('/').next().unwrap_or(text);
        let tagged = format!("`{text}:latest`, or another tag or a digest");
        let help = match nearest(last, self.names()) {
            Some(near) => format!("write {tagged}; the stack's own image is `{near}`"),
            None => format!("write {tagged}"),
        };
        Diagnostic::error(format!("missing tag in image reference `{text}`"))
            .at(span, "neither a tag nor a digest")
            .help(help)
    }

    fn left_out(&self, other: &ImageName, span: Span, of: Use) -> Diagnostic {
        let name = self.image;
        let does = match of {
            Use::Base => "is based on",
            Use::Copy => "copies from",
            Use::Mount => "mounts",
        };
        let key = self.variant;
        let variant = key.map(|key| key.text.as_str()).unwrap_or_default();
        let problem = Diagnostic::error(format!(
            "image `{name}` {does} `{other}`, which variant `{variant}` leaves out"
        ))
        .at(span, format!("`{other}` is not in the variant"))
        .help(format!("leave `{name}` out as well, or keep `{other}`"));
        match key {
            Some(key) => problem.also(key.span, "this variant"),
            None => problem,
        }
    }
}

/// Returns the hint for a name without a tag that is near to another one.
fn meant(near: &str, text: &str) -> String {
    format!("did you mean `{near}`? To use an image of a registry, add its tag: `{text}:latest`")
}
