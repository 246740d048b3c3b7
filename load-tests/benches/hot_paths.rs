//! How long the pure hot paths take: `cargo bench -p millrace-load-tests`. What they cost whatever else the machine does is counted by
//! `cargo xtask instructions`.

use criterion::{Criterion, criterion_group, criterion_main};
use millrace_load_tests::hot_paths;

fn all(criterion: &mut Criterion) {
    for path in hot_paths::ALL {
        let mut run = (path.prepare)();
        criterion.bench_function(path.name, |bencher| bencher.iter(&mut run));
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
