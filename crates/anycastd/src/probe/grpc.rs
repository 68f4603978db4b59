//! Asks a server by the gRPC health checking protocol, `grpc.health.v1.Health/Check`, on a connection of its own.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use anycast_core::config::GrpcProbe;
use futures_util::future::BoxFuture;
use hyper::{Request, Response, Uri, body::Incoming, client::conn::http2::SendRequest};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};
use tonic::{Code, Status, body::Body, codegen::Service};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    Finding,
    capped::Capped,
    http2, several, tcp,
    tls::{self, Connector, Tls},
    words,
};
use crate::lock::lock;

/// The largest answer; a real one has two bytes.
const LARGEST: usize = 4096;

/// A gRPC check, made ready.
#[derive(Debug)]
pub(super) struct GrpcProber {
    config: GrpcProbe,
    tls: Option<Tls>,
}

/// How far a run has come, so that one that is late can say what it waited for.
#[derive(Debug, Clone, Copy)]
enum Step {
    Connect,
    Handshake,
    Answer,
}

impl GrpcProber {
    pub(super) fn new(config: &GrpcProbe) -> Self {
        let tls = config.tls.as_ref().map(Tls::for_http2);
        Self { config: config.clone(), tls }
    }

    pub(super) async fn run(&self, timeout: Duration) -> Finding {
        let addresses = &self.config.addresses;
        several::all(addresses, |index| self.ask(addresses[index], timeout)).await
    }

    async fn ask(&self, address: SocketAddr, timeout: Duration) -> Finding {
        let started = Instant::now();
        // Before the rest, so that certificates that cannot be read are not blamed on the server.
        let secure = match tls::connector(self.tls.as_ref(), timeout).await {
            Ok(secure) => secure,
            Err(finding) => return finding,
        };
        let (mut step, left) = (Step::Connect, timeout.saturating_sub(started.elapsed()));
        match time::timeout(left, self.answer(address, secure, &mut step, timeout)).await {
            Ok(Ok(finding) | Err(finding)) => finding,
            Err(_) => {
                let timeout = words::time(timeout);
                Finding::late(match step {
                    Step::Connect => format!("connect {address}: no answer within {timeout}"),
                    Step::Handshake => format!("connected, no TLS handshake within {timeout}"),
                    Step::Answer => format!("connected, no answer within {timeout}"),
                })
            }
        }
    }

    async fn answer(
        &self,
        address: SocketAddr,
        secure: Option<Connector<'_>>,
        step: &mut Step,
        timeout: Duration,
    ) -> Result<Finding, Finding> {
        let started = Instant::now();
        let stream = Capped::new(tcp::connect(address, timeout).await?);
        let Some((tls, ready)) = secure else {
            *step = Step::Answer;
            return self.call(stream, address, timeout, started).await;
        };
        *step = Step::Handshake;
        let stream = tls.shake_hands(ready, stream).await;
        let stream = stream.map_err(|error| judged(&error, tls.handshake_fault(&error)))?;
        *step = Step::Answer;
        self.call(stream, address, timeout, started).await
    }

