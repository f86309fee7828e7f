//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::Styles;
use clap::builder::{ArgPredicate, PathBufValueParser, TypedValueParser};
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::address::Address;
use crate::destination::Target;
use crate::failure::Failure;
use crate::limits::{Limits, number, size};
use crate::transport::Transport;
use crate::value::Pairs;

const SERVE_NOTES: &str = "\
Signals:
  SIGINT, SIGTERM, SIGHUP  stop listening, say goodbye to the clients, end within 2 s; a second one ends at once
  SIGUSR1                  print the counters to stderr: messages by outcome, deliveries, sessions, links

Exit codes:
  0  ended by a signal
  1  cannot listen, cannot print the addresses, or the system refuses something
  2  wrong usage";

const LISTEN_NOTES: &str = "\
A message is acknowledged when stdout has taken it. When nobody reads stdout any more, listen ends at once. On a
terminal control characters of payloads are escaped.

Exit codes:
  0  --count messages are printed, ended by SIGINT, SIGTERM or SIGHUP, or nobody reads stdout
  1  refused by the broker, stdout cannot be written, or --count not reached within --give-up-after
  2  wrong usage
  3  no broker within --give-up-after";

const SEND_NOTES: &str = "\
Exit codes:
  0    every message was delivered to all its recipients (with --until accepted: accepted), or nobody reads stdout
  1    a message expired, was delivered to a part of its recipients, was refused, was too large, or has no receipt
  2    wrong usage
  3    no broker within --give-up-after
  129, 130, 143  ended by SIGHUP, SIGINT, SIGTERM";

const PEERS_NOTES: &str = "\
Exit codes:
  0  printed, or with --watch ended by SIGINT, SIGTERM or SIGHUP, or nobody reads stdout
  1  refused by the broker, stdout cannot be written, or not done within --give-up-after
  2  wrong usage
  3  no broker within --give-up-after
  129, 130, 143  without --watch: ended by SIGHUP, SIGINT, SIGTERM";

/// Sends messages to whoever a session's attributes match: once, in order, answered
#[derive(Debug, Parser)]
#[command(name = "e-pigeon", version, styles = Styles::plain())]
pub(crate) struct Arguments {
    /// Tell more on stderr; twice for all details
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
    #[arg(help = "Where to listen: [tcp:]HOST:PORT (port 0 picks one), unix:PATH, cobs:HOST:PORT (a serial line behind a socket) or serial:DEVICE@BAUD. May be given several times. There is no default address beside --unix or --serial", long, value_name = "ADDRESS", default_value = "127.0.0.1:9999", default_value_ifs([("unix", ArgPredicate::IsPresent, None::<&str>), ("serial", ArgPredicate::IsPresent, None)]), value_parser = Address::parse_listen)]
    pub(crate) listen: Vec<Address>,
    /// Short for --listen unix:PATH. The broker makes the socket file, with the mode that the umask leaves, and removes it
    /// when it ends. May be given several times
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().try_map(Address::from_path))]
    pub(crate) unix: Vec<Address>,
    /// Short for --listen serial:DEVICE@BAUD: serve the one client at the other end of a serial line. A line that is lost is
    /// opened again. May be given several times
    #[arg(long, value_name = "DEVICE@BAUD", value_parser = Address::parse_serial)]
    pub(crate) serial: Vec<Address>,
    /// Print the addresses as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The most memory for the state of the broker, in which limits that are not given are made to fit: 64MiB, 2GiB. Default
    /// is a quarter of what the machine has, or its control group where that is less
    #[arg(long, value_name = "SIZE", value_parser = size::<u64>)]
    pub(crate) memory: Option<u64>,
    /// Event loop to use
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
    /// End when stdin does: a broker that a program has started is not to outlive it
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

impl Serve {
    /// Everything that it is to listen on.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listen.iter().chain(&self.unix).chain(&self.serial)
    }
}

