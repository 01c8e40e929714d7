//! Selectors of images on the command line: `IMAGE`, `IMAGE+`, `+IMAGE`, `VARIANT/IMAGE`.
//!
//! `cli` gives the arguments to [`select`] and puts the set into a `Request`.

use std::collections::BTreeSet;

use crate::diagnostic::nearest;
use crate::stack::{ImageId, Stack};

/// One argument that selects images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `None`: in every variant that has the image.
    pub variant: Option<String>,
    /// The image's name.
    pub image: String,
    /// `+IMAGE`: all images of the stack that it needs as well.
    pub ancestors: bool,
    /// `IMAGE+`: all images that need it as well.
    pub descendants: bool,
}

/// Why an argument selects no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It has none of the four forms.
    #[error(
        "invalid selector `{written}`: use IMAGE, IMAGE+, +IMAGE or VARIANT/IMAGE, with `+` only at the very beginning or end"
    )]
    Malformed {
        /// The argument.
        written: String,
    },
    /// The stack has no such image.
    #[error("unknown image `{image}`{}", did_you_mean(.near))]
    UnknownImage {
        /// The name.
        image: String,
        /// The nearest name of an image.
        near: Option<String>,
    },
    /// The stack has no such variant.
    #[error("unknown variant `{variant}`{}", did_you_mean(.near))]
    UnknownVariant {
        /// The name.
        variant: String,
        /// The nearest name of a variant.
        near: Option<String>,
    },
    /// The stack has no variants at all.
    #[error("the stack has no variants: use `{image}` instead of `{variant}/{image}`")]
    NoVariants {
        /// The variant's name.
        variant: String,
        /// The image's name.
        image: String,
    },
    /// The variant leaves the image out.
    #[error("variant `{variant}` skips image `{image}`")]
    Skipped {
        /// The variant's name.
        variant: String,
        /// The image's name.
        image: String,
    },
}

fn did_you_mean(near: &Option<String>) -> String {
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; `laminate graph` lists all".to_owned(),
    }
}

impl Selector {
    /// Reads one argument, without looking at the stack.
    pub fn parse(written: &str) -> Result<Self, SelectorError> {
        let malformed = || SelectorError::Malformed {
            written: written.to_owned(),
        };
        let (rest, ancestors) = match written.strip_prefix('+') {
            Some(rest) => (rest, true),
            None => (written, false),
        };
        let (rest, descendants) = match rest.strip_suffix('+') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let (variant, image) = match rest.split_once('/') {
            Some((variant, image)) => (Some(variant.to_owned()), image),
            None => (None, rest),
        };
        let is_name = |text: &str| !text.is_empty() && !text.contains(['+', '/']);
        if !is_name(image) || !variant.as_deref().is_none_or(is_name) {
            return Err(malformed());
        }
        Ok(Self {
            variant,
            image: image.to_owned(),
            ancestors,
            descendants,
        })
    }
}

/// Returns the images that any of `selectors` selects; none only if there are no selectors.
pub fn select(stack: &Stack, selectors: &[String]) -> Result<BTreeSet<ImageId>, SelectorError> {
    let mut all = BTreeSet::new();
    for written in selectors {
        let selector = Selector::parse(written)?;
        let named = matching(stack, &selector)?;
        if selector.ancestors {
            all.extend(ancestors(stack, &named));
        }
        if selector.descendants {
            all.extend(descendants(stack, &named));
        }
        all.extend(named);
    }
    Ok(all)
}

/// Returns the images a selector is about, without ancestors and descendants.
fn matching(stack: &Stack, selector: &Selector) -> Result<BTreeSet<ImageId>, SelectorError> {
    let image = &selector.image;
    let variant = match &selector.variant {
        Some(name) => Some((name, variant(stack, name, image)?)),
        None => None,
    };
    let everywhere: Vec<ImageId> = (0..stack.images().len())
        .map(ImageId)
        .filter(|id| stack[*id].name.value.as_str() == image)
        .collect();
    if everywhere.is_empty() {
        let names = || stack.images().iter().map(|image| image.name.value.as_str());
        let begins = |name: &&str| name.starts_with(image.as_str());
        let near = nearest(image, names()).or_else(|| names().find(begins));
        return Err(SelectorError::UnknownImage {
            image: image.clone(),
            near: near.map(str::to_owned),
        });
    }
    let Some((name, index)) = variant else {
        return Ok(everywhere.into_iter().collect());
    };
    let there: BTreeSet<ImageId> = everywhere
        .into_iter()
        .filter(|id| stack[*id].variant == index)
        .collect();
    if there.is_empty() {
        return Err(SelectorError::Skipped {
            variant: name.clone(),
            image: image.clone(),
        });
    }
    Ok(there)
}

