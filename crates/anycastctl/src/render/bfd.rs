//! BFD of a neighbor.

use anycast_api::{Bfd, BfdHold, BfdSession, Neighbor};

use super::{
    View,
    line::{Line, Style},
    nothing, when,
};

/// In one word, for the table; nothing where it is not configured, or has not begun.
pub(super) fn cell(neighbor: &Neighbor) -> Line {
    let Some(session) = neighbor.bfd.as_ref().and_then(|bfd| bfd.session.as_ref()) else { return nothing() };
    let style = match session.state.as_str() {
        "Up" => Style::Good,
        // The session of BGP goes on without.
        _ if neighbor.state == "Established" => Style::Warn,
        _ => Style::Bad,
    };
    Line::styled(style, &session.state)
}

/// All that is known, each line under its name.
pub(super) fn rows(bfd: &Bfd, of_bgp: &str, view: View) -> Vec<(&'static str, Vec<String>)> {
    let held = bfd.held_back.as_ref().map(held_back);
    let Some(session) = &bfd.session else {
        let waits = match of_bgp {
            "Listen" => "begins with each router that connects",
            "Established" => "waits until it is known where the neighbor is",
            _ if bfd.strict || bfd.held_back.is_some() => "waits until it is known where the neighbor is",
            _ => "begins when the session of BGP is Established",
        };
        return vec![("bfd", vec![format!("{waits}; {}", configured(bfd))]), ("held back", held.into_iter().collect())];
    };
    vec![
        ("bfd", vec![state(session), configured(bfd)]),
        ("held back", held.into_iter().collect()),
        ("bfd problem", session.problem.iter().cloned().collect()),
        ("bfd path", path(session).into()),
        ("bfd timers", timers(session)),
        ("bfd measured", measured(session)),
        ("bfd losses", vec![losses(session, view)]),
        ("bfd packets", packets(session, view)),
    ]
}

