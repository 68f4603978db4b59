//! An answer that is read line by line while it comes.

use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::SendRequest,
};

use super::Fault;

/// The longest line that is read.
const LONGEST_LINE: usize = 1 << 20;

/// The lines of an answer without an end.
#[derive(Debug)]
pub(crate) struct Lines {
    body: Incoming,
    pending: Vec<u8>,
    /// The connection ends with its sender.
    _sender: SendRequest<Full<Bytes>>,
}

impl Lines {
    pub(super) const fn new(body: Incoming, sender: SendRequest<Full<Bytes>>) -> Self {
        Self { body, pending: Vec::new(), _sender: sender }
    }

    /// The lines that have come since, at least one; none at the orderly end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<String>>, Fault> {
        loop {
            let Some(frame) = self.body.frame().await else {
                return if self.pending.is_empty() { Ok(None) } else { Err(Fault::Ended) };
            };
            let Ok(data) = frame.map_err(Fault::Talk)?.into_data() else { continue };
            self.pending.extend_from_slice(&data);
            let lines = self.take_lines()?;
            if self.pending.len() > LONGEST_LINE {
                return Err(Fault::TooLong { limit: LONGEST_LINE });
            }
            if !lines.is_empty() {
                return Ok(Some(lines));
            }
        }
    }

    /// Takes the complete lines out of what is pending; an empty line only keeps the connection warm.
    fn take_lines(&mut self) -> Result<Vec<String>, Fault> {
        let Some(end) = self.pending.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let rest = self.pending.split_off(end + 1);
        let complete = std::mem::replace(&mut self.pending, rest);
        let text = String::from_utf8(complete).map_err(|_| Fault::NotText)?;
        Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
    }
}
