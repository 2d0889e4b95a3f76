//! Workers of 2023 and 2021, as far as they are alike: generated clients, driven as tink-worker drives them.

use proptest::prelude::*;
use tink_proto::v2025::action_status_request::StateType;
use tink_proto::{v2021::workflow as v2021, v2023};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    V2021,
    V2023,
}

/// A context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub workflow: String,
    pub task: String,
    pub action: String,
    pub index: usize,
    pub state: i32,
    pub total: i64,
}

/// An action of the list: task, name and worker.
pub type Listed = (String, String, String);

#[derive(Clone)]
pub struct Worker {
    channel: Channel,
    generation: Generation,
    pub id: String,
}

/// Calls the client of a generation; both have the same methods and messages.
macro_rules! call {
    ($worker:expr, $wire:ident => $made:expr) => {
        match $worker.generation {
            Generation::V2021 => {
                use v2021 as $wire;
                $made
            }
            Generation::V2023 => {
                use v2023 as $wire;
                $made
            }
        }
    };
}

impl Worker {
    pub fn new(world: &World, generation: Generation, id: &str) -> Self {
        Self::over(world.channel.clone(), generation, id)
    }

    pub fn over(channel: Channel, generation: Generation, id: &str) -> Self {
        Self { channel, generation, id: id.to_owned() }
    }

    pub async fn contexts(&self) -> Result<Vec<Step>, Status> {
        call!(self, wire => {
            let mut client = wire::workflow_service_client::WorkflowServiceClient::new(self.channel.clone());
            let request = wire::WorkflowContextRequest { worker_id: self.id.clone() };
            let mut stream = client.get_workflow_contexts(request).await?.into_inner();
            let mut all = Vec::new();
            while let Some(context) = stream.message().await? {
                all.push(Step {
                    workflow: context.workflow_id,
                    task: context.current_task,
                    action: context.current_action,
                    index: usize::try_from(context.current_action_index).unwrap(),
                    state: context.current_action_state,
                    total: context.total_number_of_actions,
                });
            }
            Ok(all)
        })
    }

    /// The lease that an answer speaks of, in seconds.
    pub async fn lease_s(&self) -> Option<String> {
        call!(self, wire => {
            let mut client = wire::workflow_service_client::WorkflowServiceClient::new(self.channel.clone());
            let request = wire::WorkflowContextRequest { worker_id: self.id.clone() };
            let answer = client.get_workflow_contexts(request).await.unwrap();
            answer.metadata().get("tink-lease-seconds").map(|value| value.to_str().unwrap().to_owned())
        })
    }

    pub async fn actions(&self, workflow: &str) -> Result<Vec<Listed>, Status> {
        call!(self, wire => {
            let mut client = wire::workflow_service_client::WorkflowServiceClient::new(self.channel.clone());
            let request = wire::WorkflowActionsRequest { workflow_id: workflow.to_owned() };
            let list = client.get_workflow_actions(request).await?.into_inner().action_list;
            Ok(list.into_iter().map(|action| (action.task_name, action.name, action.worker_id)).collect())
        })
    }

    /// Why the report changed nothing, if the answer says so.
    pub async fn report(&self, workflow: &str, task: &str, action: &str, state: i32) -> Result<Option<String>, Status> {
        let message = if state == 4 { "finished execution successfully" } else { "Started execution" };
        call!(self, wire => {
            let mut client = wire::workflow_service_client::WorkflowServiceClient::new(self.channel.clone());
            let report = wire::WorkflowActionStatus {
                workflow_id: workflow.to_owned(),
                task_name: task.to_owned(),
                action_name: action.to_owned(),
                action_status: state,
                seconds: if state == 1 { 0 } else { 7 },
                message: message.to_owned(),
                created_at: None,
                worker_id: self.id.clone(),
            };
            let answer = client.report_action_status(report).await?;
            Ok(answer.metadata().get("tink-refused").map(|why| why.to_str().unwrap().to_owned()))
        })
    }

