use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::render::testing::{address, answer, check, neighbor, node, prefix, service, view};

fn text(with: Value) -> String {
    let text = page(&node(with), view()).paint(false);
    for line in text.lines() {
        assert!(Line::plain(line).width() <= 100, "too wide: {line}");
    }
    text
}

#[test]
fn the_drawing() {
    assert_snapshot!(text(json!({})), @r#"
        edge-sin1  AS65010  ap-southeast-1  up 3d 04:12  anycastd 0.4.0

        SERVICE  STATE     SINCE     ANNOUNCED                         CHECKS
        dns      up        3d 04:11  203.0.113.0/24  2001:db8:53::/48  resolves ✓ 0.4 ms   serves ✓ 2.1 ms
        web      degraded  00:02:10  198.51.100.0/24 (prepend 3)       load ! "load 9.1"
        mail     drained   00:14:02  –   "kernel update" until 15:00Z  smtp ✓ 0.8 ms

        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  –    3       –
        leaf2     eth1       65002  Active       00:00:41  –    0       connect: refused (retry in 3 s)
        "#);
}

#[test]
fn what_is_remarkable_has_its_section() {
    let mut foreign = address("203.0.113.3", true);
    foreign["foreign"] = true.into();
    let mut unbound = address("2001:db8:53::53", false);
    unbound["interface"] = Value::Null;
    unbound["problem"] =
        "netlink: Operation not permitted; does the unit grant CAP_NET_ADMIN? tried 7 times, again in 3 s".into();
    let mut leaf = neighbor("leaf1");
    leaf["unsendable"] = json!({"2001:db8:53::/48": "there is no IPv6 next hop on this session"});
    leaf["last_error"] = "they sent Cease, administrative reset".into();
    leaf["last_error_at"] = "2026-11-23T14:00:00Z".into();
    let problems = [
        "the last reload was refused, the configuration of 14:02 stays in force: line 12, column 5: unknown key `asnn`",
        "leaf1 cannot be given 2001:db8:53::/48: there is no IPv6 next hop on this session",
    ];
    assert_snapshot!(text(json!({
        "stopping": true, "region": null, "problems": problems, "neighbors": [leaf],
        "addresses": [address("203.0.113.4", true), foreign, unbound],
    })), @r#"
        edge-sin1  AS65010  up 3d 04:12  anycastd 0.4.0  stopping

        SERVICE  STATE     SINCE     ANNOUNCED                         CHECKS
        dns      up        3d 04:11  203.0.113.0/24  2001:db8:53::/48  resolves ✓ 0.4 ms   serves ✓ 2.1 ms
        web      degraded  00:02:10  198.51.100.0/24 (prepend 3)       load ! "load 9.1"
        mail     drained   00:14:02  –   "kernel update" until 15:00Z  smtp ✓ 0.8 ms

        ADDRESS          ON  STATE             SINCE     PROBLEM
        203.0.113.3      lo  bound by another  3d 04:12  –
        2001:db8:53::53  –   not bound         3d 04:12  netlink: Operation not permitted; does the unit
                                                         grant CAP_NET_ADMIN? tried 7 times, again in 3 s

        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  –    3       –

        PROBLEMS
        ✗ the last reload was refused, the configuration of 14:02 stays in force: line 12, column 5: unknown
          key `asnn`
        ✗ leaf1 cannot be given 2001:db8:53::/48: there is no IPv6 next hop on this session
        "#);
}

#[test]
fn every_state_of_a_drain_and_a_check() {
    let announced = json!([prefix("203.0.113.0/24", true, &["graceful-shutdown"])]);
    let with_drain = |name: &str, phase: &str, ends: Value, reason: Value, until: Value| {
        let mut service = service(name, "draining", 8.0, announced.clone(), json!([]));
        service["drain"] = json!({"phase": phase, "since": "2026-11-23T14:29:52Z", "phase_ends": ends, "by": "uid 1000",
            "ordered": "2026-11-23T14:29:52Z", "reason": reason, "until": until});
        service
    };
    let mut turning = check("turning", 0.02);
    turning["turning"] = json!([2, 3]);
    turning["last"] = answer("down", "connect: refused", 0.0);
    let mut paused = check("paused", 0.02);
    paused["health"] = "unknown".into();
    paused["paused"] = "not checked: unbound".into();
    let mut fresh = check("fresh", 0.02);
    fresh["health"] = "unknown".into();
    fresh["last"] = Value::Null;
    fresh["counts"] = false.into();
    let part = json!([prefix("203.0.113.0/24", true, &[]), prefix("2001:db8:53::/48", false, &["web is down"])]);
    assert_snapshot!(text(json!({"neighbors": [], "services": [
        with_drain("a", "graceful_shutdown", "2026-11-23T14:30:42Z".into(), Value::Null, Value::Null),
        with_drain("b", "withdrawing", Value::Null, "new disk".into(), "2026-12-01T08:00:00Z".into()),
        with_drain("c", "lingering", "2026-11-23T14:30:05Z".into(), Value::Null, Value::Null),
        with_drain("d", "degraded", Value::Null, Value::Null, Value::Null),
        service("e", "up", 61.0, part, json!([turning, paused, fresh])),
        service("f", "unknown", 1.0, json!([prefix("192.0.2.0/24", false, &[])]), json!([])),
    ]})), @r#"
        edge-sin1  AS65010  ap-southeast-1  up 3d 04:12  anycastd 0.4.0

        SERVICE  STATE     SINCE     ANNOUNCED                            CHECKS
        a        draining  00:00:08  203.0.113.0/24 (graceful-shutdown)
                                     (withdraws in 00:00:42)
        b        draining  00:00:08  203.0.113.0/24 (graceful-shutdown)
                                     "new disk" until 2026-12-01 08:00Z
                                     (waits for acknowledgement)
        c        draining  00:00:08  203.0.113.0/24 (graceful-shutdown)
                                     (safe to stop in 00:00:05)
        d        draining  00:00:08  203.0.113.0/24 (graceful-shutdown)
                                     by uid 1000
        e        up        00:01:01  203.0.113.0/24                       turning ✓ 2/3 "connect: refused"
                                     not 2001:db8:53::/48 (web is down)   paused ? not checked: unbound
                                                                          fresh ? (does not count yet)
        f        unknown   00:00:01  –
        "#);
}

#[test]
fn very_long_names() {
    let name = "a-service-whose-name-is-as-long-as-a-name-may-be-".repeat(2);
    let prefixes: Vec<_> = (0..5).map(|n| prefix(&format!("2001:db8:{n}000:aaaa:bbbb:cccc::/96"), true, &[])).collect();
    let checks: Vec<_> =
        (0..5).map(|n| check(&format!("check-number-{n}-with-a-long-name-of-its-own"), 0.0123)).collect();
    let mut long = neighbor(&"transit-".repeat(6));
    long["address"] = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".into();
    long["asn"] = "4200000001".into();
    long["state"] = "OpenConfirm".into();
    long["last_error"] = "they closed the connection before their OPEN came".into();
    assert_snapshot!(text(json!({
        "node": "n".repeat(63),
        "services": [service(&name, "up", 5.0, prefixes.into(), checks.into())],
        "neighbors": [long],
    })), @r#"
        nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn  AS65010  ap-southeast-1  up 3d
        04:12  anycastd 0.4.0

        SERVICE                              STATE  SINCE     ANNOUNCED                 CHECKS
        a-service-whose-name-is-as-long-as-  up     00:00:05  2001:db8:0000:aaaa:bbbb:  check-number-0-with-
        a-name-may-be-a-service-whose-name-                   cccc::/96                 a-long-name-of-its-o
        is-as-long-as-a-name-may-be-                          2001:db8:1000:aaaa:bbbb:  wn ✓ 12 ms
                                                              cccc::/96                 check-number-1-with-
                                                              2001:db8:2000:aaaa:bbbb:  a-long-name-of-its-o
                                                              cccc::/96                 wn ✓ 12 ms
                                                              2001:db8:3000:aaaa:bbbb:  check-number-2-with-
                                                              cccc::/96                 a-long-name-of-its-o
                                                              2001:db8:4000:aaaa:bbbb:  wn ✓ 12 ms
                                                              cccc::/96                 check-number-3-with-
                                                                                        a-long-name-of-its-o
                                                                                        wn ✓ 12 ms
                                                                                        check-number-4-with-
                                                                                        a-long-name-of-its-o
                                                                                        wn ✓ 12 ms

        NEIGHBOR          ADDRESS           AS          STATE        SINCE     BFD  ROUTES  LAST ERROR
        transit-transit-  2001:db8:aaaa:bb  4200000001  OpenConfirm  3d 04:12  –    3       they closed the
        transit-transit-  bb:cccc:dddd:eee                                                  connection
        transit-transit-  e:ffff                                                            before their
                                                                                            OPEN came
        "#);
}

#[test]
fn forty_services() {
    let services: Vec<_> = (0..40)
        .map(|n| {
            service(
                &format!("service-{n:02}"),
                "up",
                5.0,
                json!([prefix(&format!("10.0.{n}.0/24"), true, &[])]),
                json!([check("http", 0.001)]),
            )
        })
        .collect();
    let text = text(json!({"services": services}));
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("service-")).collect();
    assert_eq!(rows.len(), 40);
    let column = |line: &str| line.find("10.0.");
    assert!(rows.iter().all(|row| column(row) == column(rows[0])), "{text}");
}

#[test]
fn fields_of_a_newer_agent_are_ignored() {
    let plain = text(json!({}));
    assert_eq!(text(json!({"new_field": {"deep": [1, 2, 3]}})), plain);
}

#[test]
fn colour_changes_nothing_but_colour() {
    let page = page(&node(json!({})), view());
    let mut painted = page.paint(true);
    assert!(painted.contains("\x1b[32mup\x1b[0m"), "{painted:?}");
    for code in [0, 1, 2, 31, 32, 33] {
        painted = painted.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(painted, page.paint(false));
}

#[test]
fn a_check_that_cannot_be_done_is_no_longer_shown_as_well() {
    let mut known = check("asks", 0.02);
    known["cannot_run"] = "cannot run /asks: No such file or directory".into();
    known["holds_seconds"] = 6.2.into();
    known["last"] = answer("unknown", "cannot run /asks: No such file or directory", 0.0);
    let mut down = known.clone();
    (down["health"], down["holds_seconds"]) = ("down".into(), Value::Null);
    let shown = |check: &Value| super::check(&serde_json::from_value(check.clone()).unwrap()).paint(false);
    let why = "cannot be done: \"cannot run /asks: No such file or directory\"";
    assert_eq!(shown(&known), format!("asks ! {why} (up for 7 s more)"));
    assert_eq!(shown(&down), format!("asks ✗ {why}"));
}

#[test]
fn a_node_with_nothing_to_do_says_so() {
    let line = |services: bool, neighbors: bool| {
        let mut status = node(json!({}));
        if !services {
            status.services.clear();
        }
        if !neighbors {
            status.neighbors.clear();
        }
        let text = page(&status, view()).paint(false);
        text.lines().find(|line| line.contains("configured")).unwrap_or_default().to_owned()
    };
    assert_eq!(line(true, true), "");
    assert_eq!(line(false, true), "no services are configured: there is nothing to announce");
    assert_eq!(line(true, false), "", "the agent says that, as a problem");
    assert!(line(false, false).starts_with("no services and no neighbors are configured: "));
}
