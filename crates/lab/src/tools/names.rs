//! Names: what a server answers with, asked again and again, and the asking itself.
//!
//! IPv4 only, over UDP, one question a socket. What does not answer the question is passed over, as a resolver would.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use domain::{
    base::{
        Message, MessageBuilder, Name, Rtype,
        iana::{Class, Rcode},
    },
    rdata::A,
};
use tokio::{net::UdpSocket, time};

use super::{
    output::{self, Lines},
    probe::ticks,
    record::{Nanos, Record, Resolved},
};

/// What is taken in one datagram (RFC 1035 §4.2.1: 512 without EDNS; more is harmless).
const LONGEST: usize = 1232;
/// Datagrams that answer something else, before the question is given up.
const STRAYS: usize = 16;
/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// `names`.
#[derive(Debug, Args)]
pub struct Names {
    /// Which server to ask
    #[arg(long, value_name = "ADDRESS:PORT")]
    resolver: SocketAddr,
    /// What to ask for
    #[arg(long = "lookup", value_name = "NAME", required = true, value_parser = question)]
    lookups: Vec<Question>,
    /// Ask for each every so many milliseconds
    #[arg(long, value_name = "MS", default_value = "100", value_parser = clap::value_parser!(u64).range(10..=60_000))]
    every: u64,
}

impl Names {
    /// Asks until it is enough, and tells each answer that has other addresses than the one before.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut lines = Lines::new();
        lines.say(&Record::Ready { at: Nanos::now() });
        let asking = async {
            let (mut changes, mut ticks) = (Changes::default(), ticks(Duration::from_millis(self.every)));
            loop {
                ticks.tick().await;
                for question in &self.lookups {
                    // Silence is no answer, and so not another one.
                    let Ok(answer) = question.ask(self.resolver, PATIENCE).await else { continue };
                    if let Some(told) = changes.told(self.resolver, question, &answer) {
                        lines.say(&Record::Resolved(told));
                    }
                }
            }
        };
        tokio::select! {
            ended = output::ending() => ended,
            never = asking => never,
        }
    }
}

/// The IPv4 addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    text: String,
    name: Name<Vec<u8>>,
}

/// For the command line.
pub(super) fn question(text: &str) -> Result<Question, String> {
    let name = Name::vec_from_str(text).map_err(|error| format!("`{text}` is not a domain name ({error})"))?;
    Ok(Question { text: text.to_owned(), name })
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// In the order of the answer; none where the name has none.
    pub(super) addresses: Vec<Ipv4Addr>,
    /// How long it may be kept: the least of its records.
    pub(super) ttl: Duration,
}

impl Question {
    /// The name, as it was given.
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    /// Asks once.
    ///
    /// # Errors
    /// When there is no good answer within `limit`.
    pub(super) async fn ask(&self, server: SocketAddr, limit: Duration) -> anyhow::Result<Answer> {
        match time::timeout(limit, self.exchange(server)).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {limit:?}"),
        }
    }

    async fn exchange(&self, server: SocketAddr) -> anyhow::Result<Answer> {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(server).await?;
        // Within a lab nobody forges answers: the port is as good as a number of its own.
        let query = self.query(socket.local_addr()?.port())?;
        socket.send(query.as_slice()).await?;
        let mut buffer = [0; LONGEST];
        for _ in 0..STRAYS {
            let length = socket.recv(&mut buffer).await?;
            if let Some(answer) = read(buffer.get(..length).unwrap_or_default(), &query) {
                return answer;
            }
        }
        bail!("{server} answers what it was not asked")
    }

    fn query(&self, id: u16) -> anyhow::Result<Message<Vec<u8>>> {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        let mut builder = builder.question();
        builder.push((&self.name, Rtype::A, Class::IN)).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(builder.into_message())
    }
}

/// An answer to the query; nothing if it is none.
fn read(datagram: &[u8], query: &Message<Vec<u8>>) -> Option<anyhow::Result<Answer>> {
    let message = Message::from_octets(datagram).ok().filter(|message| message.is_answer(query))?;
    Some(understand(message))
}

fn understand(message: Message<&[u8]>) -> anyhow::Result<Answer> {
    let rcode = message.header().rcode();
    ensure!(matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN), "the answer is {rcode}");
    let (mut addresses, mut ttl) = (Vec::new(), None::<Duration>);
    for record in message.answer().context("the answer is broken")?.limit_to_in::<A>() {
        let record = record.context("the answer is broken")?;
        addresses.push(record.data().addr());
        let own = Duration::from_secs(record.ttl().as_secs().into());
        ttl = Some(ttl.map_or(own, |least| least.min(own)));
    }
    Ok(Answer { addresses, ttl: ttl.unwrap_or_default() })
}

/// What each server said last of each name.
#[derive(Debug, Default)]
pub(super) struct Changes {
    last: BTreeMap<String, Vec<Ipv4Addr>>,
}

