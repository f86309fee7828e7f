//! Holds the layers of the source: a lower module never names a higher one, and some calls are banned.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the core, lowest first. What stands in one entry may name what stands in the entries before, and itself.
const LAYERS: &[&str] = &[
    "trace",
    "bug",
    "time",
    "codec",
    "texts",
    "data::value",
    "data::attributes",
    "data::patch",
    "data::destination",
    "data::filter",
    "data::text",
    "data::message",
    "error",
    "wire::kind",
    "wire::limits",
    "wire::window",
    "wire::frame",
    "wire::cobs",
    "wire::state",
    "wire::control",
    "wire::item",
    "config::through_serde",
    "config::declare",
    "config::buffers",
    "config::client",
    "config::broker",
    "link::numbers",
    "link::keep_alive",
    "link::timing",
    "link::reorder",
    "link::recovery",
    "link::lossy",
    "handshake::lives",
    "handshake",
    "client::memory",
    "client::attributes",
    "client::event",
    "client::backoff",
    "client::blocks",
    "client::inbox",
    "client::seen",
    "client::entry",
    "client::outbox",
    "client::answers",
    "client::slots",
    "client::presence::watches",
    "client::presence::arrivals",
    "client::presence",
    "client::tables",
    "client::frame",
    "client::lossy",
    "client::link",
    "client::polling",
    "client::hello",
    "client::transmit",
    "client::receive",
    "client::lossy_io",
    "client::handles",
    "client::commands",
    "client::watching",
    "client::typed",
    "client",
    "roster",
    "broker::store::work",
    "broker::store::capacity",
    "broker::store::key_set",
    "broker::store::index",
    "broker::store::counts",
    "broker::store::deliveries",
    "broker::store::destinations",
    "broker::store::ready",
    "broker::store::event",
    "broker::store::log",
    "broker::store::receipts",
    "broker::store::wait_list",
    "broker::store::watches",
    "broker::store::queue",
    "broker::store::jobs",
    "broker::store::pool",
    "broker::store::senders",
    "broker::store::messages",
    "broker::store::policy",
    "broker::store::shares",
    "broker::store::sessions",
    "broker::store::stats",
    "broker::store::timers",
    "broker::store",
    "broker::routing::shares",
    "broker::routing::waiting",
    "broker::routing::windows",
    "broker::routing::outcome",
    "broker::routing::sweep",
    "broker::routing::deliver",
    "broker::routing::reach",
    "broker::routing::release",
    "broker::routing::rights",
    "broker::routing::accept",
    "broker::routing::acknowledge",
    "broker::routing::presence",
    "broker::routing::sessions",
    "broker::links::sources",
    "broker::links::lossy",
    "broker::links::table",
    "broker::bounds",
    "broker::errors",
    "broker::fit",
    "broker::inspect",
    "broker::state",
    "broker::links::hellos",
    "broker::links::schedule",
    "broker::links::ending",
    "broker::links::admission",
    "broker::links::hello",
    "broker::links::receive",
    "broker::links::early",
    "broker::links::turns",
    "broker::memory",
    "broker::links::due",
    "broker::links::prefetch",
    "broker::links::lossy_in",
    "broker::links::input",
    "broker::links::items",
    "broker::links::lossy_out",
    "broker::links::transmit",
    "broker",
];

/// Calls that would make the core depend on something besides its arguments.
const BANNED_EVERYWHERE: [&str; 9] = [
    "std::",
    "SystemTime",
    "Instant::now",
    "getrandom",
    "thread_rng",
    "println!",
    "HashMap::new()",
    "RandomState",
    "static mut",
];

/// Calls that may panic, banned where bytes of strangers are read.
const BANNED_WHERE_BYTES_ARE_READ: [&str; 6] =
    [".unwrap()", ".expect(", "panic!", "unreachable!", "todo!", "assert!("];

fn source(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("a source file");
                // Tests at the end of a file may do what they like.
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                let code = code.split("\nmod tests {").next().unwrap_or_default().to_owned();
                files.push((path, code));
            }
        }
    }
    assert!(!files.is_empty());
    files
}

/// Lines of code, without comments, with their numbers.
fn lines(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = code.lines().enumerate().map(|(at, line)| (at + 1, line));
    numbered.map(|(at, line)| (at, line.split("//").next().unwrap_or_default()))
}

