//! The modules of a crate, and which of its files name which others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::tokens::{AckToken, behind_closing, behind_item, tokens};

/// The source files of a workspace, each with its text.
pub(crate) type Sources = BTreeMap<PathBuf, String>;

/// Which files a file names, each with a path that does so.
pub(crate) type Edges = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

type ModulePath = Vec<String>;

/// A module, or a part of a file that is one.
#[derive(Debug, Default)]
struct Module {
    /// The files that may be it: several where a feature chooses.
    files: BTreeSet<PathBuf>,
    /// The paths that each file names in it.
    named: Vec<(PathBuf, ModulePath)>,
}

/// The crate that begins with one file.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
    /// All files that some `mod` declares, tests included.
    pub(crate) declared: BTreeSet<PathBuf>,
}

impl Crate {
    pub(crate) fn read(sources: &Sources, root: &Path) -> Self {
        let mut found = Self::default();
        let folder = root.parent().unwrap_or(Path::new("")).to_path_buf();
        found.read_file(sources, &mut Vec::new(), root, &folder);
        found
    }

    /// `folder` is where the children of the file are.
    fn read_file(&mut self, sources: &Sources, path: &mut ModulePath, file: &Path, folder: &Path) {
        let Some(source) = sources.get(file) else { return };
        let all = tokens(source);
        let mut reader = Reader { sources, source, file, tokens: &all, found: self };
        reader.read(path, folder, 0, all.len());
    }

    /// Which files name which others.
    pub(crate) fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (path, module) in &self.modules {
            for (file, named) in &module.named {
                for other in self.files_of(path, named).into_iter().flatten().filter(|other| *other != file) {
                    let from = edges.entry(file.clone()).or_default();
                    from.entry(other.clone()).or_insert_with(|| named.join("::"));
                }
            }
        }
        edges
    }

    /// The files of the module that a path leads to, as far as it leads through modules.
    fn files_of(&self, from: &ModulePath, named: &ModulePath) -> Option<&BTreeSet<PathBuf>> {
        let mut at = from.clone();
        let mut names = named.iter().peekable();
        match names.peek()?.as_str() {
            "crate" => at = ModulePath::new(),
            "self" | "super" => {}
            first => {
                at.push(first.to_owned());
                self.modules.get(&at)?;
            }
        }
        if at.len() <= from.len() {
            while let Some(name) = names.next_if(|name| ["crate", "self", "super"].contains(&name.as_str())) {
                if name == "super" {
                    at.pop()?;
                }
            }
        } else {
            names.next();
        }
        for name in names {
            at.push(name.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
        }
        self.modules.get(&at).map(|module| &module.files)
    }
}

/// The files that lead back to themselves.
pub(crate) fn circles(edges: &Edges) -> BTreeSet<&Path> {
    let reaches_itself = |start: &Path| {
        let mut seen = BTreeSet::new();
        let mut next = vec![start];
        while let Some(file) = next.pop() {
            for other in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
                if other == start {
                    return true;
                }
                if seen.insert(other) {
                    next.push(other);
                }
            }
        }
        false
    };
    edges.keys().map(PathBuf::as_path).filter(|file| reaches_itself(file)).collect()
}

/// Reads the tokens of one file.
struct Reader<'a> {
    sources: &'a Sources,
    source: &'a str,
    file: &'a Path,
    tokens: &'a [AckToken<'a>],
    found: &'a mut Crate,
}

