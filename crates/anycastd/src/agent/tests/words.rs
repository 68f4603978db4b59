//! What is said of what is not as it should be.

use anycast_api as api;
use std::os::unix::fs::PermissionsExt as _;

use anycast_api::LinkState;

use super::*;

/// A check by a program that is not there yet, and that is believed for long.
const PROGRAM: &str = "    checks: [{ name: asks, type: exec, command: [\"{}/asks\"], interval: 20ms, fast_interval: 10ms, \
                       rise: 1, fall: 1 }]\nstale_after: 1h\n";

fn link<'a>(told: &'a api::PrefixExplanation, kind: &str) -> &'a api::Link {
    told.chain.iter().find(|link| link.kind == kind).unwrap()
}

impl Home {
    fn program(&self, text: &str) {
        let (file, new) = (self.directory.path().join("asks"), self.directory.path().join("new"));
        std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&new, &file).unwrap();
    }

    /// Since what was said of it last, the check says this.
    async fn says(&self, part: &str) -> Vec<String> {
        self.until(
            |agent| agent.ring().since(None),
            |events| events.iter().any(|event| event.kind == "check" && event.text.contains(part)),
        )
        .await;
        let mut events = self.events().await;
        events.retain(|event| event.starts_with("check ") && event.contains(part));
        events
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_done_any_more_says_so_at_once() {
    let home = Home::with(PROGRAM);
    home.program("exit 0");
    home.explained("dns is up").await;
    std::fs::remove_file(home.directory.path().join("asks")).unwrap();
    let problem = home.problem("check dns/asks cannot be done: ").await;
    assert!(problem.contains("what was known (up) holds for ") && problem.contains("mend the check"), "{problem}");
    let told = home.explained("dns is up").await;
    let check = link(&told, "check");
    assert_eq!(check.ok, LinkState::Warning, "{check:?}");
    assert!(check.text.starts_with("up: cannot be done: cannot run ") && check.text.contains(" more"), "{check:?}");
    assert!(check.hint.as_ref().unwrap().starts_with("mend the check: "), "{check:?}");
    let check = home.check().await;
    assert_eq!((check.health, check.holds_seconds.unwrap() > 60.0), (api::Health::Up, true));
    assert!(check.cannot_run.unwrap().contains("cannot run "));
    let runs = check.runs;
    home.until(move |agent| agent.status().services.remove(0).checks.remove(0).runs > runs + 3, |more| *more).await;
    let events = home.says("what was known (up) holds for ").await;
    assert_eq!(events.len(), 1, "once, not at each run: {events:#?}");

    home.program("exit 0");
    home.says("can be done again, and stays up").await;
    let check = home.check().await;
    assert_eq!((check.cannot_run, check.holds_seconds), (None, None));
}

#[tokio::test]
async fn a_check_that_is_down_and_cannot_be_done_does_not_blame_the_service() {
    let home = Home::with(FILE);
    home.explained("dns is down").await;
    let well = home.directory.path().join("well");
    std::os::unix::fs::symlink(&well, &well).unwrap();
    let problem = home.problem("check dns/asks cannot be done: cannot look at ").await;
    assert!(problem.contains(", was down: ") && problem.contains("is not there"), "{problem}");
    let told = home.explained("dns is down").await;
    let check = link(&told, "check");
    assert_eq!(check.ok, LinkState::Broken);
    assert!(check.text.starts_with("down: cannot be done: ") && check.text.contains(", was down: "), "{check:?}");
    assert!(check.hint.as_ref().unwrap().starts_with("mend the check: "), "{check:?}");
    home.says("it stays down until it can").await;
}

#[tokio::test]
async fn an_order_says_whom_it_was_for_and_what_it_ends() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    let before = home.explained("dns is up").await;
    home.withdraw(&[], "new kernel").await;
    let told = home.explained("dns is withdrawn for maintenance").await;
    let drain = link(&told, "drain");
    assert!(drain.text.contains("ordered by noc at ") && drain.text.contains(" for the whole node"), "{drain:?}");
    assert!(drain.hint.as_ref().unwrap().ends_with("`anycastctl announce` for the whole node"), "{drain:?}");
    assert_eq!(link(&told, "service").since, link(&before, "service").since, "an order does not change its health");
    let note = home.announce(&[], true).await;
    assert!(note.starts_with("ended the withdraw by noc since 2"), "{note}");
    assert!(note.ends_with(": new kernel; announced once a session is Established: there is none now"), "{note}");

    home.withdraw(&["dns"], "new disk").await;
    let told = home.explained("dns is withdrawn for maintenance").await;
    assert!(!link(&told, "drain").text.contains("whole node"), "{told:#?}");
}

