//! Which messages an archive and another node do not have in common, by ranges of time, and why.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hearken_archive::{Archive, Filter, MessageFormat as _, View};
use hearken_tree::{Id, Key, KeyRange};
use hearken_waku::WakuFormat;
use hearken_waku::store::{Entry, MAX_PAGE, StoreQuery};
use libp2p::Multiaddr;

use crate::backfill::Listing;
use crate::clock::Clock;
use crate::config::Config;
use crate::network::Client;

/// Messages of this node that are compared at a time: so much memory is needed, and no more.
const AT_A_TIME: usize = 2000;

/// Why a comparison ended early: a sentence for the user.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A comparison to be made.
pub(crate) struct Diff {
    pub(crate) archive: Arc<dyn Archive>,
    pub(crate) max_size: crate::config::ByteSize,
    /// From this time on: nanoseconds since the Unix epoch.
    pub(crate) from: u64,
    /// Up to this time.
    pub(crate) to: u64,
    /// Messages of each range that are shown.
    pub(crate) show: usize,
    times: Times,
}

/// What lies on which side of these is looked at differently.
#[derive(Clone, Copy)]
struct Times {
    /// Younger messages still travel.
    settled: u64,
    /// Older messages are not synchronised.
    window: u64,
}

/// One range that is compared, with what differs in it.
struct Difference {
    from: u64,
    to: u64,
    here: u64,
    there: u64,
    only_here: Vec<Key>,
    only_there: Vec<Id>,
}

impl Diff {
    /// Compares from the start of the sync window to now, or as told. `Err`: that is no range.
    pub(crate) fn new(
        archive: Arc<dyn Archive>,
        config: &Config,
        (from, to): (Option<u64>, Option<u64>),
        show: usize,
    ) -> Result<Diff, &'static str> {
        let now = Clock::SYSTEM.now();
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let settled = now.saturating_sub(nanos(config.sync.settle_delay));
        let times = Times { settled, window: settled.saturating_sub(nanos(config.sync.window)) };
        let (from, to) = (from.unwrap_or(times.window), to.unwrap_or(now));
        if to <= from {
            return Err("expected from (--from) to be before to (--to)");
        }
        Ok(Diff { archive, max_size: config.messages.max_size, from, to, show, times })
    }

    /// Compares with the node at this address; hands every line of what is found to `tell`. Returns how many messages differ.
    pub(crate) async fn with(
        &self,
        address: &Multiaddr,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> Result<u64, Failure> {
        let mut client = Box::pin(Client::plain(address, self.max_size)).await?;
        let mut differences = 0;
        for filter in self.archive.groups() {
            let view = self.archive.view(&filter.group())?;
            let (archive, max_size) = (self.archive.clone(), self.max_size.as_usize());
            let side = Side { archive, view, times: self.times, max_size };
            let mut start = self.from;
            while start < self.to {
                let (end, own) = tokio::task::block_in_place(|| side.slice(start, self.to))?;
                let difference = difference(&mut client, &filter, (start, end), own).await?;
                start = end;
                let count = (difference.only_here.len() + difference.only_there.len()) as u64;
                if count > 0 {
                    differences += count;
                    show(&mut client, &filter, &side, &difference, (self.show, &mut *tell)).await?;
                }
            }
        }
        Ok(differences)
    }
}

/// Compares one range: the hashes that the other lists with those here.
async fn difference(
    client: &mut Client,
    filter: &Filter,
    (from, to): (u64, u64),
    own: BTreeMap<Id, Key>,
) -> Result<Difference, Failure> {
    let (here, mut own) = (own.len() as u64, own);
    let (mut there, mut only_there) = (0, Vec::new());
    let listing = Listing { filter: filter.clone(), from, to };
    let page = |page: Vec<Entry>| -> Result<bool, Failure> {
        for entry in page {
            let hash: Option<[u8; 32]> = entry.message_hash.as_deref().and_then(|hash| hash.try_into().ok());
            let id = Id(hash.ok_or("the node listed a message without a hash")?);
            there += 1;
            if own.remove(&id).is_none() {
                only_there.push(id);
            }
        }
        Ok(true)
    };
    client.query(listing.query(false), page).await?;
    let mut only_here: Vec<Key> = own.into_values().collect();
    only_here.sort_unstable();
    Ok(Difference { from, to, here, there, only_here, only_there })
}

