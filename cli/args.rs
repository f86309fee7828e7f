//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::Styles;
use clap::builder::{ArgPredicate, PathBufValueParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use e_pigeon_core::Attributes;

use crate::address::Address;
use crate::destination::Target;
use crate::failure::Failure;
use crate::limits::Limits;
use crate::transport::Transport;
use crate::units::{number, parse_duration, size};
use crate::value;

const SERVE_NOTES: &str = "\
Signals:
  SIGINT, SIGTERM, SIGHUP  stop listening, close all links and exit within 2 s; a second one exits at once
  SIGUSR1                  print the counters to stderr: messages by outcome, deliveries, sessions, links

Exit codes:
  0  stopped by a signal
  1  cannot listen, cannot write to stdout, or the system refuses a resource
  2  wrong usage";

const LISTEN_NOTES: &str = "\
A message is acknowledged when it has been written to stdout. If the reader of stdout ends, listen exits at once. On a
terminal, control characters in payloads are escaped.

Exit codes:
  0  printed --count messages, stopped by SIGINT, SIGTERM or SIGHUP, or the reader of stdout has ended
  1  refused by the broker, cannot write to stdout, or --count not reached within --give-up-after
  2  wrong usage
  3  no broker within --give-up-after";

const SEND_NOTES: &str = "\
Exit codes:
  0    every message was delivered (with --until accepted: accepted), or the reader of stdout has ended
  1    a message expired, was delivered to some recipients only, refused, too large, or has no receipt
  2    wrong usage
  3    no broker within --give-up-after
  129, 130, 143  stopped by SIGHUP, SIGINT, SIGTERM";

const PEERS_NOTES: &str = "\
Exit codes:
  0  list printed, the reader of stdout has ended, or with --watch: stopped by SIGINT, SIGTERM or SIGHUP
  1  refused by the broker, cannot write to stdout, or not done within --give-up-after
  2  wrong usage
  3  no broker within --give-up-after
  129, 130, 143  without --watch: stopped by SIGHUP, SIGINT, SIGTERM";

/// Message broker and clients: messages go to all sessions whose attributes match, once, in order, with a receipt
#[derive(Debug, Parser)]
#[command(name = "e-pigeon", version, styles = Styles::plain())]
pub(crate) struct Arguments {
    /// Log more to stderr: -v for info, -vv for debug, -vvv for trace. E_PIGEON_LOG overrides it
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    Listen(Listen),
    Send(Box<Send>),
    Peers(Peers),
    Demo(Demo),
    Bench(Bench),
}

/// Run a broker
#[derive(Debug, Args)]
#[command(after_help = SERVE_NOTES)]
pub(crate) struct Serve {
    #[arg(help = "Address to listen on: [tcp:]HOST:PORT (port 0 picks a free one), unix:PATH, cobs:HOST:PORT (frames of a serial line over TCP) or serial:DEVICE@BAUD. Repeatable. The default does not apply if --unix or --serial is given", long, value_name = "ADDRESS", default_value = "127.0.0.1:9999", default_value_ifs([("unix", ArgPredicate::IsPresent, None::<&str>), ("serial", ArgPredicate::IsPresent, None)]), value_parser = Address::parse_listen)]
    pub(crate) listen: Vec<Address>,
    /// Short for --listen unix:PATH. The broker creates the socket file with the mode that the umask leaves, and removes it
    /// when it exits. Repeatable
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().try_map(Address::from_path))]
    pub(crate) unix: Vec<Address>,
    /// Short for --listen serial:DEVICE@BAUD: serve the one client at the other end of a serial line (8N1). The broker
    /// reopens a line that is lost. Repeatable
    #[arg(long, value_name = "DEVICE@BAUD", value_parser = Address::parse_serial)]
    pub(crate) serial: Vec<Address>,
    /// Print each address that the broker listens on as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Maximum memory for the state of the broker, for example 64MiB or 2GiB. Limits that are not given are chosen to fit.
    /// Default: a quarter of the memory of the machine, or of its control group if that is less
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    pub(crate) memory: Option<u64>,
    /// Event loop of the broker
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
    /// Stop when stdin ends, so that the broker does not outlive the program that started it
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

impl Serve {
    /// All addresses that the broker listens on.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listen.iter().chain(&self.unix).chain(&self.serial)
    }
}

