//! Global timeouts. The deadlines are in the store, so a restart forgets none.

use std::time::Duration;

use tink_workflow::{Event, WorkflowId};
use tokio_util::sync::CancellationToken;

use super::{Engine, EngineError};

/// Workflows timed out before the store is asked again.
const DUE_BATCH: usize = 128;
/// Wait after a failure of the store.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Ends workflows whose time is used up, until `stop`.
pub async fn run_timers(engine: &Engine, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let wait = async {
            match time_out_due(engine).await {
                Ok(()) => {
                    failing = false;
                    wait_for_next(engine).await;
                }
                Err(error) => {
                    // Said once, not at every retry.
                    if !failing {
                        tracing::error!(error = %tink_error::chain(&error), "global timeouts wait for the store");
                    }
                    failing = true;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = wait => {}
        }
    }
}

/// Ends everything that is due now.
async fn time_out_due(engine: &Engine) -> Result<(), EngineError> {
    loop {
        let due = engine.store.due(engine.now(), DUE_BATCH).await?;
        for id in &due {
            time_out(engine, id).await?;
        }
        if due.len() < DUE_BATCH {
            return Ok(());
        }
    }
}

async fn time_out(engine: &Engine, id: &WorkflowId) -> Result<(), EngineError> {
    match engine.apply(id, &Event::Tick).await {
        // Deleted, or ended otherwise, meanwhile.
        Ok(_) | Err(EngineError::NoWorkflow(_) | EngineError::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn wait_for_next(engine: &Engine) {
    let next = match engine.store.next_deadline().await {
        Ok(next) => next,
        Err(error) => {
            tracing::debug!(error = %tink_error::chain(&error), "the next deadline is not known yet");
            return tokio::time::sleep(RETRY_AFTER).await;
        }
    };
    match next {
        None => engine.deadlines_changed().await,
        Some(at) => tokio::select! {
            biased;
            () = engine.clock.sleep_until(at) => {}
            () = engine.deadlines_changed() => {}
        },
    }
}
