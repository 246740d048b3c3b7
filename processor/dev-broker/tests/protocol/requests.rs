//! Requests to send: those that say nothing, and those that name something, so that the answer has all its parts.

use std::sync::LazyLock;

use kafka_protocol::messages::{
    ApiKey, BrokerId, CreateTopicsRequest, GroupId, ProducerId, RequestKind, TopicName, TransactionalId,
    create_topics_request::CreatableTopic,
};
use kafka_protocol::messages::{
    add_partitions_to_txn_request as add_partitions, alter_configs_request as alter_configs,
    create_partitions_request as create_partitions, delete_records_request as delete_records,
    delete_topics_request as delete_topics, describe_configs_request as describe_configs,
    describe_producers_request as describe_producers, fetch_request as fetch,
    incremental_alter_configs_request as increment_configs, join_group_request as join,
    leave_group_request as leave, list_offsets_request as list_offsets, metadata_request as metadata,
    offset_commit_request as commit, offset_delete_request as offset_delete,
    offset_fetch_request as offset_fetch, offset_for_leader_epoch_request as epochs,
    produce_request as produce, txn_offset_commit_request as txn_commit,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// A batch with one record, `k` and `v`.
const BATCH: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\x3a\0\0\0\0\x02\xfe\x91\x7c\xab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\x10\0\0\0\x02\x6b\x02\x76\0";

/// A producer that nobody has heard of.
const STRANGER: ProducerId = ProducerId(987_654_321);

/// What a broker may take for what it does elsewhere; 0 would be over at once.
const TIMEOUT_MS: i32 = 30_000;

const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

/// A name that no other run has, on a broker that several have.
pub(crate) fn name(of: &str) -> String {
    static RUN: LazyLock<String> = LazyLock::new(|| Uuid::new_v4().simple().to_string());
    format!("{of}-{}", *RUN)
}

fn own(of: &str) -> StrBytes {
    StrBytes::from_string(name(of))
}

/// The topic that filled requests are about.
pub(crate) fn topic() -> TopicName {
    TopicName(own("words"))
}

fn group() -> GroupId {
    GroupId(own("group"))
}

fn transaction() -> TransactionalId {
    TransactionalId(own("transaction"))
}

/// With four partitions.
pub(crate) fn create_topic(name: &str) -> RequestKind {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_num_partitions(4)
        .with_replication_factor(1);
    RequestKind::CreateTopics(
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS),
    )
}

macro_rules! empty {
    ($($api:ident)*) => {
        /// With nothing in it.
        pub(crate) fn empty(api: ApiKey) -> RequestKind {
            match api {
                // Without acknowledgement there is no answer.
                ApiKey::Produce => RequestKind::Produce(produce::ProduceRequest::default().with_acks(-1)),
                $(ApiKey::$api => RequestKind::$api(Default::default()),)*
                other => panic!("{other:?} is served, and has no request here"),
            }
        }
    };
}

empty! {
    Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups
    ListGroups ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn
    AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeConfigs AlterConfigs CreatePartitions DeleteGroups IncrementalAlterConfigs
    OffsetDelete DescribeCluster DescribeProducers DescribeTransactions ListTransactions
}