impl Reader<'_> {
    /// Reads a module, or an inline one between two places.
    fn read(&mut self, path: &mut ModulePath, folder: &Path, from: usize, to: usize) {
        let file = self.file.to_path_buf();
        self.found.modules.entry(path.clone()).or_default().files.insert(file);
        let (mut at, mut is_test, mut elsewhere) = (from, false, Vec::new());
        while at < to {
            let begin = at;
            match (self.text(at), self.text(at + 1)) {
                ("#", "[") => {
                    at = behind_closing(self.tokens, at + 1);
                    is_test |= self.is_for_tests(begin, at);
                    elsewhere.extend(self.file_named(begin, at));
                    continue;
                }
                ("pub", "(") => {
                    at = behind_closing(self.tokens, at + 1);
                    continue;
                }
                ("pub", _) => {
                    at += 1;
                    continue;
                }
                ("mod", name) if self.text(at + 2) == ";" => {
                    let name = name.to_owned();
                    self.declares(path, folder, &name, &elsewhere, is_test);
                    at += 3;
                }
                _ if is_test => at = behind_item(self.tokens, at),
                ("mod", name) if self.text(at + 2) == "{" => {
                    path.push(name.to_owned());
                    let folder = folder.join(name);
                    at = behind_closing(self.tokens, at + 2);
                    self.read(path, &folder, begin + 3, at - 1);
                    path.pop();
                }
                // What a type captures is no path.
                ("use", next) if next != "<" => at = self.use_tree(path, at + 1, &ModulePath::new()),
                _ => at = self.expression(path, at),
            }
            (is_test, elsewhere) = (false, Vec::new());
        }
    }

    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    /// True if an attribute keeps what follows for tests.
    fn is_for_tests(&self, from: usize, to: usize) -> bool {
        let has = |word: &str| self.tokens[from..to].iter().any(|token| token.text == word);
        has("cfg") && !has("not") && (has("test") || has("doctest"))
    }

    /// The file that an attribute names for the module that follows, and whether it does so under a condition.
    fn file_named(&self, from: usize, to: usize) -> Option<(String, bool)> {
        let place = (from..to).find(|&at| self.text(at) == "path" && self.text(at + 1) == "=")?;
        let begin = self.tokens[place + 1].at + 1;
        let mut parts = self.source[begin..].splitn(3, '"');
        let name = parts.nth(1)?.to_owned();
        Some((name, (from..place).any(|at| self.text(at) == "cfg_attr")))
    }

    /// Reads the files that a `mod name;` may mean.
    fn declares(
        &mut self,
        path: &mut ModulePath,
        folder: &Path,
        name: &str,
        elsewhere: &[(String, bool)],
        is_test: bool,
    ) {
        let beside = self.file.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        for (other, _) in elsewhere {
            let file = plain(&beside.join(other));
            files.push((file.clone(), file.parent().unwrap_or(Path::new("")).to_path_buf()));
        }
        if elsewhere.iter().all(|(_, is_conditional)| *is_conditional) {
            files.push((folder.join(format!("{name}.rs")), folder.join(name)));
            files.push((folder.join(name).join("mod.rs"), folder.join(name)));
        }
        path.push(name.to_owned());
        for (file, folder) in files.into_iter().filter(|(file, _)| self.sources.contains_key(file)) {
            if is_test {
                let tests = Crate::read(self.sources, &file);
                self.found.declared.extend(tests.declared);
            } else {
                self.found.read_file(self.sources, path, &file, &folder);
            }
            self.found.declared.insert(file);
        }
        path.pop();
    }

    /// Reads one tree of a `use`, and returns the place behind it.
    fn use_tree(&mut self, path: &ModulePath, from: usize, prefix: &ModulePath) -> usize {
        let (mut at, mut named) = (from, prefix.clone());
        loop {
            match self.text(at) {
                "::" => at += 1,
                "{" => {
                    let end = behind_closing(self.tokens, at) - 1;
                    at += 1;
                    while at < end {
                        at = self.use_tree(path, at, &named);
                    }
                    return end + 1;
                }
                "," => {
                    self.name(path, named);
                    return at + 1;
                }
                ";" | "}" | "" => {
                    self.name(path, named);
                    return at;
                }
                "as" => at += 2,
                name => {
                    named.push(name.to_owned());
                    at += 1;
                }
            }
        }
    }

    /// Reads a token of anything else, or the path that begins there; returns the place behind it.
    fn expression(&mut self, path: &ModulePath, from: usize) -> usize {
        let is_word = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let mut at = from + 1;
        if !is_word(self.text(from)) || self.text(at) != "::" {
            return at;
        }
        let mut named = vec![self.text(from).to_owned()];
        while self.text(at) == "::" && is_word(self.text(at + 1)) {
            named.push(self.text(at + 1).to_owned());
            at += 2;
        }
        let before = from.checked_sub(1).map_or("", |before| self.text(before));
        if before != "::" && before != "." {
            self.name(path, named);
        }
        at
    }

    fn name(&mut self, path: &ModulePath, named: ModulePath) {
        let file = self.file.to_path_buf();
        if let Some(module) = self.found.modules.get_mut(path).filter(|_| !named.is_empty()) {
            module.named.push((file, named));
        }
    }
}

/// The same path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}
