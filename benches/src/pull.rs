//! A cold pull of an image of 200 MB in six layers from a registry beside, by the embedded runtime and by `docker pull`, in
//! turns: nothing of it is here before, and everything is unpacked after, in memory, as in an installer OS.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use tink_e2e::{Dockerd, Registry, TestImage, TestRun};
use tink_runtime::{BLOCKING_THREADS, EmbeddedRuntime, Options, Progress, Runtime};
use tink_workflow::ImageRef;

use crate::process::{IoCounters, Peak};
use crate::statistics::{Samples, ratio};

const ROUNDS: usize = 5;
const LAYERS: usize = 6;
const FILES: usize = 430;
const FILE_BYTES: usize = 77_500;
/// Asks this program, started again, to pull one image, so that memory and writes are of that alone.
const WORD: &str = "pull-once";

/// Pulls, if this process was started for that.
pub fn main_if_asked() -> Option<Result<()>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [word, state, image] if word == WORD => Some(pull(Path::new(state), image)),
        _ => None,
    }
}

/// Prints milliseconds, bytes of memory and bytes written.
fn pull(state: &Path, image: &str) -> Result<()> {
    let image = ImageRef::parse(image).context("no image")?;
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let threads = threads
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("failed to start")?;
    threads.block_on(async {
        let runtime = EmbeddedRuntime::open(&Options::new(state))?;
        let own = std::process::id();
        let (peak, io) = (Peak::begin(own)?, IoCounters::of(own)?);
        let begun = Instant::now();
        runtime.pull(&image, &Progress::new()).await?;
        let took = begun.elapsed();
        println!("{} {} {}", took.as_micros(), peak.bytes_more()?, IoCounters::of(own)?.written - io.written);
        Ok(())
    })
}

pub fn run() -> Result<()> {
    let run = TestRun::in_memory("bench-pull")?;
    let registry = Registry::launch(&run).start()?;
    let built = image()?.build()?;
    let packed: usize = built.blobs.iter().map(|(_, blob)| blob.len()).sum();
    let unpacked = LAYERS * FILES * FILE_BYTES;
    let image = registry.push("bench", "v1", &built)?.reference;
    drop(built);
    println!(
        "{LAYERS} layers, {} files, {:.0} MB, {:.0} MB packed with gzip",
        LAYERS * FILES,
        unpacked as f64 / 1e6,
        packed as f64 / 1e6
    );
    let mut dockerd = Dockerd::start(&run)?;
    let [mut embedded, mut docker] = [(); 2].map(|()| Samples::default());
    let (mut memory, mut written, mut engine_memory) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let state = run.scratch().join(format!("state-{round}"));
        let output = Command::new("/proc/self/exe").arg(WORD).arg(&state).arg(&image).output();
        let output = output.context("failed to start the pull")?;
        ensure!(output.status.success(), "the pull failed: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).context("the pull printed no text")?;
        let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [micros, peak, bytes] = numbers.as_slice() else { anyhow::bail!("the pull printed {text:?}") };
        embedded.add(std::time::Duration::from_micros(*micros));
        memory.push(*peak);
        written.push(*bytes);
        std::fs::remove_dir_all(&state).context("failed to remove what was pulled")?;

        let pids = [dockerd.process().context("no dockerd")?.pid(), dockerd.containerd_pid()];
        let peaks = pids.map(Peak::begin);
        let begun = Instant::now();
        dockerd.run(&run, ["pull", "--quiet", &image])?;
        docker.add(begun.elapsed());
        engine_memory.push(peaks.into_iter().map(|peak| peak.and_then(|peak| peak.bytes_more())).sum::<Result<u64>>()?);
        dockerd.run(&run, ["rmi", &image])?;
    }
    println!("embedded     {}", embedded.summary());
    println!("docker pull  {}", docker.summary());
    println!("embedded is {:.3} of docker (goal 0.3)", ratio(embedded.quantile(50), docker.quantile(50)));
    let megabytes = |list: &mut Vec<u64>| {
        list.sort_unstable();
        list.get(list.len() / 2).copied().unwrap_or_default() as f64 / 1e6
    };
    println!(
        "peak of memory beyond what it had before: embedded {:.1} MB, dockerd and containerd {:.1} MB (without the programs \
         they start to unpack)",
        megabytes(&mut memory),
        megabytes(&mut engine_memory)
    );
    println!(
        "embedded wrote {:.3} bytes for each byte of the unpacked image (goal 1.0)",
        megabytes(&mut written) * 1e6 / unpacked as f64
    );
    Ok(())
}

/// Files of words, which pack about as well as programs do; the same ones each time.
fn image() -> Result<TestImage> {
    let mut image = TestImage::busybox()?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for layer in 0..LAYERS {
        image = image.layer().directory(&format!("layer-{layer}"), 0o755);
        for file in 0..FILES {
            let mut content = Vec::with_capacity(FILE_BYTES + 16);
            while content.len() < FILE_BYTES {
                let number = next();
                content.extend_from_slice(&number.to_le_bytes());
                // Half of it repeats something near.
                content.extend_from_slice(&(number % 61).to_le_bytes());
            }
            content.truncate(FILE_BYTES);
            image = image.file(&format!("layer-{layer}/file-{file}"), 0o644, content);
        }
    }
    Ok(image)
}
