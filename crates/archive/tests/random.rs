//! Random work against the plain model, with reopening in between.
#![allow(clippy::unwrap_used)]
mod common;

use common::model::{Model, filters, model_options, op};
use hearken_archive::{Archive, ArchiveOptions, Embedded, EmbeddedOptions, Memory};
use proptest::prelude::*;

/// Works through `ops` of the run of `seed`.
fn work(archive: &dyn Archive, model: &mut Model, seed: u64, ops: std::ops::Range<u64>) {
    for n in ops {
        let op = op(seed, n).within(&model.filters);
        assert_eq!(Model::run(archive, &op).unwrap(), model.apply(&op), "op {n}");
        assert!(model.agrees(archive), "after op {n}: {op:?}");
    }
    model.verify(archive);
}

fn embedded(folder: &tempfile::TempDir, options: ArchiveOptions) -> Embedded {
    let mut options = EmbeddedOptions::new(folder.path().join("archive.redb"), options);
    (options.cache_size, options.at_once, options.backlog) = (1 << 16, 7, 20);
    Embedded::open(options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn memory_follows_the_model(seed: u64) {
        let mut model = Model::new(filters());
        work(&Memory::new(model_options(filters())), &mut model, seed, 0..80);
    }

    /// Between runs, the archive is opened again with any of the groups.
    #[test]
    fn embedded_follows_the_model(seed: u64, groups in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        for (n, chosen) in (0..).zip(groups) {
            let filters: Vec<_> = filters().into_iter().zip(chosen).filter_map(|(filter, chosen)| chosen.then_some(filter)).collect();
            model.reopen(filters.clone());
            let archive = embedded(&folder, model_options(filters));
            model.verify(&archive);
            work(&archive, &mut model, seed, n * 25..(n + 1) * 25);
        }
        model.verify(&embedded(&folder, model_options(model.filters.clone())));
    }
}
