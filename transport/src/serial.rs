//! Serial lines: a tty that carries bytes as they are.
//!
//! What goes over one is always framed as for a line that damages bytes. A length in front of each frame would not do, even
//! where the wire is good: a line has no beginning, so half a frame that a killed program left in a buffer, or one byte that
//! was lost to a full one, would shift everything behind it for ever.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{ControlModes, InputModes, OptionalActions, SpecialCodeIndex, Termios};
use rustix::{fs, termios};

#[cfg(test)]
mod tests;

/// The rates that terminals have names for. Linux takes any other too.
const RATES: [u32; 30] = [
    50, 75, 110, 134, 150, 200, 300, 600, 1_200, 1_800, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200,
    230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000,
    3_000_000, 3_500_000, 4_000_000,
];

/// Beyond this a rate is a mistake.
const FASTEST: u32 = 100_000_000;

/// Says whether a terminal of this system may have that rate. Whether the device can do it shows when it is opened.
fn is_rate(baud: u32) -> bool {
    let any = cfg!(any(target_os = "linux", target_os = "android"));
    RATES.contains(&baud) || (any && (1..=FASTEST).contains(&baud))
}

/// The device of a serial line, and how fast it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialLine {
    path: PathBuf,
    baud: u32,
}

impl SerialLine {
    /// Takes the path of a device, and the rate after checking that there is such a one.
    ///
    /// # Errors
    ///
    /// `InvalidInput`: the path is empty, or the rate is none that terminals know.
    pub(crate) fn new(path: PathBuf, baud: u32) -> io::Result<Self> {
        let wrong = |told: String| Err(io::Error::new(io::ErrorKind::InvalidInput, told));
        if path.as_os_str().is_empty() {
            return wrong("the path of the device is missing".to_owned());
        }
        if !is_rate(baud) {
            return wrong(format!("there is no rate of {baud} baud"));
        }
        Ok(Self { path, baud })
    }

    /// The device.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its rate, in bits per second.
    #[must_use]
    pub fn baud(&self) -> u32 {
        self.baud
    }
}

impl fmt::Display for SerialLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial:{}@{}", self.path.display(), self.baud)
    }
}

/// Opens a line for this program alone: bytes as they are, eight bits without parity, one stop bit, no flow control. What
/// reads and writes it does not block.
///
/// # Errors
///
/// What the system says; another program uses the line (`ResourceBusy`), what is there is no line (`InvalidInput`), or it
/// cannot be that fast (`Unsupported`).
pub fn open(line: &SerialLine) -> io::Result<File> {
    // It must not become the terminal of this program, nor wait for a modem.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fs::open(&line.path, flags, Mode::empty()).map(File::from).map_err(explain)?;
    if !termios::isatty(&file) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not a serial line"));
    }
    // The first keeps out all programs, but not those of root; the second those that ask, like this one.
    termios::ioctl_tiocexcl(&file).map_err(explain)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut wanted = termios::tcgetattr(&file)?;
    make_line(&mut wanted);
    wanted.set_speed(line.baud)?;
    termios::tcsetattr(&file, OptionalActions::Now, &wanted)?;
    // A driver takes what it can do and says nothing.
    let set = termios::tcgetattr(&file)?;
    if (set.input_speed(), set.output_speed()) != (line.baud, line.baud) {
        let told = format!("the line does not support {} baud", line.baud);
        return Err(io::Error::new(io::ErrorKind::Unsupported, told));
    }
    Ok(file)
}

/// What a read of a line brought: nothing at all means that it is gone.
pub fn read(read: usize, buffer: &[u8]) -> io::Result<usize> {
    if read == 0 && !buffer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the line is gone"));
    }
    Ok(read)
}

fn make_line(settings: &mut Termios) {
    settings.make_raw();
    settings.input_modes.remove(InputModes::IXOFF | InputModes::IXANY | InputModes::INPCK);
    settings.control_modes.remove(ControlModes::CSTOPB | ControlModes::CRTSCTS);
    // Whoever closes a line to open it again should not reset the board at its other end.
    settings.control_modes.remove(ControlModes::HUPCL);
    settings.control_modes.insert(ControlModes::CREAD | ControlModes::CLOCAL);
    // Or an empty line would look like one that is gone.
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
}

fn explain(error: rustix::io::Errno) -> io::Error {
    if error == rustix::io::Errno::BUSY { busy() } else { error.into() }
}

fn busy() -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, "another program uses the line")
}