/// Returns the index of the variant called `name`.
fn variant(stack: &Stack, name: &str, image: &str) -> Result<usize, SelectorError> {
    let names = || {
        let variants = stack.variants().iter();
        variants.filter_map(|variant| variant.name.as_ref().map(|name| name.as_str()))
    };
    if names().next().is_none() {
        return Err(SelectorError::NoVariants {
            variant: name.to_owned(),
            image: image.to_owned(),
        });
    }
    let is_it = |variant: &crate::stack::Variant| {
        let own = variant.name.as_ref().map(|own| own.as_str());
        own == Some(name)
    };
    stack
        .variants()
        .iter()
        .position(is_it)
        .ok_or_else(|| SelectorError::UnknownVariant {
            variant: name.to_owned(),
            near: nearest(name, names()).map(str::to_owned),
        })
}

fn ancestors(stack: &Stack, of: &BTreeSet<ImageId>) -> BTreeSet<ImageId> {
    let mut found = BTreeSet::new();
    let mut open: Vec<ImageId> = of.iter().copied().collect();
    while let Some(id) = open.pop() {
        let needed = stack.dependencies(id).into_iter();
        open.extend(needed.filter(|id| found.insert(*id)));
    }
    found
}

fn descendants(stack: &Stack, of: &BTreeSet<ImageId>) -> BTreeSet<ImageId> {
    let mut found = of.clone();
    // Images come after those they need, so that one pass is enough.
    for id in stack.ids() {
        if stack.dependencies(id).iter().any(|id| found.contains(id)) {
            found.insert(id);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// base → sci → ml and base → rstudio; the second variant skips rstudio.
    fn stack(variants: &str) -> Stack {
        testing::stack(&format!(
            "stack: datahub\n\
             {variants}\n\
             images:\n  \
               base: {{ base: debian:bookworm }}\n  \
               sci: {{ base: base }}\n  \
               ml: {{ base: sci }}\n  \
               rstudio: {{ base: base }}\n"
        ))
    }

    const VARIANTS: &str = r#"variants: { "2021.2": {}, "2021.3": { skip: [rstudio] } }"#;

    fn selected(stack: &Stack, words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match select(stack, &words) {
            Ok(set) => set
                .iter()
                .map(|id| stack.label(*id))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn a_stack_without_variants() {
        let stack = stack("");
        let of = |words: &[&str]| selected(&stack, words);
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["sci"]), "sci");
        assert_eq!(of(&["sci+"]), "sci ml");
        assert_eq!(of(&["+sci"]), "base sci");
        assert_eq!(of(&["+sci+"]), "base sci ml");
        assert_eq!(of(&["base+"]), "base sci ml rstudio");
        assert_eq!(of(&["rstudio", "+ml", "sci"]), "base sci ml rstudio");
        assert_eq!(
            of(&["2021.2/sci"]),
            "error: the stack has no variants: use `sci` instead of `2021.2/sci`"
        );
    }

    #[test]
    fn an_image_alone_means_it_in_every_variant() {
        let stack = stack(VARIANTS);
        let of = |words: &[&str]| selected(&stack, words);
        assert_eq!(of(&["sci"]), "2021.2/sci 2021.3/sci");
        assert_eq!(of(&["rstudio"]), "2021.2/rstudio");
        assert_eq!(of(&["2021.3/sci+"]), "2021.3/sci 2021.3/ml");
        assert_eq!(of(&["+2021.3/sci"]), "2021.3/base 2021.3/sci");
        assert_eq!(
            of(&["2021.2/base", "+2021.3/ml"]),
            "2021.2/base 2021.3/base 2021.3/sci 2021.3/ml"
        );
    }

    #[test]
    fn unknown_names_are_reported_with_the_nearest_one() {
        let stack = stack(VARIANTS);
        let of = |word: &str| selected(&stack, &["base", word]);
        assert_eq!(
            of("rstudo"),
            "error: unknown image `rstudo`; did you mean `rstudio`?"
        );
        assert_eq!(
            of("tensorflow"),
            "error: unknown image `tensorflow`; `laminate graph` lists all"
        );
        assert_eq!(
            of("2021.4/sci"),
            "error: unknown variant `2021.4`; did you mean `2021.2`?"
        );
        assert_eq!(
            of("2021.3/rstudio"),
            "error: variant `2021.3` skips image `rstudio`"
        );
    }

    #[test]
    fn an_invalid_selector_is_refused() {
        let stack = stack(VARIANTS);
        for word in [
            "",
            "+",
            "++",
            "/",
            "sci/",
            "/sci",
            "a/b/c",
            "2021.2/+sci",
            "sci++",
        ] {
            assert_eq!(
                selected(&stack, &[word]),
                format!(
                    "error: invalid selector `{word}`: use IMAGE, IMAGE+, +IMAGE or VARIANT/IMAGE, \
                     with `+` only at the very beginning or end"
                )
            );
        }
    }
}
