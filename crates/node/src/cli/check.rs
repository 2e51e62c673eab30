use std::process::ExitCode;

use hearken_archive::{CheckReport, GroupReport};

use super::{Failure, INCOMPLETE, open_existing};
use crate::config::Source;

/// `hearken check`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Recompute every digest and every message's id as well.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let folder = open_existing(&arguments.source)?;
    let report = folder.archive.check(arguments.deep)?;
    print(&report);
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(INCOMPLETE) })
}

fn print(report: &CheckReport) {
    println!("{} messages", report.messages);
    for key in &report.damaged {
        println!("removed a damaged message, a neighbour will deliver it again: {key:?}");
    }
    if report.unreadable > 0 {
        println!("removed {} damaged messages of which not even the key is known", report.unreadable);
    }
    if report.lost_keys > 0 {
        println!("entered {} messages again that could not be found by their keys", report.lost_keys);
    }
    if report.lost_ids > 0 {
        println!("entered {} messages again that could not be found by their ids", report.lost_ids);
    }
    if report.lost_topics > 0 {
        println!("{} messages could not be found by their content topics: that index is made anew", report.lost_topics);
    }
    if report.wrong_counts {
        println!("set the counts of messages and bytes right");
    }
    for GroupReport { filter, kept, missing, surplus, rebuilt_pages, faults } in &report.groups {
        let topic = &filter.pubsub_topic;
        println!("{topic}: {kept} messages; {missing} were missing, {surplus} too many, {rebuilt_pages} pages rebuilt");
        faults.iter().for_each(|fault| println!("{topic}: filled anew, since {fault}"));
    }
    println!("{}", if report.is_sound() { "sound" } else { "repaired" });
}
