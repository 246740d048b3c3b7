//! Our Avro against the reference implementation's, and against bytes that are no Avro at all.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use millrace_schemas::codec::{ChangelogRecord, Codec, DecodeError, RecordKind};
use millrace_schemas::event::{ChangelogEntry, Event};
use millrace_schemas::snapshot::{Snapshot, SnapshotRecord};
use proptest::prelude::*;
use proptest::test_runner::TestRng;

use crate::examples;

fn schema(kind: RecordKind) -> Schema {
    Schema::parse_str(kind.schema_text()).unwrap()
}

/// Any value of a schema, within the ranges of our types.
fn any_value(schema: &Schema, names: &apache_avro::schema::NamesRef<'_>, rng: &mut TestRng) -> Avro {
    let text = |rng: &mut TestRng| -> String {
        let length = rng.random_range(1..20);
        (0..length).map(|_| ['a', 'ß', '/', '0', '"', '語'][rng.random_range(0..6)]).collect()
    };
    match schema {
        Schema::Null => Avro::Null,
        Schema::Boolean => Avro::Boolean(rng.random_bool(0.5)),
        Schema::Int => Avro::Int(rng.random_range(0..=65_535)),
        Schema::Long => Avro::Long(rng.random_range(0..=u32::MAX.into())),
        Schema::TimestampMillis => Avro::TimestampMillis(rng.random()),
        Schema::String => Avro::String(text(rng)),
        Schema::Bytes => Avro::Bytes(any_json(rng, 3).to_string().into_bytes()),
        Schema::Array(array) => {
            let length = rng.random_range(0..4);
            Avro::Array((0..length).map(|_| any_value(&array.items, names, rng)).collect())
        }
        Schema::Union(union) => {
            let index = rng.random_range(0..union.variants().len());
            Avro::Union(
                u32::try_from(index).unwrap(),
                Box::new(any_value(&union.variants()[index], names, rng)),
            )
        }
        // The only record whose numbers depend on each other.
        Schema::Record(record) if record.name.name() == "KeyGroups" => {
            let modulus: i64 = 1 << rng.random_range(0..=12);
            let residue = rng.random_range(0..modulus);
            let fields = [("modulus", modulus), ("residue", residue)];
            Avro::Record(fields.map(|(name, number)| (name.to_owned(), Avro::Long(number))).into())
        }
        Schema::Record(record) => {
            let fields =
                record.fields.iter().map(|field| (field.name.clone(), any_value(&field.schema, names, rng)));
            Avro::Record(fields.collect())
        }
        Schema::Enum(symbols) => {
            let index = rng.random_range(0..symbols.symbols.len());
            Avro::Enum(u32::try_from(index).unwrap(), symbols.symbols[index].clone())
        }
        Schema::Ref { name } => any_value(names[name], names, rng),
        other => panic!("our schemas have no {other:?}"),
    }
}

fn any_json(rng: &mut TestRng, depth: u32) -> serde_json::Value {
    match rng.random_range(0..if depth == 0 { 5 } else { 7 }) {
        0 => serde_json::Value::Null,
        1 => rng.random_bool(0.5).into(),
        2 => rng.random::<i64>().into(),
        3 => f64::from_bits(rng.random()).into(),
        4 => "x\"\u{1}ß".repeat(rng.random_range(0..30)).into(),
        5 => (0..rng.random_range(0..4)).map(|_| any_json(rng, depth - 1)).collect(),
        _ => (0..rng.random_range(0..4)).map(|n| (format!("k{n}"), any_json(rng, depth - 1))).collect(),
    }
}

fn fingerprint(kind: RecordKind) -> Vec<u8> {
    [&[0xc3, 0x01][..], &kind.fingerprint().to_le_bytes()].concat()
}

