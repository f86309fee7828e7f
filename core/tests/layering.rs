//! Holds the layers of the source: a lower room never names a higher one, and some calls are banned.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of the core, lowest first. What stands in one entry may name what stands in the entries before, and
/// itself.
const ROOMS: [&str; 20] = [
    "canary",
    "trace",
    "bug",
    "time",
    "codec",
    "pairs",
    "attributes",
    "patch",
    "destination",
    "filter",
    "message",
    "error",
    "wire",
    "framing",
    "config",
    "link",
    "handshake",
    "client",
    "roster",
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

fn room_of(path: &Path) -> Option<usize> {
    let relative = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).ok()?;
    let first = relative.iter().next()?.to_str()?;
    ROOMS.iter().position(|room| *room == first.trim_end_matches(".rs"))
}

#[test]
fn a_lower_room_never_names_a_higher_one() {
    let mut seen = 0;
    for (path, code) in source("src") {
        let Some(room) = room_of(&path) else {
            assert!(path.ends_with("lib.rs"), "{} is in no room: name it in this test", path.display());
            continue;
        };
        for (at, line) in lines(&code) {
            for (_, rest) in line.match_indices("crate::").map(|(at, found)| line.split_at(at + found.len()))
            {
                let named =
                    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
                let Some(other) = ROOMS.iter().position(|room| *room == named) else { continue };
                seen += 1;
                assert!(other <= room, "{}:{at} names {named}: {line}", path.display());
                let apart = [ROOMS[room], named] != ["broker", "client"];
                assert!(
                    apart,
                    "{}:{at} names {named}: client and broker know nothing of each other",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 50, "the test looks at the wrong place");
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
        let Some(room) = room_of(&path).map(|room| ROOMS[room]) else { continue };
        if !["codec", "pairs", "attributes", "patch", "destination", "filter", "wire", "framing", "handshake"]
            .contains(&room)
        {
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
