//! What this crate offers, one line each, against `docs/api/core.txt`: a change of the public API is a change of that file.
//!
//! The list is read from the sources, which rustfmt has laid out: names that are exported from the front page, from `broker`
//! and from `client`, with their public fields, variants, functions and implementations. What a macro makes is not in it.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Sources by the paths of their modules: `data::value` for `src/data/value.rs`.
type Sources = BTreeMap<String, String>;

const RENEW: &str = "to accept the change: RENEW_API=1 cargo test -p e-pigeon-core --test public_api";

#[test]
fn the_public_api_is_the_one_that_is_checked_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Sources::new();
    read_sources(&root.join("src"), "", &mut sources);
    let list = public_api(&sources);
    let file = root.join("../docs/api/core.txt");
    if std::env::var_os("RENEW_API").is_some() {
        fs::write(&file, list.join("\n") + "\n").unwrap();
    }
    let checked_in = fs::read_to_string(&file).unwrap_or_default();
    let changes = changes(&checked_in, &list);
    assert!(changes.is_empty(), "{}\n{RENEW}", changes.join("\n"));
}

#[test]
fn a_change_of_the_api_is_seen() {
    let lib = "mod a;\npub use a::{One, Two};\n";
    let a = "#[derive(Clone)]\npub struct One {\n    pub x: u8,\n    y: u8,\n}\n\nimpl One {\n    pub fn f(\n        &self,\n        \
             n: u8,\n    ) -> u8 {\n        n\n    }\n\n    fn g(&self) {}\n}\n\n#[non_exhaustive]\npub enum Two {\n    /// First.\n    \
             A,\n    B {\n        n: u8,\n    },\n}\n\npub struct Hidden;\n\nimpl Clone for Two {\n}\n";
    let list = |a: &str| public_api(&Sources::from([("".into(), lib.into()), ("a".into(), a.into())]));
    let before = list(a);
    assert_eq!(
        before,
        [
            "#[derive(Clone)] pub struct One",
            "#[non_exhaustive] pub enum Two",
            "One: pub fn f(&self, n: u8) -> u8",
            "One: pub x: u8",
            "Two: A",
            "Two: B { n: u8 }",
            "Two: impl Clone for Two",
        ]
    );
    let text = before.join("\n");
    assert_eq!(changes(&text, &before), [""; 0]);
    for (old, new, expected) in [
        ("x: u8", "x: u16", vec!["- One: pub x: u8", "+ One: pub x: u16"]),
        ("    y: u8", "    pub y: u8", vec!["+ One: pub y: u8"]),
        ("    fn g", "    pub fn g", vec!["+ One: pub fn g(&self)"]),
        ("    A,\n", "", vec!["- Two: A"]),
        ("#[non_exhaustive]\n", "", vec!["- #[non_exhaustive] pub enum Two", "+ pub enum Two"]),
    ] {
        assert_eq!(changes(&text, &list(&a.replacen(old, new, 1))), expected, "{new}");
    }
}

fn read_sources(directory: &Path, module: &str, sources: &mut Sources) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let within = |name: &str| if module.is_empty() { name.into() } else { format!("{module}::{name}") };
        if path.is_dir() {
            read_sources(&path, &within(name), sources);
        } else {
            let module = if matches!(name, "lib" | "mod") { module.into() } else { within(name) };
            sources.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The lines that only one of the two has.
fn changes(checked_in: &str, list: &[String]) -> Vec<String> {
    let old: BTreeSet<&str> = checked_in.lines().collect();
    let new: BTreeSet<&str> = list.iter().map(String::as_str).collect();
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    gone.chain(new.difference(&old).map(|line| format!("+ {line}"))).collect()
}

/// An item, a field, a variant or a method: its attributes, its text up to a body, and the lines of that.
struct Item<'s> {
    attributes: Vec<&'s str>,
    head: String,
    body: Vec<&'s str>,
}

/// The items that begin at this indent.
fn items<'s>(lines: &[&'s str], indent: usize) -> Vec<Item<'s>> {
    let mut items = Vec::new();
    let mut attributes = Vec::new();
    let mut lines = lines.iter().copied().peekable();
    while let Some(line) = lines.next() {
        let text = line.trim();
        if text.is_empty()
            || text.starts_with('}')
            || text.starts_with("//")
            || line.len() - line.trim_start().len() != indent
        {
            continue;
        }
        if text.starts_with("#[") {
            attributes.push(text);
            continue;
        }
        let mut head = text.to_owned();
        let has_list = ["pub fn", "fn", "impl", "pub trait"].iter().any(|start| text.starts_with(start));
        while !is_whole(&head, has_list) {
            let Some(next) = lines.next() else { break };
            let next = next.trim();
            let glue = if head.ends_with('(') || next.starts_with(')') { "" } else { " " };
            head = head.trim_end_matches(|letter| letter == ',' && next.starts_with(')')).to_owned()
                + glue
                + next;
        }
        let mut body = Vec::new();
        if head.ends_with('{') {
            while let Some(line) =
                lines.next_if(|line| line.trim().is_empty() || line.len() - line.trim_start().len() > indent)
            {
                body.push(line);
            }
        }
        let head = head.trim_end_matches("{}").trim_end_matches(['{', ';', ',']).trim_end().to_owned();
        items.push(Item { attributes: std::mem::take(&mut attributes), head, body });
    }
    items
}

