use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Lines, PATIENCE};

/// A call of the program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed for programs.
    pub stdout: String,
    /// What it printed for people.
    pub stderr: String,
}

impl Finished {
    /// Expects success.
    #[track_caller]
    pub fn success(self) -> Finished {
        assert_eq!(self.code, Some(0), "expected success, found {self:#?}");
        self
    }

    /// Expects an orderly failure (exit code 1) whose message holds each of `words`.
    #[track_caller]
    pub fn failure(self, words: &[&str]) -> Finished {
        self.failure_with(1, words)
    }

    /// The same with another exit code: 2 is a wrong command line, 3 is done but not all of it.
    #[track_caller]
    pub fn failure_with(self, code: i32, words: &[&str]) -> Finished {
        assert_eq!(self.code, Some(code), "expected a failure, found {self:#?}");
        assert!(!self.stderr.contains("panicked"), "expected a message, found a panic: {self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "expected {word:?} in the message, found {self:#?}");
        }
        self
    }
}

/// Runs `hearken ARGUMENTS...` to its end.
#[track_caller]
pub fn hearken<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    hearken_with_input(arguments, &[])
}

/// Runs `hearken ARGUMENTS...` to its end, with this as its standard input.
#[track_caller]
pub fn hearken_with_input<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Finished {
    let mut child = command().args(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    let (out, err) = (Lines::default(), Lines::default());
    out.collect(child.stdout.take().expect("piped"));
    err.collect(child.stderr.take().expect("piped"));
    // The program may end without reading all of it: that is for the test to judge.
    let _ = child.stdin.take().expect("piped").write_all(input);
    finish(child, &out, &err, PATIENCE * 15)
}

#[track_caller]
fn finish(mut child: Child, out: &Lines, err: &Lines, patience: Duration) -> Finished {
    if !(out.ended(patience) && err.ended(patience)) {
        let _ = child.kill();
        panic!("the program did not end within {patience:?}; it printed:\n{}\n{}", out.tail(), err.tail());
    }
    let code = child.wait().expect("a started program can be waited for").code();
    Finished { code, stdout: out.text(), stderr: err.text() }
}

/// Runs `hearken-sim ARGUMENTS...` to its end.
#[track_caller]
pub fn simulator<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Finished {
    let mut command = Command::new(built("hearken-sim"));
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.args(arguments).spawn().expect("the program starts");
    let (out, err) = (Lines::default(), Lines::default());
    out.collect(child.stdout.take().expect("piped"));
    err.collect(child.stderr.take().expect("piped"));
    finish(child, &out, &err, PATIENCE * 15)
}

/// The program, with its output piped and the environment's settings taken away.
pub fn command() -> Command {
    let mut command = Command::new(program());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("RUST_BACKTRACE", "1");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HEARKEN_") {
            command.env_remove(name);
        }
    }
    command
}

/// The `hearken` of the build that this test is of: cargo puts it into the folder above the test's own. `HEARKEN_PROGRAM` names
/// another, relative to the top of the repository.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("HEARKEN_PROGRAM") {
        return Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(program);
    }
    built("hearken")
}

/// A program of the build that this test is of: cargo puts it into the folder above the test's own.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps");
    let program = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is missing: build it with `cargo build --bin {name}`", program.display());
    program
}
