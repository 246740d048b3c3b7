//! Every API in every version that `ApiVersions` tells of.

use expect_test::expect;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, RequestKind};
use kafka_protocol::protocol::Decodable as _;

use crate::client::{Client, broker};
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
    answers(|api, _| requests::empty(api)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_answers_a_request_with_something_in_it() {
    answers(requests::filled).await;
}

async fn answers(request: impl Fn(ApiKey, i16) -> RequestKind) {
    let served = broker().await;
    let mut client: Client = served.connect().await;
    let versions = client.api_versions().await;
    client.call(&requests::create_topic(requests::TOPIC), ApiKey::CreateTopics, 2).await;
    let mut without_answer = Vec::new();
    for supported in versions.api_keys {
        let api = ApiKey::try_from(supported.api_key).unwrap();
        for version in supported.min_version..=supported.max_version {
            if client.try_call(&request(api, version), api, version).await.is_none() {
                without_answer.push((api, version));
                client = served.connect().await;
            }
        }
    }
    assert_eq!(without_answer, []);
}
