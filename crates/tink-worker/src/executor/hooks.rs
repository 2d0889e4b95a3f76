//! `on-timeout` and `on-failure`: commands of a 2021 template that run after the action, in its image.

use std::sync::Arc;

use tink_runtime::{HandleRecord, Purpose};
use tink_workflow::{ActionState, ImageRef};
use tokio::time::timeout;
use tracing::{info, warn};

use super::container::{Waited, follow, wait};
use super::output::Output;
use super::{Run, message};
use crate::journal::{HookRun, JournalError};

impl Run<'_> {
    /// Runs the hook for this result, if there is one. Whatever becomes of it, the action's result stays.
    pub(super) async fn hook(&mut self, state: ActionState) {
        let (purpose, command) = match state {
            ActionState::Timeout => (Purpose::OnTimeout, &self.assignment.on_timeout),
            ActionState::Failed => (Purpose::OnFailure, &self.assignment.on_failure),
            ActionState::Pending | ActionState::Running | ActionState::Success => return,
        };
        if command.is_empty() {
            return;
        }
        let Ok(image) = ImageRef::parse(&self.assignment.image) else { return };
        let limit = match self.assignment.timeout_s {
            0 => self.executor.settings.hook_timeout,
            seconds => std::time::Duration::from_secs(seconds),
        };
        let spec = self.spec(image, purpose, command.clone());
        let record = match timeout(limit, self.hook_record(&spec)).await {
            Ok(Ok(Some(record))) => record,
            Ok(Ok(None)) => return,
            Ok(Err(reason)) => {
                warn!(action = %self.assignment.name, ?purpose, reason, "the hook could not be started");
                return;
            }
            Err(_) => {
                warn!(action = %self.assignment.name, ?purpose, "the engine did not start the hook in time");
                return;
            }
        };
        self.attend_hook(purpose, &record, limit).await;
    }

    /// The hook's container: started now, or by an earlier life of the worker. A hook that was begun and whose
    /// container is not there is not begun again.
    async fn hook_record(&mut self, spec: &tink_runtime::ContainerSpec) -> Result<Option<HandleRecord>, String> {
        let purpose = spec.identity.purpose;
        let journal = &self.executor.journal;
        let told = |error: JournalError| error.to_string();
        let record = match &self.entry.hook {
            Some(HookRun { record: Some(record), .. }) => return Ok(Some(record.clone())),
            Some(HookRun { record: None, .. }) => {
                let found = self.executor.runtime.find(&spec.identity).await.map_err(|error| error.to_string())?;
                let Some(record) = found else { return Ok(None) };
                record
            }
            None => {
                journal.hook(self.id, HookRun { purpose, record: None }).await.map_err(told)?;
                self.start_or_find(spec).await.map_err(|error| error.to_string())?
            }
        };
        let hook = HookRun { purpose, record: Some(record.clone()) };
        journal.hook(self.id, hook.clone()).await.map_err(told)?;
        self.entry.hook = Some(hook);
        Ok(Some(record))
    }

    async fn attend_hook(&self, purpose: Purpose, record: &HandleRecord, limit: std::time::Duration) {
        let executor = self.executor;
        let runtime = executor.runtime.as_ref();
        // Logs of hooks are kept beside those of attempts, which count from 1.
        let log = executor.journal.log(&self.entry, 0);
        let mut output = Output::new(Arc::clone(&self.assignment), executor.events.clone(), self.redactor.clone(), log);
        let pause = executor.settings.backoff_max;
        let both = async {
            let (waited, ()) = tokio::join!(wait(runtime, record, pause), follow(runtime, record, &mut output, pause));
            waited
        };
        match timeout(limit, both).await {
            Ok(Waited::Exited(status)) => info!(
                action = %self.assignment.name, ?purpose, result = message::ended(&status, output.tail()), "hook ended"
            ),
            Ok(Waited::Gone) => warn!(action = %self.assignment.name, ?purpose, "the hook's container vanished"),
            Err(_) => {
                warn!(action = %self.assignment.name, ?purpose, "the hook took too long and is stopped");
                let grace = executor.settings.stop_grace;
                if let Err(error) = runtime.stop(record, grace).await {
                    warn!(action = %self.assignment.name, error = %error, "the hook could not be stopped");
                }
            }
        }
        if let Err(error) = runtime.remove(record).await {
            warn!(container = record.container, error = %error, "the hook's container could not be removed");
        }
    }
}
