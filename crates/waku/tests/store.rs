//! Store v3: what is answered, in pages, and what is not; a client against the server, over frames.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hearken_archive::{Archive, ArchiveOptions, Candidate, Filter, Memory, Origin};
use hearken_tree::Id;
use hearken_waku::framing::{read_frame, write_frame};
use hearken_waku::store::{
    Entry, MAX_HASHES, MAX_PAGE, Pager, Progress, RequestBudget, StoreQuery, StoreRequest, StoreResponse, answer,
};
use hearken_waku::{WakuFormat, WakuMessage, message_hash};
use proptest::prelude::*;
use prost::Message;

const TOPICS: [&str; 2] = ["/waku/2/rs/66/0", "/waku/2/rs/66/1"];
const ROOMS: [&str; 3] = ["/hearken/1/a/proto", "/hearken/1/b/proto", "/hearken/1/c/proto"];
const START: u64 = 1_700_000_000_000_000_000;

/// A message as the model knows it.
#[derive(Clone, Debug)]
struct Sent {
    time: u64,
    id: Id,
    topic: &'static str,
    room: &'static str,
    body: Bytes,
}

/// Messages on two pubsub topics and three content topics, several with one timestamp, in the order of their keys.
fn messages(count: usize) -> Vec<Sent> {
    let sent = |n: usize| {
        let time = START + (n as u64 / 3) * 1_000_000_000;
        let (topic, room) = (TOPICS[n % 2], ROOMS[n % 3]);
        let message = WakuMessage {
            payload: n.to_string().into_bytes().into(),
            content_topic: room.to_owned(),
            timestamp: Some(time.cast_signed()),
            ..WakuMessage::default()
        };
        Sent { time, id: message_hash(topic, &message), topic, room, body: message.encode_to_vec().into() }
    };
    let mut all: Vec<Sent> = (0..count).map(sent).collect();
    all.sort_by_key(|message| (message.time, message.id));
    all
}

fn archive(messages: &[Sent]) -> Memory {
    let filter = |topic: &str| Filter { pubsub_topic: topic.to_owned(), content_topics: BTreeSet::new() };
    let archive = Memory::new(ArchiveOptions::new(TOPICS.map(filter).to_vec(), Arc::new(WakuFormat)));
    let candidate = |sent: &Sent| Candidate { body: sent.body.clone(), origin: Origin::Topic(sent.topic.to_owned()) };
    archive.admit(&messages.iter().map(candidate).collect::<Vec<_>>(), START + (1 << 50)).unwrap();
    archive
}

fn id_of(entry: &Entry) -> Id {
    Id(entry.message_hash.as_deref().unwrap().try_into().unwrap())
}

/// All that a query finds, page by page, in ascending order; and the sizes of its pages.
fn collect(archive: &dyn Archive, query: &StoreQuery) -> (Vec<Entry>, Vec<usize>) {
    let mut pager = Pager::new(query.clone());
    let (mut pages, mut sizes) = (Vec::new(), Vec::new());
    while let Some(request) = pager.request() {
        let Progress::Page(page) = pager.response(answer(archive, &request)).unwrap() else { panic!("busy") };
        sizes.push(page.len());
        pages.push(page);
        assert!(pages.len() < 10_000, "the pages do not end");
    }
    if !query.forward {
        pages.reverse();
    }
    (pages.concat(), sizes)
}

fn status(archive: &dyn Archive, request: &StoreRequest) -> (u32, String) {
    let response = answer(archive, request);
    assert!(response.messages.is_empty() || response.status_code == Some(200), "{response:?}");
    assert_eq!(response.request_id, request.request_id);
    (response.status_code.unwrap(), response.status_desc.unwrap_or_default())
}

fn any_query() -> impl Strategy<Value = StoreQuery> {
    let topic = proptest::option::of(proptest::sample::select(&TOPICS[..]));
    let rooms = proptest::collection::btree_set(proptest::sample::select(&ROOMS[..]), 0..3);
    let seconds = || 0..40u64;
    let ids = proptest::option::of(proptest::collection::vec(0..100usize, 0..40));
    (topic, rooms, seconds(), seconds(), ids, any::<bool>(), any::<bool>(), 1..30usize).prop_map(
        |(topic, rooms, from, to, ids, forward, include_data, limit)| StoreQuery {
            include_data,
            pubsub_topic: topic.map(str::to_owned),
            content_topics: rooms.into_iter().map(str::to_owned).collect(),
            // A bound is always given, so that the query is not one for everything.
            from: START - 1 + from * 1_000_000_000,
            to: START + to * 1_000_000_000,
            ids: ids.map(|places| places.into_iter().map(id_at).collect()),
            cursor: None,
            forward,
            limit,
        },
    )
}

