use super::*;
use crate::tools::record::How;

/// Milliseconds after an arbitrary zero.
fn at(ms: u64) -> Nanos {
    Nanos(1_790_000_000_000_000_000 + ms * 1_000_000)
}

/// Requests every 10 ms: who answered each, after 1 ms, from four source ports in turn. `-` is a lost one.
fn requests(answers: &[&str]) -> Requests {
    let request = |(index, node): (usize, &&str)| {
        let sent = at(10 * index as u64);
        let answered = *node != "-";
        let request = Request {
            how: How::Udp,
            target: "203.0.113.80".parse().unwrap(),
            name: None,
            flow: 40_000 + (index % 4) as u16,
            sent,
            took: answered.then_some(1_000_000),
            node: answered.then(|| (*node).to_owned()),
            error: None,
        };
        (sent, request)
    };
    answers.iter().enumerate().map(request).collect()
}

#[test]
fn losses_are_counted() {
    // (answers, lost, longest gap, lossy)
    let table: [(&[&str], usize, f64, f64); 7] = [
        (&["a", "a", "a"], 0, 0.0, 0.0),
        (&["a", "-", "a"], 1, 20.0, 0.0),
        (&["a", "-", "-", "-", "b"], 3, 40.0, 20.0),
        // One of two paths is gone: many short gaps, a long time of losses.
        (&["a", "-", "a", "-", "a", "-", "a"], 3, 20.0, 40.0),
        // A gap is cut at the edges of the stretch.
        (&["-", "-", "a", "a", "-", "-"], 4, 30.0, 50.0),
        (&["-", "-", "-"], 3, 30.0, 20.0),
        (&[], 0, 0.0, 0.0),
    ];
    for (answers, lost, gap, lossy) in table {
        let found = losses(&requests(answers), at(0), at(10 * answers.len() as u64));
        let expected = (answers.len(), lost, gap, lossy);
        assert_eq!((found.sent, found.lost, found.longest_gap_ms, found.lossy_ms), expected, "{answers:?}");
    }
}

#[test]
fn a_stretch_is_half_open_and_may_be_empty() {
    let requests = requests(&["a", "a", "b", "-"]);
    let found = losses(&requests, at(10), at(30));
    assert_eq!((found.sent, found.lost), (2, 0));
    assert_eq!(found.served_by, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 1)]));
    assert_eq!(losses(&requests, at(30), at(10)).sent, 0);
}

#[test]
fn silence_is_between_answers() {
    let mut requests = requests(&["a", "a", "a", "a"]);
    // The second was slow: it came in with the last.
    requests.get_mut(&at(10)).unwrap().took = Some(21_000_000);
    assert_eq!(losses(&requests, at(0), at(100)).longest_silence_ms, 20.0);
}

#[test]
fn a_flow_that_changes_hands_is_an_answer_from_elsewhere() {
    /// Who answers, when the fault is, and the first answer from elsewhere.
    type Row<'a> = (&'a [&'a str], u64, Option<(u64, &'a str)>);
    let table: [Row<'_>; 7] = [
        (&["a", "a", "a", "a", "-", "-", "b", "b"], 40, Some((61, "b"))),
        // `b` shares the load: its answers on its own flows prove nothing.
        (&["a", "b", "a", "b", "-", "b", "-", "b", "b", "b"], 40, Some((81, "b"))),
        // A node that had no share is elsewhere on whatever flow.
        (&["a", "b", "a", "b", "-", "c"], 40, Some((51, "c"))),
        (&["a", "a", "a", "a", "-", "-", "-", "-"], 40, None),
        (&["a", "a", "a", "a", "a", "a"], 40, None),
        // What was sent before the fault does not count.
        (&["a", "a", "a", "b", "a"], 40, None),
        (&[], 40, None),
    ];
    for (answers, fault, expected) in table {
        let requests = requests(answers);
        let found = first_elsewhere(&requests, at(fault), "a");
        assert_eq!(found, expected.map(|(ms, node)| (at(ms), node)), "{answers:?}");
    }
}

#[test]
fn trouble_is_a_loss_or_the_wrong_node() {
    let table: [(&[&str], &[&str], Option<u64>); 5] = [
        (&["a", "-", "a", "b", "b"], &["b"], Some(20)),
        (&["a", "-", "b", "-", "b"], &["b"], Some(30)),
        (&["b", "c", "b"], &["b", "c"], None),
        (&["b", "c", "b"], &["b"], Some(10)),
        (&[], &["b"], None),
    ];
    for (answers, expected, last) in table {
        assert_eq!(last_trouble(&requests(answers), at(0), expected), last.map(at), "{answers:?}");
    }
    assert_eq!(last_trouble(&requests(&["-", "b"]), at(10), &["b"]), None);
    assert_eq!(first_from(&requests(&["a", "-", "b", "b"]), at(0), "b"), Some(at(21)));
    assert_eq!(first_from(&requests(&["a", "-", "b", "b"]), at(0), "c"), None);
}

const EDGE: &str = "192.0.2.50:40000";
const ROUTER: &str = "192.0.2.49:179";

fn message(ms: u64, from: &str, kind: &str) -> Message {
    let to = if from == EDGE { ROUTER } else { EDGE };
    Message {
        at: at(ms),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        kind: kind.to_owned(),
        octets: 0,
        announced: Vec::new(),
        withdrawn: Vec::new(),
        communities: Vec::new(),
        note: None,
    }
}

fn update(ms: u64, announced: &[&str], withdrawn: &[&str], communities: &[&str]) -> Record {
    let own = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
    let (announced, withdrawn, communities) = (own(announced), own(withdrawn), own(communities));
    Record::Message(Message { announced, withdrawn, communities, ..message(ms, EDGE, "UPDATE") })
}

