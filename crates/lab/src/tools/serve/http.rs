//! HTTP/1.1: `/` tells who answers, `/healthz` that all is well, `/slow?seconds=N` and `/slow?ms=N` take their time.

use std::{convert::Infallible, future::Future, net::TcpListener, time::Duration};

use futures_util::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time;

use crate::tools::NODE_HEADER;

/// Between two bytes of a slow answer.
const DRIP: Duration = Duration::from_millis(100);
/// The longest slow answer.
const LONGEST: u64 = 3600;
/// How long a client may take over its request, and stay connected without one.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// How long to leave a listener alone that fails.
const PAUSE: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is served.
#[derive(Debug, Clone)]
pub(super) struct Site {
    node: String,
    region: String,
}

impl Site {
    pub(super) const fn new(node: String, region: String) -> Self {
        Self { node, region }
    }

    fn answer(&self, method: &hyper::Method, path: &str, query: Option<&str>) -> Response<Body> {
        if method != hyper::Method::GET && method != hyper::Method::HEAD {
            return self.text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match path {
            "/" => self.text(StatusCode::OK, format!("{} {}\n", self.node, self.region)),
            "/healthz" => self.text(StatusCode::OK, "ok\n".to_owned()),
            "/slow" => match bytes(query) {
                Some(bytes) => self.response(StatusCode::OK, drip(bytes)),
                None => {
                    let usage = format!("/slow?seconds=N, N from 1 to {LONGEST}, or /slow?ms=N, N from 100\n");
                    self.text(StatusCode::BAD_REQUEST, usage)
                }
            },
            _ => self.text(StatusCode::NOT_FOUND, "there is /, /healthz, /slow?seconds=N and /slow?ms=N\n".to_owned()),
        }
    }

    fn text(&self, status: StatusCode, text: String) -> Response<Body> {
        self.response(status, Full::new(Bytes::from(text)).boxed_unsync())
    }

    fn response(&self, status: StatusCode, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("text/plain"));
        // The name was checked when it was given; an answer without it is still an answer.
        if let Ok(node) = self.node.parse() {
            headers.insert(NODE_HEADER, node);
        }
        response
    }
}

/// How many bytes make a slow answer: one every tenth of a second.
fn bytes(query: Option<&str>) -> Option<u64> {
    let (unit, number) = query?.split_once('=')?;
    let number = number.parse().ok()?;
    match unit {
        "seconds" if (1..=LONGEST).contains(&number) => Some(number * 10),
        // The first comes at once.
        "ms" if (100..=LONGEST * 1000).contains(&number) => Some(number / 100 + 1),
        _ => None,
    }
}

/// So many bytes, one at a time.
fn drip(bytes: u64) -> Body {
    let drops = stream::unfold(0, move |sent| async move {
        if sent == bytes {
            return None;
        }
        if sent > 0 {
            time::sleep(DRIP).await;
        }
        Some((Ok(Frame::data(Bytes::from_static(b"."))), sent + 1))
    });
    StreamBody::new(drops).boxed_unsync()
}

/// Accepts for ever.
pub(super) fn serve(listener: TcpListener, site: Site) -> std::io::Result<impl Future<Output = ()>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    eprintln!("a connection was not accepted: {error}");
                    time::sleep(PAUSE).await;
                    continue;
                }
            };
            // What is sent is there when it was sent: a byte that waits for the acknowledgement of another is a measure of something else.
            let _ = stream.set_nodelay(true);
            let site = site.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let uri = request.uri();
                let response = site.answer(request.method(), uri.path(), uri.query());
                async { Ok::<_, Infallible>(response) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
            // A client that goes away is its own affair.
            tokio::spawn(async move { drop(http.serve_connection(TokioIo::new(stream), service).await) });
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Asks the site over a connection of its own, as curl would.
    async fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let site = Site::new("ap-edge1".to_owned(), "ap-southeast-1".to_owned());
        let server = tokio::spawn(serve(listener, site).unwrap());
        let request = format!("{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn every_answer_names_the_node() {
        let usage = "/slow?seconds=N, N from 1 to 3600, or /slow?ms=N, N from 100\n";
        for (request, status, body) in [
            ("GET /", "200 OK", "ap-edge1 ap-southeast-1\n"),
            ("GET /healthz", "200 OK", "ok\n"),
            ("GET /nothing", "404 Not Found", "there is /, /healthz, /slow?seconds=N and /slow?ms=N\n"),
            ("GET /slow?seconds=0", "400 Bad Request", usage),
            ("GET /slow?ms=99", "400 Bad Request", usage),
            ("GET /slow", "400 Bad Request", usage),
            ("POST /", "405 Method Not Allowed", "only GET\n"),
        ] {
            let answer = ask(request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {answer}");
            assert!(answer.contains("x-node: ap-edge1\r\n"), "{request}: {answer}");
            assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{request}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_slow_answer_takes_its_time() {
        let started = std::time::Instant::now();
        let answer = ask("GET /slow?seconds=1").await;
        assert_eq!(answer.matches("1\r\n.\r\n").count(), 10, "{answer}");
        assert!(started.elapsed() >= DRIP * 9, "{:?}", started.elapsed());
        let answer = ask("GET /slow?ms=300").await;
        assert_eq!(answer.matches("1\r\n.\r\n").count(), 4, "{answer}");
    }
}
