//! Holds that nothing that cannot happen is passed over in silence: each way out of a function, and each default, for a
//! value that is not there either says `bug!` (or `or_bug`), or a comment at it says why that is a legitimate case.

use std::fs;
use std::path::{Path, PathBuf};

/// Where that holds.
const PLACES: [&str; 2] = ["src", "../transport/src"];

fn files() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for place in PLACES {
        let mut places = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(place)];
        while let Some(path) = places.pop() {
            if path.is_dir() {
                let entries = fs::read_dir(&path).expect("a folder of the source");
                places.extend(entries.map(|entry| entry.expect("an entry").path()));
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                let text = fs::read_to_string(&path).expect("a source file");
                // Tests at the end of a file may do what they like.
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                files.push((path, code.to_owned()));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default().trim()
}

fn leaves(code: &str) -> bool {
    ["return", "break", "continue"].iter().any(|word| {
        let rest = code.strip_prefix(word);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

/// True where a line passes over a value that is not there: by a default, or by going away. `next` is the code behind it.
fn passes_over(code: &str, next: &str) -> bool {
    let after = |what: &str| code.find(what).and_then(|at| code.get(at + what.len()..)).map(str::trim_start);
    let goes =
        |rest: Option<&str>| rest.is_some_and(|rest| leaves(if rest.is_empty() { next } else { rest }));
    code.contains("unwrap_or_default()")
        || goes(after("else {"))
        || goes(after("None =>"))
        || goes(after("Err(_) =>"))
        || goes(after("None => {"))
        || goes(after("Err(_) => {"))
}

fn is_explained(line: &str) -> bool {
    line.contains("//") || line.contains("bug!(") || line.contains(".or_bug(")
}

/// The lines of `code` that pass over something and do not say why.
fn silent(code: &str) -> Vec<(usize, String)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let behind = lines.get(at + 1..).unwrap_or_default();
        let next = behind.iter().map(|line| code_of(line)).find(|code| !code.is_empty()).unwrap_or_default();
        if !passes_over(code_of(line), next) {
            continue;
        }
        // The statement, and right above it a comment, or the line in which the value was looked for.
        let begins = |line: &&&str| [';', '{', '}', ','].iter().any(|end| code_of(line).ends_with(*end));
        let before = lines[..at].iter().rev();
        let length = before.take_while(|line| !begins(line) && !code_of(line).is_empty()).count();
        let first = at - length;
        let above = first.checked_sub(1).and_then(|at| lines.get(at));
        let above = above.filter(|line| line.trim().starts_with("//") || line.contains(".or_bug("));
        // And what it does then, to the end of that block.
        let is_block = code_of(line).ends_with('{');
        let block = behind.iter().take_while(|line| is_block && !code_of(line).starts_with('}'));
        let mut all = lines[first..=at].iter().chain(block).chain(above);
        if !all.any(|line| is_explained(line)) {
            found.push((at + 1, (*line).to_owned()));
        }
    }
    found
}

#[test]
fn nothing_that_cannot_happen_is_passed_over_in_silence() {
    let mut all = Vec::new();
    for (path, code) in files() {
        all.extend(silent(&code).into_iter().map(|(at, line)| format!("{}:{at}: {line}", path.display())));
    }
    assert!(all.is_empty(), "say `bug!` here, or why this is a case:\n{}", all.join("\n"));
}

#[test]
fn the_test_knows_silence_when_it_sees_it() {
    let silent_ones = [
        "let Some(a) = f() else { return };",
        "let Some(a) = f() else {\n    return;\n};",
        "let Some(a) =\n    f()\nelse {\n    continue;\n};",
        "let a = f().unwrap_or_default();",
        "match a {\n    None => return,\n}",
        "match a {\n    Err(_) => {\n        break;\n    }\n}",
        "// Of another line.\nlet b = 1;\nlet Some(a) = f() else { break };",
    ];
    for code in silent_ones {
        assert_eq!(silent(code).len(), 1, "{code}");
    }
    let fine = [
        "// It is gone.\nlet Some(a) = f() else { return };",
        "let Some(a) = f() else { return }; // It is gone.",
        "let Some(a) = f() else {\n    // It is gone.\n    return;\n};",
        "let Some(a) = f() else { return bug!(\"it is gone\") };",
        "let Some(a) = f().or_bug(\"it is gone\") else { return };",
        "let Some(a) =\n    f().or_bug(\"it is gone\")\nelse {\n    return;\n};",
        "let a = f().or_bug(\"it is gone\").unwrap_or_default();",
        "let a = f().or_bug(\"it is gone\");\nlet a = a.unwrap_or_default();",
        "match a {\n    // It is gone.\n    None => return,\n}",
        "if a { returns() } else { returned() }",
    ];
    for code in fine {
        assert_eq!(silent(code), [], "{code}");
    }
}