/// Decodes and encodes again.
fn again(codec: &Codec, kind: RecordKind, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match kind {
        RecordKind::ChangelogEntry
        | RecordKind::Positions
        | RecordKind::Claim
        | RecordKind::Adopted
        | RecordKind::Released
        | RecordKind::Installed
        | RecordKind::ChannelEntry
        | RecordKind::ScheduleEntry => {
            codec.decode_changelog(bytes).map(|record| codec.encode_changelog(&record))
        }
        RecordKind::ForwardedRecord
        | RecordKind::TimerFired
        | RecordKind::ReleaseRequested
        | RecordKind::HandedOver
        | RecordKind::Progressed
        | RecordKind::ScheduleProposed => {
            codec.decode_internal(bytes).map(|record| codec.encode_internal(&record))
        }
        RecordKind::TaskCommand => codec.decode_task(bytes).map(|record| codec.encode_task(&record)),
        RecordKind::Definition => {
            codec.decode_definition(bytes).map(|record| codec.encode_definition(&record))
        }
        RecordKind::Plan => codec.decode_plan(bytes).map(|record| codec.encode_plan(&record)),
        RecordKind::Snapshot => codec.decode_snapshot(bytes).map(|record| codec.encode_snapshot(&record)),
        RecordKind::ParkedInstance | RecordKind::ChannelSnapshot | RecordKind::ScheduleSnapshot => {
            codec.decode_snapshot_record(bytes).map(|record| match record {
                SnapshotRecord::Parked(parked) => codec.encode_parked(&parked),
                SnapshotRecord::Channel(channel) => codec.encode_channel_snapshot(&channel),
                SnapshotRecord::Schedule(schedule) => codec.encode_schedule_snapshot(&schedule),
                SnapshotRecord::Snapshot(_) => panic!("it says that it is another row"),
            })
        }
        RecordKind::Checkpoint => {
            codec.decode_checkpoint(bytes).map(|record| codec.encode_checkpoint(&record))
        }
    }
}

