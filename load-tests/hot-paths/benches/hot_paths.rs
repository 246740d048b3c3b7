//! How long the pure hot paths take: `cargo bench -p millrace-hot-paths`. What they cost whatever else the machine does is counted by
//! `cargo xtask instructions`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// As the processor's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn all(criterion: &mut Criterion) {
    for path in millrace_hot_paths::ALL {
        let mut run = (path.prepare)();
        let (part, what) = path.name.split_once('/').expect("the part of the processor, and what it does");
        let mut group = criterion.benchmark_group(part);
        group.throughput(Throughput::Elements(path.elements));
        group.bench_function(what, |bencher| bencher.iter(&mut run));
        group.finish();
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
