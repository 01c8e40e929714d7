//! Colours of the terminal. Callers choose a meaning ([`Ink`]); the colour is chosen here.

use anstyle::{AnsiColor, Style};

/// A meaning that has a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Something succeeded.
    Good,
    /// Something failed.
    Bad,
    /// A warning.
    Warning,
    /// A name or a label.
    Name,
    /// Something less important.
    Aside,
}

impl Ink {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Name => Style::new().bold(),
            Self::Aside => Style::new().dimmed(),
        }
    }
}

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether the output has colours.
    pub color: bool,
}

impl Paint {
    /// Returns the text in the colour of its meaning.
    pub fn text(self, ink: Ink, text: &str) -> String {
        if self.color {
            let style = ink.style();
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_only_adds_escapes() {
        for ink in [Ink::Good, Ink::Bad, Ink::Warning, Ink::Name, Ink::Aside] {
            let colored = Paint { color: true }.text(ink, "text");
            assert_ne!(colored, "text");
            assert_eq!(anstream::adapter::strip_str(&colored).to_string(), "text");
        }
    }

    #[test]
    fn without_color_text_stays() {
        assert_eq!(Paint { color: false }.text(Ink::Bad, "text"), "text");
    }
}
