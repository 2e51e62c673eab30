use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{BadLine, TopicMessage, parse_line};

/// The longest line that is read, in bytes: base64 of the largest message allowed (4 MiB), and the rest of the line.
pub const MAX_LINE: usize = 8 << 20;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A file of messages, read line by line. Whether it is compressed is seen from its first bytes.
pub struct Input {
    reader: Box<dyn BufRead + Send>,
    name: String,
    line: u64,
    buffer: Vec<u8>,
}

/// The input cannot be read (any further).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It cannot be opened.
    #[error("{} cannot be opened: {error}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It breaks off.
    #[error("{name} cannot be read beyond line {line} (if it is compressed, it may be cut short): {error}")]
    Read {
        /// The file.
        name: String,
        /// The last line read.
        line: u64,
        /// Why.
        error: io::Error,
    },
}

/// A line that is no message.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Input, InputError> {
        if path == Path::new("-") {
            return Input::new("standard input".to_owned(), io::stdin());
        }
        let open = |error| InputError::Open { path: path.to_owned(), error };
        let file = File::open(path).map_err(open)?;
        Input::new(path.display().to_string(), file)
    }

    /// Reads from anywhere; `name` goes into errors.
    pub fn new(name: String, source: impl Read + Send + 'static) -> Result<Input, InputError> {
        let fail = |error| InputError::Read { name: name.clone(), line: 0, error };
        let mut plain = BufReader::with_capacity(1 << 16, source);
        // A pipe may give fewer than four bytes at first: then it is read as it is, which a compressed one never does.
        let compressed = plain.fill_buf().map_err(fail)?.starts_with(&ZSTD_MAGIC);
        let reader: Box<dyn BufRead + Send> = if compressed {
            Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(plain).map_err(fail)?))
        } else {
            Box::new(plain)
        };
        Ok(Input { reader, name, line: 0, buffer: Vec::new() })
    }

    /// How many lines were read.
    pub fn lines_read(&self) -> u64 {
        self.line
    }

    /// The next message, or what is wrong with its line; `None` at the end. Empty lines are passed over.
    pub fn next_message(&mut self) -> Result<Option<Result<TopicMessage, LineError>>, InputError> {
        loop {
            let whole = match self.next_line() {
                Ok(Some(whole)) => whole,
                Ok(None) => return Ok(None),
                Err(error) => return Err(InputError::Read { name: self.name.clone(), line: self.line, error }),
            };
            self.line += 1;
            if whole && self.buffer.trim_ascii().is_empty() {
                continue;
            }
            let parsed = if whole {
                parse_line(self.buffer.trim_ascii()).map_err(|error: BadLine| error.to_string())
            } else {
                Err(format!("expected at most {MAX_LINE} bytes, found more"))
            };
            return Ok(Some(parsed.map_err(|reason| LineError { line: self.line, reason })));
        }
    }

    /// Reads a line into the buffer; `false` if it was too long, and then it is skipped. `None` at the end.
    fn next_line(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        let limit = MAX_LINE as u64 + 1;
        if (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        let whole = self.buffer.len() <= MAX_LINE;
        if !whole && !self.buffer.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
        }
        Ok(Some(whole))
    }
}
