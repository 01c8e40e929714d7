//! Tables, sizes and durations for people: commands print them, and CI shows them in its summary.

use std::time::Duration;

use jiff::Timestamp;

/// Returns a table with aligned columns, two blanks apart, without trailing blanks. Missing cells are
/// empty. A column that is empty in all rows is left out, and so is the header of a table without rows.
pub fn plain(headers: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let (headers, rows) = without_empty(headers, rows);
    lines(&std::iter::once(headers).chain(rows).collect::<Vec<_>>())
}

/// Returns a table without its columns that are empty in all rows. One without rows keeps its columns.
fn without_empty<'a>(
    headers: &[&'a str],
    rows: &'a [Vec<String>],
) -> (Vec<&'a str>, Vec<Vec<&'a str>>) {
    let cell = |row: &'a Vec<String>, column| row.get(column).map_or("", String::as_str);
    let is_used =
        |column: &usize| rows.is_empty() || rows.iter().any(|row| measure(cell(row, *column)) > 0);
    let used: Vec<usize> = (0..headers.len()).filter(is_used).collect();
    let headers = used.iter().map(|column| headers[*column]);
    let rows = rows.iter();
    let rows = rows.map(|row| used.iter().map(|column| cell(row, *column)).collect());
    (headers.collect(), rows.collect())
}

/// Returns rows with aligned cells, as [`plain`] does.
pub fn lines<Cell: AsRef<str>>(rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure(cell.as_ref()));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let cell = cell.as_ref();
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - measure(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns a Markdown table. Markup in cells is escaped, except code in backticks. A column that is empty in all rows is
/// left out.
pub fn markdown(headers: &[&str], rows: &[Vec<String>]) -> String {
    let (headers, rows) = without_empty(headers, rows);
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(headers.iter().map(|cell| escape(cell)).collect());
    text.push_str(&line(vec!["---".to_owned(); headers.len()]));
    for row in rows {
        text.push_str(&line(row.into_iter().map(escape).collect()));
    }
    text
}

/// Escapes a cell. Code in backticks stays; the rest is literal.
fn escape(cell: &str) -> String {
    let mut escaped = String::new();
    // Odd pieces are between two backticks, unless the last backtick has no partner.
    let pieces: Vec<&str> = cell.split('`').collect();
    for (number, piece) in pieces.iter().enumerate() {
        let is_code = number % 2 == 1 && number + 1 < pieces.len();
        if number > 0 {
            escaped.push('`');
        }
        for character in piece.chars() {
            match character {
                '|' => escaped.push_str("\\|"),
                '\n' => escaped.push_str(if is_code { " " } else { "<br>" }),
                '<' if !is_code => escaped.push_str("&lt;"),
                '\\' | '*' | '_' | '[' | ']' if !is_code => {
                    escaped.push('\\');
                    escaped.push(character);
                }
                _ => escaped.push(character),
            }
        }
    }
    escaped
}

/// Returns the number of terminal columns, without escapes.
fn measure(cell: &str) -> usize {
    if cell.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return cell.len();
    }
    let text = anstream::adapter::strip_str(cell).to_string();
    unicode_width::UnicodeWidthStr::width(text.as_str())
}

/// Returns a time for people, without fractions of a second.
pub fn time(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// Returns a duration, as in `4.5 s`, `1m 04s`, `2h 00m`.
pub fn human_duration(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (duration.as_millis() + 500) / 1000;
    if seconds < 3600 {
        return format!("{}m {:02}s", seconds / 60, seconds % 60);
    }
    let minutes = (seconds + 30) / 60;
    format!("{}h {:02}m", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        vec![
            row(&["scipy-ml-notebook", "build", "file a|b_c changed"]),
            row(&["b\u{e4}se", "reuse", ""]),
            row(&["r", "hold"]),
        ]
    }

    #[test]
    fn plain_columns_are_aligned() {
        insta::assert_snapshot!(plain(&["IMAGE", "ACTION", "WHY"], &rows()), @r"
        IMAGE              ACTION  WHY
        scipy-ml-notebook  build   file a|b_c changed
        bäse               reuse
        r                  hold
        ");
    }

    #[test]
    fn a_column_that_is_empty_in_all_rows_is_left_out() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "", "x"]), row(["b", "", ""])];
        assert_eq!(plain(&["A", "B", "C"], &rows), "A  C\na  x\nb\n");
        let table = markdown(&["A", "B", "C"], &rows);
        assert_eq!(table, "| A | C |\n| --- | --- |\n| a | x |\n| b |  |\n");
    }

    #[test]
    fn a_table_without_rows_has_no_header() {
        assert_eq!(plain(&["A", "B"], &[]), "");
    }

    #[test]
    fn a_time_has_whole_seconds() {
        let at = "2026-11-27T14:48:58.803801904Z".parse().expect("a time");
        assert_eq!(time(at), "2026-11-27T14:48:58Z");
    }

    #[test]
    fn markdown_cells_cannot_break_the_table() {
        insta::assert_snapshot!(markdown(&["image", "action", "why"], &rows()), @r"
        | image | action | why |
        | --- | --- | --- |
        | scipy-ml-notebook | build | file a\|b\_c changed |
        | bäse | reuse |  |
        | r | hold |  |
        ");
        assert_eq!(
            escape("`a_b|c` *x*\n`y <z>"),
            "`a_b\\|c` \\*x\\*<br>`y &lt;z>"
        );
    }

    #[test]
    fn durations() {
        let shown = [
            0, 49, 50, 4_500, 59_949, 59_950, 64_000, 3_599_499, 3_599_500, 7_200_000,
        ];
        assert_eq!(
            shown.map(|millis| human_duration(Duration::from_millis(millis))),
            [
                "0.0 s", "0.0 s", "0.1 s", "4.5 s", "59.9 s", "1m 00s", "1m 04s", "59m 59s",
                "1h 00m", "2h 00m"
            ]
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let row = |name: &str| vec![name.to_owned(), "x".to_owned()];
        let table = plain(&["A", "B"], &[row("漢"), row("ab")]);
        assert_eq!(table, "A   B\n漢  x\nab  x\n");
    }

    #[test]
    fn colors_do_not_widen_a_column() {
        let row = vec!["\u{1b}[1mab\u{1b}[0m".to_owned(), "x".to_owned()];
        let table = plain(&["A", "B"], &[row]);
        assert_eq!(table, "A   B\n\u{1b}[1mab\u{1b}[0m  x\n");
    }

    #[test]
    fn an_unpaired_backtick_starts_no_code() {
        assert_eq!(escape("a ` *b*"), "a ` \\*b\\*");
    }

    #[test]
    fn a_line_break_in_code_becomes_a_blank() {
        assert_eq!(escape("`a\nb`"), "`a b`");
    }
}
