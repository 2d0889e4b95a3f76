//! One world from its seed to its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tink_mutation::Mutation;
use tink_server::simulation::{Metrics, Store as _, WorkflowFilter};
use tink_worker::transport::grpc::GrpcSettings;
use tink_worker::transport::grpc::v2025::Transport2025;
use tink_worker::{
    CancellationToken, Events, JournalLimits, Observer, Settings, Worker, WorkerEvent, instance, seeded,
};
use tink_workflow::{ActionSpec, TaskSpec, Timestamp, WorkerId, Workflow, WorkflowId, WorkflowSpec};
use tokio::time::{Instant, sleep, sleep_until};

use crate::disk::{Platter, SimulatedDisk};
use crate::ledger::{Ledger, Stats};
use crate::life::Life;
use crate::machine::{EPOCH_S, Engine, Machine, Script};
use crate::network::{Link, Wire};
use crate::random::{Random, mix};
use crate::server::Server;

/// Where a worker's journal is on its machine's disk.
const STATE: &str = "/state";
/// After the last fault, until everything must have come to its end.
const PATIENCE: Duration = Duration::from_secs(2 * 60 * 60);

/// What became of a world.
#[derive(Clone, Debug)]
pub struct Run {
    /// The first thing that must not have been.
    pub violation: Option<String>,
    /// The trace in one number.
    pub hash: u64,
    /// The trace, where it was asked for.
    pub lines: Vec<String>,
    /// How much happened.
    pub stats: Stats,
}

