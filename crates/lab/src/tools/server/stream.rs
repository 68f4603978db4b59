//! What a server says to those who connect.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// The longest request.
const REQUEST: usize = 8 * 1024;
/// How long a client may take over its next request, or stay silent.
const IDLE: Duration = Duration::from_secs(60);
/// How long to leave a listener alone that fails.
const PAUSE: Duration = Duration::from_millis(100);

/// How it deals with a connection.
#[derive(Debug)]
pub(super) struct Manner {
    answer: Vec<u8>,
    delay: Duration,
    /// Whether it answers requests, rather than to say its one word at once.
    asked: bool,
}

impl Manner {
    /// The same answer to each request.
    pub(super) fn http(status: u16, body: &str, delay: Duration) -> Self {
        let length = body.len() + 1;
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n");
        Self { answer: format!("{head}{body}\n").into(), delay, asked: true }
    }

    /// A line for whoever connects.
    pub(super) fn greeting(text: &str, delay: Duration) -> Self {
        Self { answer: format!("{text}\n").into(), delay, asked: false }
    }

    async fn attend(&self, mut stream: TcpStream) -> std::io::Result<()> {
        if !self.asked {
            self.answer(&mut stream).await?;
            // Until they have nothing more to say: then it is they who close first.
            let mut rest = [0; 512];
            while matches!(timeout(IDLE, stream.read(&mut rest)).await, Ok(Ok(1..))) {}
            return Ok(());
        }
        let mut heard = Vec::with_capacity(512);
        while let Ok(Some(request)) = timeout(IDLE, request(&mut stream, &mut heard)).await {
            self.answer(&mut stream).await?;
            if closes(&request) {
                break;
            }
        }
        Ok(())
    }

    async fn answer(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        stream.write_all(&self.answer).await
    }
}

/// The head of the next request; nothing: they have none, or one that is too long. Bodies are not understood.
async fn request(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = heard.split_off(end + 4);
            return Some(std::mem::replace(heard, rest));
        }
        if heard.len() > REQUEST || stream.read_buf(heard).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

/// RFC 9112 §9.6, and HTTP/1.0, which closes unless told otherwise.
fn closes(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let mut lines = text.lines();
    let old = lines.next().is_some_and(|line| line.ends_with("http/1.0"));
    let said = lines.filter_map(|line| line.strip_prefix("connection:")).map(str::trim).next_back();
    said.map_or(old, |said| said == "close")
}

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, manner: Arc<Manner>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let manner = manner.clone();
        // A client that goes away is its own affair.
        tokio::spawn(async move { manner.attend(stream).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(manner: Manner, question: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::new(manner)));
        let talk = async {
            let mut stream = TcpStream::connect(at).await.unwrap();
            stream.write_all(question.as_bytes()).await.unwrap();
            let mut answer = vec![0; 4096];
            let mut length = stream.read(&mut answer).await.unwrap();
            stream.shutdown().await.unwrap();
            while let Ok(more @ 1..) = stream.read(&mut answer[length..]).await {
                length += more;
            }
            String::from_utf8(answer[..length].to_vec()).unwrap()
        };
        let answer = timeout(crate::harness::AMPLE, talk).await.unwrap();
        serving.abort();
        answer
    }

    #[tokio::test]
    async fn whoever_connects_is_greeted_or_answered() {
        let one = "HTTP/1.1 503 Told\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nbusy\n";
        let (asks, closing) = ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
        let delay = Duration::from_millis(5);
        for (manner, question, expected) in [
            (Manner::greeting("ok", delay), String::new(), "ok\n".to_owned()),
            (Manner::http(503, "busy", delay), asks.repeat(2), one.repeat(2)),
            (Manner::http(503, "busy", delay), closing.to_owned() + asks, one.to_owned()),
        ] {
            assert_eq!(told(manner, &question).await, expected, "{question}");
        }
    }

    #[test]
    fn a_client_says_whether_the_connection_goes_on() {
        for (request, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: x\r\nConnection:  close\r\n\r\n", true),
            ("GET / HTTP/1.0\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", false),
        ] {
            assert_eq!(closes(request.as_bytes()), expected, "{request}");
        }
    }
}
