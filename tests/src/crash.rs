//! Crash tests: the real programs, killed at random moments and at named places, and what became of every action.
//!
//! ```text
//! seed ─► Plan: workflows, and blows (when, whom, how) ─► Fleet carries them out ─► verdict over server, journal and
//!                                                          and restarts                a file that actions append to
//! ```
//!
//! A round is one seed: it begins with new workflows on programs that may still be armed from the round before, kills
//! some of them while the workflows run, starts again what died, and waits until every workflow has ended. Then three
//! witnesses are compared: what the server says, what the worker's journal says, and what the actions themselves wrote.
//!
//! - A *re-run* is an action that wrote its line more than once.
//! - A *loss* is everything else that must not be: a workflow that does not end, an action that ended otherwise than it
//!   did, an acknowledged result that the server no longer has, a log with a gap, a program that ended by itself.
//!
//! A killed shim takes its container along. Such an action ends FAILED, says so, and has run at most once.

mod blow;
mod dice;
mod fleet;
mod plan;
mod round;
mod verdict;

use anyhow::{Context as _, Result, bail};

use crate::{Stopwatch, TestRun};
pub(crate) use dice::Dice;
use fleet::Fleet;
pub use fleet::Runtime;
use plan::Plan;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct CrashOptions {
    /// Rounds in all, shared out over the runtimes.
    pub rounds: u64,
    /// Seed of the first round; the next one has the next number.
    pub seed: u64,
    /// The runtimes, by turns.
    pub runtimes: Vec<Runtime>,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rounds.
    pub rounds: u64,
    /// Programs killed.
    pub kills: u64,
    /// Runs of actions beyond their first.
    pub re_runs: u64,
    /// Everything else that must not be.
    pub losses: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rounds {} kills {} re-runs {} losses {}", self.rounds, self.kills, self.re_runs, self.losses)
    }
}

impl CrashOptions {
    /// Reads `--rounds N`, `--seed S` and `--runtime docker|containerd|embedded|all`. Without a seed, one is drawn.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options = Self { rounds: 30, seed: Dice::fresh_seed(), runtimes: Runtime::ALL.to_vec() };
        let mut args = args.into_iter();
        while let Some(flag) = args.next() {
            let value = args.next().with_context(|| format!("{flag} needs a value"))?;
            let number = || value.parse().with_context(|| format!("{flag} needs a number, not `{value}`"));
            match flag.as_str() {
                "--rounds" => options.rounds = number()?,
                "--seed" => options.seed = number()?,
                "--runtime" if value == "all" => options.runtimes = Runtime::ALL.to_vec(),
                "--runtime" => options.runtimes = vec![Runtime::parse(&value)?],
                _ => bail!("{flag} is unknown: --rounds N, --seed S, --runtime docker|containerd|embedded|all"),
            }
        }
        Ok(options)
    }

    /// Runs all rounds; each prints a line, and whatever must not be is printed with the seed that shows it.
    ///
    /// # Errors
    /// When the machine cannot run them. What the rounds find is no error, but in the tally.
    pub fn run(&self, run: &TestRun) -> Result<Tally> {
        if !tink_failpoint::ENABLED {
            bail!(
                "these programs were built without failpoints: use a build with debug assertions, as cargo's dev profile"
            );
        }
        let mut fleets: Vec<Fleet<'_>> = Vec::new();
        for runtime in &self.runtimes {
            fleets.push(Fleet::start(run, *runtime).with_context(|| format!("failed to set up {runtime}"))?);
        }
        let mut tally = Tally::default();
        for nth in 0..self.rounds {
            let seed = self.seed.wrapping_add(nth);
            let which = usize::try_from(seed % fleets.len() as u64).unwrap_or(0);
            let Some(fleet) = fleets.get_mut(which) else { bail!("no runtime was named") };
            let plan = Plan::draw(seed, fleet.runtime());
            let watch = Stopwatch::start();
            let outcome = round::play(fleet, &plan)?;
            tally.rounds += 1;
            tally.kills += outcome.kills.len() as u64;
            tally.re_runs += outcome.re_runs;
            tally.losses += outcome.losses.len() as u64;
            println!(
                "round {} of {}, {}, seed {seed}: {} actions, {:.1} s, killed: {}",
                nth + 1,
                self.rounds,
                fleet.runtime(),
                plan.action_count(),
                watch.seconds(),
                if outcome.kills.is_empty() { "nothing".to_owned() } else { outcome.kills.join(", ") }
            );
            for loss in &outcome.losses {
                println!("  seed {seed}: {loss}");
            }
            if outcome.re_runs > 0 {
                println!("  seed {seed}: {} runs too many", outcome.re_runs);
            }
        }
        let mut reached: Vec<_> = fleets.iter().flat_map(|fleet| fleet.reached()).collect();
        reached.sort();
        reached.dedup();
        println!("failpoints reached: {}", if reached.is_empty() { "none".to_owned() } else { reached.join(", ") });
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_as_it_is_read_by_others() {
        let tally = Tally { rounds: 30, kills: 71, re_runs: 0, losses: 0 };
        assert_eq!(tally.to_string(), "rounds 30 kills 71 re-runs 0 losses 0");
    }

    #[test]
    fn options_are_read() {
        let parse = |args: &[&str]| CrashOptions::parse(args.iter().map(|&arg| arg.to_owned()));
        let options = parse(&["--rounds", "7", "--seed", "9", "--runtime", "docker"]).unwrap();
        assert_eq!((options.rounds, options.seed, options.runtimes), (7, 9, vec![Runtime::Docker]));
        assert_eq!(parse(&["--runtime", "all"]).unwrap().runtimes, Runtime::ALL);
        for bad in [&["--rounds"][..], &["--rounds", "many"], &["--what", "x"], &["--runtime", "x"]] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
