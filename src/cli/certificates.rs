//! The certificates that steps trust: `--ca`, or `build.ca` of the spec.

use camino::{Utf8Path, Utf8PathBuf};

use super::{Exit, Failure};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads the certificates of a file that the user names.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs_err::read(path).map_err(|error| {
        let text = format!("cannot read the certificates for steps: {error}");
        Failure::new(Exit::Environment, text)
    })?;
    certificates(&bytes).ok_or_else(|| {
        let text = format!("no certificate found in `{path}`");
        let help = format!("use a PEM file with `{BEGIN}`");
        Failure::new(Exit::Environment, text).help(help)
    })
}

/// Reads the certificates of a file that the spec names, which must be in the folder of the spec: steps
/// see them, and who writes a spec must not have other files of this machine shown.
pub fn read_of_spec(folder: &Utf8Path, path: &Spanned<Utf8PathBuf>) -> Result<Vec<u8>, Diagnostic> {
    let Spanned { value: path, span } = path;
    let unreadable = |error: std::io::Error| {
        let kind = error.kind();
        let reason = if kind == std::io::ErrorKind::NotFound {
            "no such file".to_owned()
        } else {
            error.to_string()
        };
        Diagnostic::error(format!("cannot read certificates from `{path}`"))
            .at(*span, reason)
            .help(format!(
                "write a PEM file with `{BEGIN}`, or pass one with --ca"
            ))
    };
    let real = std::fs::canonicalize(folder.join(path)).map_err(unreadable)?;
    if !real.starts_with(std::fs::canonicalize(folder).map_err(unreadable)?) {
        let text = format!("`build.ca` leaves the folder of the spec by a link: `{path}`");
        let problem = Diagnostic::error(text).at(*span, format!("leads to `{}`", real.display()));
        return Err(problem.help("pass the file with --ca"));
    }
    if !real.is_file() {
        return Err(unreadable(std::io::Error::other("not a file")));
    }
    let bytes = std::fs::read(&real).map_err(unreadable)?;
    let missing = || unreadable(std::io::Error::other("no certificate found"));
    certificates(&bytes).ok_or_else(missing)
}

/// Returns the certificates of a PEM file and nothing else of it; `None` if it has none.
fn certificates(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let mut found = String::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        open = match (open, line) {
            (_, BEGIN) => Some(format!("{BEGIN}\n")),
            (Some(block), END) => {
                found.push_str(&format!("{block}{END}\n"));
                None
            }
            (Some(mut block), line) if is_base64(line) => {
                block.push_str(line);
                block.push('\n');
                Some(block)
            }
            _ => None,
        };
    }
    (!found.is_empty()).then(|| found.into_bytes())
}

/// Which bytes are digits of base64. A bundle of a system has 200 KB of them, and each command that can run steps reads it.
const BASE64: [bool; 256] = {
    let mut digits = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'+' | b'/' | b'=');
        byte += 1;
    }
    digits
};

fn is_base64(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| BASE64[usize::from(byte)])
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    use super::{BEGIN, END, certificates};

    /// PEM files: of what is passed on, certificates alone are found again.
    pub fn certificates_alone(bytes: &[u8]) {
        if let Some(found) = certificates(bytes) {
            let text = String::from_utf8_lossy(&found);
            assert_eq!(text.matches(BEGIN).count(), text.matches(END).count());
            assert_eq!(certificates(&found).as_deref(), Some(found.as_slice()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Sources, Span};

    fn found(text: &str) -> Option<String> {
        let bytes = certificates(text.as_bytes())?;
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    #[test]
    fn certificates_alone_are_passed_on() {
        let certificate = format!("{BEGIN}\nMIIB+/==\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        let text = format!("# a comment\n{certificate}{key}\r\n{certificate}");
        assert_eq!(found(&text), Some(certificate.repeat(2)));
        let broken = format!("{BEGIN}\n{{\"auths\": 1}}\n{END}\n");
        for text in ["", "{\"auths\": {}}", key, broken.as_str()] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn the_file_of_a_spec_is_in_its_folder() {
        let kept = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
        let outside = tempfile::NamedTempFile::new().expect("a file");
        let certificate = format!("{BEGIN}\nMIIB\n{END}\n");
        fs_err::write(outside.path(), &certificate).expect("written");
        fs_err::write(folder.join("ca.pem"), &certificate).expect("written");
        std::os::unix::fs::symlink(outside.path(), folder.join("link")).expect("a link");
        let read = |path: &str| {
            let mut sources = Sources::default();
            let source = sources.add("specs.yml", format!("build: {{ ca: {path} }}\n"));
            let end = 13 + u32::try_from(path.len()).expect("short");
            let span = Span {
                source,
                start: 13,
                end,
            };
            let problem = read_of_spec(folder, &Spanned::new(path.into(), span)).err()?;
            let shown = Failure::spec(sources, vec![problem]).shown(false);
            let outside = outside.path().canonicalize().expect("there");
            Some(shown.replace(outside.to_str().expect("UTF-8"), "OUTSIDE"))
        };
        assert_eq!(read("ca.pem"), None);
        fs_err::write(folder.join("empty.pem"), "").expect("written");
        let shown =
            ["link", "other.pem", ".", "empty.pem"].map(|path| read(path).expect("an error"));
        insta::assert_snapshot!(shown.concat(), @r"
        error: `build.ca` leaves the folder of the spec by a link: `link`
         --> specs.yml:1:14
          |
        1 | build: { ca: link }
          |              ^^^^ leads to `OUTSIDE`
          |
          = help: pass the file with --ca
        error: cannot read certificates from `other.pem`
         --> specs.yml:1:14
          |
        1 | build: { ca: other.pem }
          |              ^^^^^^^^^ no such file
          |
          = help: write a PEM file with `-----BEGIN CERTIFICATE-----`, or pass one with --ca
        error: cannot read certificates from `.`
         --> specs.yml:1:14
          |
        1 | build: { ca: . }
          |              ^ not a file
          |
          = help: write a PEM file with `-----BEGIN CERTIFICATE-----`, or pass one with --ca
        error: cannot read certificates from `empty.pem`
         --> specs.yml:1:14
          |
        1 | build: { ca: empty.pem }
          |              ^^^^^^^^^ no certificate found
          |
          = help: write a PEM file with `-----BEGIN CERTIFICATE-----`, or pass one with --ca
        ");
    }
}
