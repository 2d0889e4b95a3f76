//! What a round does, drawn from its seed.

use std::time::Duration;

use super::blow::{Blow, Victim};
use super::dice::Dice;
use super::fleet::{Runtime, WORKERS};

/// The exit code of an action that is meant to fail.
const FAILING: i32 = 7;

/// An action of a round.
#[derive(Clone, Debug)]
pub(super) struct PlannedAction {
    pub(super) name: String,
    pub(super) worker: usize,
    pub(super) exit_code: i32,
    /// Numbered lines that it prints before its last word.
    pub(super) lines: u64,
    pub(super) sleep_ms: u64,
}

/// A workflow of a round.
#[derive(Clone, Debug)]
pub(super) struct PlannedWorkflow {
    pub(super) name: String,
    pub(super) actions: Vec<PlannedAction>,
}

/// A round.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) workflows: Vec<PlannedWorkflow>,
    pub(super) blows: Vec<Blow>,
}

impl Plan {
    /// The round of this seed.
    pub(super) fn draw(seed: u64, runtime: Runtime) -> Self {
        let mut dice = Dice::new(seed);
        let workflows = (0..2 + dice.below(2)).map(|nth| workflow(&mut dice, &format!("r{seed}-{nth}"))).collect();
        let mut blows: Vec<Blow> = (0..1 + dice.below(4)).map(|_| blow(&mut dice, runtime)).collect();
        blows.sort_by_key(|blow| blow.at);
        Self { workflows, blows }
    }

    pub(super) fn action_count(&self) -> usize {
        self.workflows.iter().map(|workflow| workflow.actions.len()).sum()
    }
}

fn workflow(dice: &mut Dice, name: &str) -> PlannedWorkflow {
    let count = 1 + dice.below(3);
    let first = usize::try_from(dice.below(WORKERS as u64)).unwrap_or(0);
    let moves_on = dice.percent(30);
    let actions = (0..count)
        .map(|nth| PlannedAction {
            name: format!("{name}-a{nth}"),
            worker: if moves_on && nth > 0 { (first + 1) % WORKERS } else { first },
            exit_code: if dice.percent(8) { FAILING } else { 0 },
            lines: if dice.percent(15) { 400 } else { dice.below(12) },
            sleep_ms: dice.below(600),
        })
        .collect();
    PlannedWorkflow { name: name.to_owned(), actions }
}

fn blow(dice: &mut Dice, runtime: Runtime) -> Blow {
    let worker = Victim::Worker(usize::try_from(dice.below(WORKERS as u64)).unwrap_or(0));
    let victim = match (runtime, dice.below(100)) {
        (_, 0..=49) => worker,
        (_, 50..=69) => Victim::Server,
        (Runtime::Embedded, 70..=99) | (_, 70..=79) => Victim::Shim,
        _ => Victim::Engine,
    };
    let failpoint = if dice.percent(50) { failpoint(dice, victim, runtime) } else { None };
    // An armed shim is one that an armed worker starts.
    let victim = if victim == Victim::Shim && failpoint.is_some() { worker } else { victim };
    Blow {
        at: Duration::from_millis(dice.below(2200)),
        victim,
        pause: Duration::from_millis(dice.below(400)),
        failpoint,
    }
}

fn failpoint(dice: &mut Dice, victim: Victim, runtime: Runtime) -> Option<String> {
    let name = match victim {
        Victim::Worker(_) if dice.percent(60) => {
            let file = dice.pick(&tink_failpoint::JOURNAL_FILES)?;
            tink_failpoint::journal(file, dice.pick(&tink_failpoint::JOURNAL_STEPS)?)
        }
        Victim::Worker(_) => (*dice.pick(&tink_failpoint::WORKER)?).to_owned(),
        Victim::Server => (*dice.pick(&tink_failpoint::SERVER)?).to_owned(),
        Victim::Shim if runtime == Runtime::Embedded => (*dice.pick(&tink_failpoint::SHIM)?).to_owned(),
        Victim::Shim | Victim::Engine => return None,
    };
    Some(format!("{name}@{}", 1 + dice.below(3)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_round_and_every_victim_comes_up() {
        assert_eq!(format!("{:?}", Plan::draw(5, Runtime::Docker)), format!("{:?}", Plan::draw(5, Runtime::Docker)));
        for runtime in Runtime::ALL {
            let blows: Vec<_> = (0..200).flat_map(|seed| Plan::draw(seed, runtime).blows).collect();
            let wanted = [Victim::Worker(0), Victim::Worker(1), Victim::Server, Victim::Shim];
            for victim in wanted {
                assert!(blows.iter().any(|blow| blow.victim == victim), "{runtime} {victim}");
            }
            let has_engine = blows.iter().any(|blow| blow.victim == Victim::Engine);
            assert_eq!(has_engine, runtime != Runtime::Embedded);
            assert!(blows.iter().any(|blow| blow.failpoint.is_some()));
        }
    }
}
