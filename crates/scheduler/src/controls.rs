//! What an operator changes while the engine runs.
use std::{collections::BTreeSet, fmt::Debug};

use hearken_tree::GroupId;

use crate::{Config, Engine, GroupConfig, InvalidConfig, Now, Trigger};

/// Settings that cannot replace those in force. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidChange {
    /// They cannot work together.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// A setting is fixed while the node runs.
    #[error("`{0}` cannot change while the node runs: restart it with the new value")]
    Fixed(&'static str),
}

impl Config {
    /// Refuses settings that cannot replace these while `groups` are kept equal. `window` is fixed: groups have taken theirs.
    pub fn check_change(&self, to: &Config, groups: &[GroupConfig]) -> Result<(), InvalidChange> {
        to.validate()?;
        if to.window != self.window {
            return Err(InvalidChange::Fixed("window"));
        }
        groups.iter().try_for_each(|group| to.validate_group(group)).map_err(InvalidChange::from)
    }
}

impl<P: Clone + Ord + Debug> Engine<P> {
    /// Takes other settings. What is under way goes on; announcements and probes are timed anew.
    ///
    /// # Errors
    /// See [`Config::check_change`]; the old settings stay in force.
    pub fn reconfigure(&mut self, config: Config, now: Now) -> Result<(), InvalidChange> {
        let groups: Vec<GroupConfig> = self.groups.values().map(|group| group.config.clone()).collect();
        self.ctx.config.check_change(&config, &groups)?;
        self.pass(now);
        self.ctx.config = config;
        self.start_timers();
        self.tick();
        Ok(())
    }

    /// While paused the engine asks and announces nothing. It still judges announcements, so that they are forwarded, and serves
    /// others; what is under way comes to its end. Afterwards each group probes a neighbour at once.
    pub fn pause(&mut self, paused: bool, now: Now) {
        self.pass(now);
        if std::mem::replace(&mut self.paused, paused) && !paused {
            self.start_timers();
            self.groups.values_mut().for_each(|group| group.wanted = Some(Trigger::Manual));
        }
        self.tick();
    }

    /// Keeps a group among these peers: others are told that this node has not joined it, and are not asked. `None`: all.
    /// Announcements go to everybody who follows the control topic.
    pub fn allow(&mut self, group: GroupId, peers: Option<BTreeSet<P>>) {
        if let Some(group) = self.groups.get_mut(&group) {
            group.allowed = peers;
        }
    }

    /// An archive never takes back what it has dropped.
    pub(crate) fn on_kept_from(&mut self, unix: u64) {
        self.groups.values_mut().for_each(|group| group.config.kept_from = group.config.kept_from.max(unix));
    }

    /// Whether the engine is paused.
    pub fn paused(&self) -> bool {
        self.paused
    }

    fn start_timers(&mut self) {
        for group in self.groups.values_mut() {
            group.trickle.reconfigured(&self.ctx.config, self.ctx.now.monotonic, &mut self.ctx.rng);
            group.idle_at = self.ctx.now.monotonic + self.ctx.config.idle_trigger;
            group.spans = hearken_wire::likely_spans(self.ctx.config.summary_budget).max(1);
            group.schedule_probe(&mut self.ctx);
        }
    }
}
