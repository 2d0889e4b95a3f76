//! The contract, and what is containerd's own, against a real containerd.
//!
//! This program is started again as the logger of each container, so it has a `main` of its own, and a little of a test
//! harness: `cargo test -p tink-runtime --test containerd [NAME]…` runs the tests whose names hold one of these.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(missing_docs, reason = "nobody calls a test")]

mod containerd_cases;
mod contract;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tink_e2e::{Containerd, TestRun};
use tink_runtime::{ContainerdRuntime, Options, Progress, Runtime};

use contract::{Again, Bench, archive_of, contract_cases, images};

/// The daemon under test and where it keeps its things.
pub struct Site<'r> {
    pub run: &'r TestRun,
    pub daemon: Containerd,
    pub options: Options,
}

type Test = (&'static str, for<'a> fn(&'a Bench, &'a mut Site<'_>) -> Pin<Box<dyn Future<Output = ()> + 'a>>);

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
    let tests: Vec<&Test> = CONTRACT.iter().chain(containerd_cases::ALL).filter(|test| is_wanted(test.0)).collect();
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

/// One after the other, on one daemon; the names of those that failed.
async fn run_all(tests: &[&Test]) -> Vec<&'static str> {
    let run = TestRun::new("runtime-containerd").expect("directories can be made");
    let daemon = Containerd::start(&run).expect("containerd can be had; `cargo xtask test` installs it");
    let options = options(&run, daemon.socket());
    let mut site = Site { run: &run, daemon, options };
    import_images(run.scratch(), &connect(&site.options).await).await;
    let mut failed = Vec::new();
    for (name, test) in tests {
        let bench = bench(&site.options).await;
        let result = AssertUnwindSafe(test(&bench, &mut site)).catch_unwind().await;
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        if result.is_err() {
            failed.push(*name);
        }
    }
    failed
}

fn options(run: &TestRun, socket: &Path) -> Options {
    Options {
        containerd_socket: socket.to_owned(),
        containerd_data_root: run.scratch().join("data-root"),
        ..Options::new(run.scratch().join("state"))
    }
}

pub async fn connect(options: &Options) -> ContainerdRuntime {
    ContainerdRuntime::connect(options).await.expect("containerd answers")
}

async fn import_images(scratch: &Path, containerd: &ContainerdRuntime) {
    for (built, name) in images() {
        let archive = scratch.join("image.tar");
        std::fs::write(&archive, archive_of(&built, name)).expect("an archive is written");
        let names = containerd.import_archive(&archive, &Progress::new()).await.expect("the archive is imported");
        assert_eq!(names, [name]);
    }
}

async fn bench(options: &Options) -> Bench {
    let (options, again, data) = (options.clone(), options.clone(), options.containerd_data_root.clone());
    Bench {
        log_dir: Arc::new(move |record| {
            let dirs = std::fs::read_dir(&data).into_iter().flatten().flatten();
            let mut dirs = dirs.map(|hash| hash.path().join("containers/tinkerbell").join(&record.container));
            dirs.find(|dir| dir.exists()).unwrap_or_default()
        }),
        runtime: Arc::new(connect(&options).await),
        again: Arc::new(move || -> Again {
            let options = again.clone();
            Box::pin(async move { Arc::new(connect(&options).await) as Arc<dyn Runtime> })
        }),
    }
}
