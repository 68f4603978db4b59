//! How other tasks come to the decision loop: closures over bounded queues, each with a deadline for its answer.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::Agent;

/// How long a question may wait for the loop before the asker is told that the agent does not answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) type Request = Box<dyn FnOnce(&mut Agent) + Send>;

/// How other tasks come to the loop. Questions are many, and anybody's; orders are few, and overtake them.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(super) orders: mpsc::Sender<Request>,
    pub(super) questions: mpsc::Sender<Request>,
}

/// The loop did not answer in time, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the decision loop does not answer")]
pub(crate) struct NoAnswer;

impl Handle {
    /// One to a loop that has ended.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> Self {
        Self { orders: mpsc::channel(1).0, questions: mpsc::channel(1).0 }
    }

    /// Runs `question` in the loop, when its turn has come. It changes nothing that a decision depends on. Not run at all if
    /// nobody waits for the answer any more.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Agent) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let question: Request = Box::new(move |agent| {
            if !reply.is_closed() {
                let _ = reply.send(question(agent));
            }
        });
        answered(&self.questions, question, answer).await
    }

    /// Runs `order` in the loop before every question that waits, and between two decisions.
    pub(crate) async fn order<T: Send + 'static>(
        &self,
        order: impl FnOnce(&mut Agent) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let order: Request = Box::new(move |agent| {
            let _ = reply.send(order(agent));
        });
        answered(&self.orders, order, answer).await
    }
}

async fn answered<T>(
    queue: &mpsc::Sender<Request>,
    request: Request,
    answer: oneshot::Receiver<T>,
) -> Result<T, NoAnswer> {
    let asked = async {
        queue.send(request).await.map_err(|_| NoAnswer)?;
        answer.await.map_err(|_| NoAnswer)
    };
    tokio::time::timeout(ANSWER_WITHIN, asked).await.unwrap_or(Err(NoAnswer))
}