/// The id of one of the messages, or of none.
fn id_at(place: usize) -> Id {
    messages(80).get(place).map_or(Id([7; 32]), |message| message.id)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every query finds exactly what a filter over a list finds, in that order, in pages that respect the limit.
    #[test]
    fn queries_find_what_a_list_filtered_gives(query in any_query()) {
        let all = messages(80);
        let archive = archive(&all);
        let fits = |sent: &&Sent| {
            query.pubsub_topic.as_deref().is_none_or(|topic| topic == sent.topic)
                && (query.content_topics.is_empty() || query.content_topics.contains(sent.room))
                && (query.from..query.to).contains(&sent.time)
                && query.ids.as_ref().is_none_or(|ids| ids.contains(&sent.id))
        };
        let expected: Vec<&Sent> = all.iter().filter(fits).collect();
        let (found, sizes) = collect(&archive, &query);
        prop_assert_eq!(found.iter().map(id_of).collect::<Vec<_>>(), expected.iter().map(|s| s.id).collect::<Vec<_>>());
        prop_assert!(sizes.iter().all(|size| *size <= query.limit));
        for (entry, sent) in found.iter().zip(expected) {
            prop_assert_eq!(&entry.message, &query.include_data.then(|| sent.body.clone()));
        }
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes: Vec<u8>) {
        if let Ok(request) = StoreRequest::decode(bytes.as_slice()) {
            let response = answer(&archive(&messages(3)), &request);
            prop_assert!(matches!(response.status_code, Some(200 | 400)));
        }
    }

    /// A client takes whatever a server may send: it ends, and believes nothing that was not asked.
    #[test]
    fn arbitrary_responses_end_a_query(
        responses in proptest::collection::vec(any_response(), 0..20), limit in 1..4usize,
    ) {
        let mut pager = Pager::new(StoreQuery { from: 1, limit, ..StoreQuery::default() });
        for response in responses {
            if pager.request().is_none() { break }
            let cursor = response.pagination_cursor.clone();
            match pager.response(response) {
                Ok(Progress::Page(page)) => {
                    prop_assert!(page.len() <= limit);
                    prop_assert!(!(page.is_empty() && pager.request().is_some()), "an empty page ends it: {:?}", cursor);
                }
                Ok(Progress::Busy(_)) => prop_assert!(pager.request().is_some()),
                Err(_) => prop_assert!(pager.request().is_none()),
            }
        }
    }

    /// Frames come back as they were written; cut short or too long ones are errors, whatever their length says.
    #[test]
    fn frames(hash: Vec<u8>, desc: String, cut: prop::sample::Index, noise: Vec<u8>) {
        let response = StoreResponse {
            status_desc: Some(desc), pagination_cursor: Some(hash.into()), ..StoreResponse::default()
        };
        futures_run(async {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, &response).await.unwrap();
            let read: StoreResponse = read_frame(&mut bytes.as_slice(), bytes.len()).await.unwrap();
            assert_eq!(read, response);
            let short = &bytes[..cut.index(bytes.len())];
            read_frame::<StoreResponse>(&mut &*short, 1 << 20).await.unwrap_err();
            if response.encoded_len() > 0 {
                read_frame::<StoreResponse>(&mut bytes.as_slice(), response.encoded_len() - 1).await.unwrap_err();
            }
            // Whatever comes of it, it ends.
            let _ = read_frame::<StoreRequest>(&mut noise.as_slice(), 1 << 20).await;
        });
    }
}

fn futures_run(test: impl Future<Output = ()>) {
    // Memory is always ready: one poll does it.
    let mut test = std::pin::pin!(test);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(test.as_mut().poll(&mut context).is_ready());
}

fn any_response() -> impl Strategy<Value = StoreResponse> {
    let hash = || proptest::option::of(proptest::collection::vec(0..3u8, 31..33).prop_map(Bytes::from));
    let entry = hash().prop_map(|message_hash| Entry { message_hash, ..Entry::default() });
    let code = proptest::sample::select(&[200, 200, 200, 300, 400, 429, 503, 0][..]);
    (code, proptest::collection::vec(entry, 0..4), hash()).prop_map(|(code, messages, pagination_cursor)| {
        StoreResponse { status_code: Some(code), messages, pagination_cursor, ..StoreResponse::default() }
    })
}

