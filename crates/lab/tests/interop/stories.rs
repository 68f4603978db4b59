//! What is tried with each peer, in the same words with all of them.

use std::{cell::Cell, collections::BTreeSet};

use anycast_lab::harness::wire::Sent;
use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    feature::Feature,
    load::Load,
    pair::{Agent, Pair, V4, V6, story},
    peer::{AGENT_AS, Capability, Options, Peer, Route, Session},
};

/// Every story with one peer, each as a test of its own.
macro_rules! stories {
    ($peer:ty: $($story:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $story() -> anyhow::Result<()> {
                crate::stories::$story::<$peer>().await.map(drop)
            }
        )+
    };
    ($peer:ty) => {
        stories! { $peer:
            routes_come_and_go_with_their_attributes,
            a_degraded_service_is_less_preferred_and_a_planned_withdraw_says_goodbye,
            an_ipv6_session_carries_both_families,
            a_refresh_is_answered,
            a_thousand_routes_share_messages,
            roles_are_agreed_on_and_wrong_ones_refused,
            routes_to_customers_are_marked,
            without_keepalives_a_killed_peer_is_still_noticed,
            a_killed_agent_loses_its_routes_at_once,
            an_upgraded_agent_is_the_same_to_its_peer,
            silence_is_noticed,
            a_peer_may_dial,
            a_peer_that_dials_signs_and_is_near,
            a_restarting_agent_keeps_its_routes,
            an_agent_that_ends_says_so,
            a_link_is_enough,
            an_ipv6_next_hop_may_be_link_local,
        }
    };
}

/// How often the agent is upgraded, unless the environment says otherwise.
const UPGRADES: usize = 10;
const COUNT: &str = "ANYCAST_UPGRADES";
/// What both ends sign with.
const PASSWORD: &str = "mekmitasdigoat";

/// The attributes of the service while it is up.
fn is_plain(route: &Route) -> bool {
    let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    route.as_path == [AGENT_AS]
        && route.med == Some(50)
        && route.communities == set(&["65010:100", "65535:65281"])
        && route.large_communities == set(&["4200000010:1:4294967295"])
        && route.extended_communities.is_superset(&set(&["rt:65010:100", "soo:192.0.2.1:5"]))
}

fn says_goodbye(route: &Route) -> bool {
    route.communities.contains("65535:0")
}

pub(crate) async fn routes_come_and_go_with_their_attributes<P: Peer>() -> anyhow::Result<Sent> {
    story::<P>(Options::default(), Agent::default(), async |pair: &Pair<P>| {
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        ensure!((&*v4.next_hop, &*v6.next_hop) == ("192.0.2.2", "2001:db8:1::2"), "{v4:?} {v6:?}");
        let session = pair.session().await?;
        ensure!(session.hold_time == 9, "{session:?}");

        pair.order(&["withdraw", "--now", "--wait", "--timeout", "20s"]).await?;
        pair.has_none().await?;
        pair.order(&["announce"]).await?;
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        ensure!(pair.counted("established").await? == 1, "all in one session");
        pair.proven(&[
            Feature::BothFamilies,
            Feature::FourOctetAs,
            Feature::Med,
            Feature::Communities,
            Feature::LargeCommunities,
            Feature::ExtendedCommunities,
            Feature::Withdraw,
        ])?;
        let shown = [&v4, &v6].iter().all(|route| route.bandwidth == Some(1_250_000_000));
        pair.settle(Feature::LinkBandwidth, shown).await
    })
    .await
}

pub(crate) async fn a_degraded_service_is_less_preferred_and_a_planned_withdraw_says_goodbye<P: Peer>()
-> anyhow::Result<Sent> {
    story::<P>(Options::default(), Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        pair.order(&["withdraw", "--degrade"]).await?;
        for prefix in [V4, V6] {
            pair.has(prefix, "by a longer path", |route| route.as_path == [AGENT_AS; 4]).await?;
        }
        pair.order(&["announce"]).await?;
        pair.has(V4, "as before", is_plain).await?;
        pair.proven(&[Feature::Prepend])?;

        pair.order(&["withdraw"]).await?;
        pair.has(V4, "with GRACEFUL_SHUTDOWN", says_goodbye).await?;
        pair.has_none().await?;
        pair.order(&["announce"]).await?;
        pair.has(V4, "as before", is_plain).await?;
        ensure!(pair.counted("established").await? == 1, "all in one session");
        pair.proven(&[Feature::GracefulShutdown])
    })
    .await
}