/// The same, where an import that goes over several lines is one.
fn statements(code: &str) -> Vec<(usize, String)> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    for (at, line) in lines(code) {
        match statements.last_mut().filter(|(_, last)| is_open_import(last)) {
            Some((_, last)) => last.push_str(line.trim()),
            None => statements.push((at, line.to_owned())),
        }
    }
    statements
}

fn is_open_import(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("pub(crate) ").trim_start_matches("pub ");
    line.starts_with("use ") && !line.contains(';')
}

/// The path of a module, `data::value` for `src/data/value.rs`. What stands in for a module where a feature is left out is
/// that module.
fn module_of(path: &Path) -> Vec<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let relative = path.strip_prefix(source).expect("a file of the core").with_extension("");
    let parts =
        relative.iter().filter_map(|part| part.to_str()).filter(|&part| part != "mod" && part != "lib");
    parts.map(|part| part.strip_prefix("no_").unwrap_or(part).to_owned()).collect()
}

/// The layer of a path: that of the longest entry which begins it.
fn layer_of(path: &[String]) -> Option<usize> {
    let entries = LAYERS.iter().enumerate();
    let begins = entries.filter(|(_, entry)| {
        let mut parts = entry.split("::");
        let count = parts.clone().count();
        count <= path.len() && path.iter().take(count).all(|part| parts.next() == Some(part))
    });
    begins.max_by_key(|(_, entry)| entry.len()).map(|(at, _)| at)
}

/// The paths that a line names with `crate::` or `super::`, from the root of the crate on. Of a group in braces each member
/// is a path.
fn named<'a>(line: &'a str, module: &'a [String]) -> impl Iterator<Item = Vec<String>> {
    let found = line.match_indices("crate::").chain(line.match_indices("super::"));
    found.flat_map(|(at, word)| {
        let is_whole = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        let rest = &line[at + word.len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let (path, behind) = rest.split_at(end.unwrap_or(rest.len()));
        let mut parts: Vec<&str> = path.split("::").filter(|part| !part.is_empty()).collect();
        let mut from =
            if word == "crate::" { Some(&[][..]) } else { module.split_last().map(|(_, from)| from) };
        while parts.first() == Some(&"super") {
            from = from.and_then(|from| from.split_last()).map(|(_, from)| from);
            parts.remove(0);
        }
        let from = from.filter(|_| is_whole);
        let path: Option<Vec<String>> = from.map(|from| {
            let parts = parts.iter().map(|part| (*part).to_owned());
            from.iter().cloned().chain(parts).collect()
        });
        let group =
            behind.strip_prefix('{').and_then(|group| group.split_once('}')).map_or("", |(group, _)| group);
        let members = group.split(',').map(|member| member.trim().split(' ').next().unwrap_or_default());
        let members: Vec<String> = members.map(str::to_owned).collect();
        path.into_iter().flat_map(move |path| {
            let with = move |member: String| {
                let parts =
                    member.split("::").filter(|part| !part.is_empty() && *part != "self").map(str::to_owned);
                path.iter().cloned().chain(parts).collect::<Vec<_>>()
            };
            members.clone().into_iter().map(with)
        })
    })
}

