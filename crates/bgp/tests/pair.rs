//! Two sessions against each other on a virtual clock, whatever way the octets come, and any order of events at all.

mod oracle;
mod setting;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_bgp::{
    Action, Attributes, Community, DownReason, Event, Fault, Incoming, LargeCommunity, LinkBandwidth, Prefix, Progress,
    Routes, Session, State,
};
use bytes::Bytes;
use oracle::{Held, expected};
use proptest::prelude::*;
use setting::{Setting, settings};

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Taken from the session, not yet by the kernel.
    waiting: Bytes,
    /// On the way.
    flying: Vec<u8>,
    /// All that was ever delivered.
    delivered: usize,
}

/// The agent, its neighbor, and what lies between them.
struct Pair {
    setting: Setting,
    /// What the oracle expects of a route, each worked out once.
    expected: RefCell<BTreeMap<(Prefix, Arc<Attributes>), Held>>,
    agent: Session,
    neighbor: Option<Session>,
    there: Pipe,
    back: Pipe,
    /// What the neighbor holds, by the oracle.
    held: BTreeMap<String, Held>,
    decoded: Vec<u8>,
    now: Instant,
    cut: Option<usize>,
    neighbors: u64,
}

impl Pair {
    fn new(cut: Option<usize>) -> Self {
        Self::of(Setting::default(), cut)
    }

    fn of(setting: Setting, cut: Option<usize>) -> Self {
        let now = Instant::now();
        Self {
            setting,
            expected: RefCell::default(),
            agent: Session::new(setting.agent(), now),
            neighbor: None,
            there: Pipe::default(),
            back: Pipe::default(),
            held: BTreeMap::new(),
            decoded: Vec::new(),
            now,
            cut,
            neighbors: 0,
        }
    }

    /// What each side asks for: dial, close.
    fn act(&mut self) {
        while let Some(action) = self.agent.poll_action() {
            match action {
                Action::Close => self.hang_up(false),
                Action::Connect => self.connect(),
            }
        }
        let asked = self.neighbor.as_mut().is_some_and(|neighbor| neighbor.poll_action() == Some(Action::Close));
        if asked {
            let reason = self.neighbor.as_ref().and_then(Session::last_error);
            let ours = matches!(
                reason,
                Some(DownReason::Fault(Fault::Header(_) | Fault::Open(_) | Fault::Update(_) | Fault::Refresh(_)))
            );
            assert!(!ours, "what we send is no error: {reason:?}");
            self.hang_up(true);
        }
        while let Some(event) = self.agent.poll_event() {
            assert!(event != Event::Established || self.agent.negotiated().is_some());
        }
    }

    /// The neighbor dials, where that is its part.
    fn knock(&mut self) {
        match if self.setting.passive { self.agent.incoming(self.now) } else { Incoming::Refuse } {
            Incoming::Take => self.connect(),
            Incoming::Replace => {
                self.act();
                self.connect();
            }
            Incoming::Refuse => {}
        }
    }

    fn connect(&mut self) {
        self.hang_up(false);
        self.neighbors += 1;
        let (a, b) = self.setting.ends();
        let mut neighbor = Session::new(self.setting.neighbor(self.neighbors), self.now);
        assert_eq!(neighbor.poll_action(), Some(Action::Connect));
        neighbor.handle_connected(b, a, None, self.now);
        self.agent.handle_connected(a, b, None, self.now);
        self.neighbor = Some(neighbor);
    }

    /// The connection is gone with all that was on the way.
    fn hang_up(&mut self, tell_agent: bool) {
        (self.there, self.back) = (Pipe::default(), Pipe::default());
        self.held.clear();
        self.decoded.clear();
        if self.neighbor.take().is_some() && tell_agent {
            self.agent.handle_closed(None, self.now);
        }
    }

    /// The kernel takes at most `room` octets of what the agent has to say.
    fn write(&mut self, room: usize) {
        let mut room = room;
        while room > 0 && self.neighbor.is_some() {
            if self.there.waiting.is_empty() {
                let Some(message) = self.agent.poll_transmit(self.now) else { return };
                self.there.waiting = message;
            }
            let taken = self.there.waiting.split_to(room.min(self.there.waiting.len()));
            room -= taken.len();
            self.there.flying.extend_from_slice(&taken);
            self.agent.handle_written(taken.len(), self.now);
        }
    }

