//! What a host can do wrong is told plainly; what it stops has stopped.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use crate::common::{self, Gossip, NOW, archive, config, gossipsub_config, messages, swarm, until};
use hearken::archive::{ArchiveOptions, Memory};
use hearken::{AntiEntropy, Command, Config, GroupId, Host, SpawnError};
use tokio::time::timeout;

fn host<'a>(swarm: &libp2p::Swarm<common::Behaviour>, gossipsub: &'a libp2p::gossipsub::Config) -> Host<'a> {
    Host { control: swarm.behaviour().stream.new_control(), gossipsub, committer: None, clock: Arc::new(|| NOW) }
}

fn error(config: Config) -> String {
    let gossip = gossipsub_config(Gossip::default());
    match AntiEntropy::spawn(config, archive(&[]), host(&swarm(Gossip::default()), &gossip)) {
        Ok(_) => panic!("must not be spawned"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused() {
    let mut bad = config();
    bad.engine.redundancy = 0;
    assert_eq!(error(bad), "`redundancy` must be more than zero");

    let mut bad = config();
    bad.limits.serves = 0;
    assert_eq!(error(bad), "`limits.serves` must be more than zero");

    let mut bad = config();
    bad.groups = vec![bad.engine.group(GroupId([1; 16]))];
    assert!(error(bad).starts_with("the archive keeps no group 01010101"));

    let mut bad = config();
    bad.engine.summary_budget = 65536;
    let (swarm, mut gossip) = (swarm(Gossip::default()), gossipsub_config(Gossip::default()));
    assert!(AntiEntropy::spawn(bad.clone(), archive(&[]), host(&swarm, &gossip)).is_ok());
    gossip = libp2p::gossipsub::Config::default();
    let refused = AntiEntropy::spawn(bad, archive(&[]), host(&swarm, &gossip));
    assert!(matches!(refused, Err(SpawnError::TransmitSize { found: 65536, .. })));

    let empty = Memory::new(ArchiveOptions::new(Vec::new(), Arc::new(common::Plain)));
    let refused = AntiEntropy::spawn(config(), Arc::new(empty), host(&swarm, &gossip));
    assert!(matches!(refused, Err(SpawnError::NoGroup)));
}

#[test]
fn without_a_runtime_nothing_is_spawned() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let swarm = runtime.block_on(async { swarm(Gossip::default()) });
    let refused = AntiEntropy::spawn(config(), archive(&[]), host(&swarm, &gossipsub_config(Gossip::default())));
    assert!(matches!(refused, Err(SpawnError::NoRuntime)));
}

#[tokio::test]
async fn one_task_a_swarm_until_it_is_stopped() {
    let (swarm, gossip) = (swarm(Gossip::default()), gossipsub_config(Gossip::default()));
    let (first, mut commands) = AntiEntropy::spawn(config(), archive(&[]), host(&swarm, &gossip)).unwrap();
    let second = AntiEntropy::spawn(config(), archive(&[]), host(&swarm, &gossip));
    assert!(matches!(second, Err(SpawnError::AlreadyRegistered)));
    let topic = hearken_wire::control_topic(common::TOPIC);
    assert!(matches!(commands.next().await, Some(Command::Subscribe(subscribed)) if subscribed == topic));

    timeout(Duration::from_secs(30), first.stop()).await.expect("it stops");
    first.stop().await;
    while commands.next().await.is_some() {}
    let third = AntiEntropy::spawn(config(), archive(&[]), host(&swarm, &gossip));
    assert!(third.is_ok(), "the protocol is free again");
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_task() {
    let (swarm, gossip) = (swarm(Gossip::default()), gossipsub_config(Gossip::default()));
    let archive = archive(&messages(10, 100));
    let (handle, mut commands) = AntiEntropy::spawn(config(), archive.clone(), host(&swarm, &gossip)).unwrap();
    drop(handle.clone());
    assert!(commands.next().await.is_some(), "another handle is left");
    drop(handle);
    let ended = async { while commands.next().await.is_some() {} };
    timeout(Duration::from_secs(30), ended).await.expect("the task ends");
    until("it holds the archive no longer", || Arc::strong_count(&archive) == 1).await;
}
