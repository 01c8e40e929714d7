//! `compression:`: how new layers are stored.

use std::fmt;

use super::reader::{Fields, Reader};
use crate::diagnostic::Diagnostic;
use crate::spec::node::Node;
use crate::stack::forms::Form;

/// The formats of layers, by their names in a spec, which are those of BuildKit's exporters.
const FORMATS: [(&str, LayerFormat); 4] = [
    ("zstd", LayerFormat::Zstd),
    ("gzip", LayerFormat::Gzip),
    ("estargz", LayerFormat::Estargz),
    ("uncompressed", LayerFormat::Uncompressed),
];

/// The level of zstd if the spec sets none.
const ZSTD_LEVEL: u32 = 3;

/// The format of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerFormat {
    /// `application/vnd.oci.image.layer.v1.tar+zstd`.
    Zstd,
    /// `application/vnd.oci.image.layer.v1.tar+gzip`.
    Gzip,
    /// gzip with an index of its files, which some runtimes fetch one by one.
    Estargz,
    /// `application/vnd.oci.image.layer.v1.tar`.
    Uncompressed,
}

/// How the layers that laminate builds are stored. Those of external bases stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Their format.
    pub format: LayerFormat,
    /// `None`: the engine's default.
    pub level: Option<u32>,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            format: LayerFormat::Zstd,
            level: Some(ZSTD_LEVEL),
        }
    }
}

impl LayerFormat {
    /// Returns its name in a spec and for BuildKit.
    pub fn name(self) -> &'static str {
        let mut formats = FORMATS.iter();
        let known = formats.find(|(_, format)| *format == self);
        known.expect("every format has a name").0
    }

    /// Returns the highest level.
    fn highest_level(self) -> u32 {
        match self {
            Self::Zstd => 22,
            Self::Gzip | Self::Estargz | Self::Uncompressed => 9,
        }
    }
}

/// `zstd:3`, or `gzip` without a level.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}:{level}", self.format.name()),
            None => f.write_str(self.format.name()),
        }
    }
}

/// Reads `compression:` of a stack.
pub fn read(reader: &Reader, top: &Fields) -> Compression {
    let node = top.get("compression");
    node.and_then(|node| compression(reader, node))
        .unwrap_or_default()
}

fn compression(reader: &Reader, node: &Node) -> Option<Compression> {
    let what = "`compression`";
    if reader.form(node, what, &[Form::Text, Form::Map])? == Form::Text {
        return Some(with_default_level(reader.one_of(node, what, &FORMATS)?));
    }
    let fields = reader.fields(node, what, &["type", "level"])?;
    let format = reader.required(&fields, what, "type")?;
    let format = reader.one_of(format, "`type`", &FORMATS)?;
    let Some(level) = fields.entry("level") else {
        return Some(with_default_level(format));
    };
    if format == LayerFormat::Uncompressed {
        reader.report(
            Diagnostic::error("`level` cannot be used with `uncompressed`")
                .at(level.key.span, "layers are not compressed")
                .help("remove it, or set another `type`"),
        );
        return None;
    }
    let level = reader.number(&level.value, "`level`", 1..=format.highest_level())?;
    Some(Compression {
        format,
        level: Some(level),
    })
}

fn with_default_level(format: LayerFormat) -> Compression {
    let level = (format == LayerFormat::Zstd).then_some(ZSTD_LEVEL);
    Compression { format, level }
}