    fn write_back(&mut self) {
        let Some(neighbor) = &mut self.neighbor else { return };
        while let Some(message) = neighbor.poll_transmit(self.now) {
            neighbor.handle_written(message.len(), self.now);
            self.back.flying.extend_from_slice(&message);
        }
    }

    /// At most `most` octets arrive in each direction, never across the cut in one go.
    fn deliver(&mut self, most: usize) {
        for part in split(&mut self.there, most, self.cut) {
            let Some(neighbor) = &mut self.neighbor else { return };
            neighbor.handle_bytes(&part, self.now);
            self.decoded.extend_from_slice(&part);
            oracle::apply_all(&mut self.decoded, &mut self.held);
            let counters = neighbor.counters();
            assert_eq!((counters.treated_as_withdraw, counters.attributes_discarded), (0, 0));
        }
        for part in split(&mut self.back, most, self.cut) {
            self.agent.handle_bytes(&part, self.now);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.agent.handle_timeout(self.now);
        if let Some(neighbor) = &mut self.neighbor {
            neighbor.handle_timeout(self.now);
        }
        self.act();
    }

    /// Another process goes on as the agent, where there is a session to go on with.
    fn take_over(&mut self, desired: &Routes, complete: bool) -> bool {
        let Some(handover) = self.agent.hand_over(self.now) else { return false };
        let text = serde_json::to_string(&handover).expect("it can be written down");
        let handover = serde_json::from_str(&text).expect("it can be read");
        let before = std::mem::replace(&mut self.agent, Session::new(self.setting.agent(), self.now));
        self.agent = Session::take_over(self.setting.agent(), &handover, self.now).expect("the session goes on");
        assert_eq!(self.agent.counters(), before.counters());
        assert_eq!((self.agent.negotiated(), self.agent.ends()), (before.negotiated(), before.ends()));
        assert_eq!((self.agent.next_hops(), self.agent.state_since()), (before.next_hops(), before.state_since()));
        assert_eq!(self.agent.poll_action(), None);
        self.agent.set_complete(complete);
        self.agent.set_routes(desired.clone(), self.now);
        // What waits has waited for longer in the one than in the other.
        let shown = |session: &Session| -> Vec<_> {
            let all = session.advertised().iter();
            all.map(|(prefix, entry)| (*prefix, entry.attributes.clone(), entry.progress)).collect()
        };
        assert_eq!((shown(&self.agent), self.agent.unsent()), (shown(&before), before.unsent()));
        true
    }

    /// Until both ends have nothing left to say.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.act();
            self.write(usize::MAX);
            self.write_back();
            self.deliver(usize::MAX);
            self.act();
            let quiet = self.there.flying.is_empty() && self.back.flying.is_empty() && self.there.waiting.is_empty();
            if self.agent.state() == State::Established && quiet {
                self.write(usize::MAX);
                if self.there.flying.is_empty() {
                    self.agent.handle_unacked(0, self.now);
                    return;
                }
            }
            if self.neighbor.is_none() {
                self.knock();
            }
            if self.neighbor.is_none() {
                let next = self.agent.poll_timeout().expect("an agent that is not shut down waits for something");
                self.pass(next.saturating_duration_since(self.now));
            }
        }
        panic!("no end to it: {:?}", self.agent.last_error());
    }

    /// What the agent says of the neighbor's table is so: what is acknowledged it holds, and what is not in the table it does not.
    fn table_is_true(&self) {
        if self.agent.state() != State::Established {
            return;
        }
        for (prefix, entry) in self.agent.advertised().iter().filter(|(_, entry)| entry.progress == Progress::Acked) {
            let attributes = entry.attributes.as_ref().expect("withdraws are gone once acknowledged");
            assert_eq!(self.held.get(&prefix.to_string()), Some(&self.expected(*prefix, attributes)));
        }
        for prefix in self.held.keys() {
            assert!(self.agent.advertised().contains_key(&prefix.parse().expect("a prefix")), "{prefix} is still held");
        }
    }

    /// Something is always waited for; but not for a neighbor that dials, and not where both agreed to be silent.
    fn deadline_is_set(&self) {
        let none = match self.agent.state() {
            State::Active => self.setting.passive,
            State::Established => self.setting.hold_time() == 0 && self.there.waiting.is_empty(),
            State::Idle | State::Connect | State::OpenSent | State::OpenConfirm => false,
        };
        assert!(none || self.agent.poll_timeout().is_some(), "no deadline in {}", self.agent.state());
    }

    fn expected(&self, prefix: Prefix, attributes: &Arc<Attributes>) -> Held {
        let mut known = self.expected.borrow_mut();
        let held = known.entry((prefix, Arc::clone(attributes)));
        held.or_insert_with(|| expected(&self.setting, prefix, attributes)).clone()
    }

    /// Whether the neighbor can be given the route at all.
    fn sendable(&self, prefix: Prefix, attributes: &Attributes) -> bool {
        self.setting.families().contains(&prefix.family())
            && self.setting.next_hop(prefix).is_some()
            && (self.setting.extended_message() || attributes.large_communities.len() < TOO_MANY)
    }

    fn converged(&self, desired: &Routes) {
        let (sendable, others): (Routes, Routes) =
            desired.clone().into_iter().partition(|(prefix, attributes)| self.sendable(*prefix, attributes));
        let wanted: BTreeMap<String, Held> =
            sendable.iter().map(|(prefix, it)| (prefix.to_string(), self.expected(*prefix, it))).collect();
        assert_eq!(self.held, wanted);
        let shown: Routes = self
            .agent
            .advertised()
            .iter()
            .map(|(prefix, entry)| {
                assert_eq!(entry.progress, Progress::Acked);
                (*prefix, entry.attributes.clone().expect("withdraws are gone once acknowledged"))
            })
            .collect();
        assert_eq!(shown, sendable);
        assert!(self.agent.unsent().keys().eq(others.keys()));
    }
}