/// The options of every client.
#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The address of the broker.
    #[arg(help = "Address of the broker: [tcp:]HOST:PORT, unix:PATH, cobs:HOST:PORT (frames of a serial line over TCP) or serial:DEVICE@BAUD", long, value_name = "ADDRESS", default_value = "127.0.0.1:9999", value_parser = Address::parse_connect)]
    pub(crate) connect: Address,
    /// File with the UUID and secret of this client; created with mode 0600 if it is missing. The session then outlives the
    /// program for the broker's --session-ttl. Default: a new identity, whose session ends with the program
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Attributes of the session, at most 16, for example room=lobby,level=3. A value with a comma needs quotes:
    /// note="a, b". Repeatable
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = value::attributes)]
    pub(crate) set: Vec<Attributes>,
    /// Time limit, for example 500ms or 30s: exit with 3 if there was no broker, with 1 if the work is not done. It does not
    /// end a connected `listen` without --count or `peers --watch`. Default: no limit
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) give_up_after: Option<Duration>,
    /// Event loop of the client
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
}

/// Print each message that arrives
#[derive(Debug, Args)]
#[command(after_help = LISTEN_NOTES)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Exit after N messages, at least 1. Default: no limit
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) count: Option<u64>,
    /// Print a NUL instead of a newline after each message
    #[arg(short = '0')]
    pub(crate) nul: bool,
    /// Print each message as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send messages and wait for their receipts
#[derive(Debug, Args)]
#[command(after_help = SEND_NOTES)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Destination: a UUID; everyone; key=value,key2=value2 (sessions with all of them); any:key=value,key2=value2 (sessions
    /// with at least one)
    #[arg(long, value_name = "DEST", value_parser = Target::parse)]
    pub(crate) to: Target,
    /// The receipt that ends a message
    #[arg(long, value_name = "WHEN", default_value = "delivered")]
    pub(crate) until: Until,
    /// Time to live of each message, at least 1ms. The broker cuts it to its --max-time-to-live
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_expiry)]
    pub(crate) expire: Duration,
    /// Exclude this client's own session from the recipients
    #[arg(long)]
    pub(crate) exclude_self: bool,
    /// Send to the sessions that are connected now, without waiting for others
    #[arg(long)]
    pub(crate) only_connected: bool,
    /// Messages on stdin end with a NUL instead of a newline
    #[arg(short = '0')]
    pub(crate) nul: bool,
    /// Print the outcome of each message as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Messages to send. Default: one from each line of stdin
    #[arg(value_name = "MESSAGE")]
    pub(crate) messages: Vec<OsString>,
}

/// List the connected and the away sessions with their attributes
#[derive(Debug, Args)]
#[command(after_help = PEERS_NOTES)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) client: Client,
    /// After the list, print changes until a signal
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print each session and each change as a line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Cut connections, kill the broker, and check every promise, in about 5 s
///
/// The broker and its clients run in this process, over real sockets on free ports of 127.0.0.1. Clients in two rooms send
/// streams to each other's room, to a UUID and to everyone, while connections are cut at arbitrary bytes, one client
/// is away, others join, and the broker is killed and restarted without its state. At the end the demo checks that each
/// message arrived once, in order, at the right recipients, and that its receipt says so. It exits with 1 if a promise is
/// broken.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Repeat an earlier run: same payloads, same cut points. Default: a random number
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    pub(crate) seed: Option<u64>,
    /// Event loop of the broker and of the clients
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
}

