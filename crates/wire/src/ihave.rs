use hearken_tree::GroupId;

use crate::{Salt, ShortFingerprint, Summary, Window};

/// What a node says it holds of a group: one gossipsub message on a control topic.
///
/// A hint, never a fact: anyone may have forged or replayed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ihave {
    /// The set that is compared.
    pub group: GroupId,
    /// What is compared: from the start of the author's window up to its horizon.
    pub window: Window,
    /// Keys the short digests below; fresh for each IHAVE.
    pub salt: Salt,
    /// Fingerprint of the whole window.
    pub root: ShortFingerprint,
    /// Spans that cover the window and hold the root's count in all; or none.
    pub summary: Summary,
}
