//! The microcontroller, as QEMU has it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::program::{Input, Program};
use super::support::stage::Stage;

/// The microcontroller: QEMU, which ends with the test.
pub(crate) struct Board(Program);

impl Board {
    /// Starts a program on it; its serial lines are connected to these ports, each again and again.
    pub(crate) fn start(stage: &Stage, program: &str, lines: &[u16], boot: u64) -> Self {
        let folder = std::env::var_os("E_PIGEON_FIRMWARE").expect("started by examples/firmware/run");
        let image: PathBuf = Path::new(&folder).join(program);
        assert!(image.exists(), "{} was not built", image.display());
        let mut command = Command::new("qemu-system-arm");
        command.args([
            "-cpu",
            "cortex-m3",
            "-machine",
            "lm3s6965evb",
            "-display",
            "none",
            "-monitor",
            "none",
        ]);
        for (number, port) in lines.iter().enumerate() {
            let line = format!("socket,id=line{number},host=127.0.0.1,port={port},reconnect=1");
            command.arg("-chardev").arg(line);
            command.arg("-serial").arg(format!("chardev:line{number}"));
        }
        command.arg("-device").arg(format!("loader,addr=0x2000fff0,data={boot},data-len=8"));
        command.arg("-kernel").arg(image);
        Self(Program::spawn(stage, "qemu", command, Input::Nothing))
    }

    /// It must still be running.
    pub(crate) fn stop(mut self) {
        assert_eq!(self.0.ended(), None, "QEMU has ended by itself. {}", self.0.describe());
        self.0.kill();
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.0.kill();
    }
}
