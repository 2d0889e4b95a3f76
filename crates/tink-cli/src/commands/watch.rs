//! Follows workflows to their end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tink_proto::admin::{Key, WatchRequest, WatchResponse, Workflow};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use crate::client::{Client, refused};
use crate::commands::workflow::key_title;
use crate::exit::{self, Failure};
use crate::progress::Display;

/// How long to wait before a broken watch is taken up again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Updates on their way to the display.
const UPDATES_MAX: usize = 64;

/// What a watch tells.
pub enum Update {
    /// A workflow as it is now.
    Workflow(Box<Workflow>),
    /// A remark.
    Note(String),
}

/// How workflows ended, by title; `None` = deleted meanwhile.
pub type Ended = BTreeMap<String, Option<Workflow>>;

/// `tink workflow watch`: prints changes until every workflow of `keys` has ended.
pub async fn run(client: Client, keys: Vec<Key>, timeout: Option<Duration>) -> Result<u8, Failure> {
    let mut display = Display::plain();
    let (updates, mut news) = mpsc::channel(UPDATES_MAX);
    let showing = async {
        while let Some(update) = news.recv().await {
            display.update(&update);
        }
    };
    let following = async { tokio::join!(follow(&client, &keys, updates), showing).0 };
    let ended = match timeout {
        None => following.await?,
        Some(limit) => tokio::time::timeout(limit, following)
            .await
            .map_err(|_| anyhow::anyhow!("gave up after {} s; the workflow goes on", limit.as_secs()))??,
    };
    Ok(code(&ended))
}

/// Follows every workflow of `keys` to its end.
pub async fn follow(client: &Client, keys: &[Key], updates: mpsc::Sender<Update>) -> Result<Ended, Failure> {
    let all = keys.iter().map(|key| {
        let updates = updates.clone();
        async move { Ok::<_, Failure>((key_title(key), follow_one(client, key, updates).await?)) }
    });
    futures_util::future::try_join_all(all).await.map(|ended| ended.into_iter().collect())
}

async fn follow_one(client: &Client, key: &Key, updates: mpsc::Sender<Update>) -> Result<Option<Workflow>, Failure> {
    let name = key_title(key);
    let mut after = 0;
    let mut seen = false;
    loop {
        let request = WatchRequest { key: Some(key.clone()), after_sequence: after };
        let broken = match client.clone().workflows.watch(request).await {
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.next().await {
                        Some(Ok(answer)) => {
                            seen = true;
                            after = after.max(answer.sequence);
                            if let Some(end) = take(answer, &updates).await {
                                return Ok(end);
                            }
                        }
                        Some(Err(status)) => break status,
                        None => break Status::unavailable("the server ended the watch"),
                    }
                }
            }
            Err(status) => status,
        };
        match broken.code() {
            Code::NotFound if seen => return Ok(None),
            // Too long away: start over from the workflow as it is.
            Code::OutOfRange if seen => after = 0,
            _ if seen && passing(&broken) => {
                let note = format!("the server is away ({}); trying again", broken.message());
                // A display that is gone wants no more news.
                let _ = updates.send(Update::Note(note)).await;
            }
            _ => return Err(refused(format!("watch workflow {name}"))(broken)),
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// Hands an answer on; returns how the workflow ended, if it has.
async fn take(answer: WatchResponse, updates: &mpsc::Sender<Update>) -> Option<Option<Workflow>> {
    match answer.workflow {
        Some(workflow) => {
            let over = terminal(&workflow.state);
            // A display that is gone wants no more news.
            let _ = updates.send(Update::Workflow(Box::new(workflow.clone()))).await;
            over.then_some(Some(workflow))
        }
        None if answer.event.is_some_and(|event| event.kind == "deleted") => {
            let _ = updates.send(Update::Note("the workflow was deleted".to_owned())).await;
            Some(None)
        }
        None => None,
    }
}

/// Whether a watch that ended this way is worth taking up again.
fn passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Aborted | Code::DataLoss | Code::ResourceExhausted | Code::Cancelled
    )
}

/// Whether the state is never left.
pub fn terminal(state: &str) -> bool {
    matches!(state, "SUCCESS" | "FAILED" | "TIMEOUT" | "CANCELLED")
}

/// The exit code for how workflows ended: the first that did not succeed decides.
pub fn code(ended: &Ended) -> u8 {
    let one = |workflow: &Option<Workflow>| match workflow.as_ref().map(|workflow| workflow.state.as_str()) {
        Some("SUCCESS") => exit::DONE,
        Some("FAILED") => exit::WORKFLOW_FAILED,
        Some("TIMEOUT") => exit::WORKFLOW_TIMEOUT,
        Some("CANCELLED") | None => exit::WORKFLOW_CANCELLED,
        Some(_) => exit::FAILED,
    };
    ended.values().map(one).find(|code| *code != exit::DONE).unwrap_or(exit::DONE)
}
