//! The certificates that steps trust: `--ca`, or `build.ca` of the spec.

use camino::Utf8Path;

use super::{Exit, Failure};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads the certificates of a file that the user names.
pub fn read(path: &Utf8Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs_err::read(path).map_err(|error| {
        let text = format!("cannot read the certificates for steps: {error}");
        Failure::new(Exit::Environment, text)
    })?;
    certificates(&bytes).ok_or_else(|| no_certificate(Exit::Environment, path))
}

/// Reads the certificates of a file that the spec names, which must be in the folder of the spec: steps
/// see them, and who writes a spec must not have other files of this machine shown.
pub fn read_of_spec(folder: &Utf8Path, path: &Utf8Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| {
        let text = format!("cannot read `build.ca`: {error}");
        Failure::new(Exit::Spec, text)
    };
    let real = fs_err::canonicalize(folder.join(path)).map_err(unreadable)?;
    if !real.starts_with(fs_err::canonicalize(folder).map_err(unreadable)?) {
        let text = format!("`build.ca` leaves the folder of the spec by a link: `{path}`");
        return Err(Failure::new(Exit::Spec, text).help("pass the file with --ca"));
    }
    if !real.is_file() {
        let error = std::io::Error::other(format!("`{path}` is not a file"));
        return Err(unreadable(error));
    }
    let bytes = fs_err::read(&real).map_err(unreadable)?;
    certificates(&bytes).ok_or_else(|| no_certificate(Exit::Spec, path))
}

fn no_certificate(exit: Exit, path: &Utf8Path) -> Failure {
    Failure::new(exit, format!("no certificate found in `{path}`"))
        .help(format!("use a PEM file with `{BEGIN}`"))
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
            (Some(block), line) if is_base64(line) => Some(format!("{block}{line}\n")),
            _ => None,
        };
    }
    (!found.is_empty()).then(|| found.into_bytes())
}

fn is_base64(line: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    !line.is_empty() && line.bytes().all(is_digit)
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
        assert!(read_of_spec(folder, Utf8Path::new("ca.pem")).is_ok());
        let failure = read_of_spec(folder, Utf8Path::new("link")).expect_err("outside");
        insta::assert_snapshot!(failure.shown(false), @r"
        error: `build.ca` leaves the folder of the spec by a link: `link`
        help: pass the file with --ca
        ");
    }
}
