use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::program::command;
use super::{Finished, Http, Lines, PATIENCE};

/// Settings under which a repair takes seconds instead of minutes. Nothing else differs from a node in the field.
const QUICK: [&str; 8] = [
    "--sync-settle-delay=1s",
    "--sync-horizon-grid=1s",
    "--sync-interval-min=500ms",
    "--sync-interval-max=4s",
    "--sync-network-size=10",
    "--listen=/ip4/127.0.0.1/tcp/0",
    "--api-listen=127.0.0.1:0",
    "--log=info,hearken=debug,hearken_node=debug",
];

/// A running node, killed when it is dropped.
pub struct Node {
    child: Child,
    out: Lines,
    err: Lines,
    data: PathBuf,
    address: String,
}

impl Node {
    /// Starts `hearken run` on the folder, with these peers, and waits until it listens.
    #[track_caller]
    pub fn start(data: &Path, peers: &[&str]) -> Node {
        Node::start_with(data, peers, &[])
    }

    /// The same with further flags.
    #[track_caller]
    pub fn start_with(data: &Path, peers: &[&str], flags: &[&str]) -> Node {
        let peers = peers.iter().flat_map(|peer| ["--peers", peer]);
        let mut child = command()
            .arg("run")
            .arg("--data-dir")
            .arg(data)
            .args(QUICK)
            .args(flags)
            .args(peers)
            .spawn()
            .expect("the program starts");
        let (out, err) = (Lines::default(), Lines::default());
        out.collect(child.stdout.take().expect("piped"));
        err.collect(child.stderr.take().expect("piped"));
        let mut node = Node { child, out, err, data: data.to_owned(), address: String::new() };
        node.address = node.expect("an address to listen on", address);
        node
    }

    /// Where it listens, with its peer id: for `--peer` of another.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its HTTP interface.
    #[track_caller]
    pub fn http(&self) -> Http {
        let base = |line: &str| Some(line.split_once("interface at ")?.1.trim().to_owned());
        Http::new(&self.expect("the address of its HTTP interface", base))
    }

    /// Where it listens for WebSocket, if it does.
    #[track_caller]
    pub fn ws_address(&self) -> String {
        self.expect("an address for WebSocket", |line| listening(line).filter(|address| address.contains("/ws/")))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("as Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Waits until it has said that it repaired `count` messages in all.
    #[track_caller]
    pub fn repairs(&self, count: usize) {
        self.expect(&format!("{count} messages repaired"), until(|sum| sum.stored >= count));
    }

    /// Whether it says so within the time.
    pub fn repairs_within(&self, count: usize, patience: Duration) -> bool {
        self.err.find(patience, until(|sum| sum.stored >= count)).is_some()
    }

    /// Waits until it has said that it repaired or refused `count` messages in all.
    #[track_caller]
    pub fn judges(&self, count: usize) {
        self.expect(&format!("{count} messages repaired or refused"), until(|sum| sum.stored + sum.refused >= count));
    }

    /// Waits until it says something that `wanted` understands.
    #[track_caller]
    pub fn expect<T>(&self, what: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.err.find(PATIENCE, wanted).unwrap_or_else(|| {
            panic!(
                "expected {what} within {PATIENCE:?} from the node in {}; it said:\n{}",
                self.data.display(),
                self.err.tail()
            )
        })
    }

    /// The last lines that it said, for the message of a failed test.
    pub fn said(&self) -> String {
        self.err.tail()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // The shell's own `kill` is everywhere.
        let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "signal {name} could not be sent to {pid}");
    }

    /// Ends it by SIGTERM.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.stop_by("TERM")
    }

    /// Ends it by a signal that asks for it, and waits until it has ended.
    #[track_caller]
    pub fn stop_by(mut self, signal: &str) -> Finished {
        self.signal(signal);
        let ended = self.out.ended(PATIENCE) && self.err.ended(PATIENCE);
        assert!(ended, "the node did not stop within {PATIENCE:?} of SIG{signal}; it said:\n{}", self.err.tail());
        let code = self.child.wait().expect("a started program can be waited for").code();
        Finished { code, stdout: self.out.text(), stderr: self.err.text() }
    }

    /// Ends it by SIGKILL: it gets no say. How many messages it had said that it repaired.
    #[track_caller]
    pub fn kill(mut self) -> usize {
        self.child.kill().expect("a running program can be killed");
        assert!(self.err.ended(PATIENCE), "the node outlives SIGKILL");
        Repaired::sum(&self.err.text()).stored
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `listening ... /ip4/127.0.0.1/tcp/40123/p2p/12D3Koo...`: the address for TCP alone.
fn address(line: &str) -> Option<String> {
    listening(line).filter(|address| !address.contains("/ws/"))
}

fn listening(line: &str) -> Option<String> {
    let start = line.find("/ip4/127.0.0.1/tcp/")?;
    let address = line[start..].split(|c: char| c.is_whitespace() || c == '"' || c == ',').next()?;
    address.contains("/p2p/").then(|| address.to_owned())
}

/// What a node says that it got from neighbours.
#[derive(Clone, Copy, Debug, Default)]
pub struct Repaired {
    /// Messages that were missing and that it stored.
    pub stored: usize,
    /// Messages that its predicate refused.
    pub refused: usize,
}

/// Waits until the node has said a line that holds each of `words`.
#[track_caller]
pub fn run_until_said(node: &Node, words: &[&str]) {
    node.expect(&format!("a line with {words:?}"), |line| words.iter().all(|word| line.contains(word)).then_some(()));
}

/// What a node that has stopped had said that it got from neighbours.
pub fn repaired_in(said: &Finished) -> Repaired {
    Repaired::sum(&said.stderr)
}

impl Repaired {
    fn sum(text: &str) -> Repaired {
        text.lines().fold(Repaired::default(), Repaired::add)
    }

    /// Adds a line such as `... repaired 42 messages of /waku/2/rs/66/0 (held already: 0, refused: 3)`; others change nothing.
    fn add(self, line: &str) -> Repaired {
        let number = |before: &str, after: &str| line.split_once(before)?.1.split_once(after)?.0.parse::<usize>().ok();
        match (number("repaired ", " messages of"), number("refused: ", ")")) {
            (Some(stored), Some(refused)) => Repaired { stored: self.stored + stored, refused: self.refused + refused },
            _ => self,
        }
    }
}

/// Adds up line by line, until there is enough.
fn until(enough: impl Fn(Repaired) -> bool) -> impl FnMut(&str) -> Option<()> {
    let mut sum = Repaired::default();
    move |line| {
        sum = sum.add(line);
        enough(sum).then_some(())
    }
}
