//! What became of every action, by three witnesses: the server, the worker's journal, the actions themselves.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::fleet::{Fleet, Runtime};
use super::plan::{Plan, PlannedAction};
use super::round::Outcome;
use crate::stack::action_of;

/// What a round did that an action may feel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excuses {
    /// Shims were killed: an action may end FAILED, and must say that its container vanished or was killed.
    pub(super) shims: bool,
    /// The engine was killed. It keeps its containers, but may lose what it had read of their output, and the exits of
    /// those that ended meanwhile.
    pub(super) engine: bool,
}

/// Whether every workflow of the plan has ended.
pub(super) fn all_ended(fleet: &Fleet<'_>, plan: &Plan) -> bool {
    plan.workflows.iter().all(|workflow| {
        let state = fleet.stack().workflow(&workflow.name).ok();
        let state = state.as_ref().and_then(|workflow| workflow["status"]["state"].as_str()).unwrap_or_default();
        matches!(state, "SUCCESS" | "FAILED" | "TIMEOUT" | "CANCELLED")
    })
}

/// Compares the witnesses.
pub(super) fn judge(fleet: &mut Fleet<'_>, plan: &Plan, excuses: &Excuses, outcome: &mut Outcome) -> Result<()> {
    let runs = fs::read_to_string(fleet.shared().join("runs")).unwrap_or_default();
    for workflow in &plan.workflows {
        let seen = fleet.stack().workflow(&workflow.name)?;
        let mut over = false;
        let mut wanted = "SUCCESS";
        for action in &workflow.actions {
            let ran = runs.lines().filter(|line| *line == action.name).count() as u64;
            outcome.re_runs += ran.saturating_sub(1);
            let said = action_of(&seen, &action.name)?;
            let state = said["state"].as_str().unwrap_or_default();
            if over {
                if (ran, state) != (0, "PENDING") {
                    outcome.losses.push(format!("{} is {state} and ran {ran} times after a failure", action.name));
                }
                continue;
            }
            let judged = judge_action(fleet, action, said, ran, excuses);
            if judged.as_ref().is_ok_and(|shim_died| *shim_died)
                && let Some(failpoint) = fleet.shim_failpoint(action.worker)
            {
                outcome.kills.push(format!("shim at {failpoint}"));
                fleet.shim_died(&failpoint);
            }
            if let Err(loss) = judged {
                outcome.losses.push(format!("{} on {}: {loss}", action.name, fleet.worker_id(action.worker)));
            }
            if state != "SUCCESS" {
                over = true;
                wanted = "FAILED";
            }
        }
        let state = seen["status"]["state"].as_str().unwrap_or_default();
        if state != wanted {
            outcome.losses.push(format!("{} is {state}, not {wanted}", workflow.name));
        }
    }
    Ok(())
}

/// Whether a shim's death ended the action; an error is a loss.
fn judge_action(
    fleet: &Fleet<'_>,
    action: &PlannedAction,
    said: &Value,
    ran: u64,
    excuses: &Excuses,
) -> Result<bool, String> {
    let state = said["state"].as_str().unwrap_or_default();
    let message = said["message"].as_str().unwrap_or_default();
    let log = journal_agrees(fleet, action, said)?;
    let is_own_end = match state {
        "SUCCESS" => action.exit_code == 0,
        "FAILED" => action.exit_code != 0 && message.contains(&format!("exit code {}", action.exit_code)),
        _ => false,
    };
    if is_own_end {
        if ran == 0 {
            return Err(format!("{state} without having run"));
        }
        // What an engine had read and not yet written when it was killed is not ours to give back.
        let may_lack = excuses.engine && fleet.runtime() == Runtime::Docker;
        return check_log(&log, action, !may_lack).map(|()| false);
    }
    let by_shim = excuses.shims
        && state == "FAILED"
        && ["vanished", "signal 9", "exit code 137", "exit code 255", "failed to start container"]
            .iter()
            .any(|word| message.contains(word));
    if by_shim {
        return check_log(&log, action, false).map(|()| true);
    }
    // dockerd learns of no exit that happens while it is away, and makes this one up when it is back. Of a container that
    // it was starting when it was killed it does not know whether it ran.
    let by_engine = state == "FAILED" && ["exit code 255", "vanished"].iter().any(|word| message.contains(word));
    if excuses.engine && fleet.runtime() == Runtime::Docker && by_engine {
        return check_log(&log, action, false).map(|()| false);
    }
    // containerd ends what it was starting when it was killed.
    let ended_in_start = excuses.engine && fleet.runtime() == Runtime::Containerd && message.contains("signal 9");
    if ended_in_start && state == "FAILED" {
        return check_log(&log, action, false).map(|()| false);
    }
    Err(format!("{state}, wanted the end with code {}; it says: {message:?}", action.exit_code))
}