fn is_row(kind: RecordKind) -> bool {
    matches!(
        kind,
        RecordKind::Snapshot
            | RecordKind::ParkedInstance
            | RecordKind::Checkpoint
            | RecordKind::ChannelSnapshot
            | RecordKind::ScheduleSnapshot
    )
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Two parts of a snapshot depend on others: the envelope on the state, the order of entries on their ids.
fn make_consistent(snapshot: &mut Avro, statuses: &[&'static str]) {
    let Avro::Record(fields) = snapshot else { panic!("a snapshot is a record") };
    let status = match &fields[4].1 {
        Avro::Record(state) => match &state[1].1 {
            Avro::Union(index, _) => statuses[*index as usize],
            other => panic!("a status is a union: {other:?}"),
        },
        other => panic!("a state is a record: {other:?}"),
    };
    fields[0].1 = Avro::Long(i64::from(Snapshot::FORMAT));
    fields[3].1 = Avro::String(status.to_owned());
    let Avro::Record(state) = &mut fields[4].1 else { panic!("a state is a record") };
    for (_, value) in state.iter_mut().filter(|(name, _)| name == "executions" || name == "timers") {
        let Avro::Array(entries) = value else { panic!("entries are an array") };
        for (id, entry) in (0..).zip(entries) {
            let Avro::Record(entry) = entry else { panic!("an entry is a record") };
            entry[0].1 = Avro::Long(id);
        }
    }
}

/// As `make_consistent`, of a channel.
fn order_subscriptions(snapshot: &mut Avro) {
    let Avro::Record(fields) = snapshot else { panic!("a snapshot is a record") };
    let Avro::Record(state) = &mut fields[2].1 else { panic!("a state is a record") };
    let Avro::Array(entries) = &mut state[1].1 else { panic!("subscriptions are an array") };
    for (number, entry) in (0..).zip(entries) {
        let Avro::Record(entry) = entry else { panic!("an entry is a record") };
        let Avro::Record(id) = &mut entry[0].1 else { panic!("an id is a record") };
        id[0].1 = Avro::String("i".to_owned());
        id[1].1 = Avro::Long(number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What the reference implementation writes, we read; what we write of it are the same bytes; and so it reads ours.
    #[test]
    fn our_bytes_are_those_of_the_reference(seed in any::<[u8; 32]>(), index in 0..RecordKind::ALL.len()) {
        let kind = RecordKind::ALL[index];
        let schema = schema(kind);
        let resolved = apache_avro::schema::ResolvedSchema::try_from(&schema).unwrap();
        let mut rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &seed);
        let mut value = any_value(&schema, resolved.get_names(), &mut rng);
        match kind {
            RecordKind::Snapshot => make_consistent(
                &mut value,
                &["running", "suspended", "incident", "completed", "faulted", "cancelled"],
            ),
            RecordKind::ScheduleSnapshot => make_consistent(&mut value, &["active", "paused", "retired"]),
            RecordKind::ChannelSnapshot => order_subscriptions(&mut value),
            _ => {}
        }
        let body = GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value.clone()).unwrap();
        let mut bytes = [fingerprint(kind), body.clone()].concat();
        if is_row(kind) {
            bytes = sealed(bytes);
        }
        let ours = again(&Codec::single_object(), kind, &bytes).unwrap();
        prop_assert_eq!(examples::hex(&ours), examples::hex(&bytes), "{}", kind.full_name());
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        prop_assert_eq!(reader.read_value(&mut &body[..]).unwrap(), value);
    }

    /// The other framing, by a schema that was learnt: the body goes through schema resolution.
    #[test]
    fn a_learnt_schema_gives_the_same_record(id in 1u32.., index in 0..RecordKind::ALL.len()) {
        let kind = RecordKind::ALL[index];
        let codec = Codec::single_object();
        let (name, bytes) = examples::encoded(&codec).swap_remove(index);
        let content = if is_row(kind) { &bytes[..bytes.len() - 4] } else { &bytes[..] };
        let mut framed = [&[0][..], &id.to_be_bytes(), &content[10..]].concat();
        if is_row(kind) {
            framed = sealed(framed);
        }
        prop_assert_eq!(again(&codec, kind, &framed), Err(DecodeError::UnknownSchemaId(id)));
        codec.learn(id, kind.schema_text()).unwrap();
        examples::assert_decodes(&codec, name, &framed);
    }

    #[test]
    fn random_bytes_are_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), index in 0..RecordKind::ALL.len()) {
        let kind = RecordKind::ALL[index];
        let codec = Codec::single_object();
        codec.learn(7, kind.schema_text()).unwrap();
        let _ = again(&codec, kind, &body);
        for header in [fingerprint(kind), vec![0, 0, 0, 0, 7]] {
            let bytes = [header, body.clone()].concat();
            let _ = again(&codec, kind, &bytes);
            let _ = again(&codec, kind, &sealed(bytes.clone()));
            let _ = codec.avro_to_json(&bytes);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_differ_without_a_panic(index in 0..RecordKind::ALL.len(), place: prop::sample::Index, byte: u8) {
        let kind = RecordKind::ALL[index];
        let codec = Codec::single_object();
        codec.learn(7, kind.schema_text()).unwrap();
        let (_, mut bytes) = examples::encoded(&codec).swap_remove(index);
        let place = place.index(bytes.len());
        let is_changed = std::mem::replace(&mut bytes[place], byte) != byte;
        let result = again(&codec, kind, &bytes);
        if is_changed && is_row(kind) {
            prop_assert!(matches!(result, Err(DecodeError::Checksum { .. })), "{:?}", result);
        }
        let content = bytes.get(10..).unwrap_or_default();
        let _ = again(&codec, kind, &[&[0, 0, 0, 0, 7][..], content].concat());
    }
}

#[test]
fn every_cut_is_refused() {
    let codec = Codec::single_object();
    for (kind, (name, bytes)) in RecordKind::ALL.into_iter().zip(examples::encoded(&codec)) {
        for length in 0..bytes.len() {
            assert!(again(&codec, kind, &bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(again(&codec, kind, &longer).is_err(), "{name} with a byte more");
    }
}

#[test]
fn counts_that_lie_take_no_memory() {
    // An array of 2^62 events, of which none follows.
    let entry = ChangelogEntry { events: Vec::new(), ..examples::entry() };
    let codec = Codec::single_object();
    let mut bytes = codec.encode_changelog_entry(&entry);
    bytes.pop();
    bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(codec.decode_changelog(&bytes), Err(DecodeError::Damaged { .. })));
}

#[test]
fn errors_say_what_to_do() {
    let codec = Codec::single_object();
    let text = |bytes: &[u8]| codec.decode_task(bytes).unwrap_err().to_string();
    let fired = millrace_schemas::internal::InternalRecord::TimerFired(examples::timer_fired());
    expect_test::expect![[r#"
        the record is empty; expected Avro in single-object encoding or in the Confluent wire format
        the record begins with byte 0x7b, or ends within its header; expected Avro in single-object encoding (0xc3 0x01) or in the Confluent wire format (0x00): check which producer writes this topic
        schema id 9 is not known yet: fetch it from the schema registry
        no schema has the fingerprint 0807060504030201: a newer release, or something else, has written this record; upgrade this process
        expected io.millrace.v1.TaskCommand, found io.millrace.v1.TimerFired: check which producer writes this topic
        io.millrace.v1.TaskCommand is damaged at byte 0: the record ends too early
    "#]]
    .assert_eq(
        &[
            text(b""),
            text(b"{}"),
            text(&[0, 0, 0, 0, 9, 1]),
            text(&[0xc3, 1, 1, 2, 3, 4, 5, 6, 7, 8]),
            text(&codec.encode_internal(&fired)),
            text(&fingerprint(RecordKind::TaskCommand)),
        ]
        .map(|line| line + "\n")
        .concat(),
    );
    codec.forget_as_unknown(9);
    assert_eq!(text(&[0, 0, 0, 0, 9, 1]), "schema id 9 cannot be used: the schema registry does not have it");
}

#[test]
fn every_state_of_a_plan_comes_back() {
    let codec = Codec::single_object();
    for plan in examples::plan_states().map(examples::plan) {
        assert_eq!(codec.decode_plan(&codec.encode_plan(&plan)).unwrap(), plan);
    }
}

#[test]
fn numbers_that_name_no_key_groups_are_damage() {
    let codec = Codec::single_object();
    // Plan 1, key-groups 3 mod 3, to partition 3.
    let bytes = [fingerprint(RecordKind::ReleaseRequested), vec![2, 6, 6, 6]].concat();
    assert_eq!(
        codec.decode_internal(&bytes).unwrap_err().to_string(),
        "io.millrace.v1.ReleaseRequested is damaged at byte 3: 3 mod 3 is no set of key-groups: the modulus must be a power \
         of two from 1 to 4096, and the residue less than it"
    );
}

#[test]
fn every_status_survives_a_snapshot() {
    let codec = Codec::single_object();
    for status in examples::statuses() {
        let snapshot = examples::snapshot(status);
        assert_eq!(codec.decode_snapshot(&codec.encode_snapshot(&snapshot)).unwrap(), snapshot);
    }
}

#[test]
fn every_status_of_a_schedule_survives_a_snapshot() {
    let codec = Codec::single_object();
    for status in examples::schedule_statuses() {
        let snapshot = examples::schedule_snapshot(status);
        let row = codec.encode_schedule_snapshot(&snapshot);
        let read = codec.decode_snapshot_record(&row).unwrap();
        assert_eq!(read, SnapshotRecord::Schedule(Box::new(snapshot)));
    }
}

/// A record of a later release, with a field and an event that this one does not know, and without a field that it wants.
#[test]
fn another_release_is_read_by_its_schema() {
    let codec = Codec::single_object();
    let text = RecordKind::TimerFired.schema_text();
    let later =
        text.replacen(r#""fields": ["#, r#""fields": [{"name": "shard", "type": ["null", "string"]}, "#, 1);
    codec.learn(3, &later).unwrap();
    let ours = codec
        .encode_internal(&millrace_schemas::internal::InternalRecord::TimerFired(examples::timer_fired()));
    let framed = [&[0, 0, 0, 0, 3, 2, 4, b'a', b'b'][..], &ours[10..]].concat();
    examples::assert_decodes(&codec, "timer_fired", &framed);
}

#[test]
fn floats_come_back_to_the_last_bit() {
    let codec = Codec::single_object();
    for bits in (0..20_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        let output = examples::payload(f64::from_bits(bits).into());
        let entry = ChangelogEntry { events: vec![Event::InstanceCompleted { output }], ..examples::entry() };
        let bytes = codec.encode_changelog_entry(&entry);
        assert_eq!(codec.decode_changelog(&bytes).unwrap(), ChangelogRecord::Entry(entry));
    }
}
