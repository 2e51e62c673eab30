use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use super::program::command;
use super::{Finished, Lines, PATIENCE};

/// Settings under which a repair takes seconds instead of minutes. Nothing else differs from a node in the field.
const QUICK: [&str; 7] = [
    "--sync-settle-delay=1s",
    "--sync-horizon-grid=1s",
    "--sync-interval-min=500ms",
    "--sync-interval-max=4s",
    "--sync-network-size=10",
    "--listen=/ip4/127.0.0.1/tcp/0",
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
        let peers = peers.iter().flat_map(|peer| ["--peers", peer]);
        let mut child = command()
            .arg("run")
            .arg("--data-dir")
            .arg(data)
            .args(QUICK)
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

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said that it repaired `count` messages in all.
    #[track_caller]
    pub fn repairs(&self, count: usize) {
        self.expect(&format!("{count} messages repaired"), up_to(count));
    }

    /// Whether it says so within the time.
    pub fn repairs_within(&self, count: usize, patience: Duration) -> bool {
        self.err.find(patience, up_to(count)).is_some()
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
        self.err.text().lines().filter_map(repaired).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `listening ... /ip4/127.0.0.1/tcp/40123/p2p/12D3Koo...`
fn address(line: &str) -> Option<String> {
    let start = line.find("/ip4/127.0.0.1/tcp/")?;
    let address = line[start..].split(|c: char| c.is_whitespace() || c == '"' || c == ',').next()?;
    address.contains("/p2p/").then(|| address.to_owned())
}

/// Adds up the reports of repairs, until there are `count`.
fn up_to(count: usize) -> impl FnMut(&str) -> Option<()> {
    let mut sum = 0;
    move |line| {
        sum += repaired(line).unwrap_or(0);
        (sum >= count).then_some(())
    }
}

/// `... repaired 42 messages of /waku/2/rs/66/0 ...`
fn repaired(line: &str) -> Option<usize> {
    line.split_once("repaired ")?.1.split_once(" messages")?.0.parse().ok()
}