fn split(pipe: &mut Pipe, most: usize, cut: Option<usize>) -> Vec<Vec<u8>> {
    let mut part: Vec<u8> = pipe.flying.drain(..most.min(pipe.flying.len())).collect();
    let before = pipe.delivered;
    pipe.delivered += part.len();
    match cut {
        Some(cut) if before < cut && cut < pipe.delivered => {
            let rest = part.split_off(cut - before);
            vec![part, rest]
        }
        _ if part.is_empty() => vec![],
        _ => vec![part],
    }
}

/// So many large communities that no message of 4096 octets holds them.
const TOO_MANY: usize = 340;

fn prefixes() -> Vec<Prefix> {
    let texts = [
        "198.51.100.0/24",
        "203.0.113.7/32",
        "192.0.2.128/25",
        "10.0.0.0/9",
        "2001:db8:5::/48",
        "2001:db8::7/128",
        "2001:db8:8000::/33",
    ];
    texts.iter().map(|text| text.parse().expect("a prefix")).collect()
}

fn attributes() -> Vec<Arc<Attributes>> {
    let communities = |list: &[u32]| list.iter().copied().map(Community).collect();
    [
        Attributes::default(),
        Attributes { med: Some(5), communities: communities(&[65010 << 16 | 1, 0xFFFF_0000]), ..Attributes::default() },
        Attributes { as_path_prepend: 3, local_pref: Some(9), ..Attributes::default() },
        Attributes {
            communities: communities(&(0..100).collect::<Vec<_>>()),
            large_communities: [LargeCommunity { global: 65010, local1: 1, local2: u32::MAX }].into(),
            extended_communities: ["rt:65010:1", "soo:192.0.2.1:2", "0x8001020304050607"]
                .map(|text| text.parse().expect("an extended community"))
                .into(),
            link_bandwidth: Some(LinkBandwidth { rate: "10Gbps".parse().expect("a rate"), transitive: true }),
            ..Attributes::default()
        },
    ]
    .map(Arc::new)
    .to_vec()
}

/// One that fits none but long messages (RFC 8654).
fn large() -> Arc<Attributes> {
    let count = u32::try_from(TOO_MANY).expect("it is small");
    let large_communities = (0..count).map(|local2| LargeCommunity { global: 65010, local1: 0, local2 }).collect();
    Arc::new(Attributes { large_communities, ..Attributes::default() })
}