async fn show(
    client: &mut Client,
    filter: &Filter,
    side: &Side,
    difference: &Difference,
    (show, tell): (usize, &mut (dyn FnMut(String) + Send)),
) -> Result<(), Failure> {
    let Difference { from, to, here, there, only_here, only_there } = difference;
    tell(format!("{} {} to {}: {here} here, {there} there", filter.pubsub_topic, date(*from), date(*to)));
    for key in only_here.iter().take(show) {
        tell(format!("  only here   {}  {}  {}", date(key.timestamp()), key.id(), side.why_only_here(key)));
    }
    let shown = show.min(only_there.len());
    for ids in only_there[..shown].chunks(MAX_PAGE) {
        let query = StoreQuery { ids: Some(ids.iter().copied().collect()), limit: MAX_PAGE, ..StoreQuery::default() };
        let page = |page: Vec<Entry>| -> Result<bool, Failure> {
            for entry in page {
                let (key, why) = side.why_only_there(filter, &entry)?;
                tell(format!("  only there  {}  {}  {why}", date(key.timestamp()), key.id()));
            }
            Ok(true)
        };
        client.query(query, page).await?;
    }
    let more = only_here.len().saturating_sub(show) + only_there.len() - shown;
    if more > 0 {
        tell(format!("  and {more} more (--show)"));
    }
    Ok(())
}

/// This node.
struct Side {
    archive: Arc<dyn Archive>,
    view: View,
    times: Times,
    max_size: usize,
}

impl Side {
    /// The next messages here from `from` on, by their ids, and the time up to which they are all that is here: not in the middle
    /// of one moment.
    fn slice(&self, from: u64, to: u64) -> Result<(u64, BTreeMap<Id, Key>), Failure> {
        let mut own = BTreeMap::new();
        let mut last = None;
        for key in self.view.kept.keys(&KeyRange::between(from, to)) {
            let key = key?;
            if own.len() >= AT_A_TIME && last != Some(key.timestamp()) {
                return Ok((key.timestamp(), own));
            }
            last = Some(key.timestamp());
            own.insert(key.id(), key);
        }
        Ok((to, own))
    }

    fn why_only_here(&self, key: &Key) -> &'static str {
        self.why_by_time(key).unwrap_or("missing there: sync brings it, unless the node refuses or deleted it")
    }

    fn why_by_time(&self, key: &Key) -> Option<&'static str> {
        if key.timestamp() >= self.times.settled {
            return Some("younger than the settle delay: it may still be on its way");
        }
        (key.timestamp() < self.times.window)
            .then_some("older than the sync window: sync does not bring it, backfill does")
    }

    /// The message's place, and why it is not here.
    fn why_only_there(&self, filter: &Filter, entry: &Entry) -> Result<(Key, String), Failure> {
        let body = entry.message.clone().ok_or("the node sent a hash without its message")?;
        let topic = entry.pubsub_topic.as_deref().unwrap_or(&filter.pubsub_topic);
        let header = match WakuFormat.header(topic, &body) {
            Ok(header) => header,
            Err(error) => return Ok((Key::MIN, error.to_string())),
        };
        let key = header.key();
        let why = if self.view.held.contains(&key)? {
            "refused here, or deleted by the operator".to_owned()
        } else if body.len() > self.max_size {
            format!("larger than messages.max_size here: {} bytes", body.len())
        } else if header.ephemeral {
            "ephemeral: not to be stored".to_owned()
        } else if key.timestamp() < self.archive.kept_from(Clock::SYSTEM.now()) {
            "older than what is kept here (archive.retention, archive.max_bytes)".to_owned()
        } else {
            self.why_by_time(&key).unwrap_or("missing here: sync brings it").to_owned()
        };
        Ok((key, why))
    }
}

/// A time, for people.
pub(crate) fn date(nanos: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_nanos(nanos)).to_string()
}
