//! Running a piece of work under callgrind, and reading what it found.
use std::{collections::BTreeMap, env, fs, process::Command};

/// Instructions executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// By BLAKE3.
    pub(crate) hashing: u64,
    /// By everything else in this program.
    pub(crate) other: u64,
}

/// What the work called `name` takes.
pub(crate) fn count(name: &str) -> Result<Count, String> {
    let program = env::current_exe().map_err(|error| format!("this program's own path is not known: {error}"))?;
    let out = env::temp_dir().join(format!("hearken-tree-counts.{}.{name}", std::process::id()));
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=hearken_tree_counts::work::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(&program)
        .arg(name)
        .output()
        .map_err(|error| format!("valgrind does not start ({error}): install it (Debian: apt-get install valgrind)"))?;
    if !ran.status.success() {
        return Err(format!("'{name}' failed under valgrind:\n{}", String::from_utf8_lossy(&ran.stderr)));
    }
    let profile = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let _ = fs::remove_file(&out);
    let count = read(&profile, &program.to_string_lossy());
    if count.other == 0 {
        return Err(format!("callgrind counted nothing of '{name}': is the program stripped of its symbols?"));
    }
    Ok(count)
}

/// Adds up a profile in callgrind's format: what was executed in functions of `program` itself.
///
/// Names are given in full once, as `fn=(7) name`, and then as `fn=(7)`. The line after a `calls=` line is the cost of the
/// called function once more.
fn read(profile: &str, program: &str) -> Count {
    let mut names: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let (mut object, mut function) = ("", "");
    let mut count = Count::default();
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some((kind, rest)) = line.split_once('=') {
            let kind = match kind {
                "cfn" => "fn",
                "cob" => "ob",
                kind => kind,
            };
            if kind == "calls" {
                lines.next();
                continue;
            }
            let (id, name) = rest.split_once(' ').unwrap_or((rest, ""));
            let name = if name.is_empty() { names.get(&(kind, id)).copied().unwrap_or("") } else { name };
            names.insert((kind, id), name);
            match line.split_once('=') {
                Some(("fn", _)) => function = name,
                Some(("ob", _)) => object = name,
                _ => {}
            }
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            match () {
                () if object != program => {}
                () if function.contains("blake3") => count.hashing += cost,
                () => count.other += cost,
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_the_program_itself_executed() {
        let profile = "events: Ir\n\nob=(1) /tmp/program\nfl=(1) a.rs\nfn=(1) tree::insert\n10 5\n+1 2\ncfn=(2) blake3::hash\n\
            calls=1 20\n* 100\nfn=(2)\n20 60\n\nob=(2) /lib/libc.so\nfn=(3) memcpy\n0 1000\n\nob=(1)\nfn=(1)\n12 3\ntotals: 1070\n";
        assert_eq!(read(profile, "/tmp/program"), Count { hashing: 60, other: 10 });
    }
}
