//! Every API in every version that `ApiVersions` tells of.

use std::time::Duration;

use expect_test::expect;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse};
use kafka_protocol::protocol::Decodable as _;
use tokio::time::timeout;

use crate::client::{Client, PATIENCE, broker};
use crate::requests;

/// KIP-511: a client from the future learns what it may ask.
#[tokio::test(flavor = "multi_thread")]
async fn versions_are_told_in_version_0_to_whoever_asks_in_an_unknown_one() {
    let served = broker().await;
    let mut client = served.connect().await;
    let known = client.api_versions().await;
    for version in [4, 99, i16::MAX, -1] {
        // How the rest of such a request looks, nobody knows.
        let mut frame = client.frame(ApiKey::ApiVersions, 3, b"\xff\xff\xff\xff\xff of the future");
        frame[2..4].copy_from_slice(&i16::to_be_bytes(version));
        client.send_frame(&frame).await;
        let mut answer = client.answer().await;
        let correlation_id = answer.split_to(4);
        assert_eq!(correlation_id, frame[4..8]);
        let response = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
        assert!(answer.is_empty());
        assert_eq!(response.error_code, ResponseError::UnsupportedVersion.code());
        assert_eq!(response.api_keys, known.api_keys);
    }
    // And it asks again, over the same connection.
    assert_eq!(client.api_versions().await.error_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_that_clients_may_use() {
    let served = broker().await;
    let versions = served.connect().await.api_versions().await;
    let lines: String = versions
        .api_keys
        .iter()
        .map(|it| {
            let api = ApiKey::try_from(it.api_key).unwrap();
            format!("{api:?} {} to {}\n", it.min_version, it.max_version)
        })
        .collect();
    expect![[r#"
        Produce 3 to 8
        Fetch 4 to 11
        ListOffsets 1 to 7
        Metadata 0 to 12
        OffsetCommit 2 to 8
        OffsetFetch 1 to 8
        FindCoordinator 0 to 4
        JoinGroup 0 to 9
        Heartbeat 0 to 4
        LeaveGroup 0 to 5
        SyncGroup 0 to 5
        DescribeGroups 0 to 5
        ListGroups 0 to 4
        ApiVersions 0 to 3
        CreateTopics 2 to 7
        DeleteTopics 1 to 6
        DeleteRecords 0 to 2
        InitProducerId 0 to 4
        OffsetForLeaderEpoch 2 to 4
        AddPartitionsToTxn 0 to 3
        AddOffsetsToTxn 0 to 3
        EndTxn 0 to 3
        TxnOffsetCommit 0 to 3
        DescribeConfigs 1 to 4
        AlterConfigs 0 to 2
        CreatePartitions 0 to 3
        DeleteGroups 0 to 2
        IncrementalAlterConfigs 0 to 1
        OffsetDelete 0 to 0
        DescribeCluster 0 to 1
        DescribeProducers 0 to 0
        DescribeTransactions 0 to 0
        ListTransactions 0 to 0
    "#]]
    .assert_eq(&lines);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_answers_an_empty_request() {
    let served = broker().await;
    let mut client = served.connect().await;
    let mut without_answer = Vec::new();
    for (api, version) in supported(&mut client).await {
        if client.try_call(&requests::empty(api), api, version).await.is_none() {
            without_answer.push((api, version));
            client = served.connect().await;
        }
    }
    assert_eq!(without_answer, []);
}

/// All of its versions of all APIs.
async fn supported(client: &mut Client) -> Vec<(ApiKey, i16)> {
    let versions = client.api_versions().await.api_keys;
    let all = versions.into_iter().flat_map(|it| {
        let api = ApiKey::try_from(it.api_key).unwrap();
        (it.min_version..=it.max_version).map(move |version| (api, version))
    });
    all.collect()
}

/// On this broker, and on the Apache Kafka that `KAFKA_BOOTSTRAP` names: what either of them answers.
#[tokio::test(flavor = "multi_thread")]
async fn every_version_answers_a_request_as_apache_kafka_does() {
    // Which versions are ours only we say.
    let served = broker().await;
    let ours = supported(&mut served.connect().await).await;
    let bootstrap = millrace_dev_broker::testing::bootstrap();
    let mut client = Client::to(&bootstrap).await;
    client.call(&requests::create_topic(&requests::topic()), ApiKey::CreateTopics, 2).await;
    // Apache Kafka answers before the topic's partitions have their leaders.
    let ready = async {
        let wanted = requests::filled(ApiKey::ListOffsets, 1);
        loop {
            let answer = client.call(&wanted, ApiKey::ListOffsets, 1).await;
            if errors(&format!("{answer:?}")) == "None None None None UnknownTopicOrPartition" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the topic becomes ready");
    let mut lines: Vec<(ApiKey, i16, i16, String)> = Vec::new();
    for (api, version) in ours {
        let answer = client.call(&requests::filled(api, version), api, version).await;
        let errors = errors(&format!("{answer:?}"));
        match lines.last_mut() {
            Some((last, _, until, same)) if *last == api && *same == errors => *until = version,
            _ => lines.push((api, version, version, errors)),
        }
    }
    let table: String = lines
        .iter()
        .map(|(api, from, until, errors)| format!("{api:?} {from} to {until}: {errors}\n"))
        .collect();
    expect![[r#"
        Produce 3 to 8: None UnknownTopicOrPartition
        Fetch 4 to 11: None None UnknownTopicOrPartition
        ListOffsets 1 to 7: None None None None UnknownTopicOrPartition
        Metadata 0 to 12: InvalidTopicException None None None None None None
        OffsetCommit 2 to 8: None UnknownTopicOrPartition
        OffsetFetch 1 to 7: None None None
        OffsetFetch 8 to 8: None None None None None None
        FindCoordinator 0 to 3: None
        FindCoordinator 4 to 4: None None None
        JoinGroup 0 to 3: None
        JoinGroup 4 to 9: MemberIdRequired
        Heartbeat 0 to 4: UnknownMemberId
        LeaveGroup 0 to 2: UnknownMemberId
        LeaveGroup 3 to 5: None UnknownMemberId
        SyncGroup 0 to 5: UnknownMemberId
        DescribeGroups 0 to 5: None None
        ListGroups 0 to 4: None
        ApiVersions 0 to 3: None
        CreateTopics 2 to 2: InvalidTopicException None None None
        CreateTopics 3 to 7: InvalidTopicException None None TopicAlreadyExists
        DeleteTopics 1 to 5: UnknownTopicOrPartition
        DeleteTopics 6 to 6: UnknownTopicId UnknownTopicOrPartition
        DeleteRecords 0 to 2: None UnknownTopicOrPartition
        InitProducerId 0 to 4: None
        OffsetForLeaderEpoch 2 to 4: None UnknownTopicOrPartition
        AddPartitionsToTxn 0 to 3: None OperationNotAttempted UnknownTopicOrPartition
        AddOffsetsToTxn 0 to 3: InvalidProducerIdMapping
        EndTxn 0 to 3: InvalidProducerIdMapping
        TxnOffsetCommit 0 to 3: InvalidProducerIdMapping
        DescribeConfigs 1 to 4: None None UnknownTopicOrPartition
        AlterConfigs 0 to 2: None UnknownTopicOrPartition
        CreatePartitions 0 to 3: None UnknownTopicOrPartition
        DeleteGroups 0 to 2: GroupIdNotFound
        IncrementalAlterConfigs 0 to 1: None UnknownTopicOrPartition
        OffsetDelete 0 to 0: None None
        DescribeCluster 0 to 1: None
        DescribeProducers 0 to 0: None UnknownTopicOrPartition
        DescribeTransactions 0 to 0: None TransactionalIdNotFound
        ListTransactions 0 to 0: None
    "#]]
    .assert_eq(&table);
}

/// The errors in an answer, however deep they are. Their order is the broker's own.
fn errors(answer: &str) -> String {
    let after = answer.split("error_code: ").skip(1);
    let codes = after.map(|it| it.split(|it: char| it != '-' && !it.is_ascii_digit()).next().unwrap());
    let mut names: Vec<String> = codes
        .map(|it| it.parse::<i16>().unwrap())
        .map(|it| ResponseError::try_from_code(it).map_or_else(|| "None".to_owned(), |it| format!("{it:?}")))
        .collect();
    names.sort_unstable();
    names.join(" ")
}
