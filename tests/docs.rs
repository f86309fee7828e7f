//! What the documents point to is there: files behind links, and tests that are named.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The README and everything in `docs`.
fn documents() -> Vec<PathBuf> {
    let folder = fs::read_dir(root().join("docs")).expect("docs");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    let mut documents: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "md")).collect();
    documents.push(root().join("README.md"));
    documents
}

/// What stands between `open` and `close`, wherever both are in one line.
fn between<'t>(text: &'t str, open: &'t str, close: char) -> impl Iterator<Item = &'t str> {
    let lines = text.lines();
    lines.flat_map(move |line| {
        line.split(open).skip(1).filter_map(move |rest| Some(rest.split_once(close)?.0))
    })
}

#[test]
fn links_lead_somewhere() {
    let mut links = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("UTF-8");
        let folder = document.parent().expect("a file is somewhere");
        for link in between(&text, "](", ')').filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document.clone() } else { folder.join(path) };
            assert!(target.exists(), "{link} in {}", document.display());
            if !anchor.is_empty() {
                let headings = fs::read_to_string(&target).expect("UTF-8");
                // As pages that show Markdown name them.
                let named = |line: &str| {
                    let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                    title.replace(|c: char| !c.is_alphanumeric() && c != '-' && c != '_', "")
                };
                assert!(
                    headings.lines().any(|line| line.starts_with('#') && named(line) == anchor),
                    "{link}"
                );
            }
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links are found");
}

#[test]
fn tests_that_are_named_exist() {
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).expect("UTF-8");
        let names = text.split(['`', ' ', '(', ')', ',', '\n']);
        for name in names.filter(|name| name.contains("tests/") && name.ends_with(".rs")) {
            assert!(root().join(name).exists(), "{name} in {}", document.display());
            named += 1;
        }
    }
    assert!(named > 10, "only {named} are found");
}
