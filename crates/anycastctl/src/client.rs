//! One request at a time over the control socket, with a deadline and a bound on everything.

mod fault;
mod lines;

use std::{io, path::PathBuf, time::Duration};

use anycast_api::ErrorReply;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time};

pub(crate) use fault::Fault;
pub(crate) use lines::Lines;

/// The longest answer that is read.
const LONGEST_ANSWER: usize = 16 << 20;

/// How soon to try again where the agent's queue of connections is full.
const RETRY: Duration = Duration::from_millis(20);

/// Where the agent is to be asked.
#[derive(Debug)]
pub(crate) struct Client {
    socket: PathBuf,
    deadline: Duration,
}

/// A question or an order.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    target: String,
    body: Bytes,
}

impl Call {
    /// A question.
    pub(crate) fn get(path: &str, query: &[(&str, Option<&str>)]) -> Self {
        let mut target = path.to_owned();
        for (name, value) in query {
            if let Some(value) = value {
                let mark = if target.contains('?') { '&' } else { '?' };
                target.push_str(&format!("{mark}{name}={}", encode(value)));
            }
        }
        Self { method: Method::GET, target, body: Bytes::new() }
    }

    /// An order.
    pub(crate) fn post(path: &str, order: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self { method: Method::POST, target: path.to_owned(), body: serde_json::to_vec(order)?.into() })
    }
}

/// The agent's answer, in its own words.
#[derive(Debug)]
pub(crate) struct Answer(String);

impl Answer {
    /// The JSON as it came.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// What it says.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_str(&self.0).map_err(Fault::Meaning)
    }
}

impl Client {
    /// A client of the agent behind this socket.
    pub(crate) const fn new(socket: PathBuf, deadline: Duration) -> Self {
        Self { socket, deadline }
    }

    /// Asks, and reads the whole answer.
    pub(crate) async fn ask(&self, call: Call) -> Result<Answer, Fault> {
        self.ask_patiently(call, Duration::ZERO).await
    }

    /// Asks what takes the agent some time by its nature.
    pub(crate) async fn ask_patiently(&self, call: Call, patience: Duration) -> Result<Answer, Fault> {
        let deadline = self.deadline + patience;
        let (head, _sender) = self.in_time(deadline, self.send(call)).await?;
        // One deadline for head and body would be as good; two are simpler and the sum is bounded as well.
        let text = self.in_time(deadline, self.whole_body(head)).await?;
        Ok(Answer(text))
    }

    /// Asks for what is no text.
    pub(crate) async fn ask_for_octets(&self, call: Call) -> Result<Bytes, Fault> {
        let (head, _sender) = self.in_time(self.deadline, self.send(call)).await?;
        self.in_time(self.deadline, self.whole_octets(head)).await
    }

    /// Asks, and reads the answer line by line for as long as it lasts.
    pub(crate) async fn follow(&self, call: Call) -> Result<Lines, Fault> {
        let (head, sender) = self.in_time(self.deadline, self.send(call)).await?;
        if head.status() == StatusCode::OK {
            return Ok(Lines::new(head.into_body(), sender));
        }
        // Not OK: reading the body ends in the fault it tells.
        self.in_time(self.deadline, self.whole_body(head)).await.and(Err(Fault::Ended))
    }

    /// Gives up after the deadline.
    async fn in_time<T>(&self, deadline: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let silent = |_| Fault::Silent { socket: self.socket.clone(), deadline };
        time::timeout(deadline, work).await.map_err(silent)?
    }

    /// Sends the request and reads the head of the answer.
    async fn send(&self, call: Call) -> Result<(Response<Incoming>, SendRequest<Full<Bytes>>), Fault> {
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Fault::Talk)?;
        // Its fault, if any, reaches us through the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(call.method)
            .uri(call.target)
            .header(header::HOST, "anycastd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(call.body))
            .map_err(Fault::Request)?;
        let answer = sender.send_request(request).await.map_err(Fault::Talk)?;
        Ok((answer, sender))
    }

    async fn connect(&self) -> Result<UnixStream, Fault> {
        loop {
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => time::sleep(RETRY).await,
                Err(source) => return Err(Fault::from_connect(self.socket.clone(), source)),
            }
        }
    }

    /// Reads the text of an answer that is OK; of any other the reason.
    async fn whole_body(&self, answer: Response<Incoming>) -> Result<String, Fault> {
        String::from_utf8(self.whole_octets(answer).await?.into()).map_err(|_| Fault::NotText)
    }

    /// Reads the body of an answer that is OK; of any other the reason.
    async fn whole_octets(&self, answer: Response<Incoming>) -> Result<Bytes, Fault> {
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await.map_err(|error| match error
            .downcast::<hyper::Error>(
        ) {
            Ok(error) => Fault::Talk(*error),
            Err(other) if other.is::<LengthLimitError>() => Fault::TooLong { limit: LONGEST_ANSWER },
            Err(other) => Fault::Body(other),
        })?;
        let octets = body.to_bytes();
        if status == StatusCode::OK {
            return Ok(octets);
        }
        let text = String::from_utf8(octets.into()).map_err(|_| Fault::NotText)?;
        match serde_json::from_str::<ErrorReply>(&text) {
            Ok(reply) if status.is_client_error() || status.is_server_error() => {
                Err(Fault::Refused { status, reply, socket: self.socket.clone() })
            }
            _ => Err(Fault::Foreign { status, socket: self.socket.clone() }),
        }
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 §2.3).
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        let target = |query: &[(&str, Option<&str>)]| Call::get("/v1/x", query).target;
        assert_eq!(target(&[]), "/v1/x");
        assert_eq!(target(&[("name", None)]), "/v1/x");
        assert_eq!(target(&[("target", Some("2001:db8::/48"))]), "/v1/x?target=2001%3Adb8%3A%3A%2F48");
        assert_eq!(target(&[("a", Some("b&c=ü")), ("follow", Some("true"))]), "/v1/x?a=b%26c%3D%C3%BC&follow=true");
    }
}
