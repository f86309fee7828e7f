//! Holds the shape of all sources: no circle between files, no long file, no long function.

mod functions;
mod modules;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use functions::functions;
use modules::{Crate, Sources, circles};

/// The most lines of a file, and of a function, tests and comments included.
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 80;

/// All Rust files below the root of the workspace.
fn workspace() -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Sources::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                sources.insert(path.strip_prefix(root).expect("below the root").to_path_buf(), text);
            }
        }
    }
    sources
}

/// The files that no other file declares as a module: each begins a crate.
fn roots(sources: &Sources) -> BTreeSet<PathBuf> {
    let declared: BTreeSet<PathBuf> =
        sources.keys().flat_map(|file| Crate::read(sources, file).declared).collect();
    sources.keys().filter(|file| !declared.contains(*file)).cloned().collect()
}

/// Each file that is in a circle, with the paths that lead on from it.
fn in_circles(sources: &Sources) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for root in roots(sources) {
        let edges = Crate::read(sources, &root).edges();
        for file in circles(&edges) {
            let named =
                edges[file].iter().map(|(other, path)| format!("\n    {path} in {}", other.display()));
            found.insert(file.to_path_buf(), named.collect());
        }
    }
    found
}

/// What is too long, as `file` or `file: function`, with its lines.
fn too_long(sources: &Sources) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (file, source) in sources {
        let name = file.display().to_string();
        let long = functions(source).into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES);
        found.extend(long.map(|(function, _, lines)| (format!("{name}: {function}"), lines)));
        let lines = source.lines().count();
        if lines > FILE_LINES {
            found.push((name, lines));
        }
    }
    found
}

#[test]
fn no_file_leads_back_to_itself() {
    let sources = workspace();
    assert!(sources.len() > 300, "the test looks at the wrong place");
    let found: Vec<String> =
        in_circles(&sources).iter().map(|(file, named)| format!("{} names{named}", file.display())).collect();
    assert!(
        found.is_empty(),
        "these files are in a circle; move what they share below them:\n{}",
        found.join("\n")
    );
}

#[test]
fn no_file_and_no_function_is_long() {
    let found = too_long(&workspace());
    assert!(
        found.is_empty(),
        "at most {FILE_LINES} lines in a file, and {FUNCTION_LINES} in a function: {found:#?}"
    );
}

fn tree(files: &[(&str, &str)]) -> Sources {
    files.iter().map(|(file, text)| (PathBuf::from(file), (*text).to_owned())).collect()
}

fn names_in_circles(files: &[(&str, &str)]) -> Vec<String> {
    in_circles(&tree(files)).into_keys().map(|file| file.display().to_string()).collect()
}

#[test]
fn a_circle_is_found_however_it_is_named() {
    for back in [
        "use super::a::A;",
        "use crate::{a::{self as other, A}};",
        "pub(crate) fn f() -> crate::a::A { crate::a::A }",
        "mod inside { use super::super::a::A; }",
        "fn f() { super::a::A::new::<u8>() }",
        "macro_rules! m { () => { $crate::a::A }; }",
    ] {
        let b = format!("/* \" */ const QUOTE: char = '\"'; {back}");
        let files =
            [("src/lib.rs", "mod a; mod b;"), ("src/a.rs", "use crate::b::B; struct A;"), ("src/b.rs", &b)];
        assert_eq!(names_in_circles(&files), ["src/a.rs", "src/b.rs"], "{back}");
    }
}

#[test]
fn a_child_that_names_its_parent_closes_a_circle_wherever_its_file_is() {
    for (declared, file) in [
        ("mod b;", "src/a/b.rs"),
        ("mod b;", "src/a/b/mod.rs"),
        ("#[path = \"elsewhere.rs\"] mod b;", "src/a/elsewhere.rs"),
        ("#[cfg_attr(not(feature = \"b\"), path = \"no_b.rs\")] mod b;", "src/a/no_b.rs"),
    ] {
        let a = format!("{declared} pub(crate) use b::B; struct A;");
        let files = [("src/lib.rs", "mod a;"), ("src/a/mod.rs", &a), (file, "use super::A; struct B(A);")];
        assert_eq!(names_in_circles(&files).len(), 2, "{declared}");
    }
}

#[test]
fn what_is_no_circle_is_none() {
    for b in [
        "// use crate::a::A;",
        "const TEXT: &str = \"crate::a::A\"; const RAW: &str = r#\"\"crate::a::A\"#;",
        "pub(in crate::a) struct B;",
        "#[cfg(test)] use crate::a::A; struct B;",
        "struct B; #[cfg(all(test, unix))] mod tests { use crate::a::A; }",
        "use other::a::A; fn f() { self.a::<A>() }",
    ] {
        let files =
            [("src/lib.rs", "mod a; mod b;"), ("src/a.rs", "use crate::b::B; struct A;"), ("src/b.rs", b)];
        assert_eq!(names_in_circles(&files), [""; 0], "{b}");
    }
    // A module of tests may name what it tests.
    let files = [("src/lib.rs", "#[cfg(test)] mod tests; fn f() {}"), ("src/tests.rs", "use super::*;")];
    assert_eq!(names_in_circles(&files), [""; 0]);
}

#[test]
fn a_long_function_and_a_long_file_are_found() {
    let short = "fn short<'a>(x: &'a [u8; 3]) -> char { '{' }\n";
    let long = format!("impl A {{\n    fn long(&self)\n    {{\n{}    }}\n}}\n", "        x();\n".repeat(78));
    let named = |source: String| too_long(&tree(&[("a.rs", &source)]));
    assert_eq!(named(format!("{short}{long}")), [("a.rs: long".to_owned(), 81)]);
    assert_eq!(named(short.repeat(500)), []);
    assert_eq!(named(short.repeat(501)), [("a.rs".to_owned(), 501)]);
}
