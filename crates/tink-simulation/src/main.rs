//! `tink-simulate`: worlds by the thousand. `cargo xtask simulate` runs it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tink_simulation::{Mutation, Run, Stats, run};

const USAGE: &str = "tink-simulate [--seeds N] [--seed S] [--mutation NAME|all]

  --seeds N         live through the worlds of N seeds (100000), beginning with 0 or with the one of --seed
  --seed S          without --seeds: one world, with its trace
  --mutation NAME   with this deliberate bug, until a world finds it, or `all` bugs, one after another";

struct Arguments {
    seeds: Option<u64>,
    seed: Option<u64>,
    mutation: Option<String>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { seeds: None, seed: None, mutation: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{USAGE}"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text:?} is no number: {error}"));
        match word.as_str() {
            "--seeds" => arguments.seeds = Some(number(value()?)?),
            "--seed" => arguments.seed = Some(number(value()?)?),
            "--mutation" => arguments.mutation = Some(value()?),
            _ => return Err(format!("unexpected argument {word:?}\n\n{USAGE}")),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("tink-simulate: {error}");
            return ExitCode::from(64);
        }
    };
    let mutations = match arguments.mutation.as_deref() {
        None => return without_bugs(&arguments),
        Some("all") => Mutation::ALL.to_vec(),
        Some(name) => match Mutation::ALL.iter().find(|mutation| mutation.name() == name) {
            Some(mutation) => vec![*mutation],
            None => {
                let names: Vec<_> = Mutation::ALL.iter().map(|mutation| mutation.name()).collect();
                eprintln!("tink-simulate: there is no mutation {name:?}; there are: {}", names.join(", "));
                return ExitCode::from(64);
            }
        },
    };
    with_bugs(&arguments, &mutations)
}

fn without_bugs(arguments: &Arguments) -> ExitCode {
    if let (Some(seed), None) = (arguments.seed, arguments.seeds) {
        return show(seed, None);
    }
    let (first, count) = (arguments.seed.unwrap_or(0), arguments.seeds.unwrap_or(100_000));
    let begun = Instant::now();
    let (found, stats) = search(first, count, None);
    let seconds = begun.elapsed().as_secs_f64();
    let hours = stats.millis / 3_600_000;
    println!(
        "{count} seeds in {seconds:.1} s: {hours} simulated hours, {} crashes, {} containers, {} take-overs",
        stats.crashes, stats.starts, stats.takeovers
    );
    match found {
        None => ExitCode::SUCCESS,
        Some((seed, _)) => show(seed, None),
    }
}

/// A bug that no world of so many finds is too well hidden.
const SEEDS_PER_BUG: u64 = 20_000;

fn with_bugs(arguments: &Arguments, mutations: &[Mutation]) -> ExitCode {
    if let ([mutation], Some(seed), None) = (mutations, arguments.seed, arguments.seeds) {
        return show(seed, Some(*mutation));
    }
    let mut hidden = 0;
    for mutation in mutations {
        let count = arguments.seeds.unwrap_or(SEEDS_PER_BUG);
        match search(arguments.seed.unwrap_or(0), count, Some(*mutation)).0 {
            Some((seed, run)) => {
                println!("{:<26} found by seed {seed}: {}", mutation.name(), run.violation.unwrap_or_default());
            }
            None => {
                hidden += 1;
                println!("{:<26} NOT FOUND by {count} seeds", mutation.name());
            }
        }
    }
    println!("{} mutations, {} found", mutations.len(), mutations.len() - hidden);
    if hidden == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One world, with its trace.
fn show(seed: u64, mutation: Option<Mutation>) -> ExitCode {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("TINK_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_ansi(false).init();
    }
    let run = run(seed, mutation, true);
    for line in &run.lines {
        println!("{line}");
    }
    println!("seed {seed}: trace {:016x}", run.hash);
    match run.violation {
        None => ExitCode::SUCCESS,
        Some(violation) => {
            println!("seed {seed}: {violation}\nagain: cargo xtask simulate --seed {seed}");
            ExitCode::FAILURE
        }
    }
}

/// Looks through worlds on every core; the one with the smallest seed that violates something, of those looked at.
fn search(first: u64, count: u64, mutation: Option<Mutation>) -> (Option<(u64, Run)>, Stats) {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let found: Mutex<Option<(u64, Run)>> = Mutex::new(None);
    let sums: Mutex<Stats> = Mutex::new(Stats::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut sum = Stats::default();
                while !stop.load(Ordering::Relaxed) {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        break;
                    }
                    let run = run(first + nth, mutation, false);
                    sum.millis += run.stats.millis;
                    sum.crashes += run.stats.crashes;
                    sum.starts += run.stats.starts;
                    sum.takeovers += run.stats.takeovers;
                    if run.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        if found.as_ref().is_none_or(|(seed, _)| *seed > first + nth) {
                            *found = Some((first + nth, run));
                        }
                    }
                }
                let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                sums.millis += sum.millis;
                sums.crashes += sum.crashes;
                sums.starts += sum.starts;
                sums.takeovers += sum.takeovers;
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    (found, sums.into_inner().unwrap_or_else(PoisonError::into_inner))
}
