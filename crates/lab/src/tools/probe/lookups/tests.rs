use std::io;

use domain::base::iana::Rcode;

use super::*;
use crate::{
    harness::AMPLE,
    tools::{
        names::{self, testing},
        output::Lines,
        record::{Record, Request, Resolved},
    },
};

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 9];

/// What was said.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A resolver and a service that do as they are told, and who asks them.
struct World {
    resolver: UdpSocket,
    service: UdpSocket,
    lookups: Arc<Lookups>,
    flow: Flow,
    told: Told,
}

impl World {
    async fn new(timeout: Duration) -> Self {
        let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let service = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let told = Told::default();
        let lookups = Arc::new(Lookups {
            question: names::question("us-5.lab.example").unwrap(),
            resolver: resolver.local_addr().unwrap(),
            port: service.local_addr().unwrap().port(),
            every: Duration::from_millis(1),
            timeout,
            changes: Mutex::default(),
            ledger: Arc::new(Ledger::new(timeout, Lines::to(told.clone()))),
        });
        let flow = lookups.open(1).unwrap().remove(0);
        // A socket of which nothing is known yet would refuse the first datagram.
        flow.0.writable().await.unwrap();
        Self { resolver, service, lookups, flow, told }
    }

    /// One request, while the resolver hears a query and says what it is to say.
    async fn request(&self, answers: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Option<(IpAddr, Instant)> {
        let resolving = async {
            let (query, from) = heard(&self.resolver).await;
            for answer in answers(&query) {
                self.resolver.send_to(&answer, from).await.unwrap();
            }
        };
        let both = async { tokio::join!(self.lookups.request(&self.flow, None), resolving).0 };
        time::timeout(AMPLE, both).await.unwrap()
    }

    /// The service hears a request and answers it.
    async fn serve(&self) {
        let (ticket, from) = heard(&self.service).await;
        self.service.send_to(&[&ticket[..], b"us-edge"].concat(), from).await.unwrap();
    }

    fn records(&self) -> Vec<Record> {
        self.lookups.ledger.tell();
        let text = String::from_utf8(self.told.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn requests(&self) -> Vec<Request> {
        let requests = self.records().into_iter().map(|record| match record {
            Record::Request(request) => Some(request),
            _ => None,
        });
        requests.flatten().collect()
    }

    fn resolved(&self) -> Vec<Vec<IpAddr>> {
        let resolved = self.records().into_iter().map(|record| match record {
            Record::Resolved(Resolved { addresses, .. }) => Some(addresses),
            _ => None,
        });
        resolved.flatten().collect()
    }

    /// The fates of requests, once so many are known.
    async fn fates(&self, count: usize) -> Vec<Request> {
        let waiting = async {
            while self.requests().len() < count {
                time::sleep(Duration::from_millis(1)).await;
            }
        };
        time::timeout(AMPLE, waiting).await.unwrap();
        self.requests()
    }
}

async fn heard(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 512];
    let (length, from) = time::timeout(AMPLE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    (buffer[..length].to_vec(), from)
}

fn good(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    testing::answer(query, Rcode::NOERROR, &[address], 3600)
}

fn with_another_id(mut answer: Vec<u8>) -> Vec<u8> {
    answer[1] ^= 1;
    answer
}

#[tokio::test]
async fn the_first_address_is_asked_whatever_else_comes_before_the_answer() {
    let world = World::new(AMPLE).await;
    let known = world.request(|query| {
        let both = testing::answer(query, Rcode::NOERROR, &[HERE, ELSEWHERE], 3600);
        vec![with_another_id(good(query, ELSEWHERE)), b"nothing".to_vec(), both]
    });
    let (address, until) = known.await.unwrap();
    assert_eq!(address, IpAddr::from(HERE));
    assert!(until > Instant::now() + Duration::from_secs(1800), "it lives for an hour");
    world.serve().await;
    let fates = world.fates(1).await;
    let [request] = &fates[..] else { panic!("{fates:?}") };
    assert_eq!((request.target, request.name.as_deref()), (HERE.into(), Some("us-5.lab.example")));
    assert_eq!((request.node.as_deref(), &request.error, request.flow), (Some("us-edge"), &None, world.flow.1));
    assert_eq!(world.resolved(), [vec![IpAddr::from(HERE), ELSEWHERE.into()]]);
}

#[tokio::test]
async fn without_a_good_answer_the_request_is_lost() {
    type Answers = fn(&[u8]) -> Vec<Vec<u8>>;
    let table: [(Answers, &str, &[&[IpAddr]]); 4] = [
        (|query| vec![testing::answer(query, Rcode::NXDOMAIN, &[], 0)], "it has no address", &[&[]]),
        (|query| vec![testing::answer(query, Rcode::SERVFAIL, &[], 0)], "the answer is SERVFAIL", &[]),
        (
            |query| {
                let whole = good(query, HERE);
                vec![whole[..whole.len() - 2].to_vec()]
            },
            "the answer is broken",
            &[],
        ),
        (|query| vec![with_another_id(good(query, HERE)); 16], "answers what it was not asked", &[]),
    ];
    for (answers, words, resolved) in table {
        let world = World::new(AMPLE).await;
        assert_eq!(world.request(answers).await, None, "{words}");
        let requests = world.requests();
        let [request] = &requests[..] else { panic!("{words}: {requests:?}") };
        let error = request.error.as_deref().unwrap();
        assert!(error.starts_with("the name is not resolved: ") && error.contains(words), "{error}");
        assert_eq!((request.node.as_deref(), request.target), (None, Ipv4Addr::UNSPECIFIED.into()), "{words}");
        assert_eq!(world.resolved(), resolved, "{words}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_is_not_that_of_the_next_question() {
    let world = World::new(Duration::from_millis(20)).await;
    assert_eq!(world.lookups.request(&world.flow, None).await, None);
    let requests = world.requests();
    let [request] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(request.error.as_deref(), Some("the name is not resolved: no answer within 20ms"));

    let (late, from) = heard(&world.resolver).await;
    // Held, so that the next question comes from another port.
    let _port = UdpSocket::bind(from).await.unwrap();
    let patient = World::new(AMPLE).await;
    let known = patient.request(|query| {
        let stale = good(&late, ELSEWHERE);
        vec![stale, good(query, HERE)]
    });
    assert_eq!(known.await.map(|(address, _)| address), Some(HERE.into()));
}

#[tokio::test]
async fn an_answer_of_the_service_that_comes_too_late_is_a_loss_told_once() {
    let world = World::new(Duration::from_millis(100)).await;
    let known = Some((IpAddr::from(HERE), Instant::now() + AMPLE));
    // Whose address is known asks no resolver: that one says nothing.
    assert_eq!(world.lookups.request(&world.flow, known).await, known);
    let lost = world.fates(1).await;
    assert_eq!((lost[0].target, lost[0].error.as_deref()), (HERE.into(), Some("no answer in time")));
    world.serve().await;
    // The socket hears answers in their order: once a later one has counted, the late one has been there.
    for count in 2.. {
        world.lookups.request(&world.flow, known).await;
        world.serve().await;
        let fates = world.fates(count).await;
        assert_eq!(fates.len(), count, "{fates:?}");
        if fates[count - 1].node.is_some() {
            break;
        }
    }
    assert_eq!(world.requests()[0], lost[0]);
}

#[tokio::test]
async fn who_keeps_an_address_asks_for_it_once_in_its_life_and_others_each_time() {
    // (whether it is kept, for how many seconds it lives, whether one question is enough)
    for (keeps, ttl, once) in [(true, 3600, true), (true, 0, false), (false, 3600, false)] {
        let world = World::new(AMPLE).await;
        let lookups = world.lookups.clone();
        let begun = if keeps { lookups.start_keepers(1) } else { lookups.start(1) };
        begun.unwrap();
        let mut queries = 0;
        let resolving = async {
            loop {
                let (query, from) = heard(&world.resolver).await;
                queries += 1;
                let answer = testing::answer(&query, Rcode::NOERROR, &[HERE], ttl);
                world.resolver.send_to(&answer, from).await.unwrap();
            }
        };
        let hearing = async {
            for _ in 0..5 {
                heard(&world.service).await;
            }
        };
        tokio::select! {
            () = hearing => {}
            () = resolving => {}
        }
        assert_eq!(queries == 1, once, "{keeps} {ttl}: {queries}");
        assert_eq!(world.resolved(), [[IpAddr::from(HERE)]], "it is told once");
    }
}
