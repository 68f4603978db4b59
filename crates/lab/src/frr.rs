//! FRR in a node: how it is started, and what it says.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::runner::{self, Runner};

/// Starting waits for each daemon and then loads the configuration.
const START: Duration = Duration::from_secs(60);
/// For one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks at the routers.
const POLL: Duration = Duration::from_millis(400);
/// Where the daemons are, in Debian's packages and in FRR's own image.
pub(crate) const DAEMONS: &str = "/usr/lib/frr";

/// The daemons that /etc/frr/daemons asks for, started by FRR's own script and without the watchdog that the image has
/// beside them: a daemon that crashes in the lab is to be seen, not restarted.
const SCRIPT: &str = r#"
log=/var/log/frr/start.log
log_success_msg() { echo "$@"; }
log_warning_msg() { echo "warning: $@"; }
log_failure_msg() { echo "failed: $@"; failed=yes; }
install -d -o frr -g frr /var/log/frr || exit
# To a file, not to our pipe: the daemons hold on to whatever they are given.
{ . /usr/lib/frr/frrcommon.sh && all_start && test -z "$failed"; } >$log 2>&1 || { cat $log >&2; exit 1; }
"#;

/// Starts it.
pub(crate) async fn start(runner: &dyn Runner, node: &str) -> anyhow::Result<()> {
    runner::output(runner, node, &["bash", "-c", SCRIPT], START).await.map(drop).context("cannot start FRR")
}

/// Asks vtysh for something that it can say in JSON, like `show bgp ipv4 json`.
///
/// # Errors
/// When it does not answer, or not in JSON.
pub async fn show(runner: &dyn Runner, node: &str, command: &str) -> anyhow::Result<Value> {
    let text = runner::output(runner, node, &["vtysh", "-c", command], ANSWER).await?;
    serde_json::from_str(&text).with_context(|| format!("{node}: `{command}` said: {}", text.trim()))
}

/// One address family of one session of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbor {
    /// The neighbor's address.
    pub address: String,
    /// What the router calls it.
    pub description: String,
    /// Its autonomous system.
    pub remote_as: u64,
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// The session's state, as RFC 4271 names it.
    pub state: String,
    /// How many prefixes it has sent that were accepted.
    pub received: u64,
}

impl Neighbor {
    /// What to call it.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.description.is_empty() { &self.address } else { &self.description }
    }

    /// Whether the session is up.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.state == "Established"
    }
}

/// The sessions of a router.
///
/// # Errors
/// When it does not answer.
pub async fn neighbors(runner: &dyn Runner, node: &str) -> anyhow::Result<Vec<Neighbor>> {
    let answer = show(runner, node, "show bgp summary json").await?;
    if answer.get("warning").is_some() {
        bail!("{node}: BGP is not configured yet");
    }
    Ok(summary(&answer))
}

fn summary(answer: &Value) -> Vec<Neighbor> {
    let families = [("ipv4Unicast", "ipv4"), ("ipv6Unicast", "ipv6")];
    let peers = |key| answer.get(key).and_then(|family| family.get("peers")).and_then(Value::as_object);
    let of_family =
        |(key, family)| peers(key).into_iter().flatten().map(move |(address, peer)| (family, address, peer));
    let neighbor = |(family, address, peer): (&'static str, &String, &Value)| {
        let text = |key| peer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key| peer.get(key).and_then(Value::as_u64).unwrap_or_default();
        Neighbor {
            address: address.clone(),
            description: text("desc"),
            remote_as: number("remoteAs"),
            family,
            state: text("state"),
            received: number("pfxRcd"),
        }
    };
    families.into_iter().flat_map(of_family).map(neighbor).collect()
}

/// The sessions of all routers, by router.
///
/// # Errors
/// When one does not answer.
pub async fn all_neighbors(runner: &dyn Runner) -> anyhow::Result<Vec<(String, Neighbor)>> {
    let routers = runner.topology().nodes.iter().filter(|(_, node)| node.is_router());
    let asked = routers.map(async |(name, _)| {
        let found = neighbors(runner, name).await?;
        anyhow::Ok(found.into_iter().map(|neighbor| (name.clone(), neighbor)).collect::<Vec<_>>())
    });
    Ok(futures_util::future::try_join_all(asked).await?.into_iter().flatten().collect())
}

/// Waits until every session of every router is up.
///
/// # Errors
/// When that is not so within `limit`; then it says which are not.
pub async fn settle(runner: &dyn Runner, limit: Duration) -> anyhow::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let missing = match all_neighbors(runner).await {
            Ok(all) => {
                let down = all.iter().filter(|(_, neighbor)| !neighbor.is_established());
                let name =
                    |(router, n): &(String, Neighbor)| format!("{router} – {} ({}) is {}", n.name(), n.family, n.state);
                down.map(name).collect::<Vec<_>>().join(", ")
            }
            Err(error) => format!("{error:#}"),
        };
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("not every BGP session came up within {limit:?}: {missing}");
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_is_read() {
        let peer =
            |state: &str, count: u64| json!({"remoteAs": 65010, "state": state, "pfxRcd": count, "desc": "edge"});
        let answer = json!({
            "ipv4Unicast": {"as": 65103, "peers": {"192.0.2.50": peer("Established", 1), "192.0.2.54": peer("Active", 0)}},
            "ipv6Unicast": {"peers": {"192.0.2.50": peer("Established", 2)}},
            "l2VpnEvpn": {"peers": {"192.0.2.99": peer("Idle", 0)}},
        });
        let found: Vec<_> = summary(&answer)
            .into_iter()
            .map(|n| (n.family, n.address.clone(), n.is_established(), n.received))
            .collect();
        let expected =
            [("ipv4", "192.0.2.50", true, 1), ("ipv4", "192.0.2.54", false, 0), ("ipv6", "192.0.2.50", true, 2)];
        assert_eq!(found, expected.map(|(family, address, up, count)| (family, address.to_owned(), up, count)));
        assert_eq!(summary(&json!({})), []);
    }
}
