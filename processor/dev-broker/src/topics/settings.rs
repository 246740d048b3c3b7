//! The settings of a topic: Kafka's names, types and defaults, and what the log makes of them.
//!
//! All names that Apache Kafka knows are taken, so that a script written for it runs here. Those that speak of replicas, caches
//! or other machines have nothing to act on and are only kept and shown.

use crate::log::{LogConfig, TimestampType};

use super::change::Settings;

/// A type, as `DescribeConfigs` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean = 1,
    Text = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// A setting that a topic may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: &'static str,
    /// What else may be given, for a text that is a choice; for a number its least value.
    allowed: Allowed,
    pub(crate) help: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Allowed {
    Any,
    AtLeast(i64),
    Between0And1,
    OneOf(&'static [&'static str]),
}

macro_rules! settings {
    ($($name:literal $kind:ident $default:literal $allowed:expr, $help:literal;)*) => {
        /// In the order of their names.
        pub(crate) const SETTINGS: &[Setting] =
            &[$(Setting { name: $name, kind: Kind::$kind, default: $default, allowed: $allowed, help: $help },)*];
    };
}

const I64_MAX: &str = "9223372036854775807";

settings! {
    "cleanup.policy" List "delete" Allowed::OneOf(&["delete", "compact"]), "What is done with old records.";
    "compression.type" Text "producer" Allowed::OneOf(&["producer"]), "Batches are stored as they come.";
    "delete.retention.ms" Long "86400000" Allowed::AtLeast(0), "How long a tombstone stays after compaction.";
    "file.delete.delay.ms" Long "60000" Allowed::AtLeast(0), "Kept, without effect: files are deleted at once.";
    "flush.messages" Long "9223372036854775807" Allowed::AtLeast(1), "1: each write waits for the disk.";
    "flush.ms" Long "9223372036854775807" Allowed::AtLeast(0), "Kept, without effect.";
    "follower.replication.throttled.replicas" List "" Allowed::Any, "Kept, without effect: there are no replicas.";
    "index.interval.bytes" Int "4096" Allowed::AtLeast(0), "Bytes between two entries of the index.";
    "leader.replication.throttled.replicas" List "" Allowed::Any, "Kept, without effect: there are no replicas.";
    "max.compaction.lag.ms" Long "9223372036854775807" Allowed::AtLeast(1), "Kept, without effect.";
    "max.message.bytes" Int "1048588" Allowed::AtLeast(0), "Largest batch.";
    "message.timestamp.after.max.ms" Long "9223372036854775807" Allowed::AtLeast(0), "Kept, without effect.";
    "message.timestamp.before.max.ms" Long "9223372036854775807" Allowed::AtLeast(0), "Kept, without effect.";
    "message.timestamp.type" Text "CreateTime" Allowed::OneOf(&["CreateTime", "LogAppendTime"]), "Whose time a record has.";
    "min.cleanable.dirty.ratio" Double "0.5" Allowed::Between0And1, "Share of uncompacted bytes from which compaction is worth while.";
    "min.compaction.lag.ms" Long "0" Allowed::AtLeast(0), "How long a record stays uncompacted at least.";
    "min.insync.replicas" Int "1" Allowed::AtLeast(1), "Kept, without effect: there are no replicas.";
    "preallocate" Boolean "false" Allowed::Any, "Kept, without effect.";
    "retention.bytes" Long "-1" Allowed::AtLeast(-1), "Most bytes of a partition; -1 for any number.";
    "retention.ms" Long "604800000" Allowed::AtLeast(-1), "How long records are kept; -1 for ever.";
    "segment.bytes" Int "67108864" Allowed::AtLeast(1024), "Size of a segment file.";
    "segment.index.bytes" Int "10485760" Allowed::AtLeast(4), "Kept, without effect.";
    "segment.jitter.ms" Long "0" Allowed::AtLeast(0), "Kept, without effect.";
    "segment.ms" Long "604800000" Allowed::AtLeast(1), "A segment that is older is closed.";
    "unclean.leader.election.enable" Boolean "false" Allowed::Any, "Kept, without effect: there are no replicas.";
}

