//! Who is there and what can be asked: `ApiVersions`, `Metadata`, `DescribeCluster`, `FindCoordinator`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    ApiVersionsResponse, BrokerId, DescribeClusterResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    MetadataRequest, MetadataResponse, TopicName,
};
use uuid::Uuid;

use crate::broker::{Broker, Identity};
use crate::topics::{Topic, refuse_name};
use crate::wire::{APIS, text};

const NODE: BrokerId = BrokerId(Identity::NODE);

pub(super) fn api_versions() -> ApiVersionsResponse {
    let version = |&(api, min, max): &(kafka_protocol::messages::ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(api as i16).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(APIS.iter().map(version).collect())
}

pub(super) fn metadata(broker: &Broker, request: MetadataRequest, version: i16) -> MetadataResponse {
    // In version 0 no topics meant all of them.
    let topics = match request.topics {
        Some(topics) if version > 0 || !topics.is_empty() => topics
            .into_iter()
            .map(|it| match it.name {
                Some(name) => named(broker, &name, request.allow_auto_topic_creation || version < 4),
                None => identified(broker, it.topic_id),
            })
            .collect(),
        _ => broker.topics().all().iter().map(|it| found(it)).collect(),
    };
    let Identity { cluster_id, host, port } = broker.identity();
    let node = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(host.as_str()))
        .with_port(i32::from(*port));
    MetadataResponse::default()
        .with_brokers(vec![node])
        .with_cluster_id(Some(text(cluster_id.as_str())))
        .with_controller_id(NODE)
        .with_topics(topics)
}

fn named(broker: &Broker, name: &TopicName, may_create: bool) -> MetadataResponseTopic {
    if let Some(topic) = broker.topics().get(name) {
        return found(&topic);
    }
    let missing = |error: ResponseError| {
        MetadataResponseTopic::default().with_error_code(error.code()).with_name(Some(name.clone()))
    };
    if refuse_name(name).is_some() {
        return missing(ResponseError::InvalidTopicException);
    }
    if !may_create || !broker.config().auto_create_topics {
        return missing(ResponseError::UnknownTopicOrPartition);
    }
    match super::topics::create_by_default(broker, name) {
        Ok(topic) => found(&topic),
        Err(error) => missing(error),
    }
}

fn identified(broker: &Broker, id: Uuid) -> MetadataResponseTopic {
    match broker.topics().get_by_id(id) {
        Some(topic) => found(&topic),
        None => MetadataResponseTopic::default()
            .with_error_code(ResponseError::UnknownTopicId.code())
            .with_name(None)
            .with_topic_id(id),
    }
}

fn found(topic: &Topic) -> MetadataResponseTopic {
    let partition = |index| {
        MetadataResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(NODE)
            .with_leader_epoch(0)
            .with_replica_nodes(vec![NODE])
            .with_isr_nodes(vec![NODE])
    };
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&*topic.name))))
        .with_topic_id(topic.id)
        .with_partitions((0..topic.partitions.len()).map(partition).collect())
}

pub(super) fn describe(broker: &Broker) -> DescribeClusterResponse {
    let Identity { cluster_id, host, port } = broker.identity();
    let node = DescribeClusterBroker::default()
        .with_broker_id(NODE)
        .with_host(text(host.as_str()))
        .with_port(i32::from(*port));
    DescribeClusterResponse::default()
        .with_cluster_id(text(cluster_id.as_str()))
        .with_controller_id(NODE)
        .with_brokers(vec![node])
}

pub(super) fn find_coordinator(
    broker: &Broker,
    request: FindCoordinatorRequest,
    version: i16,
) -> FindCoordinatorResponse {
    const SEVERAL_SINCE: i16 = 4;
    let Identity { host, port, .. } = broker.identity();
    let (host, port) = (text(host.as_str()), i32::from(*port));
    if version < SEVERAL_SINCE {
        return FindCoordinatorResponse::default().with_node_id(NODE).with_host(host).with_port(port);
    }
    let coordinator =
        |key| Coordinator::default().with_key(key).with_node_id(NODE).with_host(host.clone()).with_port(port);
    FindCoordinatorResponse::default()
        .with_coordinators(request.coordinator_keys.into_iter().map(coordinator).collect())
}
