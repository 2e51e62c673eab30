//! Lists of nodes in DNS (EIP-1459), from a resolver of this test's own: what is signed is found, what is not is refused, and a
//! node connects to whom it finds.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use enr::Enr;
use enr::k256::ecdsa::SigningKey;
use enr::k256::ecdsa::signature::hazmat::PrehashSigner;
use hearken_node::config::Config;
use hearken_node::discovery::{DnsLists, DnsServer, FoundPeer, ListUrl, WalkError};
use hearken_node::folder::DataFolder;
use hearken_node::node::{Node, NodeOptions};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record};
use libp2p::identity::Keypair;
use sha3::{Digest, Keccak256};
use tokio::net::UdpSocket;
use tokio::time::timeout;

const LIST: &str = "nodes.example.org";
const PATIENCE: Duration = Duration::from_secs(30);

/// A zone of TXT records, served over UDP.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<BTreeMap<String, String>>>);

impl Zone {
    fn put(&self, name: &str, text: &str) {
        self.0.lock().unwrap().insert(name.to_ascii_lowercase(), text.to_owned());
    }

    async fn serve(&self) -> DnsServer {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address: SocketAddr = socket.local_addr().unwrap();
        let zone = self.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let answer = zone.answer(&Message::from_vec(&buffer[..length]).unwrap());
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        DnsServer::At(address)
    }

    fn answer(&self, question: &Message) -> Vec<u8> {
        let query = question.queries[0].clone();
        let name = query.name().to_ascii();
        let text = self.0.lock().unwrap().get(name.trim_end_matches('.').to_ascii_lowercase().as_str()).cloned();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.message_type = MessageType::Response;
        answer.metadata.response_code = if text.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain };
        answer.add_query(query.clone());
        if let Some(text) = text {
            // A TXT record is made of strings of at most 255 bytes.
            let parts = text.as_bytes().chunks(200).map(|part| String::from_utf8(part.to_vec()).unwrap());
            let data = RData::TXT(TXT::new(parts.collect()));
            // Nobody may keep it: the zone changes.
            answer.add_answer(Record::from_rdata(query.name().clone(), 0, data));
        }
        answer.to_vec().unwrap()
    }
}

fn name_of(text: &str) -> String {
    BASE32_NOPAD.encode(&Keccak256::digest(text)[..16])
}