fn configured(bfd: &Bfd) -> String {
    let strict = bfd.strict.then(|| "no BGP before it is Up (strict)".to_owned());
    let key = bfd.key_id.map_or_else(String::new, |id| format!(" with key {id}"));
    let authentication = bfd.authentication.as_ref().map(|how| format!("authentication {how}{key}"));
    let times = format!("configured {} × {}", interval(bfd.interval_seconds), bfd.multiplier);
    [Some(times), strict, authentication].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What the session of BGP waits for.
fn held_back(hold: &BfdHold) -> String {
    let steady = interval(hold.up_seconds);
    let waits = match hold.left_seconds {
        Some(left) => format!("has been Up for {steady}, in {} s", left.ceil()),
        None => format!("is Up and has been for {steady}"),
    };
    let often = if hold.losses > 1 { format!("; it was lost {} times of late", hold.losses) } else { String::new() };
    format!("the session of BGP was lost with the path, and comes back when BFD {waits}{often}")
}

/// An interval as it is written: `300 ms`, `1.5 s`.
fn interval(seconds: f64) -> String {
    let millis = seconds * 1000.0;
    if millis < 1000.0 { format!("{} ms", (millis * 1000.0).round() / 1000.0) } else { format!("{seconds} s") }
}

fn state(session: &BfdSession) -> String {
    let BfdSession { state, diagnostic, .. } = session;
    let why = match diagnostic.as_str() {
        "No Diagnostic" => String::new(),
        why => format!(" ({why})"),
    };
    let remote = match (&session.remote_state, &session.remote_diagnostic) {
        (Some(remote), Some(why)) if why != "No Diagnostic" => format!("the neighbor says {remote} ({why})"),
        (Some(remote), _) => format!("the neighbor says {remote}"),
        (None, _) => "the neighbor is not heard".to_owned(),
    };
    format!("{state}{why} for {}, {remote}", when::clock(session.since_seconds))
}

fn path(session: &BfdSession) -> [String; 2] {
    let hops = if session.multihop { "multihop (UDP port 4784)" } else { "single-hop (UDP port 3784)" };
    let ends = session.local_address.as_ref().zip(session.remote_address.as_ref());
    let ends = ends.map_or_else(|| "no socket".to_owned(), |(local, remote)| format!("{local} to {remote}"));
    let at = session.interface.as_ref().map_or_else(String::new, |name| format!(" at {name}"));
    let shown = |discriminator: Option<u32>| discriminator.map_or_else(|| "–".to_owned(), |it| it.to_string());
    let (ours, theirs) = (shown(session.local_discriminator), shown(session.remote_discriminator));
    [format!("{hops}, {ends}{at}"), format!("discriminators {ours} (ours) and {theirs}")]
}

fn timers(session: &BfdSession) -> Vec<String> {
    let (transmit, receive) = (interval(session.transmit_seconds), interval(session.receive_seconds));
    let mut lines = vec![format!("a packet every {transmit}, theirs expected every {receive}")];
    let notices = session.detection_seconds.map(|time| format!("silence is noticed after {}", interval(time)));
    let noticed = session.remote_detection_seconds.map(|time| format!("ours after {}", interval(time)));
    match (notices, noticed) {
        (Some(notices), Some(noticed)) => lines.push(format!("{notices}, {noticed}")),
        (Some(one), None) | (None, Some(one)) => lines.push(one),
        (None, None) => {}
    }
    lines
}

fn measured(session: &BfdSession) -> Vec<String> {
    let mean = session.measured_seconds.map(|mean| format!("a packet of theirs every {}", when::took(mean)));
    let gap = session.longest_gap_seconds.map(|gap| format!("longest gap {}", when::took(gap)));
    let packets: Vec<String> = [mean, gap].into_iter().flatten().collect();
    let packets = (!packets.is_empty()).then(|| packets.join(", "));
    let silence = session.last_detection_seconds;
    let silence = silence.map(|time| format!("their silence was last noticed after {}", when::took(time)));
    packets.into_iter().chain(silence).collect()
}

fn losses(session: &BfdSession, view: View) -> String {
    let Some(last) = &session.last_loss else { return session.losses.to_string() };
    let at = session.last_loss_at.map(|at| format!(" ({}, {} ago)", when::stamp(at), when::age(at, view.now)));
    format!("{}, the last: {last}{}", session.losses, at.unwrap_or_default())
}

fn packets(session: &BfdSession, view: View) -> Vec<String> {
    let count = |name: &str| session.counters.get(name).copied().unwrap_or_default();
    let mut lines = vec![format!(
        "{} received, {} sent, {} not authentic",
        count("packets_received"),
        count("packets_transmitted"),
        count("packets_unauthentic")
    )];
    lines.extend(session.last_discard.as_ref().map(|why| {
        let ago = session.last_discard_at.map(|at| format!(" {} ago", when::age(at, view.now)));
        format!("one was discarded{}: {why}", ago.unwrap_or_default())
    }));
    lines
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;
    use crate::render::{
        neighbors,
        testing::{node, read, view},
    };

    fn session(with: Value) -> Value {
        let mut session = json!({"state": "Up", "since": "2026-11-20T10:18:01Z", "since_seconds": 274_319.0,
            "diagnostic": "No Diagnostic", "remote_state": "Up", "remote_diagnostic": "No Diagnostic", "losses": 1,
            "last_loss": "nothing was heard for 152 ms", "last_loss_at": "2026-11-20T10:00:00Z",
            "last_detection_seconds": 0.152_1, "local_discriminator": 3_141_592_653_u32, "remote_discriminator": 7,
            "local_address": "192.0.2.2", "remote_address": "192.0.2.1", "interface": "eth1", "multihop": false,
            "transmit_seconds": 0.05, "receive_seconds": 0.05, "detection_seconds": 0.15,
            "remote_detection_seconds": 0.25, "measured_seconds": 0.043_71, "longest_gap_seconds": 0.051_2,
            "counters": {"packets_received": 6_275_000, "packets_transmitted": 6_275_001, "packets_unauthentic": 0},
            "problem": null});
        if let (Some(session), Value::Object(with)) = (session.as_object_mut(), with) {
            session.extend(with);
        }
        session
    }

    fn bfd(session: Value) -> Option<Bfd> {
        read(
            json!({"interval_seconds": 0.05, "multiplier": 3, "strict": false, "authentication": null, "session": session}),
        )
    }

    /// The lines about BFD.
    fn lines(neighbor: &Neighbor) -> String {
        let text = neighbors::details(std::slice::from_ref(neighbor), view()).paint(false);
        let from = text.find("  bfd ").unwrap();
        let to = text.find("  router id").or_else(|| text.find("  routes")).unwrap();
        text[from..to].to_owned()
    }

    #[test]
    fn one_that_is_up() {
        let mut list = node(json!({})).neighbors;
        list[0].bfd = bfd(session(json!({})));
        assert_snapshot!(neighbors::page(&list, view()).paint(false), @r"
        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  Up   3       –
        leaf2     eth1       65002  Active       00:00:41  –    0       connect: refused (retry in 3 s)
        ");
        assert_snapshot!(lines(&list[0]), @r"
        bfd            Up for 3d 04:11, the neighbor says Up
                       configured 50 ms × 3
        bfd path       single-hop (UDP port 3784), 192.0.2.2 to 192.0.2.1 at eth1
                       discriminators 3141592653 (ours) and 7
        bfd timers     a packet every 50 ms, theirs expected every 50 ms
                       silence is noticed after 150 ms, ours after 250 ms
        bfd measured   a packet of theirs every 44 ms, longest gap 51 ms
                       their silence was last noticed after 152 ms
        bfd losses     1, the last: nothing was heard for 152 ms (2026-11-20 10:00:00Z, 3d 04:30 ago)
        bfd packets    6275000 received, 6275001 sent, 0 not authentic
        ");
    }

    #[test]
    fn one_that_is_down() {
        let mut list = node(json!({})).neighbors;
        list.truncate(1);
        let down = json!({"state": "Down", "diagnostic": "Control Detection Time Expired", "remote_state": null,
            "remote_diagnostic": null, "remote_discriminator": null, "interface": null, "multihop": true,
            "transmit_seconds": 1.0, "detection_seconds": null, "remote_detection_seconds": null,
            "measured_seconds": null, "longest_gap_seconds": null, "since_seconds": 12.0, "losses": 0,
            "last_loss": null, "last_loss_at": null, "last_detection_seconds": null,
            "last_discard": "a TTL that is too low", "last_discard_at": "2026-11-23T14:29:59Z",
            "problem": "port 4784 is in use"});
        list[0].bfd = bfd(session(down));
        if let Some(bfd) = &mut list[0].bfd {
            (bfd.strict, bfd.authentication, bfd.key_id) = (true, Some("keyed-sha1".to_owned()), Some(7));
        }
        assert_snapshot!(neighbors::page(&list, view()).paint(false), @r"
        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD   ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  Down  3       –
        ");
        assert_snapshot!(lines(&list[0]), @r"
        bfd            Down (Control Detection Time Expired) for 00:00:12, the neighbor is not heard
                       configured 50 ms × 3, no BGP before it is Up (strict), authentication keyed-sha1
                       with key 7
        bfd problem    port 4784 is in use
        bfd path       multihop (UDP port 4784), 192.0.2.2 to 192.0.2.1
                       discriminators 3141592653 (ours) and –
        bfd timers     a packet every 1 s, theirs expected every 50 ms
        bfd losses     0
        bfd packets    6275000 received, 6275001 sent, 0 not authentic
                       one was discarded 00:00:01 ago: a TTL that is too low
        ");
    }

    #[test]
    fn one_that_has_not_begun() {
        let mut list = node(json!({})).neighbors;
        list[1].bfd = bfd(Value::Null);
        assert_snapshot!(neighbors::page(&list, view()).paint(false), @r"
        NEIGHBOR  ADDRESS    AS     STATE        SINCE     BFD  ROUTES  LAST ERROR
        leaf1     192.0.2.1  65001  Established  3d 04:12  –    3       –
        leaf2     eth1       65002  Active       00:00:41  –    0       connect: refused (retry in 3 s)
        ");
        assert_snapshot!(lines(&list[1]), @"  bfd           begins when the session of BGP is Established; configured 50 ms × 3");
        list[1].state = "Established".to_owned();
        assert_snapshot!(lines(&list[1]), @"  bfd           waits until it is known where the neighbor is; configured 50 ms × 3");
        list[1].state = "Listen".to_owned();
        assert_snapshot!(lines(&list[1]), @"  bfd           begins with each router that connects; configured 50 ms × 3");
    }

    #[test]
    fn one_that_bgp_waits_for() {
        let mut list = node(json!({})).neighbors;
        list[1].bfd = bfd(session(json!({})));
        let mut text = |hold: Value| {
            list[1].bfd.as_mut().unwrap().held_back = read(hold);
            let all = lines(&list[1]);
            let from = all.find("  held back").unwrap();
            all[from..all.find("  bfd path").unwrap()].to_owned()
        };
        assert_snapshot!(text(json!({"losses": 1, "up_seconds": 1.0, "left_seconds": null})), @r"
        held back     the session of BGP was lost with the path, and comes back when BFD is Up and has
                      been for 1 s
        ");
        assert_snapshot!(text(json!({"losses": 6, "up_seconds": 32.0, "left_seconds": 22.3})), @r"
        held back     the session of BGP was lost with the path, and comes back when BFD has been Up for
                      32 s, in 23 s; it was lost 6 times of late
        ");
    }

    #[test]
    fn the_worse_it_is_the_louder_it_is_shown() {
        let mut list = node(json!({})).neighbors;
        let painted = |neighbor: &Neighbor| cell(neighbor).paint(true);
        list[0].bfd = bfd(session(json!({})));
        let good = painted(&list[0]);
        list[0].bfd = bfd(session(json!({"state": "Down"})));
        let warns = painted(&list[0]);
        list[0].state = "Active".to_owned();
        let bad = painted(&list[0]);
        assert!(good.contains("32m") && warns.contains("33m") && bad.contains("31m"), "{good} {warns} {bad}");
    }
}
