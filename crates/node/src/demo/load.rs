use std::sync::Arc;

use hearken_archive::{Admission, Archive, Candidate, Embedded, Origin};
use tokio::task::JoinSet;

use super::DemoError;
use super::plan::Plan;
use crate::folder::DataFolder;
use crate::import::BATCH_MESSAGES;
use crate::trace::Trace;

/// Stores each node's part of the history durably; all nodes at the same time.
pub(super) async fn load(folders: &[DataFolder], trace: &Arc<Trace>, plan: &Arc<Plan>) -> Result<(), DemoError> {
    let mut loads = JoinSet::new();
    for (node, folder) in folders.iter().enumerate() {
        let (archive, trace, plan) = (folder.archive.clone(), trace.clone(), plan.clone());
        loads.spawn_blocking(move || load_node(&archive, &trace, |message| plan.holds(node, message)));
    }
    while let Some(loaded) = loads.join_next().await {
        loaded??;
    }
    Ok(())
}

fn load_node(archive: &Embedded, trace: &Trace, holds: impl Fn(usize) -> bool) -> Result<(), DemoError> {
    let now = trace.bounds().1;
    let held = trace.messages.iter().enumerate().filter(|(place, _)| holds(*place));
    let mut candidates = held.map(|(_, message)| Candidate {
        body: message.body.clone(),
        origin: Origin::Topic(trace.pubsub_topic.clone()),
    });
    loop {
        let batch: Vec<Candidate> = candidates.by_ref().take(BATCH_MESSAGES).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let admissions = archive.admit(&batch, now)?;
        if let Some(refused) = admissions.iter().find(|admission| !matches!(admission, Admission::Stored(_))) {
            return Err(DemoError::NotStored(format!("{refused:?}")));
        }
    }
}
