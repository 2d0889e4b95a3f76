//! The wires of 2023 and 2021: server and worker killed at every point of them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::stack::{DEADLINE, Stack};
use tink_e2e::{Process, scenario};
use tink_proto::{v2021::workflow as v2021, v2023};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::site::Site;

#[derive(Clone, Copy, Debug)]
enum Generation {
    V2021,
    V2023,
}

/// What a worker asks or says.
#[derive(Clone, Debug)]
enum Call {
    Contexts,
    Actions(String),
    Report { workflow: String, task: String, action: String, state: i32 },
}

/// What it is told.
#[derive(Clone, Debug)]
enum Answer {
    /// Workflow, and the place of the action at its turn.
    Contexts(Vec<(String, usize)>),
    /// Task and name of each action.
    Actions(Vec<(String, String)>),
    Taken,
}

/// Calls the client of a generation; both have the same methods and messages.
macro_rules! of_generation {
    ($generation:expr, $wire:ident => $made:expr) => {
        match $generation {
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

async fn once(channel: Channel, generation: Generation, call: Call) -> Result<Answer, Status> {
    of_generation!(generation, wire => {
        let mut client = wire::workflow_service_client::WorkflowServiceClient::new(channel);
        match call {
            Call::Contexts => {
                let request = wire::WorkflowContextRequest { worker_id: "w".to_owned() };
                let mut stream = client.get_workflow_contexts(request).await?.into_inner();
                let mut all = Vec::new();
                while let Some(context) = stream.message().await? {
                    let index = usize::try_from(context.current_action_index).unwrap_or(usize::MAX);
                    all.push((context.workflow_id, index));
                }
                Ok(Answer::Contexts(all))
            }
            Call::Actions(workflow_id) => {
                let list = client.get_workflow_actions(wire::WorkflowActionsRequest { workflow_id }).await?;
                let all = list.into_inner().action_list;
                Ok(Answer::Actions(all.into_iter().map(|action| (action.task_name, action.name)).collect()))
            }
            Call::Report { workflow, task, action, state } => {
                let report = wire::WorkflowActionStatus {
                    workflow_id: workflow,
                    task_name: task,
                    action_name: action,
                    action_status: state,
                    worker_id: "w".to_owned(),
                    ..Default::default()
                };
                client.report_action_status(report).await.map(|_| Answer::Taken)
            }
        }
    })
}

/// As the workers of these generations: again and again, until there is an answer.
async fn until_answered(channel: Channel, generation: Generation, call: Call) -> Result<Answer> {
    let tries = async {
        loop {
            match once(channel.clone(), generation, call.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status)
                    if matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition) =>
                {
                    return Err(status);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let answer = tokio::time::timeout(DEADLINE, tries).await.with_context(|| format!("{call:?} is not answered"))?;
    answer.with_context(|| format!("{call:?} is refused"))
}

/// When the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// Before the call.
    Before,
    /// While it is under way.
    During,
}

fn connect(runtime: &Runtime, stack: &Stack<'_>) -> Result<Channel> {
    let _inside = runtime.enter();
    let endpoint = Endpoint::from_shared(format!("http://{}", stack.grpc()))?;
    Ok(endpoint.connect_timeout(Duration::from_secs(5)).connect_lazy())
}

struct Life<'s, 'r> {
    runtime: &'s Runtime,
    stack: &'s mut Stack<'r>,
    generation: Generation,
    /// The worker's one connection.
    channel: Channel,
    calls: usize,
    /// At this call, and how.
    kill: (usize, Kill),
    /// Whether the worker forgets everything then.
    forgets: bool,
    succeeded: BTreeSet<String>,
    runs: Vec<String>,
}

impl Life<'_, '_> {
    /// Makes a call; none when the worker was killed with the server.
    fn call(&mut self, call: Call) -> Result<Option<Answer>> {
        self.calls += 1;
        let (struck, how) = (self.calls == self.kill.0, self.kill.1);
        if struck && how == Kill::Before {
            self.stack.kill_server()?;
            self.stack.start_server()?;
            if self.forgets {
                self.channel = connect(self.runtime, self.stack)?;
                return Ok(None);
            }
        }
        let answer = self.runtime.spawn(until_answered(self.channel.clone(), self.generation, call));
        if struck && how == Kill::During {
            self.stack.kill_server()?;
            self.stack.start_server()?;
        }
        let answer = self.runtime.block_on(answer)??;
        if struck && self.forgets {
            self.channel = connect(self.runtime, self.stack)?;
            return Ok(None);
        }
        Ok(Some(answer))
    }

    /// A worker from its start until both actions succeeded or it is killed; whether it was.
    fn work(&mut self) -> Result<bool> {
        while self.succeeded.len() < 2 {
            let Some(Answer::Contexts(contexts)) = self.call(Call::Contexts)? else { return Ok(true) };
            let (workflow, index) = contexts.into_iter().next().context("there is nothing to do")?;
            let Some(Answer::Actions(actions)) = self.call(Call::Actions(workflow.clone()))? else { return Ok(true) };
            for (task, action) in actions.iter().skip(index) {
                let report = |state| {
                    let (workflow, task, action) = (workflow.clone(), task.clone(), action.clone());
                    Call::Report { workflow, task, action, state }
                };
                if self.call(report(1))?.is_none() {
                    return Ok(true);
                }
                self.runs(action, &actions)?;
                let answered = self.call(report(4))?;
                // The server has it, whether or not the worker learnt of that.
                if answered.is_some() || self.kill.1 == Kill::During {
                    self.succeeded.insert(action.clone());
                }
                if answered.is_none() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn runs(&mut self, action: &str, actions: &[(String, String)]) -> Result<()> {
        ensure!(!self.succeeded.contains(action), "{action} runs again after it finished: {:?}", self.runs);
        let before = actions.iter().map(|(_, name)| name).take_while(|name| *name != action);
        for name in before {
            ensure!(self.succeeded.contains(name), "{action} runs before {name} finished: {:?}", self.runs);
        }
        self.runs.push(action.to_owned());
        Ok(())
    }
}

#[test]
fn a_server_killed_at_any_call_of_an_older_worker_repeats_and_skips_nothing() -> Result<()> {
    scenario("a_server_killed_at_any_call_of_an_older_worker_repeats_and_skips_nothing", |run| {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut stack = Stack::start(run)?;
        let action = |name: &str| format!("  - {{name: {name}, image: example.test/x, timeout: 60}}\n");
        let tasks = format!("- name: only\n  worker: w\n  actions:\n{}{}", action("a"), action("b"));
        // Contexts, actions, and two reports of each action.
        for nth in 1..=6 {
            for generation in [Generation::V2021, Generation::V2023] {
                for (kill, forgets) in
                    [(Kill::Before, false), (Kill::Before, true), (Kill::During, false), (Kill::During, true)]
                {
                    let name = format!("w{nth}-{generation:?}-{kill:?}-{forgets}").to_lowercase();
                    stack.create(&name, &tasks)?;
                    let mut life = Life {
                        runtime: &runtime,
                        channel: connect(&runtime, &stack)?,
                        stack: &mut stack,
                        generation,
                        calls: 0,
                        kill: (nth, kill),
                        forgets,
                        succeeded: BTreeSet::new(),
                        runs: Vec::new(),
                    };
                    // Not more than once killed, so not more than once started again.
                    if life.work().with_context(|| name.clone())? {
                        let killed = life.work().with_context(|| name.clone())?;
                        ensure!(!killed, "{name}: killed twice");
                    }
                    let (calls, runs) = (life.calls, life.runs.len());
                    ensure!(calls >= nth, "{name}: the server was not killed");
                    ensure!((2..=3).contains(&runs), "{name}: {runs} runs");
                    stack.wait_for_state(&name, "SUCCESS")?;
                }
            }
        }
        stack.stop_server()
    })
}

#[test]
fn our_worker_on_each_wire_takes_actions_up_when_it_and_the_server_are_killed() -> Result<()> {
    scenario("our_worker_on_each_wire_takes_actions_up_when_it_and_the_server_are_killed", |run| {
        let mut site = Site::start(run)?;
        for protocol in ["2025", "2023", "2021"] {
            let start = |site: &Site<'_>| -> Result<Process> {
                let data = site.stack.worker_dir("w").with_extension("data");
                let worker = site.worker()?.args(["--protocol", protocol]).arg("--workflow-data-dir").arg(data);
                worker.named(&format!("worker-{protocol}")).start(run)
            };
            let wait = |name: &str| {
                format!(
                    "touch /shared/{name}-{protocol}; until [ -e /shared/{name}-go-{protocol} ]; do sleep 0.1; done"
                )
            };
            let name = |action: &str| format!("{action}-{protocol}");
            let actions = [
                site.action(&name("a"), &wait("a"), "")?,
                site.action(&name("b"), &wait("b"), "")?,
                site.action(&name("c"), "true", "")?,
            ];
            site.create(&format!("on-{protocol}"), &actions)?;
            let mut worker = start(&site)?;
            site.appears(&format!("a-{protocol}"))?;
            site.stack.kill_server()?;
            site.touch(&format!("a-go-{protocol}"))?;
            site.stack.start_server()?;
            site.appears(&format!("b-{protocol}"))?;
            worker.kill()?;
            site.touch(&format!("b-go-{protocol}"))?;
            let mut worker = start(&site)?;
            site.stack.wait_for_state(&format!("on-{protocol}"), "SUCCESS")?;
            worker.terminate(DEADLINE)?;
        }
        let expected: Vec<String> = ["2025", "2023", "2021"]
            .iter()
            .flat_map(|protocol| ["a", "b", "c"].map(|action| format!("{action}-{protocol}")))
            .collect();
        assert_eq!(site.runs(), expected);
        Ok(())
    })
}