/// A first set, another, and the refresh of a family.
fn story(pair: &mut Pair) {
    let (prefixes, attributes) = (prefixes(), attributes());
    let first: Routes = prefixes.iter().zip(attributes.iter().cycle()).map(|(p, a)| (*p, Arc::clone(a))).collect();
    pair.agent.set_routes(first.clone(), pair.now);
    pair.settle();
    pair.converged(&first);
    let second: Routes = prefixes.iter().skip(2).zip(&attributes).map(|(p, a)| (*p, Arc::clone(a))).collect();
    pair.agent.set_routes(second.clone(), pair.now);
    pair.settle();
    pair.converged(&second);
    pair.back.flying.extend(oracle::route_refresh(1));
    pair.settle();
    pair.converged(&second);
    let counters = pair.neighbor.as_ref().expect("it is up").counters();
    assert_eq!((counters.treated_as_withdraw, counters.attributes_discarded), (0, 0));
}

#[test]
fn sessions_converge_wherever_the_stream_is_cut() {
    let mut whole = Pair::new(None);
    story(&mut whole);
    let length = whole.there.delivered.max(whole.back.delivered);
    assert!(length > 1000);
    for cut in 1..length {
        let mut pair = Pair::new(Some(cut));
        story(&mut pair);
        assert_eq!((pair.there.delivered, pair.neighbors), (whole.there.delivered, 1), "cut at {cut}");
        assert_eq!(pair.agent.counters(), whole.agent.counters(), "cut at {cut}");
    }
}

#[test]
fn sessions_converge_octet_by_octet() {
    let mut pair = Pair::new(None);
    let desired: Routes = prefixes().into_iter().map(|prefix| (prefix, Arc::clone(&attributes()[1]))).collect();
    pair.agent.set_routes(desired.clone(), pair.now);
    pair.act();
    for _ in 0..2000 {
        pair.write(1);
        pair.write_back();
        pair.deliver(1);
        pair.act();
    }
    assert_eq!(pair.agent.state(), State::Established);
    pair.settle();
    pair.converged(&desired);
}

/// The neighbor sees the same octets, wherever in the stream another process takes over, in either direction.
#[test]
fn another_process_goes_on_wherever_it_takes_over() {
    let tell = |taken: Option<usize>| {
        let mut pair = Pair::new(None);
        pair.settle();
        let (prefixes, attributes) = (prefixes(), attributes());
        let first: Routes = prefixes.iter().zip(attributes.iter().cycle()).map(|(p, a)| (*p, Arc::clone(a))).collect();
        let second: Routes = prefixes.iter().skip(2).zip(&attributes).map(|(p, a)| (*p, Arc::clone(a))).collect();
        let (mut octets, mut steps) = (Vec::new(), 0);
        for desired in [first, second] {
            pair.agent.set_routes(desired.clone(), pair.now);
            pair.back.flying.extend(oracle::route_refresh(1));
            loop {
                if taken == Some(steps) {
                    assert!(pair.take_over(&desired, true));
                }
                steps += 1;
                pair.write(1);
                octets.extend_from_slice(&pair.there.flying);
                pair.deliver(1);
                let quiet =
                    pair.there.flying.is_empty() && pair.there.waiting.is_empty() && pair.back.flying.is_empty();
                if quiet && !pair.agent.advertised().values().any(|entry| entry.progress == Progress::Queued) {
                    break;
                }
            }
            pair.settle();
            pair.converged(&desired);
        }
        assert_eq!(pair.neighbors, 1);
        (octets, steps)
    };
    let (octets, steps) = tell(None);
    assert!(octets.len() > 500);
    for taken in 0..steps {
        assert!(tell(Some(taken)).0 == octets, "taken over at step {taken}");
    }
}

#[test]
fn an_idle_session_stays_up_for_a_day() {
    let mut pair = Pair::new(None);
    let desired: Routes = prefixes().into_iter().map(|prefix| (prefix, Arc::clone(&attributes()[0]))).collect();
    pair.agent.set_routes(desired.clone(), pair.now);
    pair.settle();
    let end = pair.now + Duration::from_secs(86_400);
    while pair.now < end {
        let timers = [pair.agent.poll_timeout(), pair.neighbor.as_ref().and_then(Session::poll_timeout)];
        let next = timers.into_iter().flatten().min().expect("keepalives are due");
        pair.pass(next.saturating_duration_since(pair.now));
        pair.settle();
    }
    assert_eq!(pair.neighbors, 1);
    pair.converged(&desired);
    let keepalives = pair.agent.counters().sent.keepalive;
    assert!((8_640..=11_521).contains(&keepalives), "{keepalives} every 7.5 to 10 s");
}

