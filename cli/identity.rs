//! Who a client is: a UUID and the secret that proves it, drawn afresh or kept in a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use e_pigeon_core::{Secret, Uuid};

use crate::failure::{Failure, plain};

/// A file that holds more than this is no identity.
const LIMIT: u64 = 4096;

/// A UUID and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uuid: Uuid,
    pub(crate) secret: Secret,
}

impl Identity {
    /// Draws one that nobody has.
    pub(crate) fn fresh() -> Result<Self, Failure> {
        let mut uuid: [u8; 16] = random()?;
        // The two marks of a random UUID: version 4, variant 1.
        uuid[6] = uuid[6] & 0x0f | 0x40;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        Ok(Self { uuid: Uuid::from_bytes(uuid), secret: Secret(random()?) })
    }

    /// Reads the identity in `path`, or draws one and writes it there where the file is missing.
    pub(crate) fn load_or_create(path: &Path) -> Result<Self, Failure> {
        if let Some(identity) = Self::load(path)? {
            return Ok(identity);
        }
        let identity = Self::fresh()?;
        match create(path, &identity.to_string()) {
            Ok(()) => Ok(identity),
            // Somebody was faster; theirs is as good, and both are the same client now.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)?.ok_or_else(|| trouble(path, "it disappeared while it was read"))
            }
            Err(error) => Err(Failure::failed(format_args!(
                "cannot create the identity file {}: {}; choose a writable directory",
                path.display(),
                plain(&error)
            ))),
        }
    }

    fn load(path: &Path) -> Result<Option<Self>, Failure> {
        let mut text = String::new();
        let opened = File::open(path).and_then(|file| {
            let exposed = exposed(&file)?;
            file.take(LIMIT).read_to_string(&mut text).map(|_| exposed)
        });
        match opened {
            Ok(Some(mode)) => Err(Failure::failed(format_args!(
                "cannot use the identity file {}: others may read or write it (mode {mode:04o}); make it private with \
                 chmod 600 {0}, or remove it to get a new identity",
                path.display()
            ))),
            Ok(None) => Self::parse(&text).map(Some).map_err(|problem| trouble(path, problem)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(trouble(path, "it is not text")),
            Err(error) => Err(Failure::failed(format_args!(
                "cannot read the identity file {}: {}; name a file that you may read and write",
                path.display(),
                plain(&error)
            ))),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut uuid = None;
        let mut secret = None;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').ok_or("a line has no equals sign")?;
            match key.trim() {
                "uuid" if uuid.is_none() => {
                    uuid = Some(Uuid::parse_str(value.trim()).map_err(|_| "its uuid is not a valid UUID")?);
                }
                "secret" if secret.is_none() => {
                    secret = Some(from_hex(value.trim()).ok_or("its secret is not 32 hex digits")?);
                }
                "uuid" | "secret" => return Err("it has a uuid or a secret twice"),
                _ => return Err("it has a line that is neither uuid nor secret"),
            }
        }
        Ok(Self { uuid: uuid.ok_or("it has no uuid")?, secret: Secret(secret.ok_or("it has no secret")?) })
    }
}

/// The content of an identity file.
impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uuid = {}\nsecret = ", self.uuid)?;
        self.secret.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        writeln!(f)
    }
}

/// Draws `N` bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format_args!("cannot draw a random number: {error}")))?;
    Ok(bytes)
}

/// The mode of a file that others than its owner may read or write.
#[cfg(unix)]
fn exposed(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o7777;
    Ok((metadata.is_file() && mode & 0o066 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn exposed(_file: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

fn trouble(path: &Path, problem: &str) -> Failure {
    Failure::failed(format_args!(
        "cannot use the identity file {}: {problem}; correct it, or remove it to get a new identity",
        path.display()
    ))
}

fn from_hex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Makes a file that is there with all of its content or not at all, and that only its owner can read.
fn create(path: &Path, content: &str) -> io::Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut draft = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    draft.push(format!(".{:016x}.tmp", u64::from_ne_bytes(random)));
    let draft = path.with_file_name(draft);
    let result = write_private(&draft, content).and_then(|()| {
        // A link fails where there is such a file by now; a rename would put an end to somebody's identity.
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
                fs::rename(&draft, path)
            }
            result => result,
        }
    });
    // After a rename there is nothing to remove.
    let _ = fs::remove_file(&draft);
    result
}

fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_made_and_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice");
        let made = Identity::load_or_create(&path).expect("made");
        assert_eq!(Identity::load_or_create(&path), Ok(made));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1, "no draft is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&path).expect("the file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn two_fresh_ones_differ_and_are_random_uuids() {
        let one = Identity::fresh().expect("fresh");
        assert_ne!(one, Identity::fresh().expect("fresh"));
        let text = one.uuid.to_string();
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
    }

    #[test]
    fn a_file_is_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice");
        write_private(&path, "mine").expect("written");
        assert_eq!(create(&path, "yours").map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "mine");
        let failure = Identity::load_or_create(&path).expect_err("no identity");
        assert_eq!(failure.code, 1);
        assert!(failure.line.contains("remove it"), "{}", failure.line);
    }

    #[cfg(unix)]
    #[test]
    fn program_14_and_field_s5_a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alice");
        let identity = Identity::load_or_create(&path).expect("made");
        for mode in [0o644, 0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner may");
            let failure = Identity::load_or_create(&path).expect_err("open to others");
            let command = format!("chmod 600 {}", path.display());
            assert!(failure.line.contains(&format!("(mode {mode:04o})")), "{}", failure.line);
            assert!(failure.line.contains(&command), "{}", failure.line);
        }
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its owner may");
            assert_eq!(Identity::load_or_create(&path), Ok(identity.clone()), "{mode:o}");
        }
    }

    #[test]
    fn files() {
        let good = "uuid = 67e55044-10b1-426f-9247-bb680e5fe0c8\nsecret = 000102030405060708090a0b0c0d0eff\n";
        let identity = Identity::parse(good).expect("an identity");
        assert_eq!(identity.secret.0[15], 0xff);
        assert_eq!(identity.to_string(), good);
        for bad in [
            "",
            "uuid = x\n",
            "uuid = 67e55044-10b1-426f-9247-bb680e5fe0c8\n",
            "uuid = 67e55044-10b1-426f-9247-bb680e5fe0c8\nsecret = 0001\n",
            "uuid = 67e55044-10b1-426f-9247-bb680e5fe0c8\nsecret = +00102030405060708090a0b0c0d0eff\n",
            "uuid = 67e55044-10b1-426f-9247-bb680e5fe0c8\nsecret = ääääääääääääääää\n",
            "hello\n",
        ] {
            assert!(Identity::parse(bad).is_err(), "{bad}");
        }
        assert!(Identity::parse(&good.repeat(2)).is_err());
    }
}
