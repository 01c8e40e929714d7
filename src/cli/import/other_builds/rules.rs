//! The rules of a Makefile or a justfile.

use std::collections::{BTreeMap, BTreeSet};

/// The rules of a file, in its order.
pub struct Rules(Vec<Rule>);

/// Targets with the lines of their recipe.
#[derive(Default)]
struct Rule {
    targets: Vec<String>,
    /// What must be made before, as written.
    needs: Vec<String>,
    /// The first line and the last one, by number.
    lines: (usize, usize),
}

impl Rules {
    /// Reads the rules of a file; `None` if it has another form.
    pub fn read(path: &str, text: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_lowercase();
        let is_just = name.ends_with("justfile");
        let is_make = matches!(&*name, "makefile" | "gnumakefile") || name.ends_with(".mk");
        if !is_just && !is_make {
            return None;
        }
        let mut rules: Vec<Rule> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if let Some(rule) = Rule::read(line, is_just) {
                let lines = (at + 1, at + 1);
                rules.push(Rule { lines, ..rule });
            } else if let Some(rule) = rules.last_mut() {
                rule.lines.1 = at + 1;
            }
        }
        Some(Self(rules))
    }

    /// Whether one of some targets builds images, if some lines of the file do. Without targets, this is about the first one.
    pub fn build<T>(&self, lines: &BTreeMap<usize, T>, targets: &[String]) -> bool {
        let building = self.building(lines);
        let first = || self.0.iter().position(|rule| !rule.is_special());
        if targets.is_empty() {
            return first().is_some_and(|at| building.contains(&at));
        }
        targets.iter().any(|target| {
            let mut known = self.0.iter();
            let is_known = known.any(|rule| rule.targets.contains(target));
            building.iter().any(|at| {
                let mut own = self.0[*at].targets.iter();
                own.any(|it| it == target || !is_known && could_be(it, target))
            })
        })
    }

    /// Returns the numbers of the rules that build images.
    fn building<T>(&self, lines: &BTreeMap<usize, T>) -> BTreeSet<usize> {
        let rules = self.0.iter().enumerate();
        let has_line = |rule: &Rule| lines.range(rule.lines.0..=rule.lines.1).next().is_some();
        let own = rules.clone().filter(|(_, rule)| has_line(rule));
        let mut building: BTreeSet<usize> = own.map(|(at, _)| at).collect();
        loop {
            let before = building.len();
            let targets: Vec<&String> = building
                .iter()
                .flat_map(|at| &self.0[*at].targets)
                .collect();
            let is_needed =
                |need: &String| targets.iter().any(|it| *it == need || could_be(it, need));
            let above = rules
                .clone()
                .filter(|(_, rule)| rule.needs.iter().any(is_needed));
            let above: Vec<usize> = above.map(|(at, _)| at).collect();
            building.extend(above);
            if building.len() == before {
                return building;
            }
        }
    }
}

impl Rule {
    /// Reads the line that a rule begins with.
    fn read(line: &str, is_just: bool) -> Option<Self> {
        if line.starts_with([' ', '\t', '#']) {
            return None;
        }
        let (targets, rest) = line.split_once(':')?;
        if targets.contains('=') && !is_just || rest.trim_start_matches(':').starts_with('=') {
            return None;
        }
        let needs = rest.split(['#', ';']).next().unwrap_or_default();
        let is_blank = |c: char| c.is_whitespace() || "(),".contains(c) && is_just;
        let words = |text: &str| -> Vec<String> {
            let words = text.split(is_blank).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        };
        let mut targets = words(targets.trim_start_matches('@'));
        if is_just {
            targets.truncate(1);
        }
        let needs = words(needs);
        let rule = Self {
            targets,
            needs,
            ..Self::default()
        };
        (!rule.targets.is_empty()).then_some(rule)
    }

    /// Whether this is a setting, such as `.PHONY`.
    fn is_special(&self) -> bool {
        self.targets[0].starts_with('.') && !self.targets[0].contains('/')
    }
}

/// Whether a target with a pattern or a variable can be another one: `build/%` can be `build/x` and `$(I:%=build/%)`.
fn could_be(target: &str, other: &str) -> bool {
    let is_computed = other.contains('$');
    let is_variable = other.starts_with('$') && other.ends_with([')', '}']);
    if is_variable && other.matches('$').count() == 1 && !other.contains('%') {
        // Its values are not read.
        return true;
    }
    match target.split_once('%') {
        Some((start, end)) => {
            let is_match = other.starts_with(start) && other.ends_with(end);
            is_match || is_computed && !start.is_empty() && other.contains(start)
        }
        None => target.contains('$') && !is_computed,
    }
}