#[test]
fn an_empty_list_of_hashes_is_not_everything() {
    let archive = archive(&messages(10));
    let (code, reason) = status(&archive, &StoreRequest { request_id: "r".into(), ..StoreRequest::default() });
    assert_eq!(code, 400, "{reason}");
    assert!(reason.contains("everything"), "{reason}");
    let none = StoreQuery { ids: Some(BTreeSet::new()), ..StoreQuery::default() };
    assert!(Pager::new(none).request().is_none(), "nothing is asked where nothing is wanted");
}

#[test]
fn an_unknown_cursor_is_an_error() {
    let archive = archive(&messages(10));
    let request = StoreQuery { from: 1, cursor: Some(Id([9; 32])), ..StoreQuery::default() }.request("r".into());
    let (code, reason) = status(&archive, &request.unwrap());
    assert_eq!(code, 400);
    assert!(reason.contains("cursor"), "{reason}");
}

#[test]
fn requests_that_make_no_sense_say_so() {
    let archive = archive(&messages(10));
    let sound = || StoreRequest { time_start: Some(1), ..StoreRequest::default() };
    let hash = |length: usize| Bytes::from(vec![1; length]);
    let cases = [
        (StoreRequest { message_hashes: vec![hash(31)], ..sound() }, "32 bytes, found 31"),
        (StoreRequest { pagination_cursor: Some(hash(33)), ..sound() }, "32 bytes, found 33"),
        (StoreRequest { message_hashes: vec![hash(32); MAX_HASHES + 1], ..sound() }, "at most 2048 message hashes"),
        (StoreRequest { content_topics: vec!["/a".into(); 257], ..sound() }, "at most 256 content topics"),
    ];
    for (request, expected) in cases {
        let (code, reason) = status(&archive, &request);
        assert_eq!(code, 400, "{reason}");
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(status(&archive, &sound()).0, 200);
}

/// What the specification forbids and JavaScript clients send: a pubsub topic beside hashes.
#[test]
fn hashes_with_a_pubsub_topic_are_answered() {
    let all = messages(10);
    let archive = archive(&all);
    let request = StoreRequest {
        pubsub_topic: Some(all[0].topic.to_owned()),
        message_hashes: vec![all[0].id.0.to_vec().into()],
        ..StoreRequest::default()
    };
    let response = answer(&archive, &request);
    assert_eq!(response.messages.iter().map(id_of).collect::<Vec<_>>(), [all[0].id]);
}

/// A page has 20 messages unless another number is asked, 100 at most, and is cut short before it gets too large to be read.
#[test]
fn pages_are_capped() {
    let all = messages(300);
    let small = archive(&all);
    let size = |limit: Option<u64>| {
        let request = StoreRequest { time_start: Some(1), pagination_limit: limit, ..StoreRequest::default() };
        answer(&small, &request).messages.len()
    };
    assert_eq!([size(None), size(Some(0)), size(Some(7)), size(Some(u64::MAX))], [20, 20, 7, MAX_PAGE]);

    let large: Vec<Sent> = messages(60)
        .into_iter()
        .map(|sent| {
            let mut message = WakuMessage::decode(sent.body.clone()).unwrap();
            message.payload = vec![1; 150_000 - 200].into();
            message.meta = Some(sent.id.0.to_vec().into());
            Sent { id: message_hash(sent.topic, &message), body: message.encode_to_vec().into(), ..sent }
        })
        .collect();
    let archive = archive(&large);
    let query = StoreQuery { from: 1, limit: MAX_PAGE, ..StoreQuery::default() };
    let (found, sizes) = collect(&archive, &query);
    assert_eq!(found.len(), 60);
    assert!(sizes[0] < 60 && sizes.len() >= 3, "{sizes:?}");
    let ids = large.iter().map(|sent| sent.id).collect();
    let (found, sizes) = collect(&archive, &StoreQuery { ids: Some(ids), ..query });
    assert_eq!(found.len(), 60);
    assert!(sizes.len() >= 3, "{sizes:?}");
}

#[test]
fn a_peer_has_a_budget_of_requests() {
    let mut budget = RequestBudget::new(2, 3);
    let at = Duration::from_millis;
    let taken = |budget: &mut RequestBudget<u32>, peer, ms| (0..10).filter(|_| budget.take(&peer, at(ms))).count();
    assert_eq!(taken(&mut budget, 1, 0), 3);
    assert_eq!(taken(&mut budget, 2, 0), 3, "another peer has its own");
    assert_eq!(taken(&mut budget, 1, 499), 0);
    assert_eq!(taken(&mut budget, 1, 1500), 3);
    for peer in 0..5000 {
        budget.take(&peer, at(1500));
    }
    assert_eq!(taken(&mut budget, 6000, 1500), 3, "strangers are not refused for the sake of many others");
}