pub(crate) async fn an_ipv6_session_carries_both_families<P: Peer>() -> anyhow::Result<Sent> {
    let extended_next_hop = P::cannot(Feature::ExtendedNextHop).is_none();
    let options = Options { ipv6: true, extended_next_hop, ..Options::default() };
    story::<P>(options, Agent::default(), async |pair: &Pair<P>| {
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        ensure!(v6.next_hop == "2001:db8:1::2", "{v6:?}");
        let other = v4.next_hop == "2001:db8:1::2" && pair.in_force("extended next hop").await?;
        ensure!(other || v4.next_hop == "192.0.2.2", "{v4:?}");
        pair.settle(Feature::ExtendedNextHop, other).await?;

        pair.order(&["withdraw", "--now"]).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::Ipv6Session])
    })
    .await
}

pub(crate) async fn a_refresh_is_answered<P: Peer>() -> anyhow::Result<Sent> {
    story::<P>(Options::default(), Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        let (before, asked) = (pair.session().await?, pair.counted("route_refresh_received").await?);
        let marked = before.heard.contains(&Capability::EnhancedRefresh) && pair.in_force("enhanced").await?;
        let marks = pair.counted("route_refresh_sent").await?;
        P::refresh(&pair.lab, &pair.options).await?;
        if P::cannot(Feature::RouteRefresh).is_some() {
            return pair.settle(Feature::EnhancedRefresh, marked).await;
        }
        pair.wait("it is asked", |neighbor| neighbor["counters"]["route_refresh_received"].as_u64() > Some(asked))
            .await?;
        let more = |session: &Session| session.updates > before.updates;
        pair.lab.wait("the routes come again", async || Ok(Some(pair.session().await?).filter(more))).await?;
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        ensure!(pair.counted("established").await? == 1, "all in one session");
        pair.proven(&[Feature::RouteRefresh])?;
        let marked = marked && pair.counted("route_refresh_sent").await? >= marks + 2;
        pair.settle(Feature::EnhancedRefresh, marked).await
    })
    .await
}

/// As many as fill more than one message of 4096 octets.
pub(crate) async fn a_thousand_routes_share_messages<P: Peer>() -> anyhow::Result<Sent> {
    let prefixes: Vec<_> = (0..1000).map(|n| format!("\"198.18.{}.{}/32\"", n / 256, n % 256)).collect();
    let agent = Agent { prefixes: prefixes.clone(), ..Agent::default() };
    let agreed = Cell::new(false);
    let sent = story::<P>(Options::default(), agent, async |pair: &Pair<P>| {
        let count = async |wanted: usize| {
            let there = async || Ok((P::count(&pair.lab).await? == wanted).then_some(()));
            pair.lab.wait(&format!("{} has {wanted} IPv4 routes", P::NAME), there).await
        };
        count(prefixes.len() + 1).await?;
        let route = pair.has("198.18.3.231/32", "", |_| true).await?;
        ensure!(is_plain(&route), "{route:?}");
        let heard = pair.session().await?.heard.contains(&Capability::ExtendedMessage);
        let long = pair.in_force("extended message").await?;
        agreed.set(heard && long);
        pair.settle(Feature::ExtendedMessage, heard && long).await?;
        pair.order(&["withdraw", "--now"]).await?;
        count(0).await?;
        ensure!(pair.counted("established").await? == 1, "all in one session");
        Ok(())
    })
    .await?;
    // RFC 8654 §4: longer ones only to whom can take them.
    ensure!((sent.longest > 4096) == agreed.get(), "{sent:?}");
    Ok(sent)
}

pub(crate) async fn roles_are_agreed_on_and_wrong_ones_refused<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { role: Some("provider"), ..Options::default() };
    let wrong = Agent { neighbor: ", role: peer", ..Agent::default() };
    let right = Agent { neighbor: ", role: customer", ..Agent::default() };
    let able = P::cannot(Feature::Role).is_none();
    let first = if able { wrong } else { right.clone() };
    story::<P>(options, first, async |pair: &Pair<P>| {
        if able {
            let refused = |text: &str| text.contains("Role Mismatch");
            let says = |neighbor: &Value| neighbor["last_error"].as_str().is_some_and(refused);
            pair.wait("the roles are no pair", says).await?;
            ensure!(P::route(&pair.lab, V4).await?.is_none(), "nothing is announced to it");
            pair.configure(&right).await?;
            pair.reload().await?;
        }
        let [v4, _] = pair.has_both().await?;
        ensure!(v4.otc.is_none(), "a customer marks nothing: {v4:?}");
        let role = pair.session().await?.role;
        let both = role.as_deref() == Some("customer") && pair.in_force("our role customer").await?;
        pair.settle(Feature::Role, both).await
    })
    .await
}

