//! One HTTP request on a connection of its own. Redirects are an answer like any other, and not followed.

mod judge;
mod request;

use std::{
    error::Error as _,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use anycast_core::config::{HttpProbe, HttpTarget, HttpVersion};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};

use self::request::{Question, question};
use super::{
    Finding,
    capped::Capped,
    http2, several, tcp,
    tls::{self, Connector, Tls},
    words,
};
use crate::blocking::{Hang, NAMES, Slot};

/// The largest header of an answer.
const HEADER_LIMIT: usize = 64 * 1024;

const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A lookup that began at most so long ago is as good as a new one.
const LOOKUP_AGE: Duration = Duration::from_secs(1);

/// An HTTP check, made ready.
#[derive(Debug)]
pub(super) struct HttpProber {
    config: HttpProbe,
    /// One for each address, or one for a name.
    questions: Vec<Result<Question, String>>,
    tls: Option<Tls>,
    /// The resolver cannot be interrupted; `None`: it is not asked.
    lookup: Option<Slot>,
}

/// How far a run has come, so that one that is late can say what it waited for.
#[derive(Debug, Clone, Copy)]
enum Step {
    Lookup,
    Connect,
    Handshake,
    Answer,
    Body(u16),
}

impl HttpProber {
    pub(super) fn new(config: &HttpProbe) -> Self {
        let questions = match &config.target {
            HttpTarget::Addresses(all) => all.iter().map(|address| question(config, Some(*address))).collect(),
            HttpTarget::Name { .. } => vec![question(config, None)],
        };
        let tls = match config.version {
            HttpVersion::Http1 => Tls::new,
            HttpVersion::Http2 => Tls::for_http2,
        };
        let lookup = match &config.target {
            HttpTarget::Addresses(_) => None,
            HttpTarget::Name { host, .. } => Some(Slot::of(&NAMES, host)),
        };
        Self { config: config.clone(), questions, tls: config.tls.as_ref().map(tls), lookup }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        match &self.config.target {
            HttpTarget::Addresses(addresses) => {
                several::all(addresses, |index| self.ask(index, Some(addresses[index]), timeout)).await
            }
            HttpTarget::Name { .. } => self.ask(0, None, timeout).await,
        }
    }

    /// `at`: one address, or `None` for one of those that a name has.
    async fn ask(&self, index: usize, at: Option<SocketAddr>, timeout: Duration) -> Finding {
        let started = Instant::now();
        // Before the rest, so that certificates that cannot be read are not blamed on the server.
        let secure = match tls::connector(self.tls.as_ref(), timeout).await {
            Ok(secure) => secure,
            Err(finding) => return finding,
        };
        let (mut step, left) = (Step::Lookup, timeout.saturating_sub(started.elapsed()));
        match time::timeout(left, self.answer(index, at, secure, &mut step, left)).await {
            Ok(Ok(finding) | Err(finding)) => finding,
            Err(_) => self.late(step, at, timeout),
        }
    }

    async fn answer(
        &self,
        index: usize,
        at: Option<SocketAddr>,
        secure: Option<Connector<'_>>,
        step: &mut Step,
        timeout: Duration,
    ) -> Result<Finding, Finding> {
        let started = Instant::now();
        let question = self.questions.get(index).cloned().unwrap_or_else(|| Err("nothing to ask".to_owned()));
        let question = question.map_err(Finding::unknown)?;
        let addresses = match at {
            Some(address) => vec![address],
            None => self.addresses(timeout).await?,
        };

        *step = Step::Connect;
        let stream = connect_in_order(&addresses, timeout.saturating_sub(started.elapsed())).await?;
        let stream = Capped::new(stream);
        let Some((tls, ready)) = secure else {
            return self.exchange(stream, question, step, started).await;
        };
        *step = Step::Handshake;
        // What TLS takes is put aside, so that it is not moved about in runs without it.
        let secured = async move {
            let stream =
                tls.shake_hands(ready, stream).await.map_err(|error| judged(&error, tls.handshake_fault(&error)))?;
            self.exchange(stream, question, step, started).await
        };
        Box::pin(secured).await
    }

