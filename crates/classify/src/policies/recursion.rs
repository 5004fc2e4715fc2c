//! Functions that come back to themselves. Rego forbids them and the engine does not notice: it would go deeper until the
//! stack is full, and that ends the process.
//!
//! Functions are told apart by the last part of their names, and everything in a function's text that looks like a call is
//! one. So a function may be taken for another of the same name, never the other way round.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Engine;
use regorus::unstable::{Rule, RuleHead};

use super::PolicyError;

/// A function and the names that are called in it.
struct Function {
    file: String,
    line: u32,
    column: u32,
    calls: BTreeSet<String>,
}

/// Refuses policies of which a function may come back to itself.
pub(super) fn refuse(engine: &mut Engine) -> Result<(), PolicyError> {
    let functions = functions(engine);
    for (name, function) in &functions {
        if reached(&functions, &function.calls).contains(name) {
            return Err(PolicyError {
                file: function.file.clone().into(),
                line: function.line.into(),
                column: function.column.into(),
                message: format!("the function `{name}` may come back to itself, which Rego does not allow"),
            });
        }
    }
    Ok(())
}

fn functions(engine: &mut Engine) -> BTreeMap<String, Function> {
    let mut functions: BTreeMap<String, Function> = BTreeMap::new();
    for module in engine.get_modules() {
        let rules = &module.policy;
        for (position, rule) in rules.iter().enumerate() {
            let Rule::Spec { head: RuleHead::Func { refr, .. }, .. } = rule.as_ref() else { continue };
            let span = refr.span();
            let text = span.source.get_contents();
            let next = rules.get(position + 1).map(|rule| rule.span().start as usize);
            let text = text.get(span.start as usize..next.unwrap_or(text.len())).unwrap_or_default();
            let mut calls = calls(text).into_iter();
            // The first one is the function itself, with its parameters.
            let Some(name) = calls.next() else { continue };
            let function = functions.entry(name).or_insert_with(|| Function {
                file: span.source.get_path().clone(),
                line: span.line,
                column: span.col,
                calls: BTreeSet::new(),
            });
            function.calls.extend(calls);
        }
    }
    functions
}

/// Everything that is called from here on.
fn reached(functions: &BTreeMap<String, Function>, calls: &BTreeSet<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&String> = calls.iter().collect();
    while let Some(name) = left.pop() {
        if let Some(function) = functions.get(name)
            && reached.insert(name.clone())
        {
            left.extend(&function.calls);
        }
    }
    reached
}

/// The last parts of the names in front of parentheses, in order; nothing of comments and texts.
fn calls(text: &str) -> Vec<String> {
    let mut calls = Vec::new();
    let mut word = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' => drop(letters.find(|letter| *letter == '\n')),
            '`' => drop(letters.find(|letter| *letter == '`')),
            '"' => {
                while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
                    if letter == '\\' {
                        letters.next();
                    }
                }
            }
            '(' => calls.push(word.rsplit('.').next().unwrap_or_default().to_owned()),
            letter if letter.is_alphanumeric() || matches!(letter, '_' | '.') => {
                word.push(letter);
                continue;
            }
            _ => {}
        }
        word.clear();
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_outside_of_comments_and_texts() {
        let text = "f(x) := lib.g(x, \"h(1) \\\" i(2)\") + count([1 | `j(3)`]) # k(4)\n + l(5)";
        assert_eq!(calls(text), ["f", "g", "count", "l"]);
    }
}