/// Enters the records of a list: a root, a branch of branches, and the leaves. The root is signed with `signer`.
fn publish(zone: &Zone, list: &str, sequence: u64, leaves: &[String], links: &[String], signer: &SigningKey) {
    let put = |text: &str| {
        let name = name_of(text);
        zone.put(&format!("{name}.{list}"), text);
        name
    };
    let branch = |texts: &[String]| {
        let branches = texts.chunks(2).map(|texts| {
            let names: Vec<String> = texts.iter().map(|text| put(text)).collect();
            put(&format!("enrtree-branch:{}", names.join(",")))
        });
        let names: Vec<String> = branches.collect();
        put(&format!("enrtree-branch:{}", names.join(",")))
    };
    let content = format!("enrtree-root:v1 e={} l={} seq={sequence}", branch(leaves), branch(links));
    let (signature, recovery) =
        signer.sign_prehash(&Keccak256::digest(&content)).map(|s: enr::k256::ecdsa::Signature| (s, 0)).unwrap();
    let bytes = [&signature.to_bytes()[..], &[recovery]].concat();
    zone.put(list, &format!("{content} sig={}", BASE64URL_NOPAD.encode(&bytes)));
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn record(seed: u8, port: u16) -> String {
    let key = key(seed);
    Enr::builder().ip4(Ipv4Addr::new(127, 0, 0, 1)).tcp4(port).build(&key).unwrap().to_base64()
}

fn url(signer: &SigningKey, list: &str) -> ListUrl {
    ListUrl::new(*signer.verifying_key(), list)
}

fn ports(peers: &[FoundPeer]) -> Vec<String> {
    let mut ports: Vec<String> = peers.iter().map(|peer| peer.addresses[0].to_string()).collect();
    ports.sort();
    ports
}

#[test]
fn urls_are_read_and_written() {
    // The example of EIP-1459.
    let text = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org";
    assert_eq!(text.parse::<ListUrl>().unwrap().to_string(), text);
    for wrong in
        ["", "enr:abc", "enrtree://AM5FCQLWIZX2@example.org", &text.replace('@', ""), &text.replace("morenodes", "a b")]
    {
        wrong.parse::<ListUrl>().unwrap_err();
    }
}

#[tokio::test]
async fn a_list_and_what_it_links_to_are_read() {
    let (zone, signer, other) = (Zone::default(), key(1), key(2));
    let leaves: Vec<String> = (10..15).map(|seed| record(seed, 60000 + u16::from(seed))).collect();
    publish(&zone, LIST, 3, &leaves, &[url(&other, "other.example.org").to_string()], &signer);
    publish(&zone, "other.example.org", 1, &[record(20, 60020)], &[url(&signer, LIST).to_string()], &other);
    let mut lists = DnsLists::new(zone.serve().await).unwrap();
    let (peers, errors) = lists.read(&[url(&signer, LIST)]).await;
    assert!(errors.is_empty(), "{errors:?}");
    let expected = ["10", "11", "12", "13", "14", "20"].map(|port| format!("/ip4/127.0.0.1/tcp/600{port}"));
    assert_eq!(ports(&peers), expected);
}

/// A root that was replaced is validly signed, too: whoever answers for DNS could bring back nodes that have left.
#[tokio::test]
async fn an_older_root_than_was_seen_is_refused() {
    let (zone, signer) = (Zone::default(), key(1));
    let server = zone.serve().await;
    let list = [url(&signer, LIST)];
    let mut lists = DnsLists::new(server).unwrap();
    for (sequence, seed, accepted) in [(3, 10, true), (2, 11, false), (3, 12, true), (4, 13, true)] {
        publish(&zone, LIST, sequence, &[record(seed, 60000 + u16::from(seed))], &[], &signer);
        let (peers, errors) = lists.read(&list).await;
        if accepted {
            assert_eq!((ports(&peers), errors.len()), (vec![format!("/ip4/127.0.0.1/tcp/600{seed}")], 0));
        } else {
            assert!(peers.is_empty(), "{peers:?}");
            assert!(matches!(&errors[..], [WalkError::Older { known: 3, found: 2, .. }]), "{errors:?}");
        }
    }
    // Another reader has not seen the newer one and cannot know.
    publish(&zone, LIST, 2, &[record(30, 60030)], &[], &signer);
    let (peers, errors) = DnsLists::new(server).unwrap().read(&list).await;
    assert_eq!((ports(&peers).len(), errors.len()), (1, 0));
}

/// Whoever answers for DNS can leave nodes out, but neither change the list nor invent nodes.
#[tokio::test]
async fn forged_records_are_refused() {
    let (zone, signer, thief) = (Zone::default(), key(1), key(9));
    let good = record(10, 60010);
    publish(&zone, LIST, 1, std::slice::from_ref(&good), &[], &thief);
    let server = zone.serve().await;
    let (peers, errors) = DnsLists::new(server).unwrap().read(&[url(&signer, LIST)]).await;
    assert!(peers.is_empty());
    assert!(errors[0].to_string().contains("not signed"), "{errors:?}");

    let leaves = [good.clone(), record(11, 60011), record(12, 60012)];
    publish(&zone, LIST, 1, &leaves, &[], &signer);
    zone.put(&format!("{}.{LIST}", name_of(&leaves[1])), &record(13, 60013));
    let (peers, errors) = DnsLists::new(zone.serve().await).unwrap().read(&[url(&signer, LIST)]).await;
    assert_eq!(ports(&peers), ["/ip4/127.0.0.1/tcp/60010", "/ip4/127.0.0.1/tcp/60012"]);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("another text than its name says"), "{errors:?}");

    // A node's record that was changed after it was signed.
    let mut bytes = BASE64URL_NOPAD.decode(good.strip_prefix("enr:").unwrap().as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = format!("enr:{}", BASE64URL_NOPAD.encode(&bytes));
    publish(&zone, LIST, 2, &[forged], &[], &signer);
    let (peers, errors) = DnsLists::new(zone.serve().await).unwrap().read(&[url(&signer, LIST)]).await;
    assert!(peers.is_empty());
    assert!(errors[0].to_string().contains("a node (enr:...)"), "{errors:?}");
}

/// A node with nothing but a list's URL connects to a node on it, and remembers it when the list is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_connects_to_whom_it_finds_and_remembers_them() {
    let (zone, signer) = (Zone::default(), key(1));
    let [first_data, second_data] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let config = |data: &tempfile::TempDir| Config {
        data_dir: data.path().to_owned(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
        ..Config::default()
    };
    // Nodes on Waku's lists have secp256k1 keys.
    let secret = libp2p::identity::secp256k1::SecretKey::try_from_bytes([10; 32]).unwrap();
    let keypair = Keypair::from(libp2p::identity::secp256k1::Keypair::from(secret));
    let mut folder = DataFolder::open(&config(&first_data), None).unwrap();
    folder.keypair = keypair;
    let first = Node::start(folder, &config(&first_data), NodeOptions::default()).await.unwrap();
    let port = first.listening()[0].to_string().rsplit('/').next().unwrap().parse().unwrap();
    publish(&zone, LIST, 1, &[record(10, port)], &[], &signer);

    let mut seeking = config(&second_data);
    seeking.discovery.dns = vec![url(&signer, LIST)];
    seeking.discovery.dns_server = zone.serve().await;
    let second = start(&seeking).await;
    until_connected(&second).await;
    second.stop().await;

    let second = start(&config(&second_data)).await;
    until_connected(&second).await;
    second.stop().await;
    first.stop().await;
}

async fn start(config: &Config) -> Node {
    let folder = DataFolder::open(config, None).unwrap();
    Node::start(folder, config, NodeOptions::default()).await.unwrap()
}

async fn until_connected(node: &Node) {
    let connected = async {
        while node.sync().status().peers == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, connected).await.unwrap();
}