/// What every client can be told.
#[derive(Debug, Args)]
pub(crate) struct Client {
    /// The address of the broker.
    #[arg(help = "The broker: [tcp:]HOST:PORT, unix:PATH, cobs:HOST:PORT (a line behind a socket) or serial:DEVICE@BAUD", long, value_name = "ADDRESS", default_value = "127.0.0.1:9999", value_parser = Address::parse_connect)]
    pub(crate) connect: Address,
    /// Be the client whose UUID and secret are in this file, which is made where it is missing. Its session stays
    /// when the program ends
    #[arg(long, value_name = "FILE")]
    pub(crate) identity: Option<PathBuf>,
    /// Attributes of the session: room=lobby,level=3. A comma in a value belongs into quotes: note="a, b". May be given
    /// several times
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = Pairs::parse)]
    pub(crate) set: Vec<Pairs>,
    /// End after this time, such as 500ms or 30s: with 3 if there was no broker, with 1 if there was one and the work is
    /// not done. Without it the client waits without limit
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) give_up_after: Option<Duration>,
    /// Event loop to use
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
}

/// Print each message that comes
#[derive(Debug, Args)]
#[command(after_help = LISTEN_NOTES)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) client: Client,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) count: Option<u64>,
    /// End each message with a NUL instead of a newline
    #[arg(short = '0')]
    pub(crate) nul: bool,
    /// Print a JSON object for each message
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send messages, and wait until they have arrived
#[derive(Debug, Args)]
#[command(after_help = SEND_NOTES)]
pub(crate) struct Send {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Destination: a UUID, everyone, key=value,key2=value2 (all of them), any:key=value,key2=value2
    #[arg(long, value_name = "DEST", value_parser = Target::parse)]
    pub(crate) to: Target,
    /// When a message is done
    #[arg(long, value_name = "WHEN", default_value = "delivered")]
    pub(crate) until: Until,
    /// How long a message may wait for its recipients, at least 1ms
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_expiry)]
    pub(crate) expire: Duration,
    /// Do not send to this program's own session, if --to matches it
    #[arg(long)]
    pub(crate) exclude_self: bool,
    /// Send to the sessions that are connected now, and wait for nobody
    #[arg(long)]
    pub(crate) only_connected: bool,
    /// The lines of stdin end with a NUL instead of a newline
    #[arg(short = '0')]
    pub(crate) nul: bool,
    /// Print a JSON object for each message when it is done
    #[arg(long)]
    pub(crate) json: bool,
    /// What to send; without it, each line of stdin is a message
    #[arg(value_name = "MESSAGE")]
    pub(crate) messages: Vec<OsString>,
}

/// List the connected and the away sessions with their attributes
#[derive(Debug, Args)]
#[command(after_help = PEERS_NOTES)]
pub(crate) struct Peers {
    #[command(flatten)]
    pub(crate) client: Client,
    /// Go on with the changes
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print a JSON object for each
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show what is promised, in five seconds: a broker that is killed, clients that are cut off, and every promise checked
///
/// Broker and clients run in this process, over real sockets on free ports of 127.0.0.1. Clients in two rooms send
/// streams to each other's room, to a UUID and to everyone, while connections are cut at arbitrary bytes, one client
/// is away, others join, and the broker is killed and comes back empty. In the end each message is looked at: whether
/// it came once, in order, to those it was for, and whether its receipt says so. Exits with 1 where a promise is broken.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Make the choices of an earlier run again: what the messages say, and after how many bytes connections are cut
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    pub(crate) seed: Option<u64>,
    /// What carries broker and clients
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
}

