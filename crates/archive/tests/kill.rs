//! SIGKILL: a process that writes is killed at a random moment, again and again, on one file.
#![allow(clippy::unwrap_used)]
mod common;

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use common::model::{Model, Op, filters, model_options, op};
use hearken_archive::{Embedded, EmbeddedOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Tells the child which file it works on, and with which of the things to do it starts.
const CHILD: &str = "HEARKEN_ARCHIVE_KILL_TEST_CHILD";

fn open(path: &Path) -> Embedded {
    let mut options = EmbeddedOptions::new(path, model_options(filters()));
    options.cache_size = 1 << 16;
    (options.at_once, options.backlog) = (100, 150);
    Embedded::open(options).unwrap()
}

/// The child: works, and says after each thing that it is done.
#[test]
fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (start, path) = told.split_once(' ').unwrap();
    let archive = open(Path::new(path));
    for n in start.parse().unwrap().. {
        Model::run(&archive, &op(0, n)).unwrap();
        // Straight to the pipe: what is written has been acknowledged.
        let mut out = std::io::stdout().lock();
        writeln!(out, "\ndone {n}").unwrap();
        out.flush().unwrap();
    }
}

fn spawn(path: &Path, next: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{next} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Kills the child some time after it has done `least` things; the first thing that it did not acknowledge.
fn kill(mut child: Child, least: u64, spin: u64, mut next: u64) -> u64 {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut left = least;
    while left > 0 {
        let line = lines.next().expect("the child works until it is killed").unwrap();
        if line.starts_with("done ") {
            next += 1;
            left -= 1;
        }
    }
    for _ in 0..spin {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it acknowledged before it died. A line that it did not finish counts for nothing.
    next + lines.map_while(Result::ok).filter(|line| line.starts_with("done ")).count() as u64
}

#[test]
fn no_kill_loses_what_was_acknowledged() {
    kill_often(20, 1);
}

#[test]
#[ignore = "200 kills take a minute"]
fn no_kill_of_many_loses_what_was_acknowledged() {
    kill_often(200, 2);
}

fn kill_often(kills: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.redb");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut model, mut next) = (Model::new(filters()), 0);
    for _ in 0..kills {
        // At times before it has done anything: while it opens.
        let (least, spin) = (rng.random_range(0..12), rng.random_range(0..1_000_000));
        let acknowledged = kill(spawn(&path, next), least, spin, next);
        while next < acknowledged {
            model.apply(&op(0, next));
            next += 1;
        }
        let archive = open(&path);
        if !model.agrees(&archive) {
            let op = op(0, next);
            model.apply(&op);
            if let Op::Retain(_) = op {
                Model::run(&archive, &op).unwrap();
            }
            next += 1;
        }
        model.verify(&archive);
    }
    assert!(next > kills, "the children did too little: {next}");
}