/// Measure the throughput, latency and cost of a broker
///
/// Each workload starts a broker in a process; all its clients run in this process, on one thread. A delivery counts if
/// the message arrived once, in order, and its sender has the final receipt. The program exits with 1 if one does not.
/// Ctrl-C stops the measurement and prints the results so far.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Workloads to run. Default: all
    #[arg(value_name = "WORKLOAD", ignore_case = true)]
    pub(crate) workloads: Vec<Workload>,
    /// Address of a running broker to measure instead: HOST:PORT or unix:PATH. Its CPU time and memory are not measured, and
    /// W7 is not run
    #[arg(long, value_name = "ADDRESS", value_parser = Address::parse_connect)]
    pub(crate) connect: Option<Address>,
    /// Event loop of the broker
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
    /// Event loop of the clients
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) clients_transport: Transport,
    /// Run the broker on core 0 and the clients on core 1
    #[arg(long)]
    pub(crate) pin: bool,
    /// Let the clients poll for input without blocking, to measure latency without the wake-up of their thread
    #[arg(long)]
    pub(crate) spin: bool,
    /// Size of payloads, 16 to 64KiB. Default: depends on the workload
    #[arg(long, value_name = "SIZE", value_parser = parse_payload)]
    payload: Option<u32>,
    /// End a workload when each sender has sent N messages, at least 1. Default: no limit
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) messages: Option<u64>,
    /// Duration of each workload in seconds, above 0 and at most 3600
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Messages of a sender that may be in flight, 1 to 1000000. Default: depends on the workload
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) window: Option<u64>,
    /// Print the results as JSON when all workloads are done
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure how cost grows with load instead, and write the curves to this SVG file
    #[arg(long, value_name = "FILE", conflicts_with = "workloads")]
    pub(crate) plot: Option<PathBuf>,
}

impl Bench {
    /// The workloads to run, in the order of the command line; by default all that this broker allows.
    pub(crate) fn chosen(&self) -> Result<Vec<Workload>, Failure> {
        let has_broker = |workload: &Workload| *workload != Workload::W7;
        if self.connect.is_some() && !self.workloads.iter().all(has_broker) {
            return Err(Failure::usage(
                "W7 measures the broker's state machine in this process, without a connection: leave out --connect or W7",
            ));
        }
        let mut chosen = self.workloads.clone();
        if chosen.is_empty() {
            chosen = Workload::value_variants().to_vec();
            chosen.retain(|workload| self.connect.is_none() || has_broker(workload));
        }
        Ok(chosen)
    }

    /// The size of payloads, if it was given.
    pub(crate) fn payload(&self) -> Option<usize> {
        // At most 65,536.
        self.payload.map(|bytes| bytes as usize)
    }
}

/// The workloads that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Workload {
    /// Stream: one sender, one recipient, 64 bytes
    W1,
    /// Fan-out: one sender, a group of 100, 64 bytes
    W2,
    /// Mesh: 50 pairs at once, 64 bytes
    W3,
    /// Large: payloads of 64 KiB, one to one
    W4,
    /// Ping-pong: round trip between two clients
    W5,
    /// Idle: 8,000 clients with four attributes each
    W6,
    /// Selective: 100,000 sessions in the core, each message matches 1, 10 or 100 of them
    W7,
    /// Storm: 2,000 clients come back at once to 100 queued messages each
    W8,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::W1 => "W1",
            Self::W2 => "W2",
            Self::W3 => "W3",
            Self::W4 => "W4",
            Self::W5 => "W5",
            Self::W6 => "W6",
            Self::W7 => "W7",
            Self::W8 => "W8",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Until {
    /// Every recipient has confirmed the message
    Delivered,
    /// The broker has accepted the message
    Accepted,
}

impl From<Until> for e_pigeon_core::Retain {
    fn from(until: Until) -> Self {
        match until {
            Until::Delivered => Self::Delivered,
            Until::Accepted => Self::Accepted,
        }
    }
}

/// Reads a time to live; with less than the minimum a message would never arrive.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time < Duration::from_millis(1) => {
            Err("this is too short for a message to arrive, give at least 1ms".into())
        }
        time => Ok(time),
    }
}

/// Reads a number of seconds, such as `3` or `0.5`.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|seconds| !seconds.is_zero() && *seconds <= Duration::from_secs(3600));
    seconds.ok_or_else(|| "not a number of seconds above 0 and up to 3600, for example 3 or 0.5".into())
}

/// Reads the size of a payload of a measurement.
fn parse_payload(text: &str) -> Result<u32, String> {
    match size(text) {
        Ok(bytes @ 16..=65_536) => Ok(bytes),
        _ => Err("not a size from 16 to 64KiB, for example 64 or 1KiB".into()),
    }
}

/// Reads a number of messages.
fn parse_count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number of messages from 1 on, for example 3".into()),
        Ok(count) => Ok(count),
    }
}