impl Changes {
    /// The answer, if it has other addresses than the last one. Their order is of no account: a server may turn them round each time.
    pub(super) fn told(&mut self, by: SocketAddr, question: &Question, answer: &Answer) -> Option<Resolved> {
        let mut addresses = answer.addresses.clone();
        addresses.sort_unstable();
        if self.last.get(question.name()) == Some(&addresses) {
            return None;
        }
        self.last.insert(question.name().to_owned(), addresses.clone());
        Some(Resolved {
            at: Nanos::now(),
            by,
            name: question.name().to_owned(),
            addresses: addresses.into_iter().map(IpAddr::V4).collect(),
            ttl: u32::try_from(answer.ttl.as_secs()).unwrap_or(u32::MAX),
        })
    }
}

#[cfg(test)]
pub(super) mod testing {
    use domain::base::ToName as _;

    use super::*;

    /// The answer to a query, with these addresses and a TTL.
    pub(crate) fn answer(query: &[u8], rcode: Rcode, addresses: &[[u8; 4]], ttl: u32) -> Vec<u8> {
        let query = Message::from_octets(query).unwrap();
        let name: Name<Vec<u8>> = query.sole_question().unwrap().qname().to_name();
        let mut builder = MessageBuilder::new_vec().start_answer(&query, rcode).unwrap();
        for address in addresses {
            let [a, b, c, d] = *address;
            builder.push((&name, Class::IN, domain::base::Ttl::from_secs(ttl), A::from_octets(a, b, c, d))).unwrap();
        }
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 4] = [192, 0, 2, 2];
    const OTHER: [u8; 4] = [192, 0, 2, 18];

    #[test]
    fn an_answer_is_its_addresses_and_their_least_ttl() {
        let question = question("all.lab.example").unwrap();
        let query = question.query(7).unwrap();
        let datagram = testing::answer(query.as_slice(), Rcode::NOERROR, &[OTHER, ONE], 60);
        let good = read(&datagram, &query).unwrap().unwrap();
        assert_eq!(good, Answer { addresses: vec![OTHER.into(), ONE.into()], ttl: Duration::from_secs(60) });
        let none = testing::answer(query.as_slice(), Rcode::NXDOMAIN, &[], 0);
        assert_eq!(read(&none, &query).unwrap().unwrap().addresses, [] as [Ipv4Addr; 0]);
        let failed = testing::answer(query.as_slice(), Rcode::SERVFAIL, &[], 0);
        assert_eq!(read(&failed, &query).unwrap().unwrap_err().to_string(), "the answer is SERVFAIL");
    }

    #[test]
    fn what_answers_something_else_is_none() {
        let asked = question("all.lab.example").unwrap();
        let query = asked.query(7).unwrap();
        let others = [asked.query(8).unwrap(), question("us-5.lab.example").unwrap().query(7).unwrap()];
        for other in others {
            let datagram = testing::answer(other.as_slice(), Rcode::NOERROR, &[ONE], 60);
            assert!(read(&datagram, &query).is_none());
        }
        for odd in [&b""[..], b"\0\x07", &[0xff; 40], query.as_slice()] {
            assert!(read(odd, &query).is_none(), "{odd:?}");
        }
        let cut = testing::answer(query.as_slice(), Rcode::NOERROR, &[ONE], 60);
        assert!(read(&cut[..cut.len() - 2], &query).unwrap().is_err());
    }

    #[tokio::test]
    async fn what_answers_something_else_is_passed_over() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let asked = question("us-5.lab.example").unwrap();
        let serving = async {
            let mut buffer = [0; LONGEST];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(b"no answer to anything", from).await.unwrap();
            let good = testing::answer(&buffer[..length], Rcode::NOERROR, &[ONE], 5);
            server.send_to(&good, from).await.unwrap();
        };
        let (answer, ()) = tokio::join!(asked.ask(at, crate::harness::AMPLE), serving);
        assert_eq!(answer.unwrap(), Answer { addresses: vec![ONE.into()], ttl: Duration::from_secs(5) });
        let silence = asked.ask(at, Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(silence.to_string(), "no answer within 1ms");
    }

    #[test]
    fn a_change_is_told_once_whatever_the_order() {
        let (mut changes, by) = (Changes::default(), "192.0.2.66:53".parse().unwrap());
        let asked = question("all.lab.example").unwrap();
        let mut told = |addresses: &[[u8; 4]]| {
            let addresses = addresses.iter().map(|address| Ipv4Addr::from(*address)).collect();
            changes
                .told(by, &asked, &Answer { addresses, ttl: Duration::from_secs(5) })
                .map(|told| told.addresses.len())
        };
        let told = [told(&[ONE, OTHER]), told(&[OTHER, ONE]), told(&[ONE]), told(&[ONE]), told(&[]), told(&[ONE])];
        assert_eq!(told, [Some(2), None, Some(1), None, Some(0), Some(1)]);
    }
}
