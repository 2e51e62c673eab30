//! How things stand, told again whenever a second has passed, for as long as somebody listens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Extract;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::refusal::Refusal;
use super::server::State;
use super::sync::overview;

/// Who may listen at a time.
const WATCHERS: usize = 32;
/// How often they are told.
const EVERY: Duration = Duration::from_secs(1);

/// Those who listen. What one is told is made once for all of them.
pub(super) struct Watchers {
    slots: Arc<Semaphore>,
    last: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Default for Watchers {
    fn default() -> Watchers {
        Watchers { slots: Arc::new(Semaphore::new(WATCHERS)), last: Mutex::new(None) }
    }
}

/// One who listens.
struct Watcher {
    state: State,
    ticks: Interval,
    _slot: OwnedSemaphorePermit,
}

/// Server-sent events: `state` has what `GET /sync/v1` answers, `trouble` says why there is none.
pub(super) async fn events(
    Extract(state): Extract<State>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let slot = state.watchers.slots.clone().try_acquire_owned();
    let slot = slot.map_err(|_| Refusal::unavailable(format!("{WATCHERS} others listen already: try again later")))?;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watcher = Watcher { state, ticks, _slot: slot };
    Ok(Sse::new(unfold(watcher, next)).keep_alive(KeepAlive::default()))
}

/// The next event; `None` once the node stops.
async fn next(mut watcher: Watcher) -> Option<(Result<Event, Infallible>, Watcher)> {
    let mut stop = watcher.state.stop.clone();
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => return None,
        _ = watcher.ticks.tick() => {}
    }
    let event = match latest(&watcher.state).await {
        Ok(state) => Event::default().event("state").data(&*state),
        Err(trouble) => Event::default().event("trouble").data(trouble.message().replace(['\r', '\n'], " ")),
    };
    Some((Ok(event), watcher))
}

/// What stood a moment ago is good enough for whoever asks at the same time.
async fn latest(state: &State) -> Result<Arc<str>, Refusal> {
    let mut last = state.watchers.last.lock().await;
    if let Some((at, text)) = &*last
        && at.elapsed() < EVERY / 2
    {
        return Ok(text.clone());
    }
    let text: Arc<str> = overview(state).await?.to_string().into();
    *last = Some((Instant::now(), text.clone()));
    Ok(text)
}