fn is_whole(head: &str, has_list: bool) -> bool {
    let open = head.matches(['(', '[']).count();
    let is_closed = open == head.matches([')', ']']).count();
    is_closed && (head.ends_with(['{', ';', '}']) || (!has_list && head.ends_with(',')) || head == ")")
}

/// The names that `pub use` exports, by the module that has each.
fn exports(sources: &Sources, module: &str) -> Vec<(String, String)> {
    let Some(source) = sources.get(module) else { return Vec::new() };
    let lines: Vec<&str> = source.lines().collect();
    let mut exports = Vec::new();
    let text = lines.join(" ");
    for import in text.split("pub use ").skip(1) {
        let import = import.split(';').next().unwrap_or_default();
        let (path, names) = import.rsplit_once("::").unwrap_or(("", import));
        let (path, names) = import.split_once("::{").unwrap_or((path, names));
        let of = if module.is_empty() { path.to_owned() } else { format!("{module}::{path}") };
        for name in names.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty()) {
            exports.push((of.clone(), name.to_owned()));
        }
    }
    exports
}

/// The name of the type that an `impl` is for, without what stands before and behind it.
fn implemented(head: &str) -> &str {
    let mut depth = 0;
    let rest = head.trim_start_matches("impl");
    let end = rest.char_indices().find(|&(at, letter)| {
        depth += i32::from(letter == '<') - i32::from(letter == '>' && !rest[..at].ends_with('-'));
        depth == 0
    });
    let rest = if rest.starts_with('<') { &rest[end.map_or(0, |(at, _)| at + 1)..] } else { rest };
    let of = rest.rsplit_once(" for ").map_or(rest, |(_, of)| of).trim().trim_start_matches('&');
    of.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default()
}

fn public_api(sources: &Sources) -> Vec<String> {
    let mut found: Vec<_> =
        ["", "broker", "client"].iter().flat_map(|module| exports(sources, module)).collect();
    let mut public = BTreeSet::new();
    // A module may export what one below it defines.
    while let Some((module, name)) = found.pop() {
        found.extend(exports(sources, &module).into_iter().filter(|(_, exported)| *exported == name));
        public.insert((module, name));
    }
    let names: BTreeSet<&str> = public.iter().map(|(_, name)| name.as_str()).collect();
    let mut list = BTreeSet::new();
    for (module, source) in sources {
        let lines = without_lists(source);
        let defines = |name: &str| public.contains(&(module.clone(), name.to_owned()));
        let is_hidden = ["wire", "codec"].iter().any(|hidden| module.starts_with(hidden));
        for item in items(&lines, 0) {
            if item.head.starts_with("impl") {
                let name = implemented(&item.head);
                if names.contains(name) && (!is_hidden || defines(name)) {
                    list_impl(&mut list, name, &item);
                }
            } else if let Some(name) = defined(&item.head).filter(|name| defines(name)) {
                list_type(&mut list, name, &item);
            }
        }
    }
    list.into_iter().collect()
}

/// The lines of a source, with those types bare that a macro makes of a list.
fn without_lists(source: &str) -> Vec<&str> {
    let mut is_list = false;
    let bare = |line| {
        is_list =
            matches!(line, "config! {" | "errors! {" | "codes! {" | "fields! {") || (is_list && line != "}");
        if is_list { line.strip_prefix("    ").unwrap_or_default() } else { line }
    };
    source.lines().map(bare).collect()
}

/// The name of a public type, trait, constant or function.
fn defined(head: &str) -> Option<&str> {
    let kinds = ["pub struct ", "pub enum ", "pub trait ", "pub const ", "pub fn ", "pub type "];
    let rest = kinds.iter().find_map(|kind| head.strip_prefix(kind))?;
    rest.split(|letter: char| !(letter.is_alphanumeric() || letter == '_')).next()
}

fn list_type(list: &mut BTreeSet<String>, name: &str, item: &Item<'_>) {
    list.insert(with_attributes(item));
    let is_struct = item.head.starts_with("pub struct");
    for part in items(&item.body, 4) {
        if is_struct && !part.head.starts_with("pub ") {
            continue;
        }
        let fields: Vec<String> = if item.head.starts_with("pub enum") {
            items(&part.body, 8).into_iter().map(|field| field.head).collect()
        } else {
            Vec::new()
        };
        // The text of an error or a code is behind the arrow.
        let part = with_attributes(&part);
        let part = part.split(" =>").next().unwrap_or_default();
        let fields = if fields.is_empty() { String::new() } else { format!(" {{ {} }}", fields.join(", ")) };
        list.insert(format!("{name}: {part}{fields}"));
    }
}

fn list_impl(list: &mut BTreeSet<String>, name: &str, item: &Item<'_>) {
    if item.head.contains(" for ") {
        list.insert(format!("{name}: {}", with_attributes(item)));
        return;
    }
    for part in items(&item.body, 4) {
        if part.head.starts_with("pub ") && !part.attributes.contains(&"#[doc(hidden)]") {
            list.insert(format!("{name}: {}", with_attributes(&part)));
        }
    }
}

/// The text of an item behind those of its attributes that users see.
fn with_attributes(item: &Item<'_>) -> String {
    let seen = ["#[derive", "#[non_exhaustive", "#[must_use", "#[cfg"];
    let attributes = item.attributes.iter().filter(|text| seen.iter().any(|start| text.starts_with(start)));
    attributes.copied().chain([item.head.as_str()]).collect::<Vec<_>>().join(" ")
}
