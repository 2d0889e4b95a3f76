//! A server over the real state machine, which remembers every report and may be made to fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tink_workflow::ActionState;

use super::Steps;
use super::fault::Hit;
use crate::transport::local::Local;
use crate::transport::{Ack, Next, Transport, TransportError};
use crate::{Assignment, Report};

/// How long upstream's server repeats a call that fails on its side before it answers.
const UPSTREAM_HOLD: Duration = Duration::from_secs(60);

/// What outlives the worker.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) engine: Local,
    /// Every report that arrived, in order.
    pub(crate) reports: Mutex<Vec<Report>>,
    /// Answers to give to reports instead of the engine's.
    pub(crate) answers: Mutex<VecDeque<Result<Ack, String>>>,
    /// Reports of these workflows are answered Internal after a minute, as upstream's server does for a deleted workflow.
    pub(crate) broken: Mutex<Vec<String>>,
    /// Answers to requests for work, before the engine is asked.
    pub(crate) offers: Mutex<VecDeque<Next>>,
    /// Whether a finished engine means "nothing to do now" instead of the end.
    pub(crate) endless: bool,
    /// Whether announcements that an action ends the machine fail, and nothing else.
    pub(crate) deaf: bool,
    /// Whether the worker's disk is full from the moment on at which the server hears that an action ends the machine.
    pub(crate) fills: bool,
    /// So many results that are no successes get lost on their way.
    pub(crate) loses: Mutex<u32>,
}

/// One life's connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) office: Arc<Office>,
    pub(crate) steps: Arc<Steps>,
}

fn unreachable(_hit: Hit) -> TransportError {
    TransportError::Unreachable { server: "double".to_owned(), reason: "planned: away".to_owned() }
}

fn internal(message: &str) -> TransportError {
    TransportError::Answered { server: "double".to_owned(), code: "Internal".to_owned(), message: message.to_owned() }
}

#[async_trait]
impl Transport for Server {
    async fn next(&self) -> Result<Next, TransportError> {
        self.steps.step("before next").await.map_err(unreachable)?;
        let scripted = self.office.offers.lock().unwrap().pop_front();
        let next = match scripted {
            Some(next) => next,
            None => self.office.engine.next().await?,
        };
        self.steps.step("after next").await.map_err(unreachable)?;
        Ok(match next {
            Next::Finished if self.office.endless => Next::Nothing,
            other => other,
        })
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        self.steps.step("before report").await.map_err(unreachable)?;
        if matches!(report.state, ActionState::Failed | ActionState::Timeout) {
            let mut loses = self.office.loses.lock().unwrap();
            if *loses > 0 {
                *loses -= 1;
                return Err(unreachable(Hit));
            }
        }
        self.office.reports.lock().unwrap().push(report.clone());
        if self.office.fills && report.leaving {
            self.steps.set_full(true);
        }
        let is_broken = self.office.broken.lock().unwrap().contains(&report.workflow.to_string());
        if is_broken {
            tokio::time::sleep(UPSTREAM_HOLD).await;
        }
        let scripted = self.office.answers.lock().unwrap().pop_front();
        let ack = match scripted {
            _ if self.office.deaf && report.leaving => Err(internal("away")),
            _ if is_broken => Err(internal("workflow not found")),
            Some(answer) => answer.map_err(|message| internal(&message)),
            None => self.office.engine.report(report).await,
        };
        self.steps.step("after report").await.map_err(unreachable)?;
        ack
    }
}

impl Office {
    /// What an engine would offer for this action, for scripted offers.
    pub(crate) async fn peek(&self) -> Option<Assignment> {
        match self.engine.next().await {
            Ok(Next::Action(assignment)) => Some(*assignment),
            _ => None,
        }
    }
}