/// About [`TOPIC`], a group and a transaction. Its fields are those of this version.
pub(crate) fn filled(api: ApiKey, version: i16) -> RequestKind {
    let mut request = empty(api);
    match &mut request {
        RequestKind::Produce(it) => {
            let data = produce::PartitionProduceData::default().with_records(Some(BATCH.into()));
            let unknown = produce::PartitionProduceData::default().with_index(99);
            it.topic_data = vec![
                produce::TopicProduceData::default()
                    .with_name(topic())
                    .with_partition_data(vec![data, unknown]),
            ];
        }
        RequestKind::Fetch(it) => {
            let partition = |index| {
                fetch::FetchPartition::default().with_partition(index).with_partition_max_bytes(1_000)
            };
            let wanted = fetch::FetchTopic::default().with_topic(topic());
            it.topics = vec![wanted.with_partitions(vec![partition(0), partition(99)])];
            it.replica_id = BrokerId(-1);
            it.max_bytes = 10_000;
        }
        RequestKind::ListOffsets(it) => {
            // What time means grew with the versions: the end, the beginning, the largest timestamp.
            let partition = |(index, timestamp)| {
                list_offsets::ListOffsetsPartition::default()
                    .with_partition_index(index)
                    .with_timestamp(timestamp)
            };
            let times = [(0, -1), (1, -2), (2, 0), (3, if version >= 7 { -3 } else { i64::MAX }), (99, -1)];
            let wanted = list_offsets::ListOffsetsTopic::default().with_name(topic());
            it.topics = vec![wanted.with_partitions(times.map(partition).to_vec())];
            it.replica_id = BrokerId(-1);
        }
        RequestKind::Metadata(it) => {
            let named = |name: TopicName| metadata::MetadataRequestTopic::default().with_name(Some(name));
            it.topics = Some(vec![named(topic()), named(TopicName(text("no/topic")))]);
        }
        RequestKind::OffsetCommit(it) => {
            let partition =
                |index| commit::OffsetCommitRequestPartition::default().with_partition_index(index);
            let topic = commit::OffsetCommitRequestTopic::default().with_name(topic());
            it.topics = vec![topic.with_partitions(vec![partition(0), partition(99)])];
            it.group_id = group();
            it.generation_id_or_member_epoch = -1;
        }
        RequestKind::OffsetFetch(it) if version < 8 => {
            let topic = offset_fetch::OffsetFetchRequestTopic::default().with_name(topic());
            it.topics = Some(vec![topic.with_partition_indexes(vec![0, 99])]);
            it.group_id = group();
        }
        RequestKind::OffsetFetch(it) => {
            let topic = offset_fetch::OffsetFetchRequestTopics::default().with_name(topic());
            let some = offset_fetch::OffsetFetchRequestGroup::default()
                .with_group_id(group())
                .with_topics(Some(vec![topic.with_partition_indexes(vec![0, 99])]));
            let all =
                offset_fetch::OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(None);
            it.groups = vec![some, all];
        }
        RequestKind::FindCoordinator(it) if version < 4 => it.key = text("group"),
        RequestKind::FindCoordinator(it) => it.coordinator_keys = vec![text("group"), text("other")],
        RequestKind::JoinGroup(it) => {
            let protocol = join::JoinGroupRequestProtocol::default().with_name(text("range"));
            it.protocols = vec![protocol.with_metadata(b"m"[..].into())];
            // Each version in a group of its own, or it would wait for the members before it.
            it.group_id = GroupId(own(&format!("group-{version}")));
            it.protocol_type = text("consumer");
            it.session_timeout_ms = 10_000;
            if version >= 1 {
                it.rebalance_timeout_ms = 10_000;
            }
        }
        RequestKind::Heartbeat(it) => it.group_id = group(),
        RequestKind::LeaveGroup(it) if version < 3 => it.group_id = group(),
        RequestKind::LeaveGroup(it) => {
            it.group_id = group();
            it.members = vec![leave::MemberIdentity::default().with_member_id(text("nobody"))];
        }
        RequestKind::SyncGroup(it) => {
            it.group_id = group();
            if version >= 5 {
                it.protocol_type = Some(text("consumer"));
                it.protocol_name = Some(text("range"));
            }
        }
        RequestKind::DescribeGroups(it) => it.groups = vec![group(), GroupId(own("group-0"))],
        RequestKind::CreateTopics(it) => {
            let RequestKind::CreateTopics(create) = create_topic(&name("created")) else { unreachable!() };
            let RequestKind::CreateTopics(wrong) = create_topic("no/topic") else { unreachable!() };
            it.topics = [create.topics, wrong.topics].concat();
            it.timeout_ms = TIMEOUT_MS;
        }
        RequestKind::DeleteTopics(it) => {
            if version < 6 {
                it.topic_names = vec![TopicName(text("unknown"))];
            } else {
                it.topics = vec![
                    delete_topics::DeleteTopicState::default().with_name(Some(TopicName(text("unknown")))),
                    delete_topics::DeleteTopicState::default().with_name(None).with_topic_id(Uuid::new_v4()),
                ];
            }
            it.timeout_ms = TIMEOUT_MS;
        }
        RequestKind::DeleteRecords(it) => {
            let partition =
                |index| delete_records::DeleteRecordsPartition::default().with_partition_index(index);
            let topic = delete_records::DeleteRecordsTopic::default().with_name(topic());
            it.topics = vec![topic.with_partitions(vec![partition(0), partition(99)])];
        }
        RequestKind::InitProducerId(it) => {
            it.transactional_id = Some(transaction());
            it.transaction_timeout_ms = 10_000;
        }
        RequestKind::OffsetForLeaderEpoch(it) => {
            let partition = |index| epochs::OffsetForLeaderPartition::default().with_partition(index);
            let topic = epochs::OffsetForLeaderTopic::default().with_topic(topic());
            it.topics = vec![topic.with_partitions(vec![partition(0), partition(99)])];
        }
        RequestKind::AddPartitionsToTxn(it) => {
            let topic = add_partitions::AddPartitionsToTxnTopic::default().with_name(topic());
            it.v3_and_below_topics = vec![topic.with_partitions(vec![0, 99])];
            it.v3_and_below_transactional_id = transaction();
            it.v3_and_below_producer_id = STRANGER;
        }
        RequestKind::AddOffsetsToTxn(it) => {
            it.transactional_id = transaction();
            it.group_id = group();
            it.producer_id = STRANGER;
        }
        RequestKind::EndTxn(it) => {
            it.transactional_id = transaction();
            it.producer_id = STRANGER;
        }
        RequestKind::TxnOffsetCommit(it) => {
            let partition = txn_commit::TxnOffsetCommitRequestPartition::default();
            let topic = txn_commit::TxnOffsetCommitRequestTopic::default().with_name(topic());
            it.topics = vec![topic.with_partitions(vec![partition])];
            it.transactional_id = transaction();
            it.group_id = group();
            it.producer_id = STRANGER;
        }
        RequestKind::DescribeConfigs(it) => {
            let resource = |kind, name| {
                describe_configs::DescribeConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(name)
                    .with_configuration_keys(None)
            };
            it.resources = vec![
                resource(TOPIC_RESOURCE, own("words")),
                resource(TOPIC_RESOURCE, text("unknown")),
                resource(BROKER_RESOURCE, text("1")),
            ];
            it.include_synonyms = true;
            it.include_documentation = version >= 3;
        }
        RequestKind::AlterConfigs(it) => {
            let setting = alter_configs::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000000")));
            let resource = |name| {
                alter_configs::AlterConfigsResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(name)
                    .with_configs(vec![setting.clone()])
            };
            it.resources = vec![resource(own("words")), resource(text("unknown"))];
        }
        RequestKind::IncrementalAlterConfigs(it) => {
            let setting = increment_configs::AlterableConfig::default()
                .with_name(text("retention.ms"))
                .with_value(Some(text("1000001")));
            let resource = |name| {
                increment_configs::AlterConfigsResource::default()
                    .with_resource_type(TOPIC_RESOURCE)
                    .with_resource_name(name)
                    .with_configs(vec![setting.clone()])
            };
            it.resources = vec![resource(own("words")), resource(text("unknown"))];
        }
        RequestKind::CreatePartitions(it) => {
            let grown = |name, count| {
                create_partitions::CreatePartitionsTopic::default()
                    .with_name(name)
                    .with_count(count)
                    .with_assignments(None)
            };
            it.topics = vec![grown(topic(), 5 + i32::from(version)), grown(TopicName(text("unknown")), 1)];
            it.timeout_ms = TIMEOUT_MS;
        }
        RequestKind::DeleteGroups(it) => it.groups_names = vec![GroupId(text("unknown"))],
        RequestKind::OffsetDelete(it) => {
            let partition = offset_delete::OffsetDeleteRequestPartition::default();
            let topic = offset_delete::OffsetDeleteRequestTopic::default().with_name(topic());
            it.topics = vec![topic.with_partitions(vec![partition])];
            it.group_id = group();
        }
        RequestKind::DescribeProducers(it) => {
            let topic = describe_producers::TopicRequest::default().with_name(topic());
            it.topics = vec![topic.with_partition_indexes(vec![0, 99])];
        }
        RequestKind::DescribeTransactions(it) => {
            it.transactional_ids = vec![transaction(), TransactionalId(text("unknown"))];
        }
        RequestKind::ApiVersions(it) if version >= 3 => {
            it.client_software_name = text("millrace");
            it.client_software_version = text("1");
        }
        RequestKind::ApiVersions(_) => {}
        RequestKind::DescribeCluster(it) => it.include_cluster_authorized_operations = true,
        // Nothing is to be said, or the empty one says it all.
        RequestKind::ListGroups(_) | RequestKind::ListTransactions(_) => {}
        other => panic!("{other:?} is served, and has no request here"),
    }
    request
}