pub(crate) async fn routes_to_customers_are_marked<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { role: Some("customer"), ..Options::default() };
    let agent = Agent { neighbor: ", role: provider", ..Agent::default() };
    story::<P>(options, agent, async |pair: &Pair<P>| {
        let marks = pair.has_both().await?.map(|route| route.otc);
        pair.settle(Feature::OnlyToCustomer, marks == [Some(AGENT_AS); 2]).await
    })
    .await
}

/// Three stories at once, each in a pair of its own: most of their time they wait for a timer.
pub(crate) async fn silence_is_noticed<P: Peer>() -> anyhow::Result<Sent> {
    let frozen = async { a_frozen_peer_is_noticed_and_taken_back::<P>().await.context("a frozen peer") };
    let passwords = async { both_ends_sign_with_one_password_or_do_not_hear_each_other::<P>().await.context("MD5") };
    let far = async { what_comes_from_farther_away_is_not_heard::<P>().await.context("GTSM") };
    tokio::try_join!(frozen, passwords, far).map(|(sent, ..)| sent)
}

async fn a_frozen_peer_is_noticed_and_taken_back<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { hold_time: 3, ..Options::default() };
    story::<P>(options, Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        let session = pair.session().await?;
        ensure!(session.hold_time == 3, "{session:?}");
        pair.proven(&[Feature::HoldTime3])?;

        pair.signal_peer(Signal::SIGSTOP).await?;
        let expired = |text: &str| text.contains("Hold Timer Expired");
        let says = |neighbor: &Value| neighbor["last_error"].as_str().is_some_and(expired);
        pair.wait("its silence is noticed", says).await?;
        pair.signal_peer(Signal::SIGCONT).await?;
        let again = |neighbor: &Value| {
            neighbor["state"] == "Established" && neighbor["counters"]["established"].as_u64() >= Some(2)
        };
        pair.wait("there is another session", again).await?;
        pair.has_both().await?;
        pair.proven(&[Feature::FrozenPeer])
    })
    .await
}

pub(crate) async fn without_keepalives_a_killed_peer_is_still_noticed<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { hold_time: 0, ..Options::default() };
    story::<P>(options, Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        let session = pair.session().await?;
        ensure!(session.hold_time == 0, "{session:?}");
        let neighbor = pair.neighbor().await?;
        ensure!(neighbor["session"]["hold_time_seconds"] == 0, "{neighbor}");
        // The one that answers the OPEN.
        ensure!(neighbor["counters"]["keepalive_sent"] == 1, "{neighbor}");
        pair.proven(&[Feature::HoldTime0])?;

        pair.signal_peer(Signal::SIGKILL).await?;
        pair.wait("its end is noticed", |neighbor| neighbor["state"] != "Established").await?;
        pair.start_peer().await?;
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        pair.proven(&[Feature::PeerRestart])
    })
    .await
}

/// Without graceful restart nothing is kept of somebody who is gone.
pub(crate) async fn a_killed_agent_loses_its_routes_at_once<P: Peer>() -> anyhow::Result<Sent> {
    story::<P>(Options::default(), Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        pair.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        pair.has_none().await?;
        pair.start_agent().await?;
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        pair.proven(&[Feature::AgentRestart])
    })
    .await
}

/// Again and again under load, with a signed session where the peer can sign.
pub(crate) async fn an_upgraded_agent_is_the_same_to_its_peer<P: Peer>() -> anyhow::Result<Sent> {
    let signs = P::cannot(Feature::Md5).is_none();
    let options = Options { md5: signs.then_some(PASSWORD), hold_time: 3, ..Options::default() };
    let neighbor = if signs { ", password_file: /etc/anycastd/rtr.password" } else { "" };
    let agent = Agent { neighbor, password: PASSWORD, ..Agent::default() };
    let sent = story::<P>(options, agent, async |pair: &Pair<P>| {
        pair.has_both().await?;
        // What is left to be said after the routes.
        let told = |neighbor: &Value| neighbor["counters"]["keepalive_sent"].as_u64() >= Some(2);
        pair.wait("all is told", told).await?;
        let before = pair.session().await?;
        let load = Load::begin(&pair.lab).await?;
        let count = std::env::var(COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(UPGRADES);
        let mut longest: f64 = 0.0;
        for n in 1..=count {
            let upgraded = pair.ask(&["upgrade"]).await.with_context(|| format!("upgrade {n}"))?;
            ensure!(upgraded["sessions"] == 1 && upgraded["lost"] == serde_json::json!({}), "upgrade {n}: {upgraded}");
            longest = longest.max(upgraded["stopped_seconds"].as_f64().unwrap_or(f64::MAX));
        }
        let (answered, lost) = load.end().await?;
        eprintln!(
            "{count} upgrades, nothing decided for at most {longest} s; {answered} requests answered, {lost} lost"
        );
        ensure!(answered > count && lost == 0, "{answered} requests were answered, {lost} lost");
        // More than a hold time: the keepalives go on in both directions.
        let (sent, heard) = (pair.counted("keepalive_sent").await?, pair.counted("keepalive_received").await?);
        let alive = |neighbor: &Value| {
            let more = |counter: &str, than: u64| neighbor["counters"][counter].as_u64() >= Some(than + 4);
            more("keepalive_sent", sent) && more("keepalive_received", heard)
        };
        pair.wait("keepalives go on", alive).await?;
        ensure!(pair.session().await? == before, "{before:?} became {:?}", pair.session().await?);
        ensure!(pair.counted("established").await? == 1, "all in one session");
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        pair.order(&["withdraw", "--now", "--wait", "--timeout", "20s"]).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::AgentUpgrade])
    })
    .await?;
    // The routes of two families with their ends, and the two withdraws.
    ensure!(sent.messages.get(&2).is_some_and(|updates| *updates <= 6), "{sent:?}");
    Ok(sent)
}

