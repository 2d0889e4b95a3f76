//! `on-timeout` and `on-failure`: commands of a 2021 template that run after the action, in its image.

use std::sync::Arc;

use tink_runtime::{HandleRecord, Purpose, RuntimeError};
use tink_workflow::{ActionState, ImageRef};
use tokio::time::timeout;
use tracing::{info, warn};

use super::container::{Waited, follow, wait};
use super::output::Output;
use super::{Run, message};
use crate::error_chain;
use crate::journal::{HOOKS, HookRun};

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
            Ok(Err(error)) => {
                warn!(action = %self.assignment.name, ?purpose, error = %error, "the hook could not be started");
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
    async fn hook_record(&mut self, spec: &tink_runtime::ContainerSpec) -> Result<Option<HandleRecord>, RuntimeError> {
        let purpose = spec.identity.purpose;
        let record = match self.entry.hook.clone() {
            Some(HookRun { record: Some(record), .. }) => return Ok(Some(record)),
            Some(HookRun { record: None, .. }) => match self.find(&spec.identity).await? {
                Some(record) => record,
                None => return Ok(None),
            },
            None => {
                // Not on disk: a crash may run the hook a second time, which is better than not at all.
                self.note_hook(HookRun { purpose, record: None }).await;
                self.start_or_find(spec).await?
            }
        };
        self.note_hook(HookRun { purpose, record: Some(record.clone()) }).await;
        Ok(Some(record))
    }

    async fn note_hook(&mut self, hook: HookRun) {
        let (id, journal) = (self.id, &self.executor.journal);
        if let Err(error) = self.executor.persist(id, || journal.hook(id, hook.clone())).await {
            warn!(entry = %id, error = error_chain(&error), "a hook could not be stored");
        }
        self.entry.hook = Some(hook);
    }

    async fn attend_hook(&self, purpose: Purpose, record: &HandleRecord, limit: std::time::Duration) {
        let executor = self.executor;
        let runtime = executor.runtime.as_ref();
        let log = executor.journal.log(&self.entry, HOOKS);
        let mut output = Output::new(Arc::clone(&self.assignment), executor.events.clone(), self.redactor.clone(), log)
            .echoing(executor.settings.echo_output);
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
    }
}
