//! Crash tests over the real binaries; see `cargo xtask crash`.

use std::process::ExitCode;

use tink_e2e::{CrashOptions, TestRun};

fn main() -> ExitCode {
    match crash() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tink-e2e-crash: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing ran twice and nothing was lost.
fn crash() -> anyhow::Result<bool> {
    let options = CrashOptions::parse(std::env::args().skip(1))?;
    println!(
        "seed {}: rerun with --seed {}, a single round with its own seed and --rounds 1",
        options.seed, options.seed
    );
    let run = TestRun::new(&format!("crash-{}", std::process::id()))?;
    let tally = options.run(&run);
    drop(run);
    let tally = tally?;
    println!("{tally}");
    Ok(tally.re_runs == 0 && tally.losses == 0)
}