async fn both_ends_sign_with_one_password_or_do_not_hear_each_other<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { md5: Some(PASSWORD), hold_time: 3, ..Options::default() };
    let unsigned = Agent::default();
    let neighbor = ", password_file: /etc/anycastd/rtr.password";
    let signed = Agent { neighbor, password: "not this one", ..Agent::default() };
    let able = P::cannot(Feature::Md5).is_none();
    story::<P>(options, if able { &signed } else { &unsigned }.clone(), async |pair: &Pair<P>| {
        if !able {
            return pair.has_both().await.map(drop);
        }
        let unheard = |neighbor: &Value| neighbor["last_error"].as_str().is_some_and(|error| error.contains("MD5"));
        pair.wait("the wrong one is not heard", unheard).await?;
        ensure!(P::route(&pair.lab, V4).await?.is_none(), "nothing is announced to it");
        pair.password(PASSWORD).await?;
        pair.reload().await?;
        pair.has_both().await?;
        let neighbor = pair.neighbor().await?;
        ensure!(neighbor["transport"]["authentication"] == "tcp-md5", "{neighbor}");
        pair.proven(&[Feature::Md5, Feature::WrongMd5])
    })
    .await
}

async fn what_comes_from_farther_away_is_not_heard<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { gtsm: true, hold_time: 3, ..Options::default() };
    let near = Agent { neighbor: ", ttl_security: 1", ..Agent::default() };
    let able = P::cannot(Feature::Gtsm).is_none();
    story::<P>(options, if able { near } else { Agent::default() }, async |pair: &Pair<P>| {
        pair.has_both().await?;
        if !able {
            return Ok(());
        }
        let neighbor = pair.neighbor().await?;
        ensure!(neighbor["transport"]["min_ttl"] == 255, "{neighbor}");
        // With a TTL of 1, as is the custom without GTSM. Some look at it only in what follows the first messages.
        pair.configure(&Agent::default()).await?;
        pair.reload().await?;
        let failed = |neighbor: &Value| {
            let error = neighbor["last_error"].as_str().unwrap_or_default();
            ["timed out", "reset", "closed", "no KEEPALIVE"].iter().any(|part| error.contains(part))
        };
        pair.wait("it is not heard", failed).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::Gtsm])
    })
    .await
}

pub(crate) async fn a_peer_may_dial<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { dials: true, ..Options::default() };
    let agent = Agent { neighbor: ", connect: passive", ..Agent::default() };
    story::<P>(options, agent, async |pair: &Pair<P>| {
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        pair.upgraded().await?;
        pair.order(&["withdraw", "--now"]).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::PeerDials])
    })
    .await
}

/// The keys are on the listener, and so is GTSM.
pub(crate) async fn a_peer_that_dials_signs_and_is_near<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { dials: true, ipv6: true, md5: Some(PASSWORD), gtsm: true, ..Options::default() };
    let neighbor = ", connect: passive, password_file: /etc/anycastd/rtr.password, ttl_security: 1";
    let agent = Agent { neighbor, password: PASSWORD, ..Agent::default() };
    story::<P>(options, agent, async |pair: &Pair<P>| {
        pair.has_both().await?;
        let transport = pair.neighbor().await?["transport"].clone();
        ensure!(transport["authentication"] == "tcp-md5" && transport["min_ttl"] == 255, "{transport}");
        pair.upgraded().await?;
        pair.proven(&[Feature::PeerDialsProtected])
    })
    .await
}

