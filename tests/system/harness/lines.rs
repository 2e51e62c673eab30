use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The lines that a process prints, collected as they come.
#[derive(Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// Streams that are still open.
    open: usize,
}

impl Lines {
    /// Collects `stream` as well, on a thread of its own, until its end.
    pub fn collect(&self, stream: impl Read + Send + 'static) {
        self.update(|state| state.open += 1);
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                lines.update(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            lines.update(|state| state.open -= 1);
        });
    }

    /// Waits until `wanted` gives something for a line, also one printed before; `None` if the streams end or the time is up first.
    pub fn find<T>(&self, patience: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut seen = 0;
        self.wait(patience, |state| {
            let found = state.lines[seen..].iter().find_map(|line| wanted(line));
            seen = state.lines.len();
            found.map(Some).or_else(|| (state.open == 0).then_some(None))
        })
        .flatten()
    }

    /// Waits until every stream has ended; whether they did in time.
    pub fn ended(&self, patience: Duration) -> bool {
        self.wait(patience, |state| (state.open == 0).then_some(())).is_some()
    }

    /// All lines so far.
    pub fn text(&self) -> String {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).lines.join("\n")
    }

    /// The last lines, for the message of a failed test.
    pub fn tail(&self) -> String {
        let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines[state.lines.len().saturating_sub(40)..].join("\n")
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.changed.notify_all();
    }

    fn wait<T>(&self, patience: Duration, mut done: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = done(&state) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
