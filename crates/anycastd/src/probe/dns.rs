//! A DNS query is answered as expected, by each server and over each transport.
//!
//! Every query has an id and a source port of its own, both random. Over UDP what does not answer it (RFC 5452 §9.1) is
//! passed over, as a resolver would: it may be late, or forged. That also keeps a forged failure from withdrawing a service.

mod verdict;

use std::{
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anycast_core::config::{DnsFlag, DnsProbe, Protocol};
use domain::base::{
    Message, MessageBuilder,
    iana::{Class, Opcode, Rcode},
};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time,
};

use self::verdict::Expected;
use super::{Finding, datagram::Peer, several, tcp, words};
use crate::dns::Question;

/// What we take in one datagram (DNS flag day 2020: no fragments).
const PAYLOAD: u16 = 1232;

#[derive(Debug)]
pub(super) struct DnsProber {
    config: DnsProbe,
    ready: Result<Expected, String>,
}

/// Whom a question goes to, and over what.
type Asked = (Protocol, SocketAddr);

/// A good answer.
#[derive(Debug)]
struct Seen {
    words: String,
    took: Duration,
}

impl DnsProber {
    pub(super) fn new(config: &DnsProbe) -> Self {
        Self { config: config.clone(), ready: Expected::new(config) }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let expected = match &self.ready {
            Ok(expected) => expected,
            Err(why) => return Finding::unknown(why.clone()),
        };
        let asked: Vec<Asked> = self.config.asked().collect();
        let seen = several::each(&asked, |asked| self.ask(asked, expected, timeout)).await;
        seen.map_or_else(|failure| failure, |seen| good(&seen))
    }

    async fn ask(&self, asked: Asked, expected: &Expected, timeout: Duration) -> Result<Seen, Finding> {
        let started = Instant::now();
        let mut ask = Ask { question: &expected.question, query: self.query(&expected.question)?, asked, strays: 0 };
        let mut truncated = false;
        let answer = async {
            if asked.0 == Protocol::Tcp {
                return ask.over_tcp(timeout).await;
            }
            let answer = ask.over_udp().await?;
            // Where the flag is what is asked about, the truncated answer is the answer.
            truncated = answer.header().tc() && self.config.expects(DnsFlag::Tc).is_none();
            if truncated { ask.over_tcp(timeout.saturating_sub(started.elapsed())).await } else { Ok(answer) }
        };
        let answer = time::timeout(timeout, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(ask.late(truncated, timeout)))?;
        let judged = expected.judge(&answer, &self.config).map_err(|why| self.failed(asked, truncated, &why))?;
        let detour = if truncated { ", over TCP since it was truncated over UDP" } else { "" };
        Ok(Seen { words: format!("{judged}{detour}"), took: started.elapsed() })
    }

    /// Who failed is said where there are several who could have.
    fn failed(&self, asked: Asked, truncated: bool, why: &str) -> Finding {
        let over = if truncated { (Protocol::Tcp, asked.1) } else { asked };
        if self.config.asked().nth(1).is_none() && !truncated {
            return Finding::down(why);
        }
        Finding::down(format!("{}: {why}", whom(over)))
    }

    fn query(&self, question: &Question) -> Result<Query, Finding> {
        let too_long = |_| Finding::unknown("the query does not fit a message");
        let mut id = [0; 2];
        // Unlike a file, the kernel's own source needs no descriptor.
        getrandom(&mut id, GetRandomFlags::empty())
            .map_err(|error| Finding::fault("no random numbers", &error.into()))?;
        let id = u16::from_ne_bytes(id);
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(self.config.recursion_desired);
        // RFC 6840 §5.7: who wants to see the flag without the signatures asks for it by the flag.
        builder.header_mut().set_ad(self.config.expects(DnsFlag::Ad) == Some(true));
        builder.header_mut().set_cd(self.config.expects(DnsFlag::Cd) == Some(true));
        let mut builder = builder.question();
        builder.push((&question.name, question.kind, Class::IN)).map_err(too_long)?;
        let mut builder = builder.additional();
        if self.config.dnssec_ok {
            builder
                .opt(|options| {
                    options.set_udp_payload_size(PAYLOAD);
                    options.set_dnssec_ok(true);
                    Ok(())
                })
                .map_err(too_long)?;
        }
        Ok(Query { id, bytes: builder.finish() })
    }
}

