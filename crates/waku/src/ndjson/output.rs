use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Where messages are written to: a file, compressed if its name ends in `.zst`, or standard output for `-`.
pub enum Output {
    /// As it is.
    Plain(BufWriter<Box<dyn Write>>),
    /// Compressed.
    Zstd(zstd::Encoder<'static, BufWriter<Box<dyn Write>>>),
}

impl Output {
    /// Creates the file, or takes standard output for `-`.
    pub fn create(path: &Path) -> io::Result<Output> {
        let target: Box<dyn Write> =
            if path == Path::new("-") { Box::new(io::stdout().lock()) } else { Box::new(File::create(path)?) };
        let target = BufWriter::with_capacity(1 << 16, target);
        if path.extension().is_some_and(|extension| extension == "zst") {
            return Ok(Output::Zstd(zstd::Encoder::new(target, zstd::DEFAULT_COMPRESSION_LEVEL)?));
        }
        Ok(Output::Plain(target))
    }

    /// Writes a line.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Output::Plain(target) => target.write_all(line),
            Output::Zstd(target) => target.write_all(line),
        }
    }

    /// Ends the file. Without it, a compressed one cannot be read.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Output::Plain(mut target) => target.flush(),
            Output::Zstd(target) => target.finish()?.flush(),
        }
    }
}
