//! What a program prints: its beginning is kept, the rest is taken and thrown away.

use anycast_core::{Performance, performance};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStderr, ChildStdout},
};

/// How much of each stream is kept.
const KEPT: usize = 4096;

/// Both streams of a program.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Head<ChildStdout>,
    stderr: Head<ChildStderr>,
}

impl Output {
    pub(super) fn of(child: &mut Child) -> Self {
        Self { stdout: Head::of(child.stdout.take()), stderr: Head::of(child.stderr.take()) }
    }

    /// Ends when nobody holds the pipes any more. Cancel safe.
    pub(super) async fn read_to_end(&mut self) {
        tokio::join!(self.stdout.read_to_end(), self.stderr.read_to_end());
    }

    /// The first line with something on it, of stdout or else of stderr; without the performance data.
    pub(super) fn first_line(&self) -> Option<String> {
        self.stdout.said().0.or_else(|| self.stderr.said().0)
    }

    /// What was measured, as far as it was printed to stdout.
    pub(super) fn performance(&self) -> Vec<Performance> {
        self.stdout.said().1
    }
}

/// One stream.
#[derive(Debug)]
struct Head<R> {
    pipe: Option<R>,
    kept: Vec<u8>,
    /// There was more.
    cut: bool,
}

impl<R: AsyncRead + Unpin> Head<R> {
    const fn of(pipe: Option<R>) -> Self {
        Self { pipe, kept: Vec::new(), cut: false }
    }

    async fn read_to_end(&mut self) {
        let mut chunk = [0; KEPT];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut chunk).await {
                Ok(0) | Err(_) => self.pipe = None,
                Ok(length) => self.keep(&chunk[..length]),
            }
        }
    }

    fn keep(&mut self, chunk: &[u8]) {
        let room = KEPT - self.kept.len();
        self.cut |= chunk.len() > room;
        self.kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn said(&self) -> (Option<String>, Vec<Performance>) {
        let text = String::from_utf8_lossy(&self.kept);
        // The last word may be half of one, and half a number is another number.
        let whole = match self.cut {
            true => text.rfind(char::is_whitespace).map_or(text.as_ref(), |end| &text[..end]),
            false => &text,
        };
        performance::split(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_beginning_is_kept() {
        let text = format!("\n  first \nsecond {}", "x".repeat(3 * KEPT));
        let mut head = Head::of(Some(text.as_bytes()));
        head.read_to_end().await;
        assert_eq!(head.said().0.as_deref(), Some("first"));
        assert_eq!(head.kept, &text.as_bytes()[..KEPT]);
    }

    #[test]
    fn no_line_is_none() {
        let mut head = Head::<&[u8]>::of(None);
        assert_eq!(head.said().0, None);
        head.keep(b" \n\n");
        assert_eq!(head.said().0, None);
        head.keep(b"\xff\xfe!\n");
        assert_eq!(head.said().0.as_deref(), Some("\u{fffd}\u{fffd}!"));
    }

    #[tokio::test]
    async fn half_a_number_is_none() {
        let start = "OK|a=1 b=";
        let text = format!("{start}{}", "1".repeat(2 * KEPT));
        let mut head = Head::of(Some(text.as_bytes()));
        head.read_to_end().await;
        let (line, measured) = head.said();
        assert_eq!(line.as_deref(), Some("OK"));
        assert_eq!(measured.iter().map(|one| one.label.as_str()).collect::<Vec<_>>(), ["a"]);
    }
}