#[test]
fn a_lower_module_never_names_a_higher_one() {
    let mut seen = 0;
    for (path, code) in source("src") {
        let module = module_of(&path);
        // The root and the folders only declare the modules in them.
        let Some(layer) = layer_of(&module) else {
            let is_folder = path.ends_with("lib.rs") || path.ends_with("mod.rs");
            assert!(is_folder, "{} is in no layer: name it in this test", path.display());
            continue;
        };
        for (at, line) in statements(&code) {
            for named in named(&line, &module) {
                let Some(other) = layer_of(&named) else { continue };
                seen += 1;
                assert!(other <= layer, "{}:{at} names {}: {line}", path.display(), LAYERS[other]);
                let apart = LAYERS[layer].starts_with("broker") && LAYERS[other].starts_with("client");
                assert!(
                    !apart,
                    "{}:{at}: client and broker know nothing of each other: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 150, "the test looks at the wrong place: {seen}");
}

#[test]
fn the_test_for_layers_knows_a_path_when_it_sees_it() {
    let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let find = |line: &str, of: &str| {
        let module = module(of);
        named(line, &module).map(|path| (path.join("::"), layer_of(&path))).collect::<Vec<_>>()
    };
    let layer = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    let item = layer("wire::item");
    assert_eq!(find("use crate::wire::item::Deliver;", "time"), [("wire::item::Deliver".into(), item)]);
    assert_eq!(
        find("use crate::wire::{item, kind::{self}};", "time")[0],
        ("wire::item".into(), item),
        "each member of a group is a path"
    );
    assert_eq!(
        find("use super::item::{Deliver, Final};", "wire::kind"),
        [("wire::item::Deliver".into(), item), ("wire::item::Final".into(), item)]
    );
    let joined = statements("use crate::a::{\n    b,\n};\nlet a = 1;");
    assert_eq!(joined, [(1, "use crate::a::{b,};".to_owned()), (4, "let a = 1;".to_owned())]);
    assert_eq!(
        find("use super::super::error::Code;", "wire::kind"),
        [("error::Code".into(), layer("error"))]
    );
    assert!(item > layer("wire::kind") && item > layer("time"), "these would be errors");
    let client = layer("client");
    assert_eq!(find("use super::Client;", "client::outbox"), [("client::Client".into(), client)]);
    assert_eq!(
        find("use super::super::link::ClientLink;", "client::presence::watches"),
        [("client::link::ClientLink".into(), layer("client::link"))]
    );
    assert!(client > layer("client::outbox"), "these would be errors");
    assert!(layer("client::link") > layer("client::presence::watches"), "these would be errors");
    assert_eq!(find("pub(super) fn f() {}", "wire::kind"), []);
}

#[test]
fn a_whole_machine_is_known_to_its_facade_alone() {
    for (folder, text, known) in [
        ("src/broker", "impl Broker {", ["src/broker/mod.rs", "src/broker/state.rs"]),
        ("src/client", "ClientState", ["src/client/handles.rs", "src/client/mod.rs"]),
    ] {
        let knows = |code: &str| lines(code).any(|(_, line)| line.contains(text));
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found: Vec<_> =
            source(folder).into_iter().filter(|(_, code)| knows(code)).map(|(path, _)| path).collect();
        found.sort();
        assert_eq!(found, known.map(|file| root.join(file)), "{text}: pass parts to other files");
    }
}

#[test]
fn the_core_is_a_function_of_its_arguments() {
    for (path, code) in source("src") {
        for (at, line) in lines(&code) {
            for banned in BANNED_EVERYWHERE {
                assert!(!line.contains(banned), "{}:{at} uses {banned}: {line}", path.display());
            }
        }
    }
}

#[test]
fn nothing_panics_where_bytes_of_strangers_are_read() {
    for (path, code) in source("src") {
        let module = module_of(&path);
        let reads = ["codec", "data", "wire", "handshake"]
            .iter()
            .any(|&reads| module.first().is_some_and(|m| m == reads));
        if !reads {
            continue;
        }
        for (at, line) in lines(&code) {
            for banned in BANNED_WHERE_BYTES_ARE_READ {
                assert!(!line.contains(banned), "{}:{at} uses {banned}: {line}", path.display());
            }
            assert!(!indexes(line), "{}:{at} indexes: {line}", path.display());
        }
    }
}

/// True where a name or a closing bracket stands right before an opening square bracket.
fn indexes(line: &str) -> bool {
    let line = line.trim_start();
    let found = line.match_indices('[').any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ')' || c == ']')
    });
    found && !line.starts_with("#[")
}

#[test]
fn the_test_for_indexing_knows_it_when_it_sees_it() {
    assert!(indexes("let a = bytes[0];") && indexes("f()[1]") && indexes("  &m[a..b]"));
    assert!(!indexes("let a: [u8; 4] = [0; 4];") && !indexes("#[inline]") && !indexes("&mut []"));
}

#[test]
fn the_adapter_knows_no_rule_of_the_protocol() {
    for (path, code) in ["../transport-mio/src", "../transport-embedded/src"].into_iter().flat_map(source) {
        if path.ends_with("tests.rs") || path.iter().any(|folder| folder == "tests") {
            continue;
        }
        for (at, line) in lines(&code) {
            for word in ["wire::", "Receipt", "kind::", "Attributes", "Destination", "framing::"] {
                assert!(!line.contains(word), "{}:{at} names {word}: {line}", path.display());
            }
        }
    }
}
