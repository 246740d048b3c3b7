//! Who has a row, for requests about rows of several CQL partitions: the driver would send those to any node.

use std::sync::Arc;

use scylla::cluster::{ClusterState, Node, NodeRef};
use scylla::policies::load_balancing::{FallbackPlan, LoadBalancingPolicy, RoutingInfo};
use scylla::routing::Shard;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

/// The nodes that have a row, each with the shard.
#[derive(Clone, Debug)]
pub(crate) struct Replicas(Vec<(Arc<Node>, Shard)>);

impl Replicas {
    /// Those of the row that `values` name; none where nobody knows. `statement` names the whole partition key.
    pub(crate) fn of(
        cluster: &ClusterState,
        statement: &PreparedStatement,
        values: &impl SerializeRow,
    ) -> Option<Self> {
        let token = statement.calculate_token(values).ok().flatten()?;
        let table = statement.get_table_spec()?;
        let replicas = cluster.get_token_endpoints(table.ks_name(), table.table_name(), token);
        (!replicas.is_empty()).then_some(Self(replicas))
    }

    /// The same for rows with the same replicas.
    pub(crate) fn hosts(&self) -> Vec<Uuid> {
        let mut hosts: Vec<Uuid> = self.0.iter().map(|(node, _)| node.host_id).collect();
        hosts.sort_unstable();
        hosts
    }

    /// Sends a request to one of them, to another one each time; if the session has a datacenter, never beyond it, as the driver's own
    /// policy: what a quorum of another one answers may be old.
    pub(crate) fn policy(mut self, turn: usize) -> Arc<dyn LoadBalancingPolicy> {
        let count = self.0.len();
        self.0.rotate_left(turn % count);
        Arc::new(AtReplicas(self))
    }
}

#[derive(Debug)]
struct AtReplicas(Replicas);

impl AtReplicas {
    /// From the best on. Nodes without the rows are the last resort: they ask those that have them.
    fn plan<'a>(
        &'a self,
        request: &RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> impl Iterator<Item = (NodeRef<'a>, Option<Shard>)> + use<'a> {
        let Self(Replicas(replicas)) = self;
        let datacenter = request.node_location_preference.datacenter().map(str::to_owned);
        let is_near = move |node: &Node| datacenter.is_none() || node.datacenter == datacenter;
        let mut with: Vec<_> = replicas.iter().map(|(node, shard)| (node, Some(*shard))).collect();
        // Stable: the turn stays.
        with.sort_by_key(|(node, _)| !node.is_connected());
        let without = cluster.get_nodes_info().iter().map(|node| (node, None));
        with.into_iter().chain(without).filter(move |(node, _)| is_near(node))
    }
}

impl LoadBalancingPolicy for AtReplicas {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        self.plan(request, cluster).next()
    }

    fn fallback<'a>(&'a self, request: &'a RoutingInfo<'_>, cluster: &'a ClusterState) -> FallbackPlan<'a> {
        // What was picked comes once more, at the end of everything: it may answer then.
        let plan: Vec<_> = self.plan(request, cluster).skip(1).collect();
        Box::new(plan.into_iter())
    }

    fn name(&self) -> String {
        "AtReplicas".to_owned()
    }
}
