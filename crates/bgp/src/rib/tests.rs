use super::*;
use crate::terms::tests::external;

fn p(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn attributes(med: u32) -> Arc<Attributes> {
    Arc::new(Attributes { med: Some(med), ..Attributes::default() })
}

fn routes(list: &[(&str, u32)]) -> Routes {
    list.iter().map(|(prefix, med)| (p(prefix), attributes(*med))).collect()
}

/// A rib with a session up, and where its stream is.
struct Bench {
    rib: Rib,
    at: u64,
    now: Instant,
}

impl Bench {
    fn new(list: &[(&str, u32)]) -> Self {
        let now = Instant::now();
        let mut bench = Self { rib: Rib::default(), at: 0, now };
        bench.rib.set_desired(routes(list), now);
        bench.rib.up(external(65010, true), now);
        bench
    }

    fn settled(list: &[(&str, u32)]) -> Self {
        let mut bench = Self::new(list);
        bench.drain();
        bench.acked();
        bench
    }

    fn set(&mut self, list: &[(&str, u32)]) {
        self.rib.set_desired(routes(list), self.now);
    }

    fn take(&mut self) -> Option<Bytes> {
        let message = self.rib.next_update(self.at, self.now)?;
        self.at += message.len() as u64;
        Some(message)
    }

    fn drain(&mut self) -> usize {
        std::iter::from_fn(|| self.take()).count()
    }

    fn acked(&mut self) {
        self.rib.handle_written(self.at, self.now);
        self.rib.handle_acked(self.at, self.now);
    }

    fn shows(&self) -> Vec<(String, Option<u32>, Progress)> {
        let med = |entry: &Advertised| entry.attributes.as_ref().and_then(|attributes| attributes.med);
        self.rib.view.iter().map(|(prefix, entry)| (prefix.to_string(), med(entry), entry.progress)).collect()
    }

    fn shows_only(&self, prefix: &str, med: Option<u32>, progress: Progress) {
        assert_eq!(self.shows(), [(prefix.to_owned(), med, progress)]);
    }
}

const A: &str = "198.51.100.0/24";
const B: &str = "203.0.113.0/24";

#[test]
fn an_entry_goes_from_queued_to_acked_and_a_withdraw_leaves() {
    let mut bench = Bench::new(&[(A, 1)]);
    bench.shows_only(A, Some(1), Progress::Queued);
    assert_eq!(bench.drain(), 3, "the route and two End-of-RIB");
    bench.shows_only(A, Some(1), Progress::Queued);
    bench.rib.handle_written(10, bench.now);
    bench.shows_only(A, Some(1), Progress::Queued);
    bench.rib.handle_written(bench.at, bench.now);
    bench.shows_only(A, Some(1), Progress::Written);
    bench.rib.handle_acked(bench.at, bench.now);
    bench.shows_only(A, Some(1), Progress::Acked);
    bench.set(&[]);
    bench.shows_only(A, None, Progress::Queued);
    assert_eq!(bench.drain(), 1);
    bench.rib.handle_written(bench.at, bench.now);
    bench.shows_only(A, None, Progress::Written);
    bench.rib.handle_acked(bench.at, bench.now);
    assert_eq!(bench.shows(), []);
    assert!(bench.rib.sent.is_empty());
}

#[test]
fn a_route_that_was_never_sent_is_never_withdrawn() {
    let mut bench = Bench::settled(&[]);
    bench.set(&[(A, 1), ("2001:db8::/48", 1)]);
    bench.set(&[]);
    assert_eq!(bench.shows(), []);
    assert_eq!(bench.drain(), 0);
}

#[test]
fn a_change_taken_back_in_time_sends_nothing() {
    let mut bench = Bench::settled(&[(A, 1), (B, 1)]);
    bench.set(&[(A, 2)]);
    bench.set(&[(A, 1), (B, 1)]);
    assert!(bench.shows().iter().all(|(_, med, progress)| (*med, *progress) == (Some(1), Progress::Acked)));
    assert_eq!(bench.drain(), 0);
}

#[test]
fn a_change_is_one_implicit_replace() {
    let mut bench = Bench::settled(&[(A, 1)]);
    bench.set(&[(A, 2)]);
    let message = bench.take().expect("an announcement");
    assert_eq!(message[19..21], [0, 0], "no withdrawn routes");
    assert_eq!(bench.drain(), 0);
}

#[test]
fn a_withdraw_on_its_way_may_be_followed_by_the_route_again() {
    let mut bench = Bench::settled(&[(A, 1)]);
    bench.set(&[]);
    assert_eq!(bench.drain(), 1);
    bench.set(&[(A, 1)]);
    bench.shows_only(A, Some(1), Progress::Queued);
    bench.acked();
    bench.shows_only(A, Some(1), Progress::Queued);
    assert_eq!(bench.drain(), 1);
    bench.acked();
    bench.shows_only(A, Some(1), Progress::Acked);
    bench.set(&[]);
    assert_eq!(bench.drain(), 1);
    bench.set(&[(A, 2)]);
    bench.set(&[]);
    bench.shows_only(A, None, Progress::Queued);
    assert_eq!(bench.drain(), 0, "it is withdrawn already");
    bench.acked();
    assert_eq!(bench.shows(), []);
}

#[test]
fn the_acknowledgement_of_an_older_update_says_nothing_of_the_newer() {
    let mut bench = Bench::new(&[(A, 1)]);
    bench.drain();
    let first = bench.at;
    bench.set(&[(A, 2)]);
    bench.drain();
    bench.rib.handle_written(bench.at, bench.now);
    bench.rib.handle_acked(first, bench.now);
    bench.shows_only(A, Some(2), Progress::Written);
}

#[test]
fn withdraws_overtake_what_waits() {
    let mut bench = Bench::settled(&[(A, 1)]);
    let many: Vec<String> = (0..5000).map(|n| format!("10.{}.{}.0/24", n / 250, n % 250)).collect();
    let many: Vec<(&str, u32)> = many.iter().map(|text| (text.as_str(), 1)).collect();
    bench.set(&[&many[..], &[(A, 1)]].concat());
    assert_eq!(bench.take().expect("a batch")[19..21], [0, 0]);
    bench.set(&many);
    assert_eq!(bench.take().expect("the withdraw")[19..25], [0, 4, 24, 198, 51, 100]);
}

#[test]
fn end_of_rib_comes_after_the_routes_of_its_family_and_once() {
    let mut bench = Bench::new(&[(A, 1), ("2001:db8::/48", 1)]);
    let lengths: Vec<usize> = std::iter::from_fn(|| bench.take()).map(|message| message.len()).collect();
    assert_eq!(lengths.len(), 4);
    assert_eq!((lengths[1], lengths[3]), (23, 29));
    assert!(lengths[0] > 29 && lengths[2] > 29);
    bench.rib.refresh(Family::Ipv4Unicast);
    assert_eq!(bench.drain(), 1, "the route only");
}

#[test]
fn a_refresh_repeats_the_family_without_a_trace_in_the_table() {
    let mut bench = Bench::settled(&[(A, 1), (B, 2), ("2001:db8::/48", 1)]);
    bench.rib.take_changed();
    let before = bench.shows();
    bench.rib.refresh(Family::Ipv4Unicast);
    assert_eq!(bench.drain(), 2, "two sets of attributes");
    bench.acked();
    assert_eq!(bench.shows(), before);
    assert!(!bench.rib.take_changed());
}

/// The driver asks for acknowledgements while the table waits for one; what it does not wait for must not wait either.
#[test]
fn a_neighbor_that_asks_again_and_again_piles_up_nothing() {
    let mut bench = Bench::settled(&[(A, 1), (B, 2)]);
    for _ in 0..100 {
        bench.rib.refresh(Family::Ipv4Unicast);
        assert_eq!(bench.drain(), 2);
        bench.rib.handle_written(bench.at, bench.now);
    }
    assert_eq!(bench.rib.in_flight(), 0);
}

#[test]
fn a_refresh_during_the_answer_to_another_repeats_what_was_out() {
    let mut bench = Bench::settled(&[(A, 1), (B, 2)]);
    bench.rib.refresh(Family::Ipv4Unicast);
    bench.rib.refresh(Family::Ipv4Unicast);
    assert!(bench.take().is_some());
    bench.rib.refresh(Family::Ipv4Unicast);
    assert_eq!(bench.drain(), 2, "the rest of the first answer is part of the second");
    bench.rib.refresh(Family::Ipv4Unicast);
    assert_eq!(bench.drain(), 2);
}

#[test]
fn a_refresh_keeps_what_was_already_waiting() {
    let mut bench = Bench::settled(&[(A, 1), (B, 1)]);
    bench.set(&[(A, 2)]);
    bench.rib.refresh(Family::Ipv4Unicast);
    assert_eq!(bench.shows(), [(A.to_owned(), Some(2), Progress::Queued), (B.to_owned(), None, Progress::Queued)]);
    assert_eq!(bench.drain(), 2, "one withdraw, one replace");
    bench.set(&[(A, 2), (B, 1)]);
    bench.drain();
    bench.acked();
    bench.rib.refresh(Family::Ipv4Unicast);
    bench.set(&[(A, 3)]);
    bench.set(&[(A, 2), (B, 1)]);
    assert_eq!(bench.drain(), 2, "still asked for again");
}

#[test]
fn what_cannot_be_sent_is_named_and_the_rest_goes_out() {
    let now = Instant::now();
    let mut rib = Rib::default();
    let mut desired = routes(&[(A, 1), ("2001:db8::/48", 1)]);
    let fat = Attributes { communities: (0..2000).map(crate::Community).collect(), ..Attributes::default() };
    desired.insert(p(B), Arc::new(fat));
    rib.set_desired(desired.clone(), now);
    assert!(rib.unsent().is_empty(), "no session, no judgement");
    let mut terms = external(65010, true);
    terms.next_hop_ipv6 = None;
    rib.up(terms.clone(), now);
    let reasons: Vec<_> = rib.unsent().iter().map(|(prefix, why)| (*prefix, why.clone())).collect();
    let expected = [
        (p(B), Unsendable::TooLarge(Family::Ipv4Unicast, 4096)),
        (p("2001:db8::/48"), Unsendable::NoNextHop(Family::Ipv6Unicast)),
    ];
    assert_eq!(reasons, expected);
    assert!(reasons[1].1.to_string().contains("next_hop: { ipv6: … }"));
    assert_eq!(rib.advertised().keys().copied().collect::<Vec<_>>(), [p(A)]);
    rib.set_desired(routes(&[(B, 1)]), now);
    assert!(rib.unsent().is_empty());
    terms.families = [Family::Ipv6Unicast].into();
    rib.up(terms, now);
    assert_eq!(rib.unsent().get(&p(B)), Some(&Unsendable::FamilyNotAccepted(Family::Ipv4Unicast)));
}

#[test]
fn a_route_that_grows_too_large_is_withdrawn() {
    let mut bench = Bench::settled(&[(A, 1)]);
    let fat = Attributes { communities: (0..2000).map(crate::Community).collect(), ..Attributes::default() };
    bench.rib.set_desired([(p(A), Arc::new(fat))].into(), bench.now);
    bench.shows_only(A, None, Progress::Queued);
    assert_eq!(bench.drain(), 1);
}

#[test]
fn the_same_set_again_costs_nothing() {
    let list: Vec<(String, u32)> =
        (0..100_000).map(|n| (format!("10.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255), 1)).collect();
    let shared = attributes(1);
    let desired: Routes = list.iter().map(|(prefix, _)| (p(prefix), Arc::clone(&shared))).collect();
    let mut bench = Bench::new(&[]);
    bench.rib.set_desired(desired.clone(), bench.now);
    bench.drain();
    bench.acked();
    bench.rib.take_changed();
    bench.rib.set_desired(desired, bench.now);
    assert!(!bench.rib.take_changed() && bench.rib.announces.is_empty() && bench.rib.withdraws.is_empty());
}

#[test]
fn the_end_of_the_session_empties_the_table() {
    let mut bench = Bench::settled(&[(A, 1)]);
    bench.rib.take_changed();
    bench.rib.down();
    assert!(bench.rib.take_changed() && bench.shows().is_empty());
    assert!(bench.rib.next_update(0, bench.now).is_none());
    bench.rib.up(external(65010, true), bench.now);
    bench.shows_only(A, Some(1), Progress::Queued);
}

/// Whatever went wrong to make the set so large, the neighbor is not told of more; and not of less than it may.
#[test]
fn of_a_set_that_is_too_large_the_first_are_announced() {
    let cap = |number| NonZeroUsize::new(number);
    let mut bench = Bench::settled(&[(A, 1), (B, 1)]);
    let beyond = |bench: &Bench| bench.rib.unsent.keys().map(ToString::to_string).collect::<Vec<_>>();
    bench.rib.set_cap(cap(2), bench.now);
    assert_eq!((bench.drain(), beyond(&bench)), (0, vec![]), "as many as there may be");

    let first = "192.0.2.0/24";
    bench.set(&[(first, 1), (A, 1), (B, 1)]);
    assert_eq!(beyond(&bench), [B]);
    assert_eq!(bench.rib.unsent[&p(B)], Unsendable::TooMany(cap(2).expect("not 0")));
    assert_eq!(bench.drain(), 2, "one goes before the other comes");
    bench.acked();
    assert_eq!(bench.shows().iter().map(|(prefix, ..)| prefix.as_str()).collect::<Vec<_>>(), [first, A]);

    bench.set(&[(first, 1), (A, 2), (B, 2)]);
    assert_eq!((bench.drain(), beyond(&bench)), (1, vec![B.to_owned()]), "what changes within goes out");
    bench.acked();
    bench.rib.down();
    assert_eq!(beyond(&bench), [""; 0], "nothing is refused while there is no session");
    bench.rib.up(external(65010, true), bench.now);
    assert_eq!((bench.rib.view.len(), beyond(&bench)), (2, vec![B.to_owned()]));

    bench.rib.set_cap(cap(1), bench.now);
    assert_eq!((bench.rib.view.len(), beyond(&bench)), (1, vec![A.to_owned(), B.to_owned()]), "A was not sent yet");
    bench.set(&[(first, 1)]);
    assert_eq!(beyond(&bench), [""; 0], "what is not wanted any more is not refused");
    bench.set(&[(first, 1), (A, 1), (B, 1)]);
    bench.rib.set_cap(None, bench.now);
    assert_eq!((bench.rib.view.len(), beyond(&bench)), (3, vec![]));
}

const C: &str = "2001:db8::/48";

/// The terms with this IPv6 next hop, or none.
fn by_way_of(hop: Option<&str>) -> Terms {
    let address = hop.map(|text| text.parse().expect("an address"));
    Terms { next_hop_ipv6: address.map(crate::terms::NextHop6::One), ..external(65010, true) }
}

/// The octets of the address are in the message.
fn names(message: &Bytes, hop: &str) -> bool {
    let hop: std::net::Ipv6Addr = hop.parse().expect("an address");
    message.windows(16).any(|part| part == hop.octets())
}

#[test]
fn another_next_hop_is_one_implicit_replace_of_its_family() {
    let mut bench = Bench::settled(&[(A, 1), (C, 1)]);
    bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
    let acked = (A.to_owned(), Some(1), Progress::Acked);
    assert_eq!(bench.shows(), [acked.clone(), (C.to_owned(), Some(1), Progress::Queued)]);
    let message = bench.take().expect("an announcement");
    assert!(names(&message, "2001:db8::7") && !names(&message, "2001:db8::99"));
    assert_eq!(bench.drain(), 0, "no withdraw, and nothing of the other family");
    bench.acked();
    assert_eq!(bench.shows(), [acked, (C.to_owned(), Some(1), Progress::Acked)]);
    bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
    assert_eq!(bench.drain(), 0, "the same again");
}

#[test]
fn without_a_next_hop_the_family_is_withdrawn_and_with_one_it_is_back() {
    let mut bench = Bench::settled(&[(A, 1), (C, 1)]);
    bench.rib.set_terms(by_way_of(None), bench.now);
    assert_eq!(bench.rib.unsent.get(&p(C)), Some(&Unsendable::NoNextHop(Family::Ipv6Unicast)));
    assert_eq!(bench.shows()[1], (C.to_owned(), None, Progress::Queued));
    let message = bench.take().expect("a withdraw");
    assert_eq!(message[24], 15, "MP_UNREACH_NLRI");
    assert_eq!(bench.drain(), 0);
    bench.acked();
    bench.shows_only(A, Some(1), Progress::Acked);
    bench.set(&[(A, 1), (C, 2)]);
    assert_eq!(bench.drain(), 0, "there is still none");

    bench.rib.set_terms(by_way_of(Some("2001:db8::99")), bench.now);
    assert!(bench.rib.unsent.is_empty());
    assert!(names(&bench.take().expect("an announcement"), "2001:db8::99"));
    assert_eq!(bench.drain(), 0);
    bench.acked();
    assert_eq!(bench.shows()[1], (C.to_owned(), Some(2), Progress::Acked));
}

#[test]
fn a_next_hop_that_is_back_in_time_sends_nothing() {
    let mut bench = Bench::settled(&[(C, 1)]);
    for between in [None, Some("2001:db8::7")] {
        bench.rib.set_terms(by_way_of(between), bench.now);
        bench.rib.set_terms(by_way_of(Some("2001:db8::99")), bench.now);
        bench.shows_only(C, Some(1), Progress::Acked);
        assert_eq!(bench.drain(), 0);
    }
}

#[test]
fn what_waits_goes_out_with_the_next_hop_in_force() {
    let mut bench = Bench::new(&[(A, 1), (C, 1)]);
    bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
    let messages: Vec<Bytes> = std::iter::from_fn(|| bench.take()).collect();
    assert_eq!(messages.len(), 4, "two routes and two End-of-RIB");
    assert!(!messages.iter().any(|message| names(message, "2001:db8::99")));
    assert_eq!(messages.iter().filter(|message| names(message, "2001:db8::7")).count(), 1);
}

/// The table must not call a route acknowledged that the neighbor holds with a next hop that is gone.
#[test]
fn the_acknowledgement_of_the_old_next_hop_says_nothing_of_the_new_one() {
    let mut bench = Bench::new(&[(C, 1)]);
    bench.drain();
    bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
    bench.acked();
    bench.shows_only(C, Some(1), Progress::Queued);
    assert_eq!(bench.drain(), 1);
    bench.shows_only(C, Some(1), Progress::Queued);
    bench.acked();
    bench.shows_only(C, Some(1), Progress::Acked);
}

#[test]
fn a_refresh_beside_another_next_hop_is_one_announcement_with_it() {
    for refresh_first in [true, false] {
        let mut bench = Bench::settled(&[(C, 1)]);
        if refresh_first {
            bench.rib.refresh(Family::Ipv6Unicast);
        }
        bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
        if !refresh_first {
            bench.rib.refresh(Family::Ipv6Unicast);
        }
        assert!(names(&bench.take().expect("an announcement"), "2001:db8::7"));
        assert_eq!(bench.drain(), 0, "{refresh_first}");
        bench.shows_only(C, Some(1), Progress::Queued);
        bench.acked();
        bench.shows_only(C, Some(1), Progress::Acked);
    }
}

#[test]
fn without_a_session_there_are_no_terms_to_change() {
    let mut bench = Bench::settled(&[(C, 1)]);
    bench.rib.down();
    bench.rib.set_terms(by_way_of(Some("2001:db8::7")), bench.now);
    assert!(bench.rib.terms().is_none() && bench.shows().is_empty());
}
