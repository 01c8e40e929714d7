//! Channels and packages of `conda` steps, as texts: what the step could not read is a fault.

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::stack::url;

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CondaName {
    /// A channel.
    Channel,
    /// A package, with its version or by URL.
    Package,
}

impl CondaName {
    /// Returns the fault of a text: a token in a URL, or a path of this machine.
    pub fn fault(self, text: &str, span: Span) -> Option<Diagnostic> {
        if url::has_token(text) {
            return Some(url::token_in_url(span));
        }
        if let Some((channel, _)) = text.split_once("::")
            && let Some(fault) = Self::Channel.fault(channel, span)
        {
            return Some(fault);
        }
        let path = self.relative_path(text)?;
        let name = path.trim_end_matches('/').rsplit('/').next();
        let name = name.filter(|name| !name.is_empty() && !name.starts_with(['.', '~']));
        let (what, place) = match self {
            Self::Channel => ("channel", format!("/channels/{}", name.unwrap_or("local"))),
            Self::Package => ("package", format!("/packages/{}", name.unwrap_or("NAME"))),
        };
        let source = path.trim_start_matches("./");
        Some(
            Diagnostic::error(format!("relative path `{path}` of a {what}"))
                .at(span, "the step has no such file or folder")
                .help(format!(
                    "add `mounts: {{ {place}: {{ bind: {source} }} }}` to the step, and write `{place}`"
                )),
        )
    }

    /// Returns the text if it is a path that is not absolute.
    fn relative_path(self, text: &str) -> Option<&str> {
        let of_url = text.strip_prefix("file:");
        let of_url = of_url.map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        let path = of_url.unwrap_or(text).split('#').next().unwrap_or_default();
        let is_relative_url = of_url.is_some() && !path.starts_with(['/', '$']);
        let is_marked = is_relative_url && !path.starts_with("localhost/")
            || matches!(path, "." | ".." | "~")
            || ["./", "../", "~/"]
                .iter()
                .any(|start| path.starts_with(start));
        let is_file = self == Self::Package
            && (path.ends_with(".conda") || path.ends_with(".tar.bz2"))
            && !path.starts_with('/')
            && !path.contains("://");
        (is_marked || is_file).then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_channels_and_packages_of_this_machine() {
        for text in [
            "./c",
            "../c/",
            ".",
            "~/c",
            "file:./c",
            "file:c",
            "file://./c",
            "file://c/d",
        ] {
            assert!(CondaName::Channel.relative_path(text).is_some(), "{text}");
        }
        for text in [
            "./x-1-0.conda",
            "x-1-0.tar.bz2",
            "x-1-0.conda#0a",
            "dist/x.conda",
        ] {
            assert!(CondaName::Package.relative_path(text).is_some(), "{text}");
        }
    }

    #[test]
    fn other_names_are_not_paths() {
        for text in [
            "conda-forge",
            "conda-forge/label/x",
            "https://h/c",
            "/opt/c",
            "file:///c",
            "file:/c",
            "file://localhost/c",
        ] {
            assert_eq!(CondaName::Channel.relative_path(text), None, "{text}");
        }
        for text in [
            "numpy",
            "numpy=1.2.*",
            "https://h/c/noarch/x-1-0.conda",
            "/m/x-1-0.conda",
            "c::x",
        ] {
            assert_eq!(CondaName::Package.relative_path(text), None, "{text}");
        }
    }
}
