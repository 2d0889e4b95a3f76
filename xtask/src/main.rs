//! Everyday tasks, for people and for `.ci/run`: `cargo xtask <task>`.
//!
//! Each prints the commands it runs and how long they took. A task that starts something stops it, also on Ctrl-C.

mod bench;
mod ci;
mod crash;
mod deny;
mod elf;
mod fuzz;
mod guest_kernel;
mod images;
mod interrupt;
mod setup;
mod shared_services;
mod shell;
mod simulate;
mod static_build;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask <task>

  setup                 install what the tests need (Debian and Ubuntu, as root); does nothing when all is there
  test [--dev] [ARGS]   setup, `static`, start the daemons that tests share, run all tests, stop them again; --dev tests
                        programs of a quick build instead; ARGS go to `cargo test` (after `--`, to the tests)
  bench [NAME]          run the benchmarks, or one of them
  static                build the programs as they are shipped, one file each, into target/static/
  images [--arm64] [ARGS]
                        static, then the images of worker, server, CLI and actions into target/images/; --arm64 cross-
                        compiles for that, too; ARGS go to the packer (--help tells: name, tag, push)
  lint                  formatting, clippy, and the licences, bans and sources of deny.toml
  fuzz [--seconds N] [TARGET]
                        fuzz each target of fuzz/, or one of them, for N seconds each (10)
  simulate [--seeds N] [--seed S] [--mutation NAME|all] | --all
                        live through the simulated worlds of N seeds (100000), or through one with its trace, or look for
                        a deliberate bug, or for all of them; --all does what CI does, worlds and bugs
  crash [--rounds N] [--seed S] [--runtime docker|containerd|embedded|all]
                        kill the programs while workflows run, N rounds long (30), and count what ran twice or was lost;
                        the last line is `rounds R kills K re-runs X losses Y`
  ci                    lint, fuzz, test, crash and simulate, as .ci/run does, but one after another
";

fn main() -> ExitCode {
    interrupt::watch();
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if interrupt::interrupted() { 130 } else { 1 })
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((task, rest)) = args.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    match task.as_str() {
        "setup" => without_arguments(rest).and_then(|()| setup::run()),
        "test" => test::run(rest),
        "bench" => bench::run(rest),
        "static" => without_arguments(rest).and_then(|()| static_build::run().map(drop)),
        "images" => images::run(rest),
        "lint" => without_arguments(rest).and_then(|()| ci::lint()),
        "fuzz" => fuzz::run(rest),
        "simulate" => simulate::run(rest),
        "crash" => crash::run(rest),
        "ci" => without_arguments(rest).and_then(|()| ci::run()),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no task `{other}`; the tasks are:\n\n{HELP}"),
    }
}

fn without_arguments(rest: &[String]) -> Result<()> {
    match rest {
        [] => Ok(()),
        [first, ..] => bail!("this task takes no arguments, but got `{first}`"),
    }
}
