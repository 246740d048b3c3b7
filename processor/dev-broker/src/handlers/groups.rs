//! `JoinGroup`, `SyncGroup`, `Heartbeat`, `LeaveGroup`, `DescribeGroups`, `ListGroups`, `DeleteGroups`: the wire's terms to those of
//! [`crate::group`], and back.

use std::net::SocketAddr;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId as WireGroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::broker::{Broker, storage_error};
use crate::group::{
    Answer, Claim, GroupId, InstanceId, Join, JoinRefused, Joined, Leaving, MemberId, Protocol, Sync, Synced,
};
use crate::wire::{Header, text};

use super::code;

pub(super) async fn join(
    broker: &Broker,
    header: &Header,
    request: JoinGroupRequest,
    peer: SocketAddr,
) -> JoinGroupResponse {
    const MEMBER_ID_SINCE: i16 = 4;
    const SKIP_SINCE: i16 = 9;
    const PROTOCOL_NULLABLE_SINCE: i16 = 7;
    let session_timeout = milliseconds(request.session_timeout_ms);
    let client_id = header.client_id.as_deref().unwrap_or_default();
    let lead = request.group_instance_id.as_deref().unwrap_or(client_id);
    let join = Join {
        group: GroupId(request.group_id.to_string()),
        member: MemberId::from_wire(&request.member_id),
        instance: request.group_instance_id.as_deref().map(|it| InstanceId(it.to_owned())),
        fresh_member: MemberId(format!("{lead}-{}", Uuid::new_v4())),
        client_id: client_id.to_owned(),
        client_host: format!("/{}", peer.ip()),
        session_timeout,
        // Version 0 has none.
        rebalance_timeout: match milliseconds(request.rebalance_timeout_ms) {
            Duration::ZERO => session_timeout,
            timeout => timeout,
        },
        protocol_type: request.protocol_type.to_string(),
        protocols: request
            .protocols
            .into_iter()
            .map(|it| Protocol { name: it.name.to_string(), metadata: it.metadata })
            .collect(),
        requires_member_id: header.version >= MEMBER_ID_SINCE,
        can_skip_assignment: header.version >= SKIP_SINCE,
    };
    let refused = |error: ResponseError, member: StrBytes| {
        let name = (header.version < PROTOCOL_NULLABLE_SINCE).then(StrBytes::new);
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_generation_id(-1)
            .with_protocol_name(name)
            .with_member_id(member)
    };
    // It takes the lock when it is dropped, so it is declared before the lock is taken, and outlives it.
    let mut waiting;
    {
        let mut control = broker.control();
        let ticket;
        (ticket, waiting) = broker.wait(&mut control);
        let outcome = control.groups.join(join, ticket, broker.now());
        if let Err(error) = broker.settle(&mut control, outcome) {
            return refused(storage_error(&error), request.member_id);
        }
    }
    match waiting.answer().await {
        Some(Answer::Join { result: Ok(joined), .. }) => joined_response(joined, header.version),
        Some(Answer::Join { result: Err(JoinRefused { error, member }), .. }) => {
            refused(error, text(member.map(|it| it.0).unwrap_or_default()))
        }
        Some(Answer::Sync { .. }) | None => {
            refused(ResponseError::CoordinatorNotAvailable, request.member_id)
        }
    }
}

fn joined_response(joined: Joined, version: i16) -> JoinGroupResponse {
    const TYPE_SINCE: i16 = 7;
    let member = |it: crate::group::JoinedMember| {
        JoinGroupResponseMember::default()
            .with_member_id(text(it.member.0))
            .with_group_instance_id(it.instance.map(|it| text(it.0)))
            .with_metadata(it.metadata)
    };
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type((version >= TYPE_SINCE).then(|| text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader.0))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(joined.member.0))
        .with_members(joined.members.into_iter().map(member).collect())
}

pub(super) async fn sync(broker: &Broker, request: SyncGroupRequest) -> SyncGroupResponse {
    let sync = Sync {
        group: GroupId(request.group_id.to_string()),
        claim: Claim::new(&request.member_id, request.group_instance_id.as_deref(), request.generation_id),
        protocol_type: request.protocol_type.map(|it| it.to_string()),
        protocol: request.protocol_name.map(|it| it.to_string()),
        assignments: request
            .assignments
            .into_iter()
            .map(|it| (MemberId(it.member_id.to_string()), it.assignment))
            .collect(),
    };
    let refused = |error: ResponseError| SyncGroupResponse::default().with_error_code(error.code());
    let mut waiting; // As above.
    {
        let mut control = broker.control();
        let ticket;
        (ticket, waiting) = broker.wait(&mut control);
        let outcome = control.groups.sync(sync, ticket, broker.now());
        if let Err(error) = broker.settle(&mut control, outcome) {
            return refused(storage_error(&error));
        }
    }
    match waiting.answer().await {
        Some(Answer::Sync { result: Ok(Synced { protocol_type, protocol, assignment }), .. }) => {
            SyncGroupResponse::default()
                .with_protocol_type(Some(text(protocol_type)))
                .with_protocol_name(Some(text(protocol)))
                .with_assignment(assignment)
        }
        Some(Answer::Sync { result: Err(error), .. }) => refused(error),
        Some(Answer::Join { .. }) | None => refused(ResponseError::CoordinatorNotAvailable),
    }
}