/// Lives through the world of `seed`, with a deliberate bug or without, and keeps its trace if `told`.
#[must_use]
pub fn run(seed: u64, mutation: Option<Mutation>, told: bool) -> Run {
    tink_mutation::switch(mutation);
    seeded::seed(Some(mix(seed ^ 0x5eed)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let run = match runtime {
        Ok(runtime) => runtime.block_on(World::live(seed, told)),
        Err(error) => {
            let violation = Some(format!("the runtime could not be made: {error}"));
            Run { violation, hash: 0, lines: Vec::new(), stats: Stats::default() }
        }
    };
    tink_mutation::switch(None);
    seeded::seed(None);
    run
}

thread_local! {
    /// Counters are not part of a world, and dear to make.
    static METRICS: Metrics = Metrics::new();
}

/// A machine with all that belongs to it.
#[derive(Clone)]
struct Site {
    worker: WorkerId,
    machine: Machine,
    platter: Platter,
    link: Link,
    /// Closed entries that its journal keeps.
    closed_max: usize,
}

/// Sees what the worker says of itself.
struct Watcher {
    ledger: Ledger,
    site: Site,
}

impl Observer for Watcher {
    fn observe(&self, event: &WorkerEvent) {
        if let WorkerEvent::Ended { assignment, .. } = event {
            let root = Path::new(STATE).join("assignments");
            let names = self.site.platter.list(&root);
            let end = format!("-{}", assignment.action);
            let of = names.iter().filter(|name| name.to_string_lossy().ends_with(&end));
            let is_stored =
                of.into_iter().any(|name| self.site.platter.read(&root.join(name).join("result.json")).is_some());
            self.ledger.note(format_args!("{} has ended, result stored: {is_stored}", assignment.action));
            if is_stored {
                self.ledger.result_stored(assignment.action.as_str(), self.site.machine.number);
            }
        }
    }
}

#[derive(Clone)]
struct World {
    random: Random,
    ledger: Ledger,
    server: Server,
    sites: Vec<Site>,
    /// When the faults end.
    calm_at: Instant,
}

fn worker_id(name: &str) -> Option<WorkerId> {
    WorkerId::parse(name).ok()
}

impl World {
    async fn live(seed: u64, told: bool) -> Run {
        let random = Random::new(mix(seed));
        let ledger = Ledger::new(told);
        let server = Server::new(random.clone(), ledger.clone(), METRICS.with(Metrics::clone));
        let calm_at = Instant::now() + random.millis(20_000, 400_000);
        // Often two machines of one name: what a copied image or a wrong configuration makes of a site.
        let names: &[&str] = match random.below(10) {
            0..=2 => &["a"],
            3..=5 => &["a", "b"],
            6..=8 => &["a", "a"],
            _ => &["a", "a", "b"],
        };
        let site = |(number, name): (usize, &&str)| {
            let machine = Machine::new(number, random.clone(), ledger.clone(), server.store.clone());
            let link = Link::new(number, random.clone(), ledger.clone(), server.clone());
            let closed_max = usize::try_from(random.below(4)).unwrap_or(0);
            Some(Site { worker: worker_id(name)?, machine, platter: Platter::new(random.clone()), link, closed_max })
        };
        let sites = names.iter().enumerate().filter_map(site).collect();
        let world = Self { random, ledger, server, sites, calm_at };
        world.go().await;
        let (hash, lines, stats) = world.ledger.close();
        Run { violation: world.ledger.first_violation(), hash, lines, stats }
    }

    async fn go(&self) {
        self.server.start();
        let workflows = self.random.within(1, 3);
        for nth in 0..workflows {
            let world = self.clone();
            tokio::spawn(async move { world.administer(nth).await });
        }
        for site in &self.sites {
            let (world, site) = (self.clone(), site.clone());
            tokio::spawn(async move { world.keep_alive(&site).await });
        }
        let chaos = self.clone();
        tokio::spawn(async move { chaos.rage().await });
        tokio::select! {
            biased;
            () = self.ledger.violated.notified() => return,
            () = self.settled(workflows) => {}
            () = sleep_until(self.calm_at + PATIENCE) => {
                let open = self.unfinished(workflows).await;
                self.ledger.violation(format!("hours after the last fault, this has not come to its end: {open:?}"));
            }
        }
        self.check_logs();
    }

    /// An administrator creates a workflow, and may cancel or delete it.
    async fn administer(&self, nth: u64) {
        let random = &self.random;
        let Some(workflow) = self.workflow(nth) else { return };
        let left = self.calm_at.saturating_duration_since(Instant::now());
        let within = |share: u32| random.millis(0, u64::try_from((left / share).as_millis()).unwrap_or(0));
        sleep(within(2)).await;
        let id = workflow.id.clone();
        loop {
            if let Some(engine) = self.server.engine() {
                let created = engine.create(workflow.clone(), "{}".to_owned()).await;
                // That it exists means that an earlier try was done and said to have failed.
                if created.is_ok() || self.server.store.now(&id).is_some() {
                    break;
                }
            }
            sleep(Duration::from_secs(3)).await;
        }
        let cancels = random.chance(150);
        if !cancels && !random.chance(60) {
            return;
        }
        sleep(within(1)).await;
        if let Some(engine) = self.server.engine() {
            // It may have ended before.
            let done = if cancels {
                engine.cancel(&id, "simulated".to_owned()).await.is_ok()
            } else {
                engine.delete(&id).await.is_ok()
            };
            self.ledger.note(format_args!("{id} {}: {done}", if cancels { "cancelled" } else { "deleted" }));
        }
    }

    fn workflow(&self, nth: u64) -> Option<Workflow> {
        let random = &self.random;
        let names: Vec<&str> = self.sites.iter().map(|site| site.worker.as_str()).collect();
        let tasks = random.within(1, 2);
        let tasks = (0..tasks).map(|task| {
            let worker = names[usize::try_from(random.below(names.len() as u64)).unwrap_or(0)].to_owned();
            let actions = (0..random.within(1, 3)).map(|action| ActionSpec {
                name: format!("a{action}"),
                image: "simulated".to_owned(),
                timeout_s: if random.chance(150) { random.within(5, 60) } else { 0 },
                ..ActionSpec::default()
            });
            TaskSpec { name: format!("t{task}"), worker, actions: actions.collect(), ..TaskSpec::default() }
        });
        let global_timeout_s = if random.chance(150) { random.within(20, 600) } else { 0 };
        let spec =
            WorkflowSpec { name: "w".to_owned(), global_timeout_s, tasks: tasks.collect(), ..WorkflowSpec::default() };
        let salt = random.below(1 << 20);
        let mut ids = 0;
        let fresh = || {
            ids += 1;
            format!("w{nth}x{salt}-{ids}")
        };
        let id = WorkflowId::new("default", &format!("w{nth}")).ok()?;
        let at = Timestamp::from_second(EPOCH_S + i64::try_from(nth).ok()?).ok()?;
        let mut workflow = Workflow::from_spec(id, &spec, at, fresh).ok()?;
        for action in workflow.tasks.iter_mut().flat_map(|task| &mut task.actions) {
            action.spec.ends_machine = Script::of(action.id.as_str()).ends_machine;
        }
        Some(workflow)
    }

    fn is_calm(&self) -> bool {
        Instant::now() >= self.calm_at
    }

    /// Life after life of a machine's worker.
    async fn keep_alive(&self, site: &Site) {
        let random = &self.random;
        loop {
            let doomed = !self.is_calm() && random.chance(600);
            let life = Life::new(if doomed { random.within(1, 400) } else { 0 });
            let killed_at = Instant::now() + random.millis(1000, 200_000);
            let killed_at = if doomed { killed_at.min(self.calm_at) } else { killed_at };
            let timed = doomed && random.chance(300);
            let mut goes_down = false;
            tokio::select! {
                biased;
                () = site.machine.goes_down() => {
                    goes_down = true;
                    life.kill();
                }
                () = life.died() => {}
                () = sleep_until(killed_at), if timed => life.kill(),
                () = sleep_until(self.calm_at), if doomed => life.kill(),
                () = self.work(site, &life) => life.kill(),
            }
            self.after_death(site, goes_down).await;
        }
    }

    async fn after_death(&self, site: &Site, goes_down: bool) {
        let random = &self.random;
        let number = site.machine.number;
        let with_machine = !self.is_calm() && random.chance(300) || goes_down;
        site.link.hang_up(with_machine);
        if with_machine {
            let wiped = random.chance(300);
            self.ledger
                .crashed(format_args!("machine {number} loses power{}", if wiped { " and its disk" } else { "" }));
            if wiped {
                site.platter.wipe();
                self.ledger.wiped(number);
            } else {
                site.platter.lose_power();
            }
            site.machine.reboot();
            self.ledger.rebooted(number);
            sleep(random.millis(5000, 60_000)).await;
        } else {
            self.ledger.crashed(format_args!("worker {number} dies"));
            sleep(random.millis(10, 10_000)).await;
        }
    }

    /// One life of a worker; ends where its journal cannot be opened.
    async fn work(&self, site: &Site, life: &Life) {
        let disk = Arc::new(SimulatedDisk::new(site.platter.clone(), life.clone()));
        let root = Path::new(STATE);
        let mut grpc = GrpcSettings::plaintext("server:42113");
        grpc.instance = instance::of(root, None, disk.as_ref());
        self.ledger.lives(site.machine.number, &grpc.instance);
        let wire = Wire::new(site.link.clone(), life.clone(), &grpc.instance);
        let Ok(transport) = Transport2025::over_service(wire, &grpc, site.worker.clone()) else { return };
        let mut settings = Settings::new(site.worker.clone(), root);
        settings.disk = disk;
        settings.clock = Arc::new(site.machine.clone());
        // Few, so that pruning is met.
        settings.journal = JournalLimits { closed_entries_max: site.closed_max, ..JournalLimits::default() };
        settings.events = Events::none().with(Arc::new(Watcher { ledger: self.ledger.clone(), site: site.clone() }));
        let engine = Engine::new(site.machine.clone(), life.clone());
        match Worker::new(settings, Arc::new(transport), Arc::new(engine)) {
            Ok(worker) => {
                self.ledger.note(format_args!("worker {} lives", site.machine.number));
                worker.run(CancellationToken::new()).await;
            }
            Err(error) => self.ledger.note(format_args!("worker {} does not start: {error}", site.machine.number)),
        }
    }

    /// Everything that goes wrong beside deaths of workers, until the calm.
    async fn rage(&self) {
        let random = &self.random;
        while !self.is_calm() {
            sleep(random.millis(500, 30_000)).await;
            let site = &self.sites[usize::try_from(random.below(self.sites.len() as u64)).unwrap_or(0)];
            match random.below(10) {
                0..=2 => {
                    self.server.kill();
                    sleep(random.millis(10, 20_000)).await;
                    self.server.start();
                }
                3 => site.link.set_cut(random.chance(600)),
                4 => self.sites.iter().for_each(|site| site.link.set_lossy(random.below(200))),
                5 => site.machine.set_clock_off(if random.chance(500) { -EPOCH_S } else { 0 }),
                6 => self.server.set_clock_off(i64::try_from(random.below(7200)).unwrap_or(0) - 3600),
                7 => site.platter.set_full(random.chance(500)),
                8 => site.platter.set_failing(if random.chance(500) { 200 } else { 0 }),
                _ => {
                    site.machine.set_failing(random.below(300));
                    self.server.sky.set_failing(if random.chance(500) { random.below(300) } else { 0 });
                }
            }
        }
        for site in &self.sites {
            site.link.set_cut(false);
            site.link.set_lossy(0);
            site.machine.set_failing(0);
            site.machine.set_clock_off(0);
            site.platter.set_full(false);
            site.platter.set_failing(0);
        }
        self.server.set_clock_off(0);
        self.server.sky.set_failing(0);
        self.server.start();
        self.ledger.note(format_args!("the faults end"));
    }

    /// Workflows that are here and have not ended.
    async fn unfinished(&self, workflows: u64) -> Vec<String> {
        let Ok((all, _)) = self.server.store.workflows(&WorkflowFilter::default()).await else { return Vec::new() };
        let open = all.iter().filter(|stored| !stored.workflow.state.is_terminal());
        let mut open: Vec<_> = open.map(|stored| stored.workflow.id.to_string()).collect();
        let never = all.is_empty() && Instant::now() < self.calm_at;
        if never && workflows > 0 {
            open.push("nothing was created".to_owned());
        }
        open
    }

    /// Returns when the faults are over, everything has ended, and what was left to say was said.
    async fn settled(&self, workflows: u64) {
        sleep_until(self.calm_at + Duration::from_secs(1)).await;
        while !self.unfinished(workflows).await.is_empty() {
            sleep(Duration::from_secs(10)).await;
        }
        // Late copies of messages arrive, reports of what ran on in cancelled workflows are given.
        sleep(Duration::from_secs(300)).await;
    }

    /// Of each machine that kept its disk: the output of an action without a gap or a repeat.
    fn check_logs(&self) {
        for site in self.sites.iter().filter(|site| !site.platter.is_hurt() && !site.machine.has_failed()) {
            let root = Path::new(STATE).join("assignments");
            for name in site.platter.list(&root) {
                self.check_log(site, &root.join(name));
            }
        }
    }

    fn check_log(&self, site: &Site, entry: &Path) {
        let json = |file: &str| {
            let bytes = site.platter.read(&entry.join(file))?;
            serde_json::from_slice::<serde_json::Value>(&bytes).ok()
        };
        let (Some(result), Some(attempt)) = (json("result.json"), json("attempt.json")) else { return };
        let (action, number) = (result["action"].as_str().unwrap_or_default(), &attempt["number"]);
        let script = Script::of(action);
        let mut log = String::new();
        let names = site.platter.list(entry);
        let is_log = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("log-");
        if site.platter.read(&entry.join("acknowledged")).is_some() && !names.iter().any(is_log) {
            // Kept beyond its time for the sake of its container, and without its output.
            return;
        }
        for name in names {
            if name.to_string_lossy().starts_with(&format!("log-{number}.")) {
                let bytes = site.platter.read(&entry.join(&name)).unwrap_or_default();
                // Each line without its place in the engine's log.
                let text = String::from_utf8_lossy(&bytes);
                log.extend(text.split_inclusive('\n').filter_map(|line| Some(line.split_once(' ')?.1)));
            }
        }
        // Of a closed entry that is over the limits the output goes first.
        if log.is_empty() && site.platter.read(&entry.join("acknowledged")).is_some() {
            return;
        }
        let whole: String = (0..script.lines).map(|nth| Script::line(nth) + "\n").collect();
        let stopped = result["state"] == "TIMEOUT" || script.goes_down_after.is_some();
        let is_right = if stopped { whole.starts_with(&log) } else { log == whole };
        if !is_right {
            self.ledger.violation(format!("the log of {action} is {log:?} and not {whole:?}"));
        }
    }
}