pub(crate) async fn a_restarting_agent_keeps_its_routes<P: Peer>() -> anyhow::Result<Sent> {
    let options = Options { graceful_restart: true, ..Options::default() };
    let agent = Agent { neighbor: ", graceful_restart: true", ..Agent::default() };
    story::<P>(options, agent, async |pair: &Pair<P>| {
        pair.has_both().await?;
        let heard = pair.session().await?.heard.contains(&Capability::GracefulRestart);
        if P::cannot(Feature::GracefulRestart).is_some() {
            return Ok(());
        }
        ensure!(heard, "the capability is not heard");
        pair.upgraded().await?;
        pair.lab.kill("edge", "anycastd", Signal::SIGKILL).await?;
        let over = async || Ok(P::session(&pair.lab, &pair.options).await?.is_none().then_some(()));
        pair.lab.wait("the session is over", over).await?;
        for prefix in [V4, V6] {
            ensure!(P::route(&pair.lab, prefix).await?.is_some(), "{prefix} is not kept");
        }
        pair.start_agent().await?;
        pair.session().await?;
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");

        // RFC 8538: who does not come back takes its routes along.
        pair.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::GracefulRestart])
    })
    .await
}

pub(crate) async fn an_agent_that_ends_says_so<P: Peer>() -> anyhow::Result<Sent> {
    story::<P>(Options::default(), Agent::default(), async |pair: &Pair<P>| {
        pair.has_both().await?;
        pair.lab.kill("edge", "anycastd", Signal::SIGTERM).await?;
        pair.has_none().await?;
        let gone = async || Ok(pair.lab.pids("edge", "anycastd").await?.is_empty().then_some(()));
        pair.lab.wait("it has ended", gone).await?;
        let over = async || Ok(P::session(&pair.lab, &pair.options).await?.is_none().then_some(()));
        pair.lab.wait("the session is over", over).await?;
        let said = P::farewell(&pair.lab, &pair.options).await?;
        pair.settle(Feature::Farewell, said.contains("anycastd is shutting down")).await
    })
    .await
}

/// RFC 8950 and link-local addresses: nothing is configured but the interface.
pub(crate) async fn a_link_is_enough<P: Peer>() -> anyhow::Result<Sent> {
    if P::cannot(Feature::Unnumbered).is_some() {
        return Ok(Sent::default());
    }
    let options = Options { unnumbered: true, extended_next_hop: true, ..Options::default() };
    story::<P>(options, Agent::default(), async |pair: &Pair<P>| {
        let [v4, v6] = pair.has_both().await?;
        ensure!(is_plain(&v4) && is_plain(&v6), "{v4:?} {v6:?}");
        ensure!(v4.next_hop.contains(':'), "{v4:?}");
        let neighbor = pair.neighbor().await?;
        let at = neighbor["remote_address"].as_str().unwrap_or_default();
        ensure!(at.starts_with("[fe80:"), "{neighbor}");
        pair.upgraded().await?;
        pair.order(&["withdraw", "--now"]).await?;
        pair.has_none().await?;
        pair.proven(&[Feature::Unnumbered])
    })
    .await
}

/// RFC 2545 §3: 16 octets or 32, and routers differ in what they take.
pub(crate) async fn an_ipv6_next_hop_may_be_link_local<P: Peer>() -> anyhow::Result<Sent> {
    let both = Agent { neighbor: ", next_hop: { ipv6_link_local: auto }", ..Agent::default() };
    let alone = Agent { neighbor: ", next_hop: { ipv6: none }", ..Agent::default() };
    story::<P>(Options::default(), both, async |pair: &Pair<P>| {
        let [_, v6] = pair.has_both().await?;
        ensure!(is_plain(&v6) && v6.next_hop == "2001:db8:1::2", "{v6:?}");
        let hops = pair.neighbor().await?["session"]["next_hops"]["ipv6"].to_string();
        ensure!(hops.contains("2001:db8:1::2") && hops.contains("fe80:"), "{hops}");
        pair.upgraded().await?;
        pair.proven(&[Feature::GlobalAndLinkLocal])?;

        pair.configure(&alone).await?;
        pair.reload().await?;
        pair.has(V4, "again", is_plain).await?;
        if P::cannot(Feature::LinkLocalAlone).is_none() {
            pair.has(V6, "by the link-local address", |route| route.next_hop.starts_with("fe80:")).await?;
            pair.upgraded().await?;
            pair.proven(&[Feature::LinkLocalAlone])?;
        }
        Ok(())
    })
    .await
}
