//! The broker that is measured: a child of this process, or one that somebody else runs.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use e_pigeon_mio::{Endpoint, Resolver};

use super::process;
use crate::address::Address;
use crate::failure::Failure;
use crate::transport::Transport;

/// The core of the broker and that of the load, where they are pinned.
const BROKER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

pub(crate) struct Broker {
    address: Address,
    /// It is ended when this is dropped, and ends by itself where this process is killed: it holds the child's stdin.
    child: Option<Child>,
}

impl Broker {
    /// Somebody else's, about which the system is not asked.
    pub(crate) fn elsewhere(address: &Address, pinned: bool) -> Result<Self, Failure> {
        if pinned {
            process::pin(LOAD_CORE)?;
        }
        Ok(Self { address: address.clone(), child: None })
    }

    /// Starts one on a free port, as this program's `serve`.
    pub(crate) fn start(transport: Transport, pinned: bool) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::system("start a broker", &error);
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--transport",
            transport.name(),
            "--until-stdin-ends",
        ]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for this process, which ends the broker when it has its figures.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // A child runs where its parent does when it is started.
        if pinned {
            process::pin(BROKER_CORE)?;
        }
        let started = command.spawn();
        if pinned {
            process::pin(LOAD_CORE)?;
        }
        let mut child = started.map_err(failed)?;
        let stdout = child.stdout.take();
        // From here on it is ended whatever happens.
        let mut broker = Self { address: Address::Tcp { host: String::new(), port: 0 }, child: Some(child) };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line).map_err(failed)?;
        }
        let address = line.trim().strip_prefix("listening on ").map(Address::parse_connect);
        broker.address = address.and_then(Result::ok).ok_or_else(|| {
            Failure::failed("the broker that was started does not listen; what it says is above")
        })?;
        Ok(broker)
    }

    /// Where clients find it.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, Failure> {
        let refused = |error| Failure::system(&format!("find {}", self.address), &error);
        self.address.resolve().map_err(refused)
    }

    /// The same, looked up once: a load does not wait for names.
    pub(crate) fn resolver(&self) -> Result<Resolver, Failure> {
        let endpoints = self.endpoints()?;
        Ok(Resolver::immediate(move || Ok(endpoints.clone())))
    }

    /// The time that it has had on processors, in seconds, where the system tells.
    pub(crate) fn processor_seconds(&self) -> Option<f64> {
        self.child.as_ref().and_then(|child| process::processor_seconds(child.id()))
    }

    /// Its memory, in bytes, where the system tells.
    pub(crate) fn resident_bytes(&self) -> Option<f64> {
        self.child.as_ref().and_then(|child| process::resident_bytes(child.id()))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It has nothing to lose. One that has ended by itself is waited for all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
