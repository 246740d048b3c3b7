//! Bytes that are no request, clients that are slow, and too many of them.

use std::time::Duration;

use bytes::BytesMut;
use kafka_protocol::messages::{ApiKey, MetadataRequest, RequestKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::client::{Client, PATIENCE, Served, broker, broker_with};

/// No API has it.
const UNKNOWN: i16 = 9_999;

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_api_ends_the_connection_and_no_other() {
    let served = broker().await;
    let mut neighbour = served.connect().await;
    neighbour.api_versions().await;
    // Also one that Apache Kafka has and this broker has not, and a known one in a version from the future.
    for (api, version) in
        [(UNKNOWN, 0), (-1, 0), (ApiKey::ConsumerGroupHeartbeat as i16, 0), (ApiKey::Produce as i16, 99)]
    {
        let mut client = served.connect().await;
        let mut frame = client.frame(ApiKey::Metadata, 1, &[0; 8]);
        frame[..2].copy_from_slice(&api.to_be_bytes());
        frame[2..4].copy_from_slice(&i16::to_be_bytes(version));
        client.send_frame(&frame).await;
        client.is_closed().await;
    }
    neighbour.api_versions().await;
    served.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_no_allowed_length_ends_the_connection() {
    let served = broker_with(|config| config.request_bytes_max = 1_000).await;
    for length in [i32::MIN, -1, 0, 7, 1_001, i32::MAX] {
        let mut client = served.connect().await;
        // What follows is a request that would be answered.
        let request = client.frame(ApiKey::ApiVersions, 0, &[]);
        client.send(&length.to_be_bytes()).await;
        let _ = client.stream.write_all(&request).await;
        client.is_closed().await;
    }
    let mut client = served.connect().await;
    let largest = client.frame(ApiKey::ApiVersions, 0, &[]);
    let largest = [largest.clone(), vec![0; 1_000 - largest.len()]].concat();
    client.send_frame(&largest).await;
    client.answer().await;
    served.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_frame_is_not_acted_on() {
    let served = broker().await;
    let mut body = BytesMut::new();
    let create = crate::requests::create_topic("never");
    create.encode(&mut body, 5).unwrap();
    let whole = served.connect().await.frame(ApiKey::CreateTopics, 5, &body);
    for sent in 0..whole.len() {
        let mut client = served.connect().await;
        client.send(&u32::try_from(whole.len()).unwrap().to_be_bytes()).await;
        client.send(&whole[..sent]).await;
        client.stream.shutdown().await.unwrap();
        client.is_closed().await;
        // The same, with the length of what is there.
        let mut client = served.connect().await;
        client.send_frame(&whole[..sent]).await;
        client.stream.shutdown().await.unwrap();
        client.is_closed().await;
    }
    let mut client = served.connect().await;
    assert_eq!(topics(&mut client).await, 0);
    served.serves().await;
}

/// A count costs its sender four bytes; were it believed, it would cost us gigabytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_the_frame_cannot_hold_ends_the_connection() {
    let served = broker().await;
    let versions = served.connect().await.api_versions().await;
    for supported in versions.api_keys {
        let api = ApiKey::try_from(supported.api_key).unwrap();
        for version in supported.min_version..=supported.max_version {
            // Whatever of it is a count is one of 2³¹ - 1, or of 2³⁵ - 1 in the flexible form.
            for body in [[0x7f, 0xff, 0xff, 0xff].repeat(8), [0xff, 0xff, 0xff, 0xff, 0x7f].repeat(8)] {
                let mut client = served.connect().await;
                let frame = client.frame(api, version, &body);
                client.send_frame(&frame).await;
                client.stream.shutdown().await.unwrap();
                // Where it happens to be a request, it has an answer; then the end.
                let mut answers = Vec::new();
                let end = timeout(PATIENCE, client.stream.read_to_end(&mut answers)).await;
                // A reset ends it, too.
                let _ = end.expect("an end comes in time");
                assert!(answers.len() < 10_000, "{api:?} {version}: {} bytes", answers.len());
            }
        }
    }
    served.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_a_connection_is_closed_at_once_until_a_place_is_free() {
    let served = broker_with(|config| config.connections_max = 2).await;
    let mut first = served.connect().await;
    let mut second = served.connect().await;
    first.api_versions().await;
    second.api_versions().await;
    served.connect().await.is_closed().await;
    first.api_versions().await;

    drop(second);
    let free = async {
        loop {
            let client = served.connect().await;
            if timeout(Duration::from_millis(200), client.stream.readable()).await.is_err() {
                // Nobody has hung up.
                return client;
            }
        }
    };
    timeout(PATIENCE, free).await.expect("the place becomes free").api_versions().await;
    first.api_versions().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_rests_is_let_go() {
    let served = broker_with(|config| config.idle_max = Duration::from_millis(100)).await;
    served.connect().await.is_closed().await;
    let mut client = served.connect().await;
    client.api_versions().await;
    client.is_closed().await;
    served.serves().await;
}

/// What it takes is its own time. That it is let go in the end is tested where the limits are: in `server::frame` and
/// `server::connection`.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_nobody_up() {
    let served = broker().await;
    // One sends a request by the byte, another takes no answer, though it asks for more than the sockets hold.
    let mut slow_sender = served.connect().await;
    let request = slow_sender.frame(ApiKey::ApiVersions, 0, &[]);
    slow_sender.send(&u32::try_from(request.len()).unwrap().to_be_bytes()).await;
    for number in 0..200 {
        let create = crate::requests::create_topic(&format!("topic-{number:03}-{}", "x".repeat(200)));
        served.connect().await.call(&create, ApiKey::CreateTopics, 5).await;
    }
    let mut slow_reader = served.connect().await;
    let all = slow_reader.frame(ApiKey::Metadata, 1, &(-1_i32).to_be_bytes());
    let all = [&u32::try_from(all.len()).unwrap().to_be_bytes()[..], &all].concat();
    let flood = async {
        loop {
            // Until its own sending is held up.
            if timeout(Duration::from_millis(300), slow_reader.stream.write_all(&all)).await.is_err() {
                break;
            }
        }
    };
    timeout(PATIENCE, flood).await.expect("what is not read is not answered without end");

    for byte in request {
        served.serves().await;
        slow_sender.send(&[byte]).await;
    }
    slow_sender.answer().await;
    served.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_at_once_are_answered_in_their_order() {
    let served = broker().await;
    let mut client = served.connect().await;
    let mut all = Vec::new();
    for _ in 0..50 {
        let frame = client.frame(ApiKey::ApiVersions, 0, &[]);
        all.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        all.extend_from_slice(&frame);
    }
    client.send(&all).await;
    for number in 1..=50_i32 {
        assert_eq!(client.answer().await[..4], number.to_be_bytes());
    }
}

async fn topics(client: &mut Client) -> usize {
    let all = RequestKind::Metadata(MetadataRequest::default().with_topics(None));
    match client.call(&all, ApiKey::Metadata, 1).await {
        kafka_protocol::messages::ResponseKind::Metadata(metadata) => metadata.topics.len(),
        other => panic!("not the topics: {other:?}"),
    }
}

/// A broker that is gone leaves its clients an end, not a silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_broker_hangs_up() {
    let served = broker().await;
    let mut client = served.connect().await;
    client.api_versions().await;
    let Served { broker, .. } = served;
    broker.stop().await.unwrap();
    client.is_closed().await;
}
