use std::sync::Arc;

use crate::{Filter, Limits, MessageFormat, Validator};

/// What every archive has to be told, wherever it stores.
#[derive(Clone)]
pub struct ArchiveOptions {
    /// The groups to keep.
    pub filters: Vec<Filter>,
    /// How messages are read.
    pub format: Arc<dyn MessageFormat>,
    /// The host's own check; `None`: every message that is one is valid.
    pub validator: Option<Arc<dyn Validator>>,
    /// The bounds of the admission predicate.
    pub limits: Limits,
    /// How many bytes of message bodies [`Archive::retain`](crate::Archive::retain) leaves at most, dropping the oldest; `None`: all.
    pub max_bytes: Option<u64>,
    /// How many refused keys are remembered in each group at most; the oldest are forgotten first. Each takes about 100 bytes.
    pub max_refused: u64,
}

impl ArchiveOptions {
    /// Waku's limits, no validator, everything kept, 100,000 refused keys a group.
    pub fn new(filters: Vec<Filter>, format: Arc<dyn MessageFormat>) -> ArchiveOptions {
        ArchiveOptions {
            filters,
            format,
            validator: None,
            limits: Limits::default(),
            max_bytes: None,
            max_refused: 100_000,
        }
    }
}