#[tokio::test]
async fn what_is_unbound_by_an_order_is_not_to_be_mended() {
    let home = Home::with(
        "    checks: [{ name: asks, type: file, path: / }]\n    unbind: drained\n    drain: { linger: 10ms }\n",
    );
    home.explained("dns is up").await;
    home.withdraw(&["dns"], "new disk").await;
    home.until(|agent| agent.status().services.remove(0).state, |state| *state == api::ServiceState::Drained).await;
    home.kernel.send_modify(|state| Arc::make_mut(state).addresses.clear());
    let bound = |told: &api::PrefixExplanation| link(told, "address").text.starts_with("bound");
    let ask = |agent: &mut Agent| agent.explain("dns").unwrap().prefixes.remove(0);
    let told = home.until(ask, |told| !bound(told)).await;
    let address = link(&told, "address");
    assert_eq!((address.text.as_str(), &address.hint), ("unbound while drained", &None));
    home.until(ask, |told| link(told, "check").text.contains("unbound while drained")).await;
    let note = home.announce(&["dns"], false).await;
    assert!(note.contains("; it begins to bind its addresses, and to check them: "), "{note}");
}

#[tokio::test]
async fn that_nobody_is_told_is_a_problem() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    let told = home.explained("dns is up").await;
    let neighbor = link(&told, "neighbor");
    assert_eq!((neighbor.ok, neighbor.text.as_str()), (LinkState::Broken, NOBODY));
    let status = home.handle.ask(|agent| agent.status()).await.unwrap();
    assert_eq!((status.healthy, status.problems.as_slice()), (false, &[NOBODY.to_owned()][..]));
    assert_eq!(status.services[0].prefixes[0].notes, ["0 of 0 neighbors"]);
}

/// Two services of one prefix; `web` is well, `dns` is not.
const SHARED: &str = "    prefixes: [203.0.113.0/24]\n    checks: [{ name: asks, type: file, path: /no/such/file }]\n  - name: web\n    \
                      addresses: [203.0.113.54]\n    prefixes: [203.0.113.0/24]\n    checks: [{ name: asks, type: file, path: / }]\n";

#[tokio::test]
async fn a_prefix_that_another_service_carries_says_so() {
    let home = Home::with(&format!("{SHARED}prefixes: {{ 203.0.113.0/24: {{ require: any }} }}\n"));
    home.explained("web is up").await;
    let status = home.until(|agent| agent.status(), |status| status.services[0].health == api::Health::Down).await;
    let notes = |n: usize| status.services[n].prefixes[0].notes.clone();
    assert_eq!(
        (notes(0), notes(1)),
        (vec!["by web".to_owned(), "0 of 0 neighbors".to_owned()], vec!["0 of 0 neighbors".to_owned()])
    );
}

#[tokio::test]
async fn a_prefix_that_another_service_could_carry_names_the_key() {
    let home = Home::with(SHARED);
    let ask = |agent: &mut Agent| agent.explain("dns").unwrap().prefixes.remove(0);
    let told = home.until(ask, |told| link(told, "decision").hint.is_some()).await;
    let hint = link(&told, "decision").hint.clone().unwrap();
    assert!(hint.ends_with("`prefixes: { \"203.0.113.0/24\": { require: any } }`"), "{hint}");
    let status = home.until(|agent| agent.status(), |status| status.services[0].health == api::Health::Down).await;
    let notes = |n: usize| status.services[n].prefixes[0].notes.clone();
    assert_eq!((notes(0), notes(1)), (vec![], vec!["dns is down".to_owned()]), "who is well says who is not");
}

/// `api` needs `web`, and that `dns`, which has these keys.
fn three(keys: &str) -> Home {
    let needs = |name: &str, host: u8, on: &str| {
        format!(
            "  - name: {name}\n    addresses: [203.0.113.{host}]\n    depends_on: [{on}]\n    checks: [{{ name: asks, type: file, \
             path: / }}]\n"
        )
    };
    let dns = format!("    checks: [{{ name: asks, type: file, path: / }}]\n    drain: {{ linger: 10ms }}\n{keys}");
    Home::with(&format!("{dns}{}{}", needs("web", 54, "dns"), needs("api", 53, "web")))
}

