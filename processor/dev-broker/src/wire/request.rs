//! The requests that are served, and which versions of each.

use bytes::Bytes;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AlterConfigsRequest, ApiKey, ApiVersionsRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest,
    DescribeProducersRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest,
    FindCoordinatorRequest, HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, ListTransactionsRequest,
    MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, RequestHeader, SyncGroupRequest, TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::{Decodable as _, StrBytes};

use super::{CodecError, guard};

/// Why bytes are no request that is served. The connection ends with it, as on Apache Kafka, since what follows cannot be
/// trusted; only an unknown version of `ApiVersions` has an answer (KIP-511).
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Too short for a header, or a header that is none.
    #[error("the header of a request cannot be read")]
    Header(#[source] Option<CodecError>),
    /// An API that this broker does not have.
    #[error("there is no API {key} here")]
    UnknownApi { key: i16 },
    /// A version outside of what `ApiVersions` tells.
    #[error("{api:?} has versions {min} to {max} here, not {version}")]
    UnknownVersion { api: ApiKey, version: i16, min: i16, max: i16, correlation_id: i32 },
    /// Bytes that are not what their header says.
    #[error("a request {api:?}, version {version}, cannot be read")]
    Body {
        api: ApiKey,
        version: i16,
        #[source]
        source: CodecError,
    },
}

/// Who asks, and in which version.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<StrBytes>,
}

macro_rules! apis {
    ($($api:ident($request:ident) $min:literal..=$max:literal,)*) => {
        /// A request that is served.
        #[derive(Debug)]
        #[expect(dead_code, reason = "some ask for the same whatever they say")]
        pub(crate) enum Request {
            $($api($request),)*
        }

        /// API, lowest and highest version, in the order of the table in this file.
        pub(crate) const APIS: &[(ApiKey, i16, i16)] = &[$((ApiKey::$api, $min, $max),)*];

        fn decode_body(header: &Header, mut body: Bytes) -> Result<Request, RequestError> {
            let &Header { api, version, .. } = header;
            let unreadable = |source| RequestError::Body { api, version, source };
            match api {
                $(ApiKey::$api => {
                    guard::check::<$request>(&body, version).map_err(unreadable)?;
                    $request::decode(&mut body, version).map(Request::$api).map_err(|it| unreadable(it.into()))
                })*
                _ => Err(RequestError::UnknownApi { key: api as i16 }),
            }
        }
    };
}

// The highest versions stop where a feature begins that is not here: Fetch 11 is the last before diverging epochs (KIP-595), Produce
// 8 the last before the flexible form, EndTxn 3 and AddPartitionsToTxn 3 the last before KIP-890, OffsetFetch 8 and JoinGroup 9 the
// last before KIP-848.
apis! {
    Produce(ProduceRequest) 3..=8,
    Fetch(FetchRequest) 4..=11,
    ListOffsets(ListOffsetsRequest) 1..=7,
    Metadata(MetadataRequest) 0..=12,
    OffsetCommit(OffsetCommitRequest) 2..=8,
    OffsetFetch(OffsetFetchRequest) 1..=8,
    FindCoordinator(FindCoordinatorRequest) 0..=4,
    JoinGroup(JoinGroupRequest) 0..=9,
    Heartbeat(HeartbeatRequest) 0..=4,
    LeaveGroup(LeaveGroupRequest) 0..=5,
    SyncGroup(SyncGroupRequest) 0..=5,
    DescribeGroups(DescribeGroupsRequest) 0..=5,
    ListGroups(ListGroupsRequest) 0..=4,
    ApiVersions(ApiVersionsRequest) 0..=3,
    CreateTopics(CreateTopicsRequest) 2..=7,
    DeleteTopics(DeleteTopicsRequest) 1..=6,
    DeleteRecords(DeleteRecordsRequest) 0..=2,
    InitProducerId(InitProducerIdRequest) 0..=4,
    OffsetForLeaderEpoch(OffsetForLeaderEpochRequest) 2..=4,
    AddPartitionsToTxn(AddPartitionsToTxnRequest) 0..=3,
    AddOffsetsToTxn(AddOffsetsToTxnRequest) 0..=3,
    EndTxn(EndTxnRequest) 0..=3,
    TxnOffsetCommit(TxnOffsetCommitRequest) 0..=3,
    DescribeConfigs(DescribeConfigsRequest) 1..=4,
    AlterConfigs(AlterConfigsRequest) 0..=2,
    CreatePartitions(CreatePartitionsRequest) 0..=3,
    DeleteGroups(DeleteGroupsRequest) 0..=2,
    IncrementalAlterConfigs(IncrementalAlterConfigsRequest) 0..=1,
    OffsetDelete(OffsetDeleteRequest) 0..=0,
    DescribeCluster(DescribeClusterRequest) 0..=1,
    DescribeProducers(DescribeProducersRequest) 0..=0,
    DescribeTransactions(DescribeTransactionsRequest) 0..=0,
    ListTransactions(ListTransactionsRequest) 0..=0,
}

/// Reads one request, without its length.
///
/// # Errors
/// Never a panic, whatever the bytes, and no more memory than some hundred times their number.
pub(crate) fn decode(mut frame: Bytes) -> Result<(Header, Request), RequestError> {
    let Some(&[key_high, key_low, version_high, version_low]) = frame.first_chunk() else {
        return Err(RequestError::Header(None));
    };
    let key = i16::from_be_bytes([key_high, key_low]);
    let version = i16::from_be_bytes([version_high, version_low]);
    let unknown = RequestError::UnknownApi { key };
    let Ok(api) = ApiKey::try_from(key) else { return Err(unknown) };
    let Some(&(_, min, max)) = APIS.iter().find(|it| it.0 == api) else { return Err(unknown) };
    if !(min..=max).contains(&version) {
        // Where the header stands is the same in all its versions, so far as the answer needs it.
        let Some(correlation_id) = frame.get(4..8).and_then(|it| it.first_chunk().copied()) else {
            return Err(RequestError::Header(None));
        };
        let correlation_id = i32::from_be_bytes(correlation_id);
        return Err(RequestError::UnknownVersion { api, version, min, max, correlation_id });
    }
    let header_version = api.request_header_version(version);
    guard::check::<RequestHeader>(&frame, header_version)
        .map_err(|error| RequestError::Header(Some(error)))?;
    let RequestHeader { correlation_id, client_id, .. } =
        RequestHeader::decode(&mut frame, header_version)
            .map_err(|error| RequestError::Header(Some(error.into())))?;
    let header = Header { api, version, correlation_id, client_id };
    let request = decode_body(&header, frame)?;
    Ok((header, request))
}