#[derive(Debug, Clone)]
enum Step {
    SetRoutes(Vec<Option<usize>>),
    /// The neighbor has routes of its own.
    Theirs(Vec<Option<usize>>),
    Complete(bool),
    Write(usize),
    WriteBack,
    Deliver(usize),
    Acked,
    Pass(u64),
    Close,
    Garbage(Vec<u8>),
    Refresh(u8),
    Knock,
    TakeOver,
}

fn step() -> impl Strategy<Value = Step> {
    let choices = proptest::collection::vec(proptest::option::of(0..5usize), 7);
    prop_oneof![
        4 => choices.clone().prop_map(Step::SetRoutes),
        1 => choices.prop_map(Step::Theirs),
        1 => any::<bool>().prop_map(Step::Complete),
        4 => (1..600usize).prop_map(Step::Write),
        2 => Just(Step::WriteBack),
        4 => (1..600usize).prop_map(Step::Deliver),
        2 => Just(Step::Acked),
        3 => (0..20_000u64).prop_map(Step::Pass),
        1 => Just(Step::Close),
        1 => proptest::collection::vec(any::<u8>(), 1..30).prop_map(Step::Garbage),
        2 => (1..3u8).prop_map(Step::Refresh),
        1 => Just(Step::Knock),
        2 => Just(Step::TakeOver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_the_neighbor_ends_up_with_what_is_desired(
        setting in settings(), steps in proptest::collection::vec(step(), 1..80),
    ) {
        let (prefixes, mut attributes) = (prefixes(), attributes());
        attributes.push(large());
        let routes = |choices: Vec<Option<usize>>| -> Routes {
            let chosen = prefixes.iter().zip(choices);
            chosen.filter_map(|(prefix, choice)| Some((*prefix, Arc::clone(&attributes[choice?])))).collect()
        };
        let (mut pair, mut desired, mut complete) = (Pair::of(setting, None), Routes::new(), true);
        let garbled = steps.iter().any(|step| matches!(step, Step::Garbage(_)));
        // Most of the steps are to happen on a session that is up.
        pair.settle();
        for step in steps {
            match step {
                Step::SetRoutes(choices) => {
                    desired = routes(choices);
                    pair.agent.set_routes(desired.clone(), pair.now);
                }
                Step::Theirs(choices) => {
                    if let Some(neighbor) = &mut pair.neighbor {
                        neighbor.set_routes(routes(choices), pair.now);
                    }
                }
                Step::Complete(now) => {
                    complete = now;
                    pair.agent.set_complete(complete);
                }
                Step::Write(room) => pair.write(room),
                Step::WriteBack => pair.write_back(),
                Step::Deliver(most) => pair.deliver(most),
                Step::Acked => pair.agent.handle_unacked(pair.there.flying.len(), pair.now),
                Step::Pass(millis) => pair.pass(Duration::from_millis(millis)),
                Step::Close => pair.hang_up(true),
                Step::Garbage(bytes) => pair.agent.handle_bytes(&bytes, pair.now),
                // Between two messages only: the neighbor writes whole ones.
                Step::Refresh(afi) => pair.back.flying.extend(oracle::route_refresh(afi)),
                Step::Knock => pair.knock(),
                Step::TakeOver => {
                    pair.take_over(&desired, complete);
                }
            }
            pair.act();
            pair.deadline_is_set();
            let up = pair.agent.state() == State::Established;
            prop_assert!(up || pair.agent.advertised().is_empty());
            pair.table_is_true();
            // What the neighbor holds never has attributes that were not chosen for something.
            for (prefix, held) in &pair.held {
                let prefix: Prefix = prefix.parse().expect("a prefix");
                prop_assert!(attributes.iter().any(|chosen| pair.expected(prefix, chosen) == *held));
            }
        }
        pair.settle();
        pair.converged(&desired);
        let counters = pair.agent.counters();
        prop_assert!(garbled || (counters.treated_as_withdraw, counters.attributes_discarded) == (0, 0));
    }
}
