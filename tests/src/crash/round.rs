//! One round: workflows in, blows out, everything up again, and the wait for the end.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::blow::{Blow, Victim};
use super::fleet::Fleet;
use super::plan::{Plan, PlannedWorkflow};
use super::verdict::{self, Excuses};
use crate::stack::manifests;

/// How long a round may take; one that takes longer has lost something.
const ROUND_MAX: Duration = Duration::from_secs(120);
/// Between two looks at the programs.
const TICK: Duration = Duration::from_millis(5);
/// Between two questions to the server.
const LOOK: Duration = Duration::from_millis(300);
/// Tries to create a workflow while the server dies under it.
const CREATE_TRIES: u32 = 6;

/// What a round came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whom, and where.
    pub(super) kills: Vec<String>,
    pub(super) re_runs: u64,
    pub(super) losses: Vec<String>,
}

/// A program that is dead, and when it is to be started again.
struct Dead {
    victim: Victim,
    until: Instant,
    failpoint: Option<String>,
}

/// Plays a round.
pub(super) fn play(fleet: &mut Fleet<'_>, plan: &Plan) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut excuses = Excuses::default();
    for workflow in &plan.workflows {
        create(fleet, workflow, &mut outcome)?;
    }
    let begun = Instant::now();
    let mut blows = plan.blows.iter().peekable();
    let mut dead: Vec<Dead> = Vec::new();
    let mut next_look = begun;
    loop {
        if let Some(blow) = blows.next_if(|blow| begun.elapsed() >= blow.at) {
            strike(fleet, blow, &mut dead, &mut outcome, &mut excuses)?;
        }
        note_deaths(fleet, &mut dead, &mut outcome);
        restart(fleet, &mut dead)?;
        if blows.peek().is_none() && dead.is_empty() && Instant::now() >= next_look {
            if verdict::all_ended(fleet, plan) {
                break;
            }
            next_look = Instant::now() + LOOK;
        }
        if begun.elapsed() > ROUND_MAX {
            outcome.losses.push(format!("not every workflow ended within {ROUND_MAX:?}"));
            break;
        }
        #[expect(clippy::disallowed_methods, reason = "the pace of the plan, which is in real time")]
        std::thread::sleep(TICK);
    }
    verdict::judge(fleet, plan, &excuses, &mut outcome)?;
    disarm_shims(fleet)?;
    Ok(outcome)
}

fn strike(
    fleet: &mut Fleet<'_>,
    blow: &Blow,
    dead: &mut Vec<Dead>,
    outcome: &mut Outcome,
    excuses: &mut Excuses,
) -> Result<()> {
    if dead.iter().any(|dead| dead.victim == blow.victim) || !fleet.kill(blow.victim)? {
        return Ok(());
    }
    outcome.kills.push(match &blow.failpoint {
        Some(failpoint) => format!("{} (then armed: {failpoint})", blow.victim),
        None => blow.victim.to_string(),
    });
    excuses.shims |= blow.victim == Victim::Shim;
    excuses.shims |= blow.failpoint.as_ref().is_some_and(|name| name.starts_with("shim."));
    excuses.engine |= blow.victim == Victim::Engine;
    dead.push(Dead { victim: blow.victim, until: Instant::now() + blow.pause, failpoint: blow.failpoint.clone() });
    Ok(())
}

/// Programs that died of their failpoint, and those that had no reason to.
fn note_deaths(fleet: &mut Fleet<'_>, dead: &mut Vec<Dead>, outcome: &mut Outcome) {
    while let Some((victim, failpoint)) = fleet.take_dead() {
        match failpoint {
            Some(failpoint) => outcome.kills.push(format!("{victim} at {failpoint}")),
            None => outcome.losses.push(format!("{victim} ended by itself")),
        }
        dead.push(Dead { victim, until: Instant::now(), failpoint: None });
    }
}

fn restart(fleet: &mut Fleet<'_>, dead: &mut Vec<Dead>) -> Result<()> {
    let now = Instant::now();
    while let Some(nth) = dead.iter().position(|dead| dead.until <= now) {
        let Dead { victim, failpoint, .. } = dead.swap_remove(nth);
        fleet.start_again(victim, failpoint.as_deref())?;
    }
    Ok(())
}

/// A worker whose every container kills its shim would fail every later round.
fn disarm_shims(fleet: &mut Fleet<'_>) -> Result<()> {
    for nth in 0..super::fleet::WORKERS {
        if fleet.shim_failpoint(nth).is_some() {
            fleet.kill(Victim::Worker(nth))?;
            fleet.start_again(Victim::Worker(nth), None)?;
        }
    }
    Ok(())
}

/// Creates a workflow on a server that may die of it. Once it was acknowledged, or seen, it must never be gone.
fn create(fleet: &mut Fleet<'_>, workflow: &PlannedWorkflow, outcome: &mut Outcome) -> Result<()> {
    let text = manifest(fleet, workflow)?;
    let mut last = None;
    for _ in 0..CREATE_TRIES {
        let mut dead = Vec::new();
        note_deaths(fleet, &mut dead, outcome);
        for dead in dead {
            fleet.start_again(dead.victim, None)?;
        }
        if fleet.stack().workflow(&workflow.name).is_ok() {
            return Ok(());
        }
        match fleet.stack().apply(&text) {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
    }
    bail!("failed to create {}: {:#}", workflow.name, last.unwrap_or_else(|| anyhow::anyhow!("no try")))
}

fn manifest(fleet: &Fleet<'_>, workflow: &PlannedWorkflow) -> Result<String> {
    let volume = json!(fleet.volume()?);
    let image = fleet.image();
    let mut tasks = String::new();
    let mut worker = None;
    for action in &workflow.actions {
        if worker != Some(action.worker) {
            worker = Some(action.worker);
            let id = fleet.worker_id(action.worker);
            write!(tasks, "- name: on-{id}\n  worker: {id}\n  volumes: [{volume}]\n  actions:\n")?;
        }
        let script = json!(format!(
            "echo {name} >> /shared/runs; i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; done; \
             sleep {seconds}; echo end; exit {code}",
            name = action.name,
            lines = action.lines,
            seconds = format_args!("{}.{:03}", action.sleep_ms / 1000, action.sleep_ms % 1000),
            code = action.exit_code
        ));
        let name = &action.name;
        write!(tasks, "  - name: {name}\n    image: {image}\n    timeout: 100\n    command: [sh, -c, {script}]\n")?;
    }
    Ok(manifests(&workflow.name, &tasks))
}