    /// One poll: every workflow as tink-worker works through it. Returns the names of the actions it ran.
    pub async fn pass(&self) -> Vec<String> {
        let mut ran = Vec::new();
        for context in self.contexts().await.unwrap() {
            let actions = self.actions(&context.workflow).await.unwrap();
            assert_eq!(actions.len(), usize::try_from(context.total).unwrap());
            let mine = |action: &&Listed| action.2 == self.id;
            for (task, action, _) in actions.iter().skip(context.index).take_while(mine) {
                self.report(&context.workflow, task, action, 1).await.unwrap();
                ran.push(action.clone());
                self.report(&context.workflow, task, action, 4).await.unwrap();
            }
        }
        ran
    }
}

/// What happens to a machine at one moment.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// A worker of an older generation asks where it stands.
    Contexts(Generation),
    /// It reports RUNNING for the action it believes in.
    Running(Generation),
    /// It reports the result of that action, and believes in the next.
    Success(Generation),
    /// It repeats the result before.
    Again(Generation),
    /// It forgets everything.
    Restart,
    /// A worker of today does the next action.
    Today,
}

pub fn step() -> impl Strategy<Value = Moment> {
    let generation = || prop_oneof![Just(Generation::V2021), Just(Generation::V2023)];
    prop_oneof![
        3 => generation().prop_map(Moment::Contexts),
        3 => generation().prop_map(Moment::Running),
        4 => generation().prop_map(Moment::Success),
        1 => generation().prop_map(Moment::Again),
        1 => Just(Moment::Restart),
        1 => Just(Moment::Today),
    ]
}

/// Runs the moments over a workflow of four actions. A worker never begins an action that finished; nothing is finished
/// that nobody ran; what is finished stays so.
pub async fn keeps_what_finished(world: &World, name: &str, moments: &[Moment]) {
    const ACTIONS: [&str; 4] = ["a", "b", "c", "d"];
    let machine = format!("machine-{name}");
    world.create(name, &[(&machine, &ACTIONS)]).await;
    let id = format!("default/{name}");
    let mut at: Option<usize> = None;
    let mut finished = 0;
    for moment in moments {
        let worker = |generation| Worker::new(world, generation, &machine);
        match *moment {
            Moment::Contexts(generation) => {
                let contexts = worker(generation).contexts().await.unwrap();
                at = contexts.first().map(|context| context.index);
                assert_eq!(at, (finished < ACTIONS.len()).then_some(finished), "{moments:?}");
            }
            Moment::Running(generation) => {
                if let Some(nth) = at.filter(|nth| *nth < ACTIONS.len()) {
                    let answer = worker(generation).report(&id, "task0", ACTIONS[nth], 1).await;
                    // It may be behind (somebody else went on) and must not start then; never ahead.
                    let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
                    let expected = if nth < finished { Code::FailedPrecondition } else { Code::Ok };
                    assert_eq!(code, expected, "{moments:?}");
                }
            }
            Moment::Success(generation) => {
                if let Some(nth) = at.filter(|nth| *nth < ACTIONS.len()) {
                    worker(generation).report(&id, "task0", ACTIONS[nth], 4).await.unwrap();
                    finished = finished.max(nth + 1);
                    at = Some(nth + 1);
                }
            }
            Moment::Again(generation) => {
                if let Some(nth) = at.and_then(|nth| nth.checked_sub(1)).filter(|nth| *nth < finished) {
                    worker(generation).report(&id, "task0", ACTIONS[nth], 4).await.unwrap();
                }
            }
            Moment::Restart => at = None,
            Moment::Today => {
                if let Ok(action) = world.next(&machine).await {
                    assert_eq!(action.name.as_deref(), Some(ACTIONS[finished]), "{moments:?}");
                    world.report(&action, StateType::Running).await.unwrap();
                    world.report(&action, StateType::Success).await.unwrap();
                    finished += 1;
                }
            }
        }
        let workflow = world.workflow(name).await;
        let succeeded = workflow.tasks[0].actions.iter().filter(|action| action.state == "SUCCESS").count();
        assert_eq!(succeeded, finished, "{moments:?}");
        assert_eq!(workflow.state == "SUCCESS", finished == ACTIONS.len(), "{moments:?}");
    }
}