#[test]
fn the_wire_tells_when_a_route_was_announced_and_withdrawn() {
    let (from, to) = (EDGE.parse().unwrap(), ROUTER.parse().unwrap());
    let records = [
        update(1, &["203.0.113.0/24"], &[], &["65010:100"]),
        Record::Message(message(3, ROUTER, "KEEPALIVE")),
        Record::Message(message(4, EDGE, "KEEPALIVE")),
        update(10, &["203.0.113.0/24"], &[], &["65010:100", "graceful-shutdown"]),
        update(20, &[], &["203.0.113.0/24"], &[]),
        update(20, &[], &["2001:db8:53::/48"], &[]),
        Record::Acked { at: at(11), sent: at(10), from, to },
        Record::Acked { at: at(21), sent: at(20), from, to },
        Record::Message(Message { note: Some("Cease".to_owned()), ..message(30, EDGE, "NOTIFICATION") }),
        Record::Segment { at: at(31), from: to, to: from, flag: Flag::Rst },
        Record::Segment { at: at(32), from, to, flag: Flag::Fin },
    ];
    let own = ["192.0.2.50".to_owned()];
    let wire = Wire { records: &records, own: &own };
    let when = |sent: Option<Sent<'_>>| sent.map(|sent| (sent.message.at, sent.acked));
    assert_eq!(when(wire.withdraw(at(0), "203.0.113.0/24")), Some((at(20), Some(at(21)))));
    assert_eq!(when(wire.withdraw(at(25), "203.0.113.0/24")), None);
    assert_eq!(when(wire.announce(at(0), "203.0.113.0/24", false)), Some((at(1), None)));
    assert_eq!(when(wire.announce(at(0), "203.0.113.0/24", true)), Some((at(10), Some(at(11)))));
    assert_eq!(when(wire.announce(at(2), "203.0.113.0/24", false)), None);
    assert_eq!(wire.last_word(at(10)), Some(at(4)));
    assert_eq!(wire.notification(at(0)).map(|message| message.at), Some(at(30)));
    assert_eq!(wire.close(at(0)), Some((at(32), Flag::Fin)));

    let stranger = Wire { records: &records, own: &[] };
    assert_eq!((when(stranger.withdraw(at(0), "203.0.113.0/24")), stranger.close(at(0))), (None, None));
}

#[test]
fn a_route_is_gone_when_it_leads_elsewhere_or_nowhere() {
    let change = |ms, prefix: &str, deleted, via: &[&str]| RouteChange {
        at: at(ms),
        prefix: prefix.to_owned(),
        deleted,
        via: via.iter().map(|&hop| hop.to_owned()).collect(),
    };
    let both = [
        change(1, "203.0.113.0/24", false, &["192.0.2.50", "192.0.2.54"]),
        change(5, "2001:db8:53::/48", false, &["2001:db8::1"]),
        change(8, "203.0.113.0/24", false, &["192.0.2.54"]),
        change(9, "203.0.113.0/24", true, &["192.0.2.50"]),
        change(20, "203.0.113.0/24", false, &["192.0.2.50"]),
    ];
    let hops = ["192.0.2.50".to_owned(), "2001:db8:3:e1::2".to_owned()];
    let when = |since, prefix, through| route_change(&both, at(since), prefix, &hops, through).map(|change| change.at);
    assert_eq!(when(0, "203.0.113.0/24", false), Some(at(8)));
    assert_eq!(when(9, "203.0.113.0/24", false), Some(at(9)), "a deleted route leads nowhere, whatever it led through");
    assert_eq!(when(0, "203.0.113.0/24", true), Some(at(1)));
    assert_eq!(when(2, "203.0.113.0/24", true), Some(at(20)));
    assert_eq!(when(0, "2001:db8:53::/48", false), Some(at(5)));
    assert_eq!(when(21, "203.0.113.0/24", false), None);
}

#[test]
fn a_route_that_is_deleted_and_added_at_once_was_replaced() {
    let change = |ms, deleted, hop: &str| RouteChange {
        at: at(ms),
        prefix: "2001:db8:53::/48".to_owned(),
        deleted,
        via: vec![hop.to_owned()],
    };
    let hops = ["2001:db8::2".to_owned()];
    let when = |changes: &[RouteChange], through| {
        route_change(changes, at(0), "2001:db8:53::/48", &hops, through).map(|change| (change.at, change.deleted))
    };
    let replaced = [change(7, true, "2001:db8::2"), change(8, false, "fe80::9"), change(90, true, "fe80::9")];
    assert_eq!(when(&replaced, false), Some((at(8), false)));
    let refreshed = [change(7, true, "2001:db8::2"), change(8, false, "2001:db8::2"), change(90, true, "2001:db8::2")];
    assert_eq!((when(&refreshed, false), when(&refreshed, true)), (Some((at(90), true)), Some((at(8), false))));
    let later = [change(7, true, "2001:db8::2"), change(70, false, "fe80::9")];
    assert_eq!(when(&later, false), Some((at(7), true)));
}

#[test]
fn a_tcp_request_that_is_under_way_when_the_route_moves_is_caught() {
    let mut requests = requests(&["a", "-", "-", "-", "-", "b"]);
    for (sent, error) in [(10, "reset"), (20, "Connection reset by peer"), (30, "no answer in time"), (40, "reset")] {
        requests.get_mut(&at(sent)).unwrap().error = Some(error.to_owned());
    }
    assert_eq!(caught(&requests, &[at(22)]), [at(10), at(20)]);
    assert_eq!(caught(&requests, &[at(9), at(200)]), [at(10)], "the monitor is told a little later");
    assert!(caught(&requests, &[]).is_empty());
}
