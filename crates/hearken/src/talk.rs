//! The driver's neighbours: who is there, what is sent to them, what comes from them.

use std::collections::{BTreeMap, BTreeSet};

use hearken_scheduler::{Event, Selection, ServeOutcome};
use hearken_tree::GroupId;
use hearken_wire::{Frame, RequestId};
use libp2p::{PeerId, Stream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::inbox::News;
use crate::peers::{Answering, Asking, Change};
use crate::serve::Serve;
use crate::status::{Notice, Report};
use crate::stream::{Arrived, End, Link, Outgoing, StreamId};

impl Driver {
    /// Takes what the host has told.
    pub(crate) fn take_news(&mut self, news: News) {
        if news.config.is_some() || news.pause.is_some() || !news.allow.is_empty() {
            self.take_settings(news.config, news.pause, news.allow);
        }
        for (peer, connect) in news.peers {
            let change = self.peers.note(peer, connect);
            self.peer_changed(peer, change);
        }
        for peer in news.unsupported {
            self.unsupported(peer);
        }
        for gossiped in news.gossip {
            self.hear(gossiped);
        }
        for group in news.live {
            self.handle(Event::Live(group));
        }
        for group in news.sync {
            self.handle(Event::SyncNow(group));
        }
        for asker in news.reports {
            // Who asked may have gone.
            let _ = asker.send(self.report());
        }
    }

    fn take_settings(
        &mut self,
        config: Option<Box<hearken_scheduler::Config>>,
        pause: Option<bool>,
        allow: BTreeMap<GroupId, Option<BTreeSet<PeerId>>>,
    ) {
        let (now, engine) = (self.now(), &mut self.parts.engine);
        for (group, peers) in allow {
            engine.allow(group, peers);
        }
        // The handle has checked them against those in force.
        if let Some(Err(error)) = config.map(|config| engine.reconfigure(*config, now)) {
            tracing::error!(%error, "settings that were checked are refused");
        }
        if let Some(paused) = pause {
            engine.pause(paused, now);
        }
        // What they lead to is done with the next event: this one.
        self.handle(Event::Wake);
    }

    fn peer_changed(&mut self, peer: PeerId, change: Change) {
        match change {
            Change::None => {}
            Change::Came => self.handle(Event::Connected(peer)),
            Change::Left => self.handle(Event::Disconnected(peer)),
            Change::Returned => {
                self.handle(Event::Disconnected(peer));
                self.handle(Event::Connected(peer));
            }
        }
    }

    fn unsupported(&mut self, peer: PeerId) {
        self.notice(Notice::Unsupported(peer));
        self.handle(Event::Unsupported(peer));
    }

    /// Takes a stream that a peer opened, in place of an older one of the same peer.
    pub(crate) fn accept(&mut self, peer: PeerId, stream: Stream) {
        let now = Instant::now();
        let limits = &self.parts.streams.limits;
        let full = self.peers.answering(&peer).is_none() && self.peers.inbound() >= limits.inbound_streams;
        if full || self.peers.refuses(&peer, now) {
            tracing::debug!(%peer, full, "a stream is refused");
            return;
        }
        let (answers, control) = mpsc::channel(limits.frames_waiting);
        let (messages, delivered) = mpsc::channel(1);
        let link = self.next_link(peer);
        let talk = self.parts.streams.clone();
        let outgoing = Outgoing { control, messages: Some(delivered) };
        let task = self.talking.spawn(talk.answer(link, stream, outgoing));
        let change = self.peers.set_answering(peer, Answering { id: link.id, answers, messages, task });
        self.peer_changed(peer, change);
    }

    /// Takes what a stream brought. Of one that has been replaced only garbage counts: it ended the stream, and the next request
    /// may have opened another one before this is heard.
    pub(crate) fn take(&mut self, Arrived { link, what }: Arrived) {
        match what {
            Ok(frame) if self.peers.is_current(&link) => self.take_frame(link, frame),
            Err(end) if self.peers.is_current(&link) || matches!(end, End::Garbage(_)) => self.stream_ended(link, &end),
            _ => {}
        }
    }

    fn take_frame(&mut self, link: Link, frame: Frame) {
        if let Some(asking) = self.peers.asking(&link.peer).filter(|asking| asking.id == link.id) {
            asking.received(&frame, Instant::now());
        }
        if let Frame::Refusal(refusal) = &frame {
            tracing::debug!(peer = %link.peer, reason = ?refusal.reason, "a peer refuses a request");
        }
        self.handle(Event::Frame { from: link.peer, frame });
    }

    fn stream_ended(&mut self, link: Link, end: &End) {
        let Link { peer, .. } = link;
        tracing::debug!(%peer, %end, "a stream ended");
        let (unanswered, change) = self.peers.ended(&link, matches!(end, End::Garbage(_)), Instant::now());
        match end {
            End::Unsupported => self.unsupported(peer),
            End::Garbage(_) => self.handle(Event::Garbage(peer)),
            _ => {}
        }
        for request in unanswered {
            self.handle(Event::SendFailed { to: peer, request });
        }
        self.peer_changed(peer, change);
    }

    /// Sends requests on the own stream, answers on the peer's.
    pub(crate) fn send(&mut self, to: PeerId, frame: Frame) {
        match frame {
            Frame::Want(_) | Frame::Cancel { .. } => self.ask(to, frame),
            _ => self.answer(to, frame),
        }
    }

    fn ask(&mut self, to: PeerId, frame: Frame) {
        let request = match &frame {
            Frame::Want(want) => Some(want.request),
            _ => None,
        };
        if self.peers.asking(&to).is_none_or(|asking| asking.queue.is_closed()) {
            // There is nothing to cancel without a stream.
            if request.is_none() {
                return;
            }
            self.open(to);
        }
        let Some(asking) = self.peers.asking(&to) else { return };
        asking.sending(&frame, Instant::now());
        if asking.queue.try_send(frame).is_err()
            && let Some(request) = request
        {
            asking.open.remove(&request);
            self.events.push_back(Event::SendFailed { to, request });
        }
    }

    /// Opens a stream to the peer; what is sent meanwhile waits.
    fn open(&mut self, peer: PeerId) {
        let (queue, requests) = mpsc::channel(self.parts.streams.limits.frames_waiting);
        let link = self.next_link(peer);
        let talk = self.parts.streams.clone();
        let task = self.talking.spawn(talk.ask(link, requests));
        let asking = Asking { id: link.id, queue, task, open: BTreeSet::new(), used: Instant::now() };
        for request in self.peers.set_asking(&peer, asking) {
            self.events.push_back(Event::SendFailed { to: peer, request });
        }
    }

    fn answer(&mut self, to: PeerId, frame: Frame) {
        let Some(answering) = self.peers.answering(&to) else { return };
        if let Err(TrySendError::Full(_)) = answering.answers.try_send(frame) {
            tracing::debug!(peer = %to, "a peer does not read its answers: its stream is closed");
            if self.peers.drop_answering(&to) == Change::Left {
                self.events.push_back(Event::Disconnected(to));
            }
        }
    }

    pub(crate) fn serve(&mut self, to: PeerId, request: RequestId, group: GroupId, selection: Vec<Selection>) {
        let Some(answering) = self.peers.answering(&to) else {
            let outcome = ServeOutcome::Stopped { messages: 0, bytes: 0 };
            return self.events.push_back(Event::Served { to, request, outcome });
        };
        let serve = Serve {
            reader: self.parts.reader.clone(),
            slots: self.serve_slots.clone(),
            request,
            group,
            selection,
            frame_bytes: self.parts.streams.limits.frame_bytes,
            stream: answering.messages.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        self.serving.insert((to, request), stop);
        let notices = self.parts.notices.clone();
        self.working.spawn(async move {
            let outcome = serve.run(stopped).await;
            if let ServeOutcome::Complete { messages, bytes } = outcome {
                let _ = notices.send(Notice::Served { peer: to, group, messages, bytes });
            }
            Event::Served { to, request, outcome }
        });
    }

    fn report(&self) -> Report {
        let engine = &self.parts.engine;
        Report { groups: engine.group_status().collect(), peers: engine.peer_status().collect() }
    }

    fn next_link(&mut self, peer: PeerId) -> Link {
        self.stream_ids += 1;
        Link { peer, id: StreamId(self.stream_ids) }
    }
}