#[derive(Debug)]
struct Query {
    id: u16,
    bytes: Vec<u8>,
}

/// One question on its way.
#[derive(Debug)]
struct Ask<'a> {
    question: &'a Question,
    query: Query,
    asked: Asked,
    /// Datagrams that were no answer to it.
    strays: u32,
}

type Answer = Message<Vec<u8>>;

impl Ask<'_> {
    async fn over_udp(&mut self) -> Result<Answer, Finding> {
        let mut peer = Peer::new(self.asked.1).await?;
        peer.send(&self.query.bytes).await?;
        loop {
            let received = peer.receive().await?;
            if let Some(answer) = self.answer(received) {
                return Ok(answer);
            }
            self.strays = self.strays.saturating_add(1);
        }
    }

    async fn over_tcp(&self, timeout: Duration) -> Result<Answer, Finding> {
        let address = self.asked.1;
        let fault = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => Finding::down(format!("{address}: connection closed before an answer")),
            _ => Finding::fault(&address.to_string(), &error),
        };
        let mut stream = tcp::connect(address, timeout).await?;
        // RFC 1035 §4.2.2, and RFC 7766 §8: the length in one segment with what it is the length of.
        let length = u16::try_from(self.query.bytes.len()).unwrap_or(u16::MAX);
        stream.write_all(&[&length.to_be_bytes()[..], &self.query.bytes].concat()).await.map_err(fault)?;
        let length = stream.read_u16().await.map_err(fault)?;
        let mut received = vec![0; usize::from(length)];
        stream.read_exact(&mut received).await.map_err(fault)?;
        self.answer(&received).ok_or_else(|| {
            Finding::down(format!("{address} over TCP: {} bytes that do not answer the query", received.len()))
        })
    }

    /// What answers this query: same id, same question.
    fn answer(&self, received: &[u8]) -> Option<Answer> {
        let message = Message::from_octets(received.to_vec()).ok()?;
        let header = message.header();
        if !header.qr() || header.id() != self.query.id || header.opcode() != Opcode::QUERY {
            return None;
        }
        // A server that could not read the query, or will not, may answer without the question.
        if message.header_counts().qdcount() == 0 {
            let refused = message.is_error() && header.rcode() != Rcode::NXDOMAIN;
            return refused.then_some(message);
        }
        let asked = message.sole_question().ok()?;
        let same =
            asked.qname() == &self.question.name && asked.qtype() == self.question.kind && asked.qclass() == Class::IN;
        same.then_some(message)
    }

    fn late(&self, truncated: bool, timeout: Duration) -> Finding {
        let over = if truncated { (Protocol::Tcp, self.asked.1) } else { self.asked };
        let strays = match self.strays {
            0 => String::new(),
            1 => ", but a datagram that does not answer the query".to_owned(),
            many => format!(", but {many} datagrams that do not answer the query"),
        };
        Finding::late(format!("{}: no answer within {}{strays}", whom(over), words::time(timeout)))
    }
}

fn whom((protocol, address): Asked) -> String {
    match protocol {
        Protocol::Udp => address.to_string(),
        Protocol::Tcp => format!("{address} over TCP"),
    }
}

fn good(seen: &[(Asked, Seen)]) -> Finding {
    let Some((asked, last)) = seen.iter().max_by_key(|(_, seen)| seen.took) else {
        return Finding::unknown("no server to ask");
    };
    let took = words::took(last.took);
    if seen.len() == 1 {
        return Finding::up(format!("{}, in {took}", last.words));
    }
    Finding::up(format!("all {} answered {}; {} last, in {took}", seen.len(), last.words, whom(*asked)))
}

#[cfg(test)]
mod tests;
