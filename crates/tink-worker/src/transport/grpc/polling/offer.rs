//! What to run next.

use tink_workflow::{ActionState, TaskId, WorkerId};
use tracing::debug;

use super::cursor::Cursor;
use super::{Hold, MEMORY_MAX, Polling, Wire, WireAction, WireContext, ids};
use crate::Assignment;
use crate::assignment::Begun;
use crate::transport::TransportError;

/// An action that a context points at.
struct Candidate<'c> {
    context: &'c WireContext,
    index: i64,
    begun: Begun,
}

/// The rank of a workflow in which nothing has begun.
const FRESH: u8 = 2;

impl Candidate<'_> {
    /// What runs comes first, then what has begun: a workflow is not left half done for another one.
    fn rank(&self) -> u8 {
        match (self.begun, self.index) {
            (Begun::Yes, _) => 0,
            (_, 1..) => 1,
            _ => FRESH,
        }
    }
}

/// The action that is next by this context, whoever has to run it.
fn candidate(context: &WireContext) -> Option<Candidate<'_>> {
    let (index, begun) = match context.state {
        _ if context.action.is_empty() && context.index == 0 => (0, Begun::No),
        ActionState::Pending => (context.index, Begun::No),
        ActionState::Running => (context.index, Begun::Yes),
        ActionState::Success => (context.index.checked_add(1)?, Begun::No),
        ActionState::Failed | ActionState::Timeout => return None,
    };
    (index >= 0 && index < context.total).then_some(Candidate { context, index, begun })
}

impl<W: Wire> Polling<W> {
    /// The action that is this worker's turn, if there is one: of a workflow that has begun, else of the first one.
    pub(super) async fn offer(&self) -> Result<Option<Assignment>, TransportError> {
        let streamed =
            self.wire.contexts(self.worker.as_str(), Hold::UntilWork).await.map_err(|failure| self.error(&failure))?;
        let (begun, fresh): (Vec<_>, Vec<_>) =
            streamed.contexts.iter().filter_map(candidate).partition(|candidate| candidate.rank() < FRESH);
        let mut failed = None;
        let mut offer = self.choose(begun, &mut failed).await?;
        if offer.is_none() {
            let kept_back = self.kept_back(&streamed.contexts).await?;
            let rest = kept_back.iter().filter_map(candidate).chain(fresh).collect();
            offer = self.choose(rest, &mut failed).await?;
        }
        match (offer, failed) {
            (None, Some(error)) => Err(error),
            (offer, _) => Ok(offer.map(|offer| Assignment { lease_s: streamed.lease_s, ..offer })),
        }
    }

    /// Workflows that a PostgreSQL server never streams again: those whose second or later action succeeded and whose
    /// next one is waiting. Its list of all workflows has them.
    async fn kept_back(&self, streamed: &[WireContext]) -> Result<Vec<WireContext>, TransportError> {
        let mut all = match self.wire.all_contexts(self.worker.as_str()).await {
            Ok(all) => all,
            Err(failure) => {
                let error = self.error(&failure);
                if !error.is_answer() {
                    return Err(error);
                }
                debug!(%error, "the server has no list of all workflows");
                return Ok(Vec::new());
            }
        };
        all.retain(|context| {
            context.state == ActionState::Success && !streamed.iter().any(|seen| seen.workflow == context.workflow)
        });
        Ok(all)
    }

