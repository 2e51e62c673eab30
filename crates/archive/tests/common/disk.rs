//! A disk that keeps apart what was synced and what was not, and loses power.
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use redb::StorageBackend;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

#[derive(Debug, Default)]
struct State {
    /// What is certain to be there after a power cut.
    synced: Vec<u8>,
    /// What was changed since, in order.
    pending: Vec<Change>,
    /// What reads see.
    current: Vec<u8>,
    /// Changes and syncs that still succeed; then power is gone.
    left: Option<u64>,
    /// There is no room behind this offset.
    limit: Option<usize>,
    /// Reports success for syncs that do nothing: as a program would fare that forgot them.
    lies: bool,
}

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// A disk with this on it.
    pub fn holding(bytes: Vec<u8>) -> Disk {
        let disk = Disk::default();
        disk.state().synced = bytes.clone();
        disk.state().current = bytes;
        disk
    }

    /// Power goes after this many more changes and syncs.
    pub fn cut_after(&self, changes: u64) {
        self.state().left = Some(changes);
    }

    /// From now on, there is no room behind this offset.
    pub fn limit(&self, limit: Option<usize>) {
        self.state().limit = limit;
    }

    /// From now on, syncs do nothing.
    pub fn lie(&self) {
        self.state().lies = true;
    }

    /// What is on it, were it shut down now.
    pub fn bytes(&self) -> Vec<u8> {
        self.state().current.clone()
    }

    /// What is left after a power cut: all that was synced, and of the rest, in any order, some whole, some in part, some not.
    pub fn after_power_cut(&self, seed: u64) -> Vec<u8> {
        let mut state = self.state();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = state.synced.clone();
        let mut pending = std::mem::take(&mut state.pending);
        if rng.random_bool(0.5) {
            pending.shuffle(&mut rng);
        }
        let kept = [0.0, 0.2, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        let torn = rng.random_bool(0.5);
        for change in pending {
            match change {
                Change::Resize(length) if rng.random_bool(kept) => bytes.resize(length, 0),
                Change::Resize(_) => {}
                Change::Write(offset, data) if torn => {
                    for (at, sector) in (0..).step_by(SECTOR).zip(data.chunks(SECTOR)) {
                        if rng.random_bool(kept) {
                            write(&mut bytes, offset + at, sector);
                        }
                    }
                }
                Change::Write(offset, data) => {
                    if rng.random_bool(kept) {
                        write(&mut bytes, offset, &data);
                    }
                }
            }
        }
        bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let start = place(offset);
        let bytes = state.current.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.pending.push(Change::Resize(place(len)));
        state.spend()?;
        state.current.resize(place(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        if !state.lies {
            state.synced = state.current.clone();
            state.pending.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.limit.is_some_and(|limit| place(offset) + data.len() > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.pending.push(Change::Write(place(offset), data.to_vec()));
        state.spend()?;
        write(&mut state.current, place(offset), data);
        Ok(())
    }
}