    async fn call<S>(
        &self,
        stream: S,
        address: SocketAddr,
        timeout: Duration,
        started: Instant,
    ) -> Result<Finding, Finding>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let origin = self.origin(address)?;
        let tasks = http2::Tasks::default();
        let (sender, connection) = http2::handshake(stream, &tasks).await.map_err(|error| self.failure(&error))?;
        let failed = Failed::default();
        let channel = Channel { sender, failed: failed.clone() };
        let mut client = HealthClient::with_origin(channel, origin).max_decoding_message_size(LARGEST);
        let mut question = tonic::Request::new(HealthCheckRequest { service: self.config.service.clone() });
        // The server need not go on when nobody waits any more.
        question.set_timeout(timeout.saturating_sub(started.elapsed()));
        let asked = async {
            let answer = client.check(question).await;
            failed.take().map_or(Ok(answer), Err)
        };
        let answer = http2::answered(asked, connection).await.map_err(|error| self.failure(&error))?;
        Ok(match answer {
            Ok(answer) => self.serving(answer.get_ref().status, started),
            Err(status) => self.refusal(&status),
        })
    }

    fn origin(&self, address: SocketAddr) -> Result<Uri, Finding> {
        let authority = match &self.config.tls {
            Some(options) if options.name.parse::<std::net::IpAddr>().is_err() => {
                format!("{}:{}", options.name, address.port())
            }
            _ => address.to_string(),
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let origin = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        origin.map_err(|error| Finding::unknown(format!("cannot ask: {error}")))
    }

    fn serving(&self, status: i32, started: Instant) -> Finding {
        let took = words::took(started.elapsed());
        match ServingStatus::try_from(status) {
            Ok(ServingStatus::Serving) => Finding::up(format!("{} in {took}", self.says("SERVING"))),
            Ok(ServingStatus::NotServing) => Finding::down(self.says("NOT_SERVING (its gRPC health)")),
            Ok(ServingStatus::Unknown) => Finding::down(self.says("UNKNOWN (its gRPC health)")),
            Ok(ServingStatus::ServiceUnknown) => Finding::down(self.stranger()),
            Err(_) => Finding::down(self.says(&format!("status {status}, which the protocol does not have"))),
        }
    }

    fn refusal(&self, status: &Status) -> Finding {
        let said = if status.message().is_empty() { String::new() } else { format!(": {}", status.message()) };
        Finding::down(match status.code() {
            // What the client says when what came is no message of gRPC.
            Code::Internal if status.message().starts_with("protocol error: received message with") => {
                "the server does not speak gRPC health: its answer is no message of gRPC".to_owned()
            }
            Code::NotFound => self.stranger(),
            Code::Unimplemented => format!("the server has no grpc.health.v1.Health (UNIMPLEMENTED{said})"),
            code => format!("{}{said}", name(code)),
        })
    }

    fn says(&self, status: &str) -> String {
        if self.config.service.is_empty() { status.to_owned() } else { format!("{}: {status}", self.config.service) }
    }

    fn stranger(&self) -> String {
        match self.config.service.as_str() {
            "" => "the server does not tell its own health (service \"\" unknown)".to_owned(),
            service => format!("the server does not know the service {service}"),
        }
    }

    fn failure(&self, error: &hyper::Error) -> Finding {
        Finding::down(match http2::fault(error) {
            http2::Fault::Io(error) => {
                let words = self.tls.as_ref().map_or_else(|| words::fault(error), |tls| tls.fault(error));
                return judged(error, format!("{words} before an answer{}", self.tls_hint()));
            }
            http2::Fault::Alien => format!("the answer is not HTTP/2{}", self.tls_hint()),
            http2::Fault::Refused(why) => format!("the server ended it before an answer: {why}"),
            http2::Fault::Closed => format!("connection closed before an answer{}", self.tls_hint()),
            http2::Fault::Other(words) => words,
        })
    }

    /// What a server that wants TLS says to who speaks in the clear is hardly ever understood.
    const fn tls_hint(&self) -> &'static str {
        if self.tls.is_none() { " (does it want TLS?)" } else { "" }
    }
}

fn judged(error: &io::Error, detail: String) -> Finding {
    if words::is_ours(error) { Finding::unknown(detail) } else { Finding::down(detail) }
}

/// As the protocol writes it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK, but without an answer",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Why the connection failed a call. The client makes a status of it, in which it cannot be told from what the server said.
#[derive(Debug, Clone, Default)]
struct Failed(Arc<Mutex<Option<hyper::Error>>>);

impl Failed {
    fn take(&self) -> Option<hyper::Error> {
        lock(&self.0).take()
    }

    fn note(&self, error: hyper::Error) -> Status {
        *lock(&self.0) = Some(error);
        Status::unavailable("no connection")
    }
}

/// Our connection, as the client wants it.
struct Channel {
    sender: SendRequest<Body>,
    failed: Failed,
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(context).map_err(|error| self.failed.note(error))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, failed) = (self.sender.send_request(request), self.failed.clone());
        Box::pin(async move { answer.await.map_err(|error| failed.note(error)) })
    }
}

#[cfg(test)]
mod tests;
