//! Quotes in the arguments of an instruction, and the words of here-documents.

use std::ops::Range;

/// Returns the name of a here-document, and whether its lines lose the tabs they begin with: `<<-EOF`. Blanks may be before
/// the name, also in `<< EOF` (frontend/dockerfile/parser/parser.go of BuildKit 0.32.2, `reHeredoc`).
pub fn here_document(written: &str) -> Option<(String, bool)> {
    let rest = written.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (rest, is_chomped) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let name = word(rest.trim_start()).filter(|name| !name.is_empty())?;
    (!rest.contains('<')).then_some((name, is_chomped))
}

/// Returns the words of a text, quotes included. What follows `<<` is part of its word, also after blanks.
pub fn split(text: &str) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut is_escaped = false;
    let mut before = None;
    // Whether only blanks are between here and a `<<`.
    let mut is_document = false;
    for (at, found) in text.char_indices() {
        let is_blank = found.is_whitespace();
        match (found, quote) {
            _ if is_escaped => is_escaped = false,
            // In quotes of `'`, it is a character.
            ('\\', None | Some('"')) => is_escaped = true,
            ('"' | '\'', None) => quote = Some(found),
            (end, Some(begun)) if end == begun => quote = None,
            (_, None) if is_blank && is_document => continue,
            (_, None) if is_blank => {
                list.extend(start.take().map(|start| start..at));
                before = None;
                continue;
            }
            _ => {}
        }
        is_document = quote.is_none() && (before, found) == (Some('<'), '<');
        // The third `<` of `<<<` begins no other.
        before = if is_document { None } else { Some(found) };
        start.get_or_insert(at);
    }
    list.extend(start.map(|start| start..text.len()));
    list
}

/// Whether a quote has no end.
pub fn is_open(text: &str) -> bool {
    let mut rest = text.chars();
    let mut quote = None;
    while let Some(found) = rest.next() {
        match (found, quote) {
            ('\\', None | Some('"')) => {
                rest.next();
            }
            ('"' | '\'', None) => quote = Some(found),
            (end, Some(begun)) if end == begun => quote = None,
            _ => {}
        }
    }
    quote.is_some()
}

/// Returns a word without quotes.
pub fn unquoted(word: &str) -> String {
    let mut made = String::new();
    let mut quote = None;
    for found in word.chars() {
        match quote {
            None if matches!(found, '"' | '\'') => quote = Some(found),
            Some(begun) if begun == found => quote = None,
            _ => made.push(found),
        }
    }
    made
}

/// Returns a text without quotes and escapes; `None` if it has several words, or a quote without an end.
fn word(text: &str) -> Option<String> {
    let mut made = String::new();
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(found) = rest.next() {
        match (found, quote) {
            ('\\', None) => made.extend(rest.next()),
            ('\\', Some('"')) => {
                let escaped = rest.next_if(|next| matches!(next, '"' | '$' | '\\'));
                made.push(escaped.unwrap_or('\\'));
            }
            ('"' | '\'', None) => quote = Some(found),
            (end, Some(begun)) if end == begun => quote = None,
            (blank, None) if blank.is_whitespace() => return None,
            _ => made.push(found),
        }
    }
    quote.is_none().then_some(made)
}
