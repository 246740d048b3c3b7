//! What each API does. A file holds those that belong together.

mod cluster;
mod configs;
mod fetch;
mod group_offsets;
mod groups;
mod offsets;
mod produce;
mod topics;
mod transactions;

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::broker::Broker;
use crate::server::Share;
use crate::wire::{CodecError, Header, Request, RequestError, encode, encode_as};

/// What goes back to the client.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer, and what it holds of the budget until it is sent.
    Frame { bytes: Bytes, share: Option<Share> },
    /// The client does not want to hear anything.
    Nothing,
}

/// Does what the client asks.
///
/// # Errors
/// When the answer cannot be encoded, which is a mistake of ours.
pub(crate) async fn answer(
    broker: &Broker,
    header: &Header,
    request: Request,
    peer: SocketAddr,
) -> Result<Reply, CodecError> {
    let bytes = match request {
        Request::Produce(request) => {
            let wants_answer = request.acks != 0;
            let response = produce::produce(broker, request);
            if !wants_answer {
                return Ok(Reply::Nothing);
            }
            encode(header, &response)
        }
        Request::Fetch(request) => {
            let (response, share) = fetch::fetch(broker, request).await;
            return Ok(Reply::Frame { bytes: encode(header, &response)?, share });
        }
        Request::ListOffsets(request) => encode(header, &offsets::list(broker, request, header.version)),
        Request::OffsetForLeaderEpoch(request) => encode(header, &offsets::for_leader_epoch(broker, request)),
        Request::DeleteRecords(request) => encode(header, &offsets::delete_records(broker, request)),
        Request::Metadata(request) => encode(header, &cluster::metadata(broker, request, header.version)),
        Request::FindCoordinator(request) => {
            encode(header, &cluster::find_coordinator(broker, request, header.version))
        }
        Request::ApiVersions(_) => encode(header, &cluster::api_versions()),
        Request::DescribeCluster(_) => encode(header, &cluster::describe(broker)),
        Request::CreateTopics(request) => encode(header, &topics::create(broker, request)),
        Request::DeleteTopics(request) => encode(header, &topics::delete(broker, request, header.version)),
        Request::CreatePartitions(request) => encode(header, &topics::create_partitions(broker, request)),
        Request::DescribeConfigs(request) => encode(header, &configs::describe(broker, request)),
        Request::AlterConfigs(request) => encode(header, &configs::alter(broker, request)),
        Request::IncrementalAlterConfigs(request) => {
            encode(header, &configs::alter_incrementally(broker, request))
        }
        Request::JoinGroup(request) => encode(header, &groups::join(broker, header, request, peer).await),
        Request::SyncGroup(request) => encode(header, &groups::sync(broker, request).await),
        Request::Heartbeat(request) => encode(header, &groups::heartbeat(broker, &request)),
        Request::LeaveGroup(request) => encode(header, &groups::leave(broker, request, header.version)),
        Request::DescribeGroups(request) => encode(header, &groups::describe(broker, request)),
        Request::ListGroups(request) => encode(header, &groups::list(broker, &request)),
        Request::DeleteGroups(request) => encode(header, &groups::delete(broker, request)),
        Request::OffsetCommit(request) => encode(header, &group_offsets::commit(broker, request)),
        Request::OffsetFetch(request) => {
            encode(header, &group_offsets::fetch(broker, request, header.version))
        }
        Request::OffsetDelete(request) => encode(header, &group_offsets::delete(broker, request)),
        Request::TxnOffsetCommit(request) => {
            encode(header, &group_offsets::commit_in_transaction(broker, request))
        }
        Request::InitProducerId(request) => {
            encode(header, &transactions::initialise(broker, header, &request))
        }
        Request::AddPartitionsToTxn(request) => {
            encode(header, &transactions::add_partitions(broker, header, request))
        }
        Request::AddOffsetsToTxn(request) => {
            encode(header, &transactions::add_group(broker, header, &request))
        }
        Request::EndTxn(request) => encode(header, &transactions::end(broker, header, &request)),
        Request::DescribeProducers(request) => {
            encode(header, &transactions::describe_producers(broker, request))
        }
        Request::DescribeTransactions(request) => encode(header, &transactions::describe(broker, request)),
        Request::ListTransactions(request) => encode(header, &transactions::list(broker, request)),
    }?;
    Ok(Reply::Frame { bytes, share: None })
}

/// The answer to bytes that are no request, if the protocol has one. `ApiVersions` in an unknown version is answered in version 0,
/// so that a newer client can find a version that both know (KIP-511). For the rest Apache Kafka hangs up, and so do we: the form
/// of an answer is that of the request, which we do not know.
pub(crate) fn answer_unreadable(error: &RequestError) -> Option<Bytes> {
    let &RequestError::UnknownVersion { api: api @ ApiKey::ApiVersions, version, correlation_id, .. } = error
    else {
        return None;
    };
    let header = Header { api, version, correlation_id, client_id: None };
    let response = cluster::api_versions().with_error_code(ResponseError::UnsupportedVersion.code());
    encode_as(&header, 0, &response).ok()
}

/// 0 for no error.
fn code(result: Result<(), ResponseError>) -> i16 {
    result.map_or_else(|error| error.code(), |()| 0)
}
