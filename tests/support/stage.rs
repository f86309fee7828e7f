//! The temporary folder of one test, and free ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::address::Address;
use super::pairing::Pairing;

/// Ports below the range from which the kernel draws ports for outgoing connections. A port of that range could be taken while the
/// broker is down, and a client that calls it could even reach itself.
const FIRST_PORT: u32 = 20_000;
const PORTS: u32 = 12_000;

/// A folder for the outputs of one test, gone when the test ends.
pub(crate) struct Stage {
    /// What carries the programs that start here.
    pub(crate) pairing: Pairing,
    folder: TempDir,
    files: AtomicU32,
}

impl Stage {
    /// An empty folder, for a test that is the same whatever carries its programs.
    pub(crate) fn new() -> Self {
        Self::of(Pairing::MIO_MIO)
    }

    /// An empty folder.
    pub(crate) fn of(pairing: Pairing) -> Self {
        let folder = TempDir::with_prefix("e-pigeon-test-").expect("a temporary folder");
        Self { pairing, folder, files: AtomicU32::new(0) }
    }

    /// An address that nobody listens on, of the kind that the test is about.
    pub(crate) fn address(&self) -> Address {
        if self.pairing.over_unix {
            Address::unix(&self.fresh_path("broker"))
        } else {
            Address::Tcp(free_address())
        }
    }

    /// A path with exactly this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path that no other call got.
    pub(crate) fn fresh_path(&self, name: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.path(&format!("{number:02}-{name}"))
    }
}

/// A path as an argument.
pub(crate) fn text_of(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// An address on loopback that nobody listens on.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = FIRST_PORT + process::id().wrapping_mul(61).wrapping_add(step) % PORTS;
        let port = u16::try_from(number).expect("below 32768");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port from {FIRST_PORT} on");
}
