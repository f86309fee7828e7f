use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::*;

/// A pseudo-terminal: the end that we hold, and the path of the other.
fn pseudo() -> (File, PathBuf) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&master).expect("ours");
    unlockpt(&master).expect("unlocked");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("text");
    (File::from(master), PathBuf::from(name))
}

fn line(path: &Path, baud: u32) -> SerialLine {
    SerialLine::new(path.to_owned(), baud).expect("a rate")
}

#[test]
fn a_line_carries_every_byte_as_it_is_and_echoes_none() {
    let (mut master, path) = pseudo();
    let mut slave = open(&line(&path, 115_200)).expect("opened");
    let all: Vec<u8> = (0..=255).collect();
    let mut came = vec![0; 256];
    master.write_all(&all).expect("written");
    let mut length = 0;
    while length < came.len() {
        match slave.read(&mut came[length..]) {
            Ok(count) => length += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
    }
    assert_eq!(came, all);
    assert_eq!(slave.read(&mut came).expect_err("nothing more").kind(), io::ErrorKind::WouldBlock);
    slave.write_all(&all).expect("written");
    // An echo would come first.
    master.read_exact(&mut came).expect("read");
    assert_eq!(came, all);
}

#[test]
fn a_line_has_the_rate_and_the_bits_that_were_asked_for() {
    let (_master, path) = pseudo();
    for baud in [9_600, 115_200, 4_000_000] {
        let file = open(&line(&path, baud)).expect("opened");
        let set = termios::tcgetattr(&file).expect("settings");
        assert_eq!((set.input_speed(), set.output_speed()), (baud, baud));
        assert!(set.control_modes.contains(ControlModes::CS8 | ControlModes::CLOCAL | ControlModes::CREAD));
        let without =
            ControlModes::PARENB | ControlModes::CSTOPB | ControlModes::CRTSCTS | ControlModes::HUPCL;
        assert!(!set.control_modes.intersects(without), "{:?}", set.control_modes);
        assert!(!set.input_modes.intersects(InputModes::IXON | InputModes::IXOFF | InputModes::IXANY));
    }
}

#[test]
fn a_line_is_for_one_program() {
    let (_master, path) = pseudo();
    let first = open(&line(&path, 9_600)).expect("opened");
    let second = open(&line(&path, 9_600)).expect_err("the first has it");
    assert_eq!(second.kind(), io::ErrorKind::ResourceBusy, "{second}");
    drop(first);
    open(&line(&path, 9_600)).expect("free again");
}

#[test]
fn what_is_no_line_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    assert_eq!(open(&line(&path, 9_600)).expect_err("missing").kind(), io::ErrorKind::NotFound);
    std::fs::write(&path, "text").expect("written");
    for path in [path.as_path(), Path::new("/dev/null")] {
        let error = open(&line(path, 9_600)).expect_err("no line");
        assert_eq!(error.to_string(), "this is not a serial line");
    }
    for baud in [0, 100_000_001, u32::MAX] {
        let error = SerialLine::new("/dev/ttyS0".into(), baud).expect_err("no rate");
        assert!(error.to_string().ends_with("baud"), "{error}");
    }
    SerialLine::new(PathBuf::new(), 9_600).expect_err("no device");
}

#[test]
fn a_line_that_is_gone_is_no_empty_one() {
    let (master, path) = pseudo();
    let mut slave = open(&line(&path, 9_600)).expect("opened");
    drop(master);
    let mut buffer = [0; 8];
    let end = slave.read(&mut buffer).and_then(|count| read(count, &buffer)).expect_err("gone");
    assert_ne!(end.kind(), io::ErrorKind::WouldBlock, "{end}");
}

/// Chips that derive their rate from a clock of their own: 74,880 is what an ESP8266 boots with, 250,000 is DMX.
#[cfg(target_os = "linux")]
#[test]
fn program_18_linux_takes_any_rate() {
    let (_master, path) = pseudo();
    for baud in [74_880, 250_000, 256_000, 9_601, 1] {
        let file = open(&line(&path, baud)).expect("opened");
        let set = termios::tcgetattr(&file).expect("settings");
        assert_eq!((set.input_speed(), set.output_speed()), (baud, baud));
    }
}