/// Measure a broker: how much it delivers, how fast, and at what cost
///
/// Starts a broker for each workload, as a process of its own, and is all of its clients itself, on one thread. Each delivery is
/// checked: it counts when it has come once, in order, and its sender has the final receipt. Exits with 1 where one has not.
/// Ctrl-C ends it with what there is.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure; everything where none is named
    #[arg(value_name = "WORKLOAD", ignore_case = true)]
    pub(crate) workloads: Vec<Workload>,
    /// Measure this broker instead, HOST:PORT or unix:PATH; its processor time and memory stay unknown. W7 has no broker
    #[arg(long, value_name = "ADDRESS", value_parser = Address::parse_connect)]
    pub(crate) connect: Option<Address>,
    /// What carries the broker
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) transport: Transport,
    /// What carries the clients
    #[arg(long, value_name = "NAME", default_value = "mio")]
    pub(crate) clients_transport: Transport,
    /// Keep the broker on core 0 and the load on core 1
    #[arg(long)]
    pub(crate) pin: bool,
    /// Let the load look for input without ever sleeping: shows latency without the time that it takes to wake it
    #[arg(long)]
    pub(crate) spin: bool,
    /// The size of payloads, 16 to 64KiB; each workload has its own
    #[arg(long, value_name = "SIZE", value_parser = parse_payload)]
    payload: Option<u32>,
    /// End a workload when each of its senders has sent so many
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) messages: Option<u64>,
    /// How long to measure each workload
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// How many messages of a sender may be without a receipt; each workload has its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) window: Option<u64>,
    /// Print JSON when all is done
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure how cost grows instead, and draw that into an SVG file
    #[arg(long, value_name = "FILE", conflicts_with = "workloads")]
    pub(crate) plot: Option<PathBuf>,
}

impl Bench {
    /// The workloads to run, in the order in which they were named; otherwise all that there can be.
    pub(crate) fn chosen(&self) -> Result<Vec<Workload>, Failure> {
        let has_broker = |workload: &Workload| *workload != Workload::W7;
        if self.connect.is_some() && !self.workloads.iter().all(has_broker) {
            return Err(Failure::usage(
                "W7 measures the broker's state machine in this process, without a connection: leave --connect or W7 away",
            ));
        }
        let mut chosen = self.workloads.clone();
        if chosen.is_empty() {
            chosen = Workload::value_variants().to_vec();
            chosen.retain(|workload| self.connect.is_none() || has_broker(workload));
        }
        Ok(chosen)
    }

    /// The size of payloads, where it was given.
    pub(crate) fn payload(&self) -> Option<usize> {
        // At most 65,536.
        self.payload.map(|bytes| bytes as usize)
    }
}

/// What can be measured.
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
    /// When all recipients have confirmed it
    Delivered,
    /// When the broker has it
    Accepted,
}

impl From<Until> for e_pigeon_core::Until {
    fn from(until: Until) -> Self {
        match until {
            Until::Delivered => Self::Delivered,
            Until::Accepted => Self::Accepted,
        }
    }
}

/// Reads a duration such as `500ms`, `2s` or `1h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "not a duration, for example 500ms, 2s or 1h".into())
}

/// Reads a time to live, in which a message can arrive.
fn parse_expiry(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time < Duration::from_millis(1) => {
            Err("a message with so little time never arrives, give it at least 1ms".into())
        }
        time => Ok(time),
    }
}

/// Reads a number of seconds, such as `3` or `0.5`.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let seconds = seconds.filter(|seconds| !seconds.is_zero() && *seconds <= Duration::from_secs(3600));
    seconds.ok_or_else(|| "not a number of seconds, for example 3 or 0.5".into())
}

/// Reads the size of a payload of a measurement.
fn parse_payload(text: &str) -> Result<u32, String> {
    match size(text) {
        Ok(bytes @ 16..=65_536) => Ok(bytes),
        _ => Err("not a size from 16 to 64KiB, for example 64 or 1KiB".into()),
    }
}

/// Reads how many messages there are to be.
fn parse_count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("not a number of messages, for example 3".into()),
        Ok(count) => Ok(count),
    }
}

/// What is wrong with a command line, in one line.
pub(crate) fn in_one_line(error: &clap::Error) -> String {
    let text = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command is given, {}", one_of_the_commands())
        }
        ErrorKind::InvalidSubcommand => {
            let told = error.get(ContextKind::InvalidSubcommand).map(ToString::to_string);
            format!("there is no command {}, {}", told.unwrap_or_default(), one_of_the_commands())
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
    line.push_str(" (--help tells more)");
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
            assert!(line.ends_with("(--help tells more)"), "{line}");
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
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert!(parse_duration("1").is_err());
        assert!(parse_duration("-1s").is_err());
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