/// Lines of the journal's log. The result that the server acknowledged must be the one it shows.
fn journal_agrees(fleet: &Fleet<'_>, action: &PlannedAction, said: &Value) -> Result<Vec<String>, String> {
    let Some(dir) = entry_of(&fleet.journal(action.worker), &action.name) else {
        return Err("the journal has no entry of it".to_owned());
    };
    let read = |name: &str| fs::read_to_string(dir.join(name)).map_err(|error| format!("{name}: {error}"));
    let result: Value = serde_json::from_str(&read("result.json")?).map_err(|error| format!("result.json: {error}"))?;
    if result["state"] != said["state"] {
        return Err(format!("the journal says {}, the server {}", result["state"], said["state"]));
    }
    let mut segments: Vec<PathBuf> = files(&dir)
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-1.")))
        .collect();
    segments.sort();
    let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    // Before each line stands its place in the engine's log.
    Ok(text.lines().map(|line| line.split_once(' ').map_or(line, |(_, line)| line).to_owned()).collect())
}

/// The newest entry of an action of this name.
fn entry_of(journal: &Path, name: &str) -> Option<PathBuf> {
    let is_it = |dir: &PathBuf| {
        let text = fs::read(dir.join("assignment.json")).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).is_ok_and(|assignment| assignment["name"] == name)
    };
    files(journal).filter(is_it).max()
}

fn files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path())
}

/// Whole: every line, in order, once. Not whole: nothing out of order and nothing twice.
fn check_log(log: &[String], action: &PlannedAction, whole: bool) -> Result<(), String> {
    let all: Vec<String> = (1..=action.lines).map(|nth| format!("line {nth}")).chain(["end".to_owned()]).collect();
    if whole {
        let differs = all.iter().zip(log).position(|(wanted, found)| wanted != found);
        return match differs {
            None if all.len() == log.len() => Ok(()),
            at => Err(format!(
                "its log has {} of {} lines and differs at {}",
                log.len(),
                all.len(),
                at.unwrap_or(log.len().min(all.len()))
            )),
        };
    }
    let mut rest = all.iter();
    match log.iter().find(|line| !rest.any(|wanted| wanted == *line)) {
        None => Ok(()),
        Some(line) => Err(format!("its log has {line:?} twice or out of order")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(lines: u64) -> PlannedAction {
        PlannedAction { name: "a".to_owned(), worker: 0, exit_code: 0, lines, sleep_ms: 0 }
    }

    fn log(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn a_log_with_a_gap_or_a_repeat_is_found() {
        assert_eq!(check_log(&log("line 1,line 2,end"), &action(2), true), Ok(()));
        for broken in ["line 1,end", "line 1,line 1,line 2,end", "line 1,line 2", "line 2,line 1,end"] {
            assert!(check_log(&log(broken), &action(2), true).is_err(), "{broken}");
        }
        for partial in ["line 1,end", "line 1"] {
            assert_eq!(check_log(&log(partial), &action(2), false), Ok(()));
        }
        assert!(check_log(&log("line 1,line 1"), &action(2), false).is_err());
    }
}