    /// A failed lookup proves nothing about the service: the resolver is another's.
    async fn addresses(&self, timeout: Duration) -> Result<Vec<SocketAddr>, Finding> {
        let (HttpTarget::Name { host, port }, Some(slot)) = (&self.config.target, &self.lookup) else {
            return Ok(Vec::new());
        };
        let failed = |why: String| Finding::unknown(format!("cannot look up {host}: {why}"));
        // RFC 6761 §6.3: that is known without asking anybody.
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(LOCALHOST.map(|address| SocketAddr::new(address, *port)).to_vec());
        }
        // Whoever needs the addresses of that host waits for one lookup, whatever the port.
        let name = host.clone();
        let lookup = move || match (name, 0).to_socket_addrs() {
            Ok(found) => Ok(found.collect::<Vec<_>>()),
            Err(error) => Err(resolver_words(&error)),
        };
        match slot.share(timeout, "addresses", LOOKUP_AGE, lookup).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(failed("it has no address".to_owned())),
            Ok(Ok(addresses)) => Ok(addresses.iter().map(|at| at_port(*at, *port)).collect()),
            Ok(Err(why)) | Err(Hang::Fault(why)) => Err(failed(why)),
            Err(Hang::Late | Hang::Before(_)) => Err(failed(format!("no answer within {}", words::time(timeout)))),
            Err(Hang::Busy) => Err(failed("too many checks ask for it at once".to_owned())),
            Err(Hang::Full(threads)) => Err(failed(words::full(threads))),
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        question: Question,
        step: &mut Step,
        started: Instant,
    ) -> Result<Finding, Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        *step = Step::Answer;
        match self.config.version {
            HttpVersion::Http1 => self.exchange1(stream, question, step, started).await,
            HttpVersion::Http2 => Box::pin(self.exchange2(stream, question, step, started)).await,
        }
    }

    async fn exchange1<S>(
        &self,
        stream: S,
        question: Question,
        step: &mut Step,
        started: Instant,
    ) -> Result<Finding, Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEADER_LIMIT);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| self.failure(&error, *step))?;
        let asked = async {
            let response = sender.send_request(question).await.map_err(|error| self.failure(&error, *step))?;
            *step = Step::Body(response.status().as_u16());
            judge::judge(&self.config, response, started).await.map_err(|error| self.failure(&error, *step))
        };
        // The connection moves the bytes; what it has to report comes out of the question too.
        let motion = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            finding = asked => finding,
            () = motion => Err(Finding::unknown("the connection ended without a word")),
        }
    }

    async fn exchange2<S>(
        &self,
        stream: S,
        question: Question,
        step: &mut Step,
        started: Instant,
    ) -> Result<Finding, Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = http2::Tasks::default();
        let (mut sender, connection) =
            http2::handshake(stream, &tasks).await.map_err(|error| self.failure2(&error, *step))?;
        let asked = async {
            let response = sender.send_request(question).await?;
            *step = Step::Body(response.status().as_u16());
            judge::judge(&self.config, response, started).await
        };
        http2::answered(asked, connection).await.map_err(|error| self.failure2(&error, *step))
    }

    fn failure(&self, error: &hyper::Error, step: Step) -> Finding {
        if let Some(error) = io_source(error) {
            return self.io_failure(error, step);
        }
        let words = if error.is_parse_too_large() {
            "header of the answer is too large".to_owned()
        } else if error.is_parse_version_h2() {
            "the server speaks HTTP/2 only".to_owned()
        } else if error.is_parse() {
            "the answer is not HTTP/1.1".to_owned()
        } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            format!("connection closed {}", place(step))
        } else {
            error.to_string()
        };
        Finding::down(words)
    }

    fn failure2(&self, error: &hyper::Error, step: Step) -> Finding {
        Finding::down(match http2::fault(error) {
            http2::Fault::Io(error) => return self.io_failure(error, step),
            http2::Fault::Alien => "the answer is not HTTP/2".to_owned(),
            http2::Fault::Refused(why) => format!("the server ended it {}: {why}", place(step)),
            http2::Fault::Closed => format!("connection closed {}", place(step)),
            http2::Fault::Other(words) => words,
        })
    }

    fn io_failure(&self, error: &io::Error, step: Step) -> Finding {
        let words = self.tls.as_ref().map_or_else(|| words::fault(error), |tls| tls.fault(error));
        judged(error, format!("{words} {}", place(step)))
    }

    fn late(&self, step: Step, at: Option<SocketAddr>, timeout: Duration) -> Finding {
        let timeout = words::time(timeout);
        let whom = match (&self.config.target, at) {
            (HttpTarget::Name { host, .. }, _) => host.clone(),
            (HttpTarget::Addresses(_), at) => at.map(|address| address.to_string()).unwrap_or_default(),
        };
        match step {
            Step::Lookup => Finding::unknown(format!("cannot look up {whom}: no answer within {timeout}")),
            Step::Connect => Finding::late(format!("connect {whom}: no answer within {timeout}")),
            Step::Handshake => Finding::late(format!("connected, no TLS handshake within {timeout}")),
            Step::Answer => Finding::late(format!("connected, no answer within {timeout}")),
            Step::Body(status) => Finding::late(format!("status {status}, but no whole body within {timeout}")),
        }
    }
}

/// Each address gets an equal share of the time that is left, so that one that swallows packets leaves some for the next.
async fn connect_in_order(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Finding> {
    if let [only] = addresses {
        return tcp::connect(*only, timeout).await;
    }
    let started = Instant::now();
    let mut failures = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        match tcp::connect(*address, timeout.saturating_sub(started.elapsed()) / left).await {
            Ok(stream) => return Ok(stream),
            Err(failure) => failures.push(failure),
        }
    }
    Err(Finding::join(&failures))
}

fn judged(error: &io::Error, detail: String) -> Finding {
    if words::is_ours(error) { Finding::unknown(detail) } else { Finding::down(detail) }
}

fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    error.source().and_then(|source| source.downcast_ref::<io::Error>())
}

const fn place(step: Step) -> &'static str {
    match step {
        Step::Lookup | Step::Connect | Step::Handshake | Step::Answer => "before an answer",
        Step::Body(_) => "within the body",
    }
}

fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn resolver_words(error: &io::Error) -> String {
    let text = words::fault(error);
    text.trim_start_matches("failed to lookup address information: ").to_owned()
}

#[cfg(test)]
mod tests;
