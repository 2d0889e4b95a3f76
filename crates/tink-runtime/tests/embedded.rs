//! The contract, and what is the embedded runtime's own, with real containers and no engine.
//!
//! This program is started again as the shim of each container, so it has a `main` of its own, and a little of a test
//! harness: `cargo test -p tink-runtime --test embedded [NAME]…` runs the tests whose names hold one of these.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod embedded_cases;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tink_e2e::TestRun;
use tink_runtime::{EmbeddedRuntime, Options, Progress, Runtime};

use contract::{Again, Bench, archive_of, contract_cases, image, images};

type Test = (&'static str, for<'a> fn(&'a Bench, &'a Path) -> Pin<Box<dyn Future<Output = ()> + 'a>>);

macro_rules! table {
    ($($case:ident)*) => {
        const CONTRACT: &[Test] = &[$((stringify!($case), |bench, _| Box::pin(contract::$case(bench)))),*];
    };
}
contract_cases!(table);

fn main() -> ExitCode {
    if let Some(code) = tink_runtime::helper_main_if_asked() {
        return code;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let tests: Vec<&Test> = CONTRACT.iter().chain(embedded_cases::ALL).filter(|test| is_wanted(test.0)).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let failed = runtime.block_on(run_all(&tests));
    println!("\ntest result: {} passed; {} failed", tests.len() - failed.len(), failed.len());
    failed.iter().for_each(|name| println!("failed: {name}"));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One after the other, in one state directory; the names of those that failed.
async fn run_all(tests: &[&Test]) -> Vec<&'static str> {
    let run = TestRun::new("runtime-embedded").expect("directories can be made");
    let state = run.scratch().join("state");
    import_images(run.scratch(), &open(&state)).await;
    let mut failed = Vec::new();
    for (name, test) in tests {
        let bench = bench(&state);
        let result = AssertUnwindSafe(test(&bench, &state)).catch_unwind().await;
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        if result.is_err() {
            failed.push(*name);
        }
    }
    failed
}

fn open(state: &Path) -> EmbeddedRuntime {
    EmbeddedRuntime::open(&Options::new(state)).expect("a state directory can be opened")
}

async fn import_images(scratch: &Path, embedded: &EmbeddedRuntime) {
    for (built, name) in images() {
        let archive = scratch.join("image.tar");
        std::fs::write(&archive, archive_of(&built, name)).expect("an archive is written");
        let names = embedded.import(&archive, None, &Progress::new()).await.expect("the archive is imported");
        assert_eq!(names, [image(name)]);
    }
}

fn bench(state: &Path) -> Bench {
    let (path, logs) = (state.to_owned(), state.join("containers"));
    Bench {
        log_dir: Arc::new(move |record| logs.join(&record.container).join("log")),
        runtime: Arc::new(open(state)),
        again: Arc::new(move || -> Again {
            let runtime: Arc<dyn Runtime> = Arc::new(open(&path));
            Box::pin(async move { runtime })
        }),
    }
}