impl Setting {
    /// The setting of that name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|it| it.name == name)
    }

    /// Whether it is several values, which can be appended to and subtracted from.
    pub(crate) fn is_list(&self) -> bool {
        self.kind == Kind::List
    }

    /// Why it cannot have that value, if it cannot.
    fn refuse(&self, value: &str) -> Option<String> {
        let name = self.name;
        let in_range = |number: i64| match self.allowed {
            Allowed::AtLeast(least) if number < least => {
                Some(format!("{name} is {least} at least, not {number}"))
            }
            _ => None,
        };
        match self.kind {
            Kind::Int => match value.parse::<i32>() {
                Ok(number) => in_range(number.into()),
                Err(_) => Some(format!("{name} is a whole number of 32 bits, not {value:?}")),
            },
            Kind::Long => match value.parse::<i64>() {
                Ok(number) => in_range(number),
                Err(_) => Some(format!("{name} is a whole number of 64 bits, not {value:?}")),
            },
            Kind::Double => match value.parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => None,
                _ => Some(format!("{name} is a number from 0 to 1, not {value:?}")),
            },
            Kind::Boolean if matches!(value, "true" | "false") => None,
            Kind::Boolean => Some(format!("{name} is true or false, not {value:?}")),
            Kind::Text | Kind::List => {
                let Allowed::OneOf(choices) = self.allowed else { return None };
                let mut values = if self.is_list() { value.split(',') } else { value.split('\0') };
                let wrong = values.find(|it| !choices.contains(it))?;
                Some(format!("{name} is {}, not {wrong:?}", choices.join(" or ")))
            }
        }
    }
}

/// Why these settings cannot be, if they cannot. With the least surprise: what Kafka does not know is refused, too.
pub(crate) fn refuse(settings: &Settings) -> Option<String> {
    settings.iter().find_map(|(name, value)| match Setting::named(name) {
        Some(setting) => setting.refuse(value),
        None => Some(format!("there is no setting {name}")),
    })
}

/// What a partition's log is to do by `settings`, which were not refused.
pub(crate) fn log_config(settings: &Settings, fsync: bool) -> LogConfig {
    let text = |name: &str| match settings.get(name) {
        Some(value) => value.as_str(),
        None => Setting::named(name).map_or(I64_MAX, |it| it.default),
    };
    let number = |name: &str| text(name).parse::<i64>().unwrap_or(i64::MAX);
    let limit = |name: &str| Some(number(name)).filter(|&it| it >= 0);
    let policy = text("cleanup.policy");
    LogConfig {
        segment_bytes: number("segment.bytes").unsigned_abs(),
        segment_ms: number("segment.ms"),
        index_interval_bytes: number("index.interval.bytes").try_into().unwrap_or(u32::MAX),
        retention_bytes: limit("retention.bytes").map(i64::unsigned_abs),
        retention_ms: limit("retention.ms"),
        compact: policy.contains("compact"),
        delete: policy.contains("delete"),
        delete_retention_ms: number("delete.retention.ms"),
        min_compaction_lag_ms: number("min.compaction.lag.ms"),
        min_cleanable_dirty_ratio: text("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
        max_message_bytes: number("max.message.bytes").try_into().unwrap_or(usize::MAX),
        message_timestamp_type: match text("message.timestamp.type") {
            "LogAppendTime" => TimestampType::LogAppend,
            _ => TimestampType::Create,
        },
        fsync: fsync || number("flush.messages") == 1,
        ..LogConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_allowed_and_the_table_is_sorted() {
        for setting in SETTINGS {
            assert_eq!(setting.refuse(setting.default), None, "{}", setting.name);
        }
        assert!(SETTINGS.is_sorted_by_key(|it| it.name));
    }

    #[test]
    fn a_wrong_value_says_what_is_right() {
        let refused =
            |name: &str, value: &str| refuse(&Settings::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(refused("retention.ms", "-1"), None);
        assert_eq!(refused("cleanup.policy", "compact,delete"), None);
        for (name, value, reason) in [
            ("retention.ms", "soon", "retention.ms is a whole number of 64 bits, not \"soon\""),
            ("retention.ms", "-2", "retention.ms is -1 at least, not -2"),
            ("cleanup.policy", "compact,burn", "cleanup.policy is delete or compact, not \"burn\""),
            ("compression.type", "zstd", "compression.type is producer, not \"zstd\""),
            (
                "min.cleanable.dirty.ratio",
                "2",
                "min.cleanable.dirty.ratio is a number from 0 to 1, not \"2\"",
            ),
            ("preallocate", "yes", "preallocate is true or false, not \"yes\""),
            ("retention.hours", "1", "there is no setting retention.hours"),
        ] {
            assert_eq!(refused(name, value).as_deref(), Some(reason));
        }
    }
}
