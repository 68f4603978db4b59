//! One HTTP/1.1 GET on a connection of its own. Redirects are an answer like any other, and not followed.

use std::{
    error::Error as _,
    io,
    net::SocketAddr,
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, Instant},
};

use anycast_core::config::{HttpProbe, HttpTarget};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time,
};

use super::{Finding, tcp, tls::Tls, words};

/// How much of a body is searched.
const BODY_LIMIT: usize = 64 * 1024;
/// The largest header of an answer.
const HEADER_LIMIT: usize = 64 * 1024;
const AGENT: &str = concat!("anycastd/", env!("CARGO_PKG_VERSION"));

/// An HTTP check, made ready.
#[derive(Debug)]
pub(super) struct HttpProber {
    config: HttpProbe,
    request: Result<Request<Empty<Bytes>>, String>,
    tls: Option<Tls>,
    /// The resolver cannot be interrupted. A lookup that hangs holds a thread of the pool that also starts programs, so
    /// there is never more than one.
    lookup: Arc<Semaphore>,
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
        Self {
            config: config.clone(),
            request: request(config),
            tls: config.tls.as_ref().map(Tls::new),
            lookup: Arc::new(Semaphore::new(1)),
        }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let mut step = Step::Lookup;
        match time::timeout(timeout, self.ask(&mut step, timeout)).await {
            Ok(Ok(finding) | Err(finding)) => finding,
            Err(_) => self.late(step, timeout),
        }
    }

    async fn ask(&self, step: &mut Step, timeout: Duration) -> Result<Finding, Finding> {
        let started = Instant::now();
        let request = self.request.clone().map_err(Finding::unknown)?;
        let secure = self.tls.as_ref().map(|tls| tls.connector().map(|ready| (tls, ready))).transpose();
        let secure = secure.map_err(Finding::unknown)?;
        let addresses = self.addresses().await?;

        *step = Step::Connect;
        let stream = connect_in_order(&addresses, timeout.saturating_sub(started.elapsed())).await?;
        let Some((tls, (connector, name))) = secure else {
            return self.exchange(stream, request, step, started).await;
        };
        *step = Step::Handshake;
        let stream =
            connector.connect(name, stream).await.map_err(|error| judged(&error, tls.handshake_fault(&error)))?;
        self.exchange(stream, request, step, started).await
    }

    /// A failed lookup proves nothing about the service: the resolver is another's.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Finding> {
        let (host, port) = match &self.config.target {
            HttpTarget::Address(address) => return Ok(vec![*address]),
            HttpTarget::Name { host, port } => (host.clone(), *port),
        };
        let failed = |why: String| Finding::unknown(format!("cannot look up {}: {why}", self.host()));
        let permit = self.lookup.clone().acquire_owned().await.map_err(|error| failed(error.to_string()))?;
        let lookup = tokio::spawn(async move {
            let _permit = permit;
            tokio::net::lookup_host((host, port)).await.map(Iterator::collect::<Vec<_>>)
        });
        match lookup.await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(failed("it has no address".to_owned())),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(resolver_words(&error))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Empty<Bytes>>,
        step: &mut Step,
        started: Instant,
    ) -> Result<Finding, Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        *step = Step::Answer;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEADER_LIMIT);
        let (mut sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| self.failure(&error, *step))?;
        let question = async {
            let response = sender.send_request(request).await.map_err(|error| self.failure(&error, *step))?;
            *step = Step::Body(response.status().as_u16());
            self.judge(response, started).await
        };
        // The connection moves the bytes; what it has to report comes out of the question too.
        let motion = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            finding = question => finding,
            () = motion => Err(Finding::unknown("the connection ended without a word")),
        }
    }

    async fn judge(&self, response: Response<Incoming>, started: Instant) -> Result<Finding, Finding> {
        let status = response.status().as_u16();
        if !self.config.expect_status.iter().any(|range| range.contains(&status)) {
            let hint = if response.status().is_redirection() { " (redirects are not followed)" } else { "" };
            let expected = ranges(&self.config.expect_status);
            return Ok(Finding::down(format!("status {status}, expected {expected}{hint}")));
        }
        let Some(text) = &self.config.expect_body else {
            return Ok(Finding::up(format!("status {status} in {}", words::took(started.elapsed()))));
        };
        let search = search(response.into_body(), text.as_bytes()).await;
        let shown = shown(text);
        match search.map_err(|error| self.failure(&error, Step::Body(status)))? {
            Search::Found => {
                Ok(Finding::up(format!("status {status}, body has \"{shown}\", in {}", words::took(started.elapsed()))))
            }
            Search::Absent => Ok(Finding::down(format!("body lacks \"{shown}\""))),
            Search::NotSoFar => Ok(Finding::down(format!("first 64 KiB of the body lack \"{shown}\""))),
        }
    }

    fn failure(&self, error: &hyper::Error, step: Step) -> Finding {
        if let Some(error) = io_source(error) {
            let words = self.tls.as_ref().map_or_else(|| words::fault(error), |tls| tls.fault(error));
            return judged(error, format!("{words} {}", place(step)));
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

    fn late(&self, step: Step, timeout: Duration) -> Finding {
        let timeout = words::time(timeout);
        match step {
            Step::Lookup => Finding::unknown(format!("cannot look up {}: no answer within {timeout}", self.host())),
            Step::Connect => Finding::late(format!("connect {}: no answer within {timeout}", self.host())),
            Step::Handshake => Finding::late(format!("connected, no TLS handshake within {timeout}")),
            Step::Answer => Finding::late(format!("connected, no answer within {timeout}")),
            Step::Body(status) => Finding::late(format!("status {status}, but no whole body within {timeout}")),
        }
    }

    fn host(&self) -> String {
        match &self.config.target {
            HttpTarget::Address(address) => address.to_string(),
            HttpTarget::Name { host, .. } => host.clone(),
        }
    }
}

fn request(config: &HttpProbe) -> Result<Request<Empty<Bytes>>, String> {
    Request::get(config.path.as_str())
        .header(header::HOST, config.authority.as_str())
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| format!("cannot ask for {}: {error}", config.url))
}

/// Each address gets an equal share of the time that is left, so that one that swallows packets leaves some for the next.
async fn connect_in_order(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, Finding> {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    Found,
    Absent,
    /// Not in as much as is read.
    NotSoFar,
}

async fn search(mut body: Incoming, text: &[u8]) -> Result<Search, hyper::Error> {
    let mut seen = Vec::new();
    if text.is_empty() {
        return Ok(Search::Found);
    }
    loop {
        let Some(frame) = body.frame().await else { return Ok(Search::Absent) };
        let Ok(data) = frame?.into_data() else { continue };
        let room = BODY_LIMIT - seen.len();
        // A text that began in the bytes before may end in these.
        let from = seen.len().saturating_sub(text.len() - 1);
        seen.extend_from_slice(&data[..data.len().min(room)]);
        if seen[from..].windows(text.len()).any(|window| window == text) {
            return Ok(Search::Found);
        }
        if data.len() > room {
            return Ok(Search::NotSoFar);
        }
    }
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

/// `200-299, 301`.
fn ranges(expected: &[RangeInclusive<u16>]) -> String {
    let words: Vec<String> = expected
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (start, end) if start == end => start.to_string(),
            (start, end) => format!("{start}-{end}"),
        })
        .collect();
    words.join(", ")
}

/// As much of an expected text as leaves room for the rest of the sentence.
fn shown(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn resolver_words(error: &io::Error) -> String {
    let text = words::fault(error);
    text.trim_start_matches("failed to lookup address information: ").to_owned()
}

#[cfg(test)]
mod tests;
