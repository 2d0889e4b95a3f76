//! A few worlds of each kind; `cargo xtask simulate` lives through many more.

use tink_simulation::{Mutation, run};

/// Of these, each `cargo test` sees all.
const SEEDS: u64 = 300;

#[test]
fn nothing_that_must_not_be_happens_in_the_first_worlds() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (0..SEEDS).skip(first).step_by(threads) {
                    assert_eq!(run(seed, None, false).violation, None, "cargo xtask simulate --seed {seed}");
                }
            });
        }
    });
}

/// Worlds in which the product once broke a promise.
const ONCE_WRONG: [u64; 5] = [649, 4326, 15_985, 22_365, 35_707];

#[test]
fn what_was_wrong_once_is_right_now() {
    for seed in ONCE_WRONG {
        assert_eq!(run(seed, None, false).violation, None, "cargo xtask simulate --seed {seed}");
    }
}

#[test]
fn a_seed_is_always_the_same_world() {
    for seed in 0..50 {
        let (first, second) = (run(seed, None, false), run(seed, None, true));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert!(first.lines.is_empty() && second.lines.len() > 3);
    }
    assert_ne!(run(1, None, false).hash, run(2, None, false).hash);
}

#[test]
fn a_violation_comes_back_with_its_seed() {
    let found =
        (0..2000).find(|seed| run(*seed, Some(Mutation::StartWithoutLeave), false).violation.is_some()).unwrap();
    let (first, second) =
        (run(found, Some(Mutation::StartWithoutLeave), false), run(found, Some(Mutation::StartWithoutLeave), true));
    assert_eq!((first.hash, &first.violation), (second.hash, &second.violation));
    assert_eq!(run(found, None, false).violation, None, "a bug ends with its world");
}

/// Bugs that every CI run must find; `cargo xtask simulate --mutation all` looks for the others, too.
const FOUND_SOON: [Mutation; 17] = [
    Mutation::SkipDirectorySync,
    Mutation::ForgetAttempt,
    Mutation::LogFromZero,
    Mutation::RunAgainWhenGone,
    Mutation::DropReportOnError,
    Mutation::CloseBeforeAcknowledged,
    Mutation::BeginAfterEnd,
    Mutation::StartWithoutLooking,
    Mutation::StartWithoutLeave,
    Mutation::ForgetResult,
    Mutation::LeaveUnannounced,
    Mutation::ForgetLease,
    Mutation::ForgetLeaseAtStart,
    Mutation::EternalLease,
    Mutation::AcceptContradiction,
    Mutation::IgnoreVersion,
    Mutation::AcknowledgeBeforeCommit,
];

#[test]
fn deliberate_bugs_are_found() {
    for mutation in FOUND_SOON {
        let found = (0..1500).find(|seed| run(*seed, Some(mutation), false).violation.is_some());
        assert!(found.is_some(), "{} stays hidden", mutation.name());
    }
}