#[tokio::test]
async fn an_order_names_what_goes_with_it() {
    let home = three("");
    home.explained("dns is up").await;
    let notes = async |services: &[&str], mode| {
        let reply = home.order(services, mode).await;
        reply.dependents.into_iter().map(|dependent| dependent.note).collect::<Vec<_>>()
    };
    let goes = "it goes down with it, without a drain";
    let api = format!("api depends on web, which depends on dns: {goes}");
    assert_eq!(notes(&["dns"], api::WithdrawMode::Degrade).await, Vec::<String>::new(), "it goes on to serve");
    assert_eq!(notes(&["dns"], api::WithdrawMode::Now).await, [api.clone(), format!("web depends on dns: {goes}")]);
    assert_eq!(notes(&["dns", "web"], api::WithdrawMode::Now).await, [format!("api depends on web: {goes}")]);
    assert_eq!(notes(&["dns"], api::WithdrawMode::Now).await, [api], "`web` is withdrawn already");
    assert_eq!(notes(&[], api::WithdrawMode::Now).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_operator_unbound_is_named_as_that() {
    let home = three("    unbind: drained\n");
    home.explained("dns is up").await;
    let reply = home.order(&["dns"], api::WithdrawMode::Now).await;
    let web = reply.dependents.iter().find(|dependent| dependent.service == "web").unwrap();
    let goes = "web depends on dns: it goes as soon as dns is drained and unbound, without a drain";
    assert_eq!((web.note.as_str(), &web.depends_on[..]), (goes, &["dns".to_owned()][..]));
    home.until(|agent| agent.status().services.remove(1).state, |state| *state == api::ServiceState::Drained).await;
    home.kernel.send_modify(|state| drop(Arc::make_mut(state).addresses.remove(&[203, 0, 113, 53].into())));
    let ask = |agent: &mut Agent| agent.explain("web").unwrap().prefixes.remove(0);
    let told = home.until(ask, |told| told.summary.contains("web depends on dns, which is withdrawn by noc")).await;
    assert_eq!(link(&told, "dependency").text, "dns is withdrawn by noc");
}

#[tokio::test]
async fn a_shared_check_that_fails_is_blamed_for_no_more_than_it_does() {
    let home = Home::with(
        "    checks:\n      - { name: asks, type: file, path: / }\n      - { name: upstream, type: file, path: /no/such/file, \
         scope: shared, interval: 20ms, fast_interval: 10ms }\n",
    );
    home.explained("dns is degraded").await;
    let ask = |agent: &mut Agent| agent.explain("dns").unwrap().prefixes.remove(0);
    let blames = "degraded: its shared check `upstream` is down; its only local check passes";
    let told = home.until(ask, |told| link(told, "service").text.contains("is down")).await;
    assert!(link(&told, "service").text.starts_with(blames), "{told:#?}");
    let check = told.chain.iter().find(|link| link.name == "dns/upstream").unwrap();
    assert!(
        check.hint.as_ref().unwrap().starts_with("it degrades dns and no more, and is every node's: "),
        "{check:?}"
    );
}

#[tokio::test]
async fn a_summary_counts_whom_it_is_announced_to() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    home.explained("dns is up").await;
    let said = |good: usize| {
        home.handle.ask(move |agent| {
            let (prefix, verdict) = agent.desired.prefixes.iter().next().unwrap();
            let links = [0, 1, 2].map(|n| api::Link {
                kind: "neighbor".to_owned(),
                name: String::new(),
                ok: if n < good { LinkState::Ok } else { LinkState::Broken },
                text: String::new(),
                since: None,
                hint: None,
            });
            explain::summary(*prefix, verdict, "dns is up", &links)
        })
    };
    let dns = "203.0.113.53/32 is";
    for (good, words) in [
        (3, format!("{dns} announced to 3 of 3 neighbors: dns is up")),
        (1, format!("{dns} announced to 1 of 3 neighbors: dns is up")),
        (0, format!("{dns} to be announced (dns is up); none of 3 neighbors has acknowledged it")),
    ] {
        assert_eq!(said(good).await.unwrap(), words);
    }
}

#[test]
fn who_is_not_given_a_prefix_is_told_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("anycastd.yaml");
    let text = "\
bgp:
  asn: 65010
  router_id: 192.0.2.2
  neighbors:
    - { name: a, address: 192.0.2.1, asn: 65001 }
    - { name: b, address: 192.0.2.3, asn: 65001 }
    - { name: c, address: 192.0.2.4, asn: 65001, families: [ipv6] }
    - { name: d, address: 192.0.2.5, asn: 65001 }
services:
  - name: dns
    addresses: [203.0.113.53, \"2001:db8::53\"]
    neighbors: [a, { name: b, families: [ipv6] }, c]
    checks: [{ name: tcp, type: tcp, port: 53 }]
";
    std::fs::write(&file, text).unwrap();
    let core = crate::config::load(&file, false).unwrap_or_else(|error| panic!("{error}")).settings.core;
    let service = core.services.get("dns").unwrap();
    let told = |prefix: &str| -> Vec<String> {
        let links = core
            .neighbors
            .iter()
            .filter_map(|(id, neighbor)| explain::not_given(id, neighbor, service, prefix.parse().unwrap()));
        links.map(|link| format!("{}: {}", link.name, link.text)).collect()
    };
    let d = "d: not given this prefix: its services do not name it (`neighbors`)";
    assert_eq!(
        told("203.0.113.53/32"),
        [
            "b: not given this prefix: its services give it no ipv4 prefixes (`families` in `neighbors`)",
            "c: not given this prefix: it carries no ipv4 prefixes (`families`)",
            d
        ]
    );
    assert_eq!(told("2001:db8::53/128"), [d]);
}

/// `status` says the same of it.
#[tokio::test]
async fn a_neighbor_that_is_to_connect_is_waited_for_and_what_may_keep_it_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let password = directory.path().join("password");
    std::fs::write(&password, "hunter2\n").unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let neighbors = format!(
        "[{{ name: open, address: 192.0.2.1, asn: 65001, connect: passive }}, {{ name: signed, address: 192.0.2.3, asn: 65001, connect: \
         passive, password_file: {} }}]",
        password.display()
    );
    let home = Home::of(&neighbors, "    checks: [{ name: asks, type: file, path: / }]\n");
    let told = home.explained("dns is up").await;
    let links: Vec<_> = told.chain.iter().filter(|link| link.kind == "neighbor").collect();
    let texts: Vec<&str> = links.iter().map(|link| link.text.as_str()).collect();
    assert_eq!(texts, ["Active: waits for the neighbor to connect"; 2]);
    let hints: Vec<&str> = links.iter().filter_map(|link| link.hint.as_deref()).collect();
    assert!(hints.iter().all(|hint| hint.contains("not wait as well? `anycastctl doctor` looks")), "{hints:#?}");
    let signed: Vec<bool> = hints.iter().map(|hint| hint.contains("TcpExtTCPMD5NotFound")).collect();
    assert_eq!(signed, [false, true], "{hints:#?}");
}

