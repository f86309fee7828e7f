//! One run of `e-pigeon` as a child process: its output goes to files, and it never outlives the test.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;

use super::deadline::Deadline;
use super::feed;
use super::stage::Stage;

/// The program under test: the one that this test was built with, or the copy of it that the environment names.
pub(crate) fn program_path() -> &'static str {
    static PATH: LazyLock<String> = LazyLock::new(|| {
        std::env::var("E_PIGEON_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_e-pigeon").to_owned())
    });
    &PATH
}

/// How much of an output a failure message shows.
const SHOWN: u64 = 400;

/// What the program reads.
pub(crate) enum Input {
    /// Nothing: end of file at once.
    Nothing,
    /// These bytes, then the end of file.
    Bytes(Vec<u8>),
    /// What the test writes into [`Program::take_stdin`].
    Piped,
}

/// A running (or ended) child process.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// The program, which notices a hang-up also if these tests run where it is ignored, as under `nohup`.
pub(crate) fn command() -> Command {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if ignored & 1 == 0 {
        return Command::new(program_path());
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP", program_path()]);
    command
}

impl Program {
    /// Starts `e-pigeon` with these arguments, on the transport of the stage where they name none.
    pub(crate) fn start(stage: &Stage, name: &str, arguments: &[&str], input: Input) -> Self {
        let mut command = command();
        if let Some((first, rest)) = arguments.split_first()
            && !rest.contains(&"--transport")
            && let Some(transport) = stage.pairing.transport(first)
        {
            command.args([first, "--transport", transport]).args(rest);
        } else {
            command.args(arguments);
        }
        Self::spawn(stage, name, command, input)
    }

    /// Starts a client: the command, the broker's (or a proxy's) address, and the rest.
    pub(crate) fn client(
        stage: &Stage,
        name: &str,
        command: &str,
        address: impl Display,
        arguments: &[&str],
        input: Input,
    ) -> Self {
        let address = address.to_string();
        let mut all = vec![command, "--connect", &address];
        all.extend_from_slice(arguments);
        Self::start(stage, name, &all, input)
    }

    /// Starts `listen`, and waits until its session is visible to others.
    pub(crate) fn listen(
        stage: &Stage,
        by: &Deadline,
        name: &str,
        address: impl Display,
        arguments: &[&str],
    ) -> Self {
        let mut program = Self::client(stage, name, "listen", address, arguments, Input::Nothing);
        program.wait_connected(by);
        program
    }

    /// Starts `send`; it need not be connected when this returns.
    pub(crate) fn send(
        stage: &Stage,
        name: &str,
        address: impl Display,
        arguments: &[&str],
        input: Input,
    ) -> Self {
        Self::client(stage, name, "send", address, arguments, input)
    }

    /// Starts any command line, with its output in files.
    pub(crate) fn spawn(stage: &Stage, name: &str, command: Command, input: Input) -> Self {
        Self::spawn_with(stage, name, command, input, |_| {})
    }

    /// The same; `adapt` may send an output somewhere else.
    pub(crate) fn spawn_with(
        stage: &Stage,
        name: &str,
        mut command: Command,
        input: Input,
        adapt: impl FnOnce(&mut Command),
    ) -> Self {
        let stdout = stage.fresh_path(&format!("{name}.out"));
        let stderr = stage.fresh_path(&format!("{name}.err"));
        let create = |path: &Path| File::create(path).expect("create an output file");
        command.stdout(create(&stdout)).stderr(create(&stderr));
        command.stdin(if matches!(input, Input::Nothing) { Stdio::null() } else { Stdio::piped() });
        adapt(&mut command);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {name}: {error}"));
        let mut stdin = child.stdin.take();
        if let Input::Bytes(bytes) = input {
            feed::all(stdin.take().expect("stdin is piped"), bytes);
        }
        Self { name: name.to_owned(), child, stdin, stdout, stderr }
    }

    /// The pipe to the stdin of a program that was started with [`Input::Piped`]. Dropping it is the end of the file.
    pub(crate) fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("started with a pipe, taken once")
    }

    /// The file that stdout goes to.
    pub(crate) fn stdout_path(&self) -> &Path {
        &self.stdout
    }

    /// Everything on stdout so far.
    pub(crate) fn stdout(&self) -> Vec<u8> {
        fs::read(&self.stdout).expect("read stdout's file")
    }

    /// Everything on stdout so far, as text.
    pub(crate) fn stdout_text(&self) -> String {
        String::from_utf8(self.stdout()).unwrap_or_else(|error| panic!("stdout of {}: {error}", self.name))
    }

    /// How many bytes are on stdout so far.
    pub(crate) fn stdout_len(&self) -> u64 {
        fs::metadata(&self.stdout).expect("stdout's file").len()
    }

    /// Everything on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).expect("read stderr's file")).into_owned()
    }

    /// The lines on stderr that are not about the connection.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let about_the_connection =
            |line: &&str| line.starts_with("connected to ") || line.starts_with("waiting for ");
        let mut lines = Vec::new();
        for line in self.stderr().lines().filter(|line| !about_the_connection(line)) {
            if !line.trim().is_empty() {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by name: `STOP`, `CONT`, `INT`, `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status().expect("run kill");
        assert!(status.success(), "kill -s {signal} {id} ({}): {status}", self.name);
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The exit code, if it has ended; -1 where a signal ended it.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().unwrap_or_else(|error| panic!("wait for {}: {error}", self.name));
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for the end, and returns the exit code.
    pub(crate) fn wait_exit(&mut self, by: &Deadline) -> i32 {
        let what = format!("the end of {}", self.name);
        by.wait(&what, || self.ended().ok_or_else(|| self.describe()))
    }

    /// Waits for the end, which must come with this exit code.
    pub(crate) fn expect_exit(&mut self, by: &Deadline, code: i32) {
        let seen = self.wait_exit(by);
        assert_eq!(seen, code, "exit code of {}. {}", self.name, self.describe());
    }

    /// Sends a signal and waits for the end, which must come with this exit code.
    pub(crate) fn expect_exit_on(&mut self, by: &Deadline, signal: &str, code: i32) {
        self.signal(signal);
        self.expect_exit(by, code);
    }

    /// Waits until stderr says that the session is visible to others, and returns its UUID.
    pub(crate) fn wait_connected(&mut self, by: &Deadline) -> String {
        let what = format!("`connected to ADDRESS as UUID` on stderr of {}", self.name);
        by.wait(&what, || {
            let uuid = self.stderr().lines().find_map(|line| {
                let (_, uuid) = line.strip_prefix("connected to ")?.rsplit_once(" as ")?;
                Some(uuid.trim().to_owned())
            });
            match uuid {
                Some(uuid) => Ok(uuid),
                None => Err(self.describe_running()),
            }
        })
    }

    /// How often it has said on stderr that it is connected, or that it waits.
    pub(crate) fn said(&self, what: &str) -> usize {
        self.stderr().lines().filter(|line| line.starts_with(what)).count()
    }

    /// Waits until it has said so on stderr so many times.
    pub(crate) fn wait_said(&mut self, by: &Deadline, what: &str, times: usize) {
        let title = format!("{what:?} on stderr of {} {times} times", self.name);
        by.wait(&title, || if self.said(what) >= times { Ok(()) } else { Err(self.describe_running()) });
    }

    /// Waits until stderr has this somewhere.
    pub(crate) fn wait_stderr(&mut self, by: &Deadline, what: &str) {
        let title = format!("{what:?} on stderr of {}", self.name);
        by.wait(&title, || if self.stderr().contains(what) { Ok(()) } else { Err(self.describe_running()) });
    }

    /// Waits until at least so many bytes are on stdout.
    pub(crate) fn wait_stdout_len(&mut self, by: &Deadline, len: u64) {
        let what = format!("{len} bytes on stdout of {}", self.name);
        by.wait(&what, || if self.stdout_len() >= len { Ok(()) } else { Err(self.describe_running()) });
    }

    /// Waits until a line of stdout is exactly this.
    pub(crate) fn wait_stdout_line(&mut self, by: &Deadline, line: &str) {
        let what = format!("the line {line:?} on stdout of {}", self.name);
        let wanted = line.as_bytes();
        by.wait(&what, || {
            let found = self.stdout().split(|&byte| byte == b'\n').any(|seen| seen == wanted);
            if found { Ok(()) } else { Err(self.describe_running()) }
        });
    }

    /// Like [`Self::describe`]; panics at once where the program has ended, since nothing more will come.
    fn describe_running(&mut self) -> String {
        let ended = self.ended();
        let seen = self.describe();
        assert!(ended.is_none(), "{} ended too early with {ended:?}. {seen}", self.name);
        seen
    }

    /// What there is to see of it, for failure messages.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{}: stdout {} bytes, ends {:?}; stderr ends {:?}",
            self.name,
            self.stdout_len(),
            tail(&self.stdout),
            tail(&self.stderr)
        )
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last part of a file, as text.
fn tail(path: &Path) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(SHOWN)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|error| format!("({error})"))
}
