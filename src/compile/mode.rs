//! Modes as `chmod` understands them, computed here so that an image needs no `chmod`.

use crate::stack::Mode;

/// Returns the permission bits of a file or folder after a change of mode. Symbolic clauses follow POSIX
/// `chmod`: `X` looks at the bits before the change, and without a `who` they are for all. An invalid
/// clause changes nothing: `stack` rejects it.
pub fn apply(mode: &Mode, bits: u32, folder: bool) -> u32 {
    match mode {
        Mode::Octal(bits) => *bits,
        Mode::Symbolic(text) => text.split(',').fold(bits, |now, clause| {
            self::clause(clause, now, folder || bits & 0o111 != 0)
        }),
    }
}

fn clause(text: &str, bits: u32, executable: bool) -> u32 {
    let is_operator = |c: char| matches!(c, '+' | '-' | '=');
    let Some(at) = text.find(is_operator) else {
        return bits;
    };
    let (who, mut rest) = text.split_at(at);
    let mut now = bits;
    // A clause can have several operators, as in `u+x-w`.
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..].find(is_operator).map_or(rest.len(), |at| at + 1);
        now = action(who, operator, &rest[1..end], now, executable);
        rest = &rest[end..];
    }
    now
}

fn action(who: &str, operator: char, permissions: &str, bits: u32, executable: bool) -> u32 {
    let all = who.is_empty() || who.contains('a');
    let has = |c: char| all || who.contains(c);
    let mut change = 0;
    let mut mask = 0;
    for (class, shift, special) in [('u', 6, 0o4000), ('g', 3, 0o2000), ('o', 0, 0)] {
        if !has(class) {
            continue;
        }
        // As for the engine, `g=u` keeps setgid.
        let is_copy = matches!(permissions, "u" | "g" | "o");
        mask |= 0o7 << shift | if is_copy { 0 } else { special };
        for permission in permissions.chars() {
            change |= match permission {
                'r' => 0o4 << shift,
                'w' => 0o2 << shift,
                'x' => 0o1 << shift,
                'X' if executable => 0o1 << shift,
                's' => special,
                't' if all => 0o1000,
                'u' => (bits >> 6 & 0o7) << shift,
                'g' => (bits >> 3 & 0o7) << shift,
                'o' => (bits & 0o7) << shift,
                _ => 0,
            };
        }
    }
    match operator {
        '+' => bits | change,
        '-' => bits & !change,
        _ => (bits & !mask) | change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_work_as_in_chmod() {
        let mode = |text: &str, bits, folder| {
            format!(
                "{:04o}",
                apply(&Mode::Symbolic(text.to_owned()), bits, folder)
            )
        };
        assert_eq!(mode("g+rwX", 0o644, false), "0664");
        assert_eq!(mode("g+rwX", 0o755, false), "0775");
        assert_eq!(mode("g+rwX", 0o700, true), "0770");
        assert_eq!(mode("g+s", 0o755, true), "2755");
        assert_eq!(mode("u=rw,go=r", 0o777, false), "0644");
        assert_eq!(mode("a-w", 0o666, false), "0444");
        assert_eq!(mode("+x", 0o644, false), "0755");
        assert_eq!(mode("u+s,o-rwx", 0o755, false), "4750");
        assert_eq!(mode("u+x,g+X", 0o644, false), "0744");
        assert_eq!(mode("u+x-w", 0o644, false), "0544");
        assert_eq!(mode("g=rw+X,o=", 0o755, false), "0770");
        assert_eq!(mode("u=rwx,g=u,o=g", 0o640, false), "0777");
        assert_eq!(mode("g=u,o-g", 0o657, false), "0661");
        assert_eq!(
            format!("{:04o}", apply(&Mode::Octal(0o1777), 0o644, false)),
            "1777"
        );
    }
}