#[tokio::test]
async fn what_goes_with_the_agent_is_no_maintenance() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    home.explained("dns is up").await;
    let ends = |agent: &mut Agent| {
        agent.stop("SIGTERM");
        agent.turn();
        agent.explain("dns").unwrap().prefixes.remove(0).summary
    };
    let told = home.handle.order(ends).await.unwrap();
    assert_eq!(told, "203.0.113.53/32 is not announced: dns is withdrawn as the agent ends (SIGTERM)");

    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    home.explained("dns is up").await;
    home.withdraw(&[], "new kernel").await;
    let told = home.handle.order(ends).await.unwrap();
    assert!(told.ends_with("dns is withdrawn for maintenance"), "{told}");
}

#[tokio::test]
async fn a_withdraw_that_nobody_hears_is_not_acknowledged() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n    drain: { linger: 1h }\n");
    home.explained("dns is up").await;
    let note = async || home.order(&["dns"], api::WithdrawMode::Graceful).await.services.remove(0).note;
    let first = note().await;
    assert!(
        first.starts_with("withdrawn; no session is Established, so there was nobody to tell; lingering"),
        "{first}"
    );
    let second = note().await;
    assert!(second.starts_with("withdrawn already; lingering until "), "{second}");
}

/// The closest first.
#[tokio::test]
async fn an_address_is_explained_by_its_longest_prefix_first() {
    let home = Home::with(
        "    prefixes: [203.0.113.0/24, 203.0.113.53/32, 203.0.113.0/25]\n    checks: [{ name: asks, type: file, path: / }]\n",
    );
    let told = home.handle.ask(|agent| agent.explain("203.0.113.53").unwrap()).await.unwrap();
    let prefixes: Vec<&str> = told.prefixes.iter().map(|told| told.prefix.as_str()).collect();
    assert_eq!(prefixes, ["203.0.113.53/32", "203.0.113.0/25", "203.0.113.0/24"]);
}

/// As a script gives it whose variable is not set.
#[tokio::test]
async fn a_reason_of_nothing_is_none() {
    let home = Home::with("    checks: [{ name: asks, type: file, path: / }]\n");
    home.explained("dns is up").await;
    for (said, kept) in [("", None), ("  ", None), ("new disk", Some("new disk")), ("", Some("new disk"))] {
        home.withdraw(&["dns"], said).await;
        let reason = home.handle.ask(|agent| agent.status().services.remove(0).drain.unwrap().reason).await.unwrap();
        assert_eq!(reason.as_deref(), kept, "{said:?}");
    }
}