    async fn choose(
        &self,
        mut candidates: Vec<Candidate<'_>>,
        failed: &mut Option<TransportError>,
    ) -> Result<Option<Assignment>, TransportError> {
        candidates.sort_by_key(Candidate::rank);
        for candidate in candidates {
            match self.try_candidate(&candidate).await {
                Ok(Some(assignment)) => return Ok(Some(assignment)),
                Ok(None) => {}
                // One workflow that cannot be read must not hide the others.
                Err(error) if error.is_answer() => *failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn try_candidate(&self, candidate: &Candidate<'_>) -> Result<Option<Assignment>, TransportError> {
        let workflow = &candidate.context.workflow;
        let actions = self.wire.actions(workflow).await.map_err(|failure| self.error(&failure))?;
        let Some((index, action)) =
            usize::try_from(candidate.index).ok().and_then(|index| Some((index, actions.get(index)?)))
        else {
            return Ok(None);
        };
        if action.worker != self.worker.as_str() {
            return Ok(None);
        }
        let assignment = self
            .assignment(workflow, index, action, candidate.begun)
            .map_err(|reason| self.garbage(format!("workflow {workflow:?}, action {:?}: {reason}", action.name)))?;
        let mut memory = self.memory();
        if memory.offered.len() >= MEMORY_MAX {
            memory.offered.clear();
        }
        memory.offered.insert(assignment.action.to_string(), Cursor::of(candidate.context));
        drop(memory);
        Ok(Some(assignment))
    }

    fn assignment(
        &self,
        workflow: &str,
        index: usize,
        action: &WireAction,
        begun: Begun,
    ) -> Result<Assignment, String> {
        let mut volumes = action.volumes.clone();
        if !volumes.iter().any(|volume| volume.split(':').nth(1) == Some("/workflow")) {
            let source = self.data.directory(workflow)?;
            volumes.insert(0, format!("{}:/workflow", source.display()));
        }
        Ok(Assignment {
            workflow: ids::workflow(workflow).map_err(|error| error.to_string())?,
            task: TaskId::parse(action.task.clone()).map_err(|error| error.to_string())?,
            action: ids::action(workflow, index, &action.task, &action.name).map_err(|error| error.to_string())?,
            worker: WorkerId::parse(action.worker.clone()).map_err(|error| error.to_string())?,
            name: action.name.clone(),
            image: join(&self.settings.registry, &action.image),
            timeout_s: u64::try_from(action.timeout_s).unwrap_or(0),
            command: action.command.clone(),
            environment: action.environment.clone(),
            volumes,
            pid: action.pid.clone(),
            network: String::new(),
            tty: self.settings.tty,
            on_timeout: action.on_timeout.clone(),
            on_failure: action.on_failure.clone(),
            ends_machine: false,
            lease_s: 0,
            begun,
        })
    }
}

/// Registry and image as Go's `path.Join` joins them: one slash between, `.` and `..` resolved.
fn join(registry: &str, image: &str) -> String {
    if registry.is_empty() || image.is_empty() {
        return image.to_owned();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in registry.split('/').chain(image.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_put_below_the_registry() {
        for (registry, image, joined) in [
            ("", "alpine", "alpine"),
            ("192.168.1.1", "hello-world", "192.168.1.1/hello-world"),
            ("192.168.1.1/", "hello-world", "192.168.1.1/hello-world"),
            ("reg:5000/a//b", "quay.io/x/y:v1", "reg:5000/a/b/quay.io/x/y:v1"),
            ("reg", "../x", "x"),
            ("reg", "./x", "reg/x"),
        ] {
            assert_eq!(join(registry, image), joined);
        }
    }

    fn context(index: i64, total: i64, state: ActionState, action: &str) -> WireContext {
        WireContext { workflow: "w".to_owned(), task: "t".to_owned(), action: action.to_owned(), index, state, total }
    }

    #[test]
    fn the_next_action_is_the_one_the_cursor_means() {
        use ActionState::{Failed, Pending, Running, Success, Timeout};
        for (context, wanted) in [
            (context(0, 2, Pending, ""), Some((0, Begun::No))),
            (context(0, 2, Pending, "a"), Some((0, Begun::No))),
            (context(0, 2, Running, "a"), Some((0, Begun::Yes))),
            (context(0, 2, Success, "a"), Some((1, Begun::No))),
            (context(1, 2, Success, "a"), None),
            (context(0, 2, Failed, "a"), None),
            (context(0, 2, Timeout, "a"), None),
            (context(2, 2, Running, "a"), None),
            (context(-1, 2, Running, "a"), None),
            (context(i64::MAX, i64::MAX, Success, "a"), None),
            (context(0, 0, Pending, ""), None),
        ] {
            let found = candidate(&context).map(|candidate| (candidate.index, candidate.begun));
            assert_eq!(found, wanted, "{context:?}");
        }
    }
}
