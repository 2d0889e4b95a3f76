//! The launcher that the tests of this crate start: it is, as the worker is, a binary that can be started again as the shim.
//!
//! `tink-oci-probe launch SPEC.json` prints the record; `tink-oci-probe exec DIR [-t] PROGRAM…` runs a program;
//! `tink-oci-probe noise SPEC.json COUNT` launches COUNT containers like SPEC beside threads that allocate all the time, `tink-oci-probe bench SPEC.json COUNT` without such threads; both print the times.
//! `tink-oci-probe zombies SPEC.json COUNT` does the latter, and then nothing dead may be left in the PID namespace.
//! `tink-oci-probe bereaved SPEC.json COUNT` does the same, and each time the forker there is by then is killed.
//!
//! With [`WITHOUT_FORKER`] in the environment it starts its shims as a program without a forker does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use tink_oci::{
    ExecRequest, Record, Spec, Status, exec_command, keep_if_first_process, launch_blocking, remove,
    shim_main_if_asked, start_forker, status, wait,
};

const WITHOUT_FORKER: &str = "TINK_OCI_PROBE_WITHOUT_FORKER";

fn main() -> ExitCode {
    if let Some(code) = shim_main_if_asked() {
        return code;
    }
    if let Some(code) = keep_if_first_process() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if words.first() != Some(&"exec")
        && std::env::var_os(WITHOUT_FORKER).is_none()
        && let Some(code) = start_forker()
    {
        return code;
    }
    let result = match words.as_slice() {
        ["launch", spec] => launch(Path::new(spec)),
        ["exec", dir, "-t", program @ ..] => exec(Path::new(dir), program, true),
        ["exec", dir, program @ ..] => exec(Path::new(dir), program, false),
        ["noise", spec, count] => noise(Path::new(spec), count, 4, 0, |_| {}),
        ["bench", spec, count] => noise(Path::new(spec), count, 0, 0, |_| {}),
        ["zombies", spec, count] => noise(Path::new(spec), count, 0, 0, |_| {}).and_then(|_| zombies()),
        ["bereaved", spec, count] => noise(Path::new(spec), count, 0, 1, kill_forker),
        _ => Err("usage: tink-oci-probe launch|exec|noise|bench|zombies|bereaved …".to_owned()),
    };
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<Spec, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Prints the record, or the failure with its cause; the exit code is the failure's.
fn launch(spec: &Path) -> Result<ExitCode, String> {
    match launch_blocking(&read(spec)?) {
        Ok(record) => println!("{}", serde_json::to_string(&record).map_err(|error| error.to_string())?),
        Err(tink_oci::LaunchError::Start(failure)) => {
            let cause = failure.cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("{failure}{cause}");
            return Ok(ExitCode::from(u8::try_from(failure.kind.exit_code()).unwrap_or(1)));
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(ExitCode::SUCCESS)
}

fn exec(dir: &Path, program: &[&str], tty: bool) -> Result<ExitCode, String> {
    let args = program.iter().map(|&word| word.to_owned()).collect();
    let request = ExecRequest { args, env: Vec::new(), cwd: None, user: None, tty };
    let mut command = exec_command(dir, request).map_err(|error| error.to_string())?;
    let status = command.status().map_err(|error| error.to_string())?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// None may stay. One that has just died is seen until its parent was told.
fn zombies() -> Result<ExitCode, String> {
    let dead = || -> Vec<String> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats.filter(|stat| stat.contains(") Z ")).collect()
    };
    match (0..10_000).any(|_| dead().is_empty()) {
        true => Ok(ExitCode::SUCCESS),
        false => Err(format!("dead and not reaped: {:?}", dead())),
    }
}

/// Kills the shim's parent if that is a forker.
fn kill_forker(record: &Record) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", record.shim.pid)).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).and_then(|pid| pid.trim().parse().ok());
    let Some(parent) = parent.and_then(rustix::process::Pid::from_raw) else { return };
    let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    if name.trim() == "tink-forker" {
        let _ = rustix::process::kill_process(parent, rustix::process::Signal::KILL);
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Every container must start, end with 0 and be removed, whatever the other threads hold locked meanwhile. `closed` of the
/// descriptors are closed by what `started` does, and no other is opened or closed.
fn noise(
    spec: &Path,
    count: &str,
    threads: usize,
    closed: usize,
    started: impl Fn(&Record),
) -> Result<ExitCode, String> {
    static DONE: AtomicBool = AtomicBool::new(false);
    let base = read(spec)?;
    let count: u32 = count.parse().map_err(|_| "COUNT is a number".to_owned())?;
    let threads: Vec<_> = (0..threads)
        .map(|seed| {
            std::thread::spawn(move || {
                while !DONE.load(Ordering::Relaxed) {
                    std::hint::black_box(vec![seed; 10_000]);
                }
            })
        })
        .collect();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let open_before = open_files();
    let mut times = Vec::new();
    for number in 0..count {
        let dir: PathBuf = base.dir.with_extension(number.to_string());
        let spec = Spec { id: format!("{}-{number}", base.id), dir: dir.clone(), ..base.clone() };
        runtime.block_on(async {
            let begun = std::time::Instant::now();
            let record = tink_oci::launch(spec).await.map_err(|error| format!("{number}: {error}"))?;
            started(&record);
            let exit = wait(&dir).await.map_err(|error| format!("{number}: {error}"))?;
            times.push(begun.elapsed());
            if exit.code() != 0 || !matches!(status(&dir), Ok(Status::Exited(_))) {
                return Err(format!("{number}: {exit:?} of {record:?}"));
            }
            remove(&dir).await.map_err(|error| format!("{number}: {error}"))
        })?;
    }
    times.sort_unstable();
    let ms = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let (first, median, last) = (ms(0), ms(times.len() / 2), ms(times.len().saturating_sub(1)));
    println!("{count} containers, start to exit: median {median:.2} ms, {first:.2} to {last:.2} ms");
    let open_after = open_files();
    if open_before != open_after + closed {
        return Err(format!("{open_before} descriptors before, {open_after} after"));
    }
    DONE.store(true, Ordering::Relaxed);
    for thread in threads {
        let _ = thread.join();
    }
    Ok(ExitCode::SUCCESS)
}