pub(super) fn heartbeat(broker: &Broker, request: &HeartbeatRequest) -> HeartbeatResponse {
    let group = GroupId(request.group_id.to_string());
    let claim = Claim::new(&request.member_id, request.group_instance_id.as_deref(), request.generation_id);
    let lives = broker.control().groups.heartbeat(&group, &claim, broker.now());
    HeartbeatResponse::default().with_error_code(code(lives))
}

pub(super) fn leave(broker: &Broker, request: LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
    const BATCH_SINCE: i16 = 3;
    let group = GroupId(request.group_id.to_string());
    let leaving = if version < BATCH_SINCE {
        vec![Leaving { member: MemberId::from_wire(&request.member_id), instance: None }]
    } else {
        let leaving = |it: kafka_protocol::messages::leave_group_request::MemberIdentity| Leaving {
            member: MemberId::from_wire(&it.member_id),
            instance: it.group_instance_id.map(|it| InstanceId(it.to_string())),
        };
        request.members.into_iter().map(leaving).collect()
    };
    let mut control = broker.control();
    let (result, outcome) = control.groups.leave(&group, leaving, broker.now());
    let written = broker.settle(&mut control, outcome).map_err(|error| storage_error(&error));
    match written.and(result) {
        Err(error) => LeaveGroupResponse::default().with_error_code(error.code()),
        // A single one is told by the error of the whole.
        Ok(results) if version < BATCH_SINCE => {
            let left = results.into_iter().next().map_or(Ok(()), |(_, result)| result);
            LeaveGroupResponse::default().with_error_code(code(left))
        }
        Ok(results) => {
            let member = |(leaving, result): (Leaving, Result<(), ResponseError>)| {
                MemberResponse::default()
                    .with_member_id(text(leaving.member.map(|it| it.0).unwrap_or_default()))
                    .with_group_instance_id(leaving.instance.map(|it| text(it.0)))
                    .with_error_code(code(result))
            };
            LeaveGroupResponse::default().with_members(results.into_iter().map(member).collect())
        }
    }
}

pub(super) fn describe(broker: &Broker, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let control = broker.control();
    let groups = request.groups.into_iter().map(|id| {
        let described = control.groups.describe(&GroupId(id.to_string()));
        let member = |it: crate::group::MemberDescription| {
            DescribedGroupMember::default()
                .with_member_id(text(it.member.0))
                .with_group_instance_id(it.instance.map(|it| text(it.0)))
                .with_client_id(text(it.client_id))
                .with_client_host(text(it.client_host))
                .with_member_metadata(it.metadata)
                .with_member_assignment(it.assignment)
        };
        DescribedGroup::default()
            .with_group_id(id)
            .with_group_state(text(described.state.name()))
            .with_protocol_type(text(described.protocol_type))
            .with_protocol_data(text(described.protocol))
            .with_members(described.members.into_iter().map(member).collect())
    });
    let groups = groups.collect();
    DescribeGroupsResponse::default().with_groups(groups)
}

pub(super) fn list(broker: &Broker, request: &ListGroupsRequest) -> ListGroupsResponse {
    let states = &request.states_filter;
    let listed = broker.control().groups.list().into_iter();
    let asked = listed.filter(|it| {
        states.is_empty() || states.iter().any(|state| state.eq_ignore_ascii_case(it.state.name()))
    });
    let group = |it: crate::group::Listing| {
        ListedGroup::default()
            .with_group_id(WireGroupId(text(it.group.0)))
            .with_protocol_type(text(it.protocol_type))
            .with_group_state(text(it.state.name()))
    };
    ListGroupsResponse::default().with_groups(asked.map(group).collect())
}

pub(super) fn delete(broker: &Broker, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let mut control = broker.control();
    let results = request.groups_names.into_iter().map(|id| {
        let deleted = control.groups.delete_group(&GroupId(id.to_string()));
        let deleted = deleted.and_then(|changes| {
            broker.write_groups(&mut control, changes).map_err(|error| storage_error(&error))
        });
        DeletableGroupResult::default().with_group_id(id).with_error_code(code(deleted))
    });
    let results = results.collect();
    DeleteGroupsResponse::default().with_results(results)
}

fn milliseconds(number: i32) -> Duration {
    Duration::from_millis(u64::try_from(number).unwrap_or(0))
}
