//! Makes metrics, registers them, and remembers what they are.

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::label::{Label, combinations};

/// What a metric is about, for people.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name: stable, with the unit at its end.
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// When to look at it, and what to think then.
    pub look: &'static str,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins with 0 when its process starts.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How often something was at most so much: `_bucket`, `_sum` and `_count`.
    Histogram,
}

/// A metric of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is about.
    pub about: About,
    /// What kind it is.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: Vec<Label>,
    /// The heading that it stands under.
    pub topic: &'static str,
}

/// Makes metrics for one process.
///
/// # Panics
/// Its methods panic when a name is taken, or is no name: names are constants, and one registry serves one process.
#[derive(Debug)]
pub struct Catalogue<'r> {
    registry: &'r Registry,
    topic: &'static str,
    entries: Vec<Entry>,
}

impl<'r> Catalogue<'r> {
    /// Metrics that `registry` shows.
    #[must_use]
    pub fn new(registry: &'r Registry) -> Self {
        Self { registry, topic: "", entries: Vec::new() }
    }

    /// The heading of what follows.
    pub fn topic(&mut self, topic: &'static str) -> &mut Self {
        self.topic = topic;
        self
    }

    /// All that was made, in that order.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// A counter without labels.
    pub fn counter(&mut self, about: About) -> IntCounter {
        self.add(about, Kind::Counter, &[], |opts, _| IntCounter::with_opts(opts))
    }

    /// Counters, told apart by labels.
    pub fn counters(&mut self, about: About, labels: &[Label]) -> IntCounterVec {
        let counters = self.add(about, Kind::Counter, labels, IntCounterVec::new);
        for values in combinations(labels) {
            counters.with_label_values(&values);
        }
        counters
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, about: About) -> IntGauge {
        self.add(about, Kind::Gauge, &[], |opts, _| IntGauge::with_opts(opts))
    }

    /// Gauges, told apart by labels.
    pub fn gauges(&mut self, about: About, labels: &[Label]) -> IntGaugeVec {
        self.add(about, Kind::Gauge, labels, IntGaugeVec::new)
    }

    /// Gauges of times that a fraction of a second matters for, told apart by labels.
    pub fn gauges_of_seconds(&mut self, about: About, labels: &[Label]) -> GaugeVec {
        self.add(about, Kind::Gauge, labels, GaugeVec::new)
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, about: About, buckets: &[f64]) -> Histogram {
        self.add(about, Kind::Histogram, &[], |opts, _| {
            Histogram::with_opts(HistogramOpts::from(opts).buckets(buckets.to_vec()))
        })
    }

    /// Histograms, told apart by labels.
    pub fn histograms(&mut self, about: About, labels: &[Label], buckets: &[f64]) -> HistogramVec {
        let histograms = self.add(about, Kind::Histogram, labels, |opts, names| {
            HistogramVec::new(HistogramOpts::from(opts).buckets(buckets.to_vec()), names)
        });
        for values in combinations(labels) {
            histograms.with_label_values(&values);
        }
        histograms
    }

    /// What the kernel says about this process (on Linux), and which build it is.
    pub fn process(&mut self, version: &str) {
        self.topic("The process");
        let version_label = Label::bounded("version", "one for each process");
        self.gauges(BUILD, &[version_label]).with_label_values(&[version]).set(1);
        #[cfg(target_os = "linux")]
        self.registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("a process is registered once");
        for (about, kind) in PROCESS {
            self.entries.push(Entry { about, kind, labels: Vec::new(), topic: self.topic });
        }
    }

    fn add<M: Collector + Clone + 'static>(
        &mut self,
        about: About,
        kind: Kind,
        labels: &[Label],
        make: impl FnOnce(Opts, &[&str]) -> prometheus::Result<M>,
    ) -> M {
        let names: Vec<&str> = labels.iter().map(|it| it.name).collect();
        let metric = make(Opts::new(about.name, about.help), &names)
            .expect("names and labels are constants of the right form");
        self.registry.register(Box::new(metric.clone())).expect("a name is registered once");
        self.entries.push(Entry { about, kind, labels: labels.to_vec(), topic: self.topic });
        metric
    }
}

const BUILD: About = About {
    name: "millrace_build_info",
    help: "Always 1; its label says which release this is.",
    look: "During an upgrade: which members run which release.",
};

/// What the client library counts. Its names are those of every other program that Prometheus watches.
const PROCESS: [(About, Kind); 7] = [
    (
        About {
            name: "process_cpu_seconds_total",
            help: "Processor time, of user and system.",
            look: "A process near its limit: its rate is the number of cores that it uses.",
        },
        Kind::Counter,
    ),
    (
        About {
            name: "process_resident_memory_bytes",
            help: "Memory in use.",
            look: "A process near its limit; see millrace_partition_cache_bytes for what may go.",
        },
        Kind::Gauge,
    ),
    (
        About {
            name: "process_virtual_memory_bytes",
            help: "Addresses in use.",
            look: "Hardly ever: it says little about memory.",
        },
        Kind::Gauge,
    ),
    (
        About {
            name: "process_start_time_seconds",
            help: "When the process started, in seconds since 1970.",
            look: "Restarts: it changes.",
        },
        Kind::Gauge,
    ),
    (
        About {
            name: "process_open_fds",
            help: "Open files and sockets.",
            look: "It grows without end: a leak.",
        },
        Kind::Gauge,
    ),
    (
        About {
            name: "process_max_fds",
            help: "How many there may be.",
            look: "Each broker takes a handful of sockets for each client.",
        },
        Kind::Gauge,
    ),
    (About { name: "process_threads", help: "Threads.", look: "It grows without end: a leak." }, Kind::Gauge),
];

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About { name: "millrace_tests_total", help: "Tests.", look: "Never." };

    #[test]
    fn series_with_known_labels_are_there_from_the_start() {
        let registry = Registry::new();
        let mut catalogue = Catalogue::new(&registry);
        catalogue.counters(ABOUT, &[Label::known("outcome", &["passed", "failed"])]);
        let series = registry.gather()[0].get_metric().len();
        assert_eq!(series, 2);
    }

    /// What stands in the catalogue is what a scrape shows.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_client_library_counts_what_the_catalogue_says() {
        let registry = Registry::new();
        let mut catalogue = Catalogue::new(&registry);
        catalogue.process("0.1.0");
        let shown: Vec<String> = registry.gather().iter().map(|it| it.name().to_owned()).collect();
        let mut told: Vec<&str> = catalogue.into_entries().iter().map(|it| it.about.name).collect();
        told.sort_unstable();
        assert_eq!(shown, told);
    }
}