/// Describes the mistake in a command line, in one line.
pub(crate) fn in_one_line(error: &clap::Error) -> String {
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command is given, {}", one_of_the_commands())
        }
        ErrorKind::InvalidSubcommand => {
            let told = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
            format!("unknown command {}, {}", told.unwrap_or_default(), one_of_the_commands())
        }
        _ => error.render().to_string(),
    };
    let told = text.strip_prefix("error: ").unwrap_or(&text);
    // What follows is the usage, which --help shows too.
    let told = told.split("\n\nUsage:").next().unwrap_or_default();
    let told = told.split("\n\nFor more information").next().unwrap_or_default();
    // No argument of ours begins with a hyphen on purpose.
    let told = told.split("tip: to pass ").next().unwrap_or_default().replace("\n\n  tip: ", "; ");
    let mut line = String::new();
    for part in told.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(part);
    }
    line.push_str(" (see --help)");
    line
}

fn one_of_the_commands() -> String {
    let command = Arguments::command();
    let names = command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help");
    let names: Vec<&str> = names.collect();
    format!("choose one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(arguments: &[&str]) -> String {
        let error = Arguments::try_parse_from(arguments).expect_err("wrong on purpose");
        assert!(error.use_stderr());
        in_one_line(&error)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn errors_are_one_line_and_show_what_to_do() {
        for arguments in [
            &["e-pigeon", "send"][..],
            &["e-pigeon", "send", "--to", "bob", "x"],
            &["e-pigeon", "send", "--to", "everyone", "--expire", "soon", "x"],
            &["e-pigeon", "send", "--to", "everyone", "--expire", "0s", "x"],
            &["e-pigeon", "listen", "--connect", "serial:/dev/ttyS0"],
            &["e-pigeon", "serve", "--listen", "unix:"],
            &["e-pigeon", "bench", "--payload", "1KB"],
            &["e-pigeon", "listen", "--set", "Name=x"],
            &["e-pigeon", "listen", "--count", "0"],
            &["e-pigeon", "serve", "--keep-alive", "1"],
            &["e-pigeon", "fly"],
        ] {
            let line = wrong(arguments);
            assert!(!line.contains('\n') && !line.starts_with("error"), "{line}");
            assert!(line.ends_with("(see --help)"), "{line}");
        }
        assert!(wrong(&["e-pigeon", "send", "x"]).contains("--to"));
        assert!(wrong(&["e-pigeon", "send", "--to", "bob", "x"]).contains("name=alice"));
        assert!(wrong(&["e-pigeon", "listen", "--connect", "cobs:x"]).contains("cobs:127.0.0.1:9999"));
        assert!(wrong(&["e-pigeon", "serve", "--unix", &"x".repeat(108)]).contains("has 108 bytes"));
    }

    #[test]
    fn a_broker_listens_on_tcp_where_nothing_else_is_said() {
        for (more, listeners) in [
            (&[][..], &["127.0.0.1:9999"][..]),
            (&["--listen", "localhost:1"], &["localhost:1"]),
            (&["--unix", "/run/x", "--unix", "y"], &["unix:/run/x", "unix:y"]),
            (&["--unix", "y", "--listen", "localhost:1"], &["localhost:1", "unix:y"]),
            (&["--listen", "cobs:localhost:1"], &["cobs:localhost:1"]),
            (&["--listen", "unix:/run/x"], &["unix:/run/x"]),
            (&["--serial", "/dev/ttyS0@9600"], &["serial:/dev/ttyS0@9600"]),
            (&["--serial", "/dev/ttyS0@9600", "--unix", "y"], &["unix:y", "serial:/dev/ttyS0@9600"]),
        ] {
            let arguments =
                Arguments::try_parse_from(["e-pigeon", "serve"].iter().chain(more)).expect("right");
            let Command::Serve(serve) = arguments.command else { panic!("not serve") };
            let told: Vec<String> = serve.addresses().map(Address::to_string).collect();
            assert_eq!(told, listeners, "{more:?}");
        }
    }

    #[test]
    fn messages_may_be_any_bytes_and_options_may_come_last() {
        let arguments = Arguments::try_parse_from(["e-pigeon", "send", "one", "", "--to", "everyone", "-v"])
            .expect("right");
        let Command::Send(send) = arguments.command else { panic!("not send") };
        assert_eq!(send.messages, ["one", ""]);
        assert_eq!(arguments.verbose, 1);
    }
}
