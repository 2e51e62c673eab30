//! Putting files of messages into an archive.

use hearken_archive::{Admission, AdmitError, Archive, Candidate, Origin, RefusalReason};

use crate::clock::Clock;
use crate::ndjson::{Input, InputError, TopicMessage};

/// Messages in one durable commit: large enough that the commit itself costs little, small enough to stay in memory.
pub(crate) const BATCH_MESSAGES: usize = 10_000;
/// Bytes in one durable commit.
pub(crate) const BATCH_BYTES: usize = 16 << 20;

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Newly stored.
    pub stored: u64,
    /// There before.
    pub held: u64,
    /// Not stored: no messages, or refused by the archive.
    pub bad: u64,
    /// Those of the bad ones that are only too old.
    pub too_old: u64,
}

/// The import broke off. What was stored before stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be read any further.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The archive failed.
    #[error(transparent)]
    Archive(#[from] AdmitError),
}

/// An import that is under way.
pub struct Import<'a, R> {
    archive: &'a dyn Archive,
    clock: Clock,
    report: R,
    batch: Vec<Candidate>,
    /// The line of each message in the batch.
    lines: Vec<u64>,
    bytes: usize,
    imported: Imported,
}

impl<'a, R: FnMut(u64, String)> Import<'a, R> {
    /// `report` hears of every bad line: its number, and what is wrong with it.
    pub fn new(archive: &'a dyn Archive, clock: Clock, report: R) -> Import<'a, R> {
        let (batch, lines, imported) = (Vec::new(), Vec::new(), Imported::default());
        Import { archive, clock, report, batch, lines, bytes: 0, imported }
    }

    /// Imports to the end of the file, or to where it breaks; what was read till then is stored.
    pub fn all(&mut self, input: &mut Input) -> Result<(), ImportError> {
        let read = loop {
            match input.next_message() {
                Ok(Some(Ok(message))) => self.add(message, input.lines_read())?,
                Ok(Some(Err(error))) => self.bad(error.line, error.reason),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.commit()?;
        Ok(read?)
    }

    /// What became of the lines.
    pub fn finish(self) -> Imported {
        self.imported
    }

    fn add(&mut self, message: TopicMessage, line: u64) -> Result<(), AdmitError> {
        self.bytes += message.body.len();
        self.batch.push(Candidate { body: message.body, origin: Origin::Topic(message.pubsub_topic) });
        self.lines.push(line);
        if self.batch.len() >= BATCH_MESSAGES || self.bytes >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), AdmitError> {
        let admissions = self.archive.admit(&self.batch, self.clock.now())?;
        for (line, admission) in std::mem::take(&mut self.lines).into_iter().zip(admissions) {
            match admission {
                Admission::Stored(_) => self.imported.stored += 1,
                Admission::Held(_) => self.imported.held += 1,
                Admission::Refused(_, reason) => {
                    self.imported.too_old += u64::from(reason == RefusalReason::TooOld);
                    self.bad(line, reason.to_string());
                }
                Admission::Malformed(reason) => self.bad(line, reason),
                Admission::Unasked(_) => self.bad(line, "not asked for".to_owned()),
            }
        }
        self.batch.clear();
        self.bytes = 0;
        Ok(())
    }

    fn bad(&mut self, line: u64, reason: String) {
        self.imported.bad += 1;
        (self.report)(line, reason);
    }
}
