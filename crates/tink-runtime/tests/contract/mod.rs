//! The suite every engine runs: what [`Runtime`] promises, shown with real containers.
//!
//! An engine's test program makes tests of all cases with [`contract_cases!`].

mod archive;
mod cases_ends;
mod cases_output;
mod cases_records;
mod cases_surroundings;
mod tail;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tink_runtime::{ContainerSpec, ExitStatus, HandleRecord, Identity, LogPosition, Purpose, Runtime};
use tink_workflow::{ActionId, ImageRef, WorkerId, WorkflowId};

pub use archive::{archive_of, images};
pub use cases_ends::*;
pub use cases_output::*;
pub use cases_records::*;
pub use cases_surroundings::*;
pub use tail::Tail;

/// Nothing here takes a tenth of this on an idle machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

static RUNS: AtomicU32 = AtomicU32::new(1);

/// Busybox under all its names; its command is a shell.
pub const BUSYBOX: &str = "contract.invalid/busybox:v1";
/// Busybox that greets whom its command names (`nobody`) and tells its surroundings, as user `tink` in `/srv/work`, with
/// `FROM_IMAGE=image` and `OVERLAID=image`.
pub const GREETER: &str = "contract.invalid/greeter:v1";
/// Nowhere.
pub const MISSING: &str = "contract.invalid/missing:v1";

/// An engine under test, with the images above imported.
pub struct Bench {
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// Connects to the same engine again, as a restarted worker does.
    pub again: Arc<dyn Fn() -> Again + Send + Sync>,
    /// The directory in which the engine keeps a container's log.
    pub log_dir: Arc<dyn Fn(&HandleRecord) -> PathBuf + Send + Sync>,
}

/// The runtime of a restarted worker, soon.
pub type Again = std::pin::Pin<Box<dyn Future<Output = Arc<dyn Runtime>> + Send>>;

impl Bench {
    /// Starts a container.
    pub async fn start(&self, spec: &ContainerSpec) -> HandleRecord {
        within(self.runtime.start(spec)).await.expect("the container starts")
    }

    /// Waits for its end.
    pub async fn wait(&self, record: &HandleRecord) -> ExitStatus {
        within(self.runtime.wait(record)).await.expect("the container ends")
    }

    /// Removes it.
    pub async fn remove(&self, record: &HandleRecord) {
        within(self.runtime.remove(record)).await.expect("the container is removed");
    }

    /// Reads its output from its start, in the background.
    pub fn tail(&self, record: &HandleRecord) -> Tail {
        Tail::start(&self.runtime, record, LogPosition::START)
    }

    /// Runs a container to its end, removes it and answers with its end and its standard output, in lines.
    pub async fn run(&self, spec: &ContainerSpec) -> (ExitStatus, Vec<String>) {
        let record = self.start(spec).await;
        let tail = self.tail(&record);
        let status = self.wait(&record).await;
        let lines = tail.finish().await.stdout();
        self.remove(&record).await;
        (status, lines)
    }

    /// The standard output of a shell script that has to succeed.
    pub async fn output_of(&self, spec: &ContainerSpec) -> Vec<String> {
        let (status, lines) = self.run(spec).await;
        assert!(status.success(), "{status}: {lines:?}");
        lines
    }
}

/// A shell script in a container of its own, with an identity that no other test has.
pub fn shell(script: &str) -> ContainerSpec {
    ContainerSpec {
        identity: fresh_identity(),
        image: image(BUSYBOX),
        command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        environment: vec![],
        volumes: vec![],
        pid: String::new(),
        network: "host".to_owned(),
        tty: false,
    }
}

/// Parses an image's name.
pub fn image(name: &str) -> ImageRef {
    ImageRef::parse(name).expect("a good name")
}

/// An identity that no other test has, also not one that runs at the same time.
pub fn fresh_identity() -> Identity {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    Identity {
        workflow: WorkflowId::parse("default/contract").expect("a good id"),
        action: ActionId::parse(format!("{}-{run}", std::process::id())).expect("a good id"),
        action_name: "contract test".to_owned(),
        worker: WorkerId::parse("52:54:00:00:00:01").expect("a good id"),
        attempt: 1,
        purpose: Purpose::Action,
    }
}

/// Ends a test that hangs.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it ends within the deadline")
}

/// Hands the names of all cases to a macro, which makes tests of them.
macro_rules! contract_cases {
    ($with:ident) => {
        $with! {
            the_output_of_both_streams_is_delivered
            carriage_returns_end_lines
            output_without_a_newline_at_its_end_is_delivered
            a_long_line_comes_in_pieces
            bytes_that_are_no_text_disturb_nothing
            megabytes_of_output_are_delivered_without_gap_or_repeat
            output_can_be_read_after_the_end_and_from_any_line
            output_is_delivered_while_the_program_runs
            output_without_end_is_bounded_on_disk_and_each_line_is_delivered_once
            what_a_worker_was_away_for_goes_on_at_the_oldest_line_that_is_left
            code_0_is_success
            an_exit_code_is_reported_with_its_times
            a_death_by_signal_is_reported
            a_program_that_ends_at_once_is_not_missed
            a_missing_image_is_permanent
            a_missing_program_is_permanent_and_leaves_nothing
            a_program_that_ends_on_sigterm_is_not_killed
            a_program_that_ignores_sigterm_is_killed_after_the_grace
            stopping_reaches_what_the_program_started
            stopping_what_has_ended_is_no_error
            removing_twice_is_no_error
            removing_a_running_container_ends_it
            a_dropped_wait_leaves_the_container_alone
            a_restarted_worker_finds_its_container_running
            a_restarted_worker_learns_how_its_container_ended
            a_removed_container_is_gone
            a_container_is_found_by_its_identity
            starting_what_runs_already_takes_it_up
            a_leftover_that_has_ended_is_replaced
            each_attempt_has_a_container_and_files_of_its_own
            containers_run_beside_each_other
            the_environment_is_laid_over_the_images
            the_image_says_entrypoint_user_and_directory
            volumes_are_mounted_writable_and_read_only
            a_missing_volume_source_is_made
            processes_are_the_hosts_or_the_containers_own
            the_network_is_the_hosts_or_none
            an_action_is_privileged
            a_terminal_is_given_where_it_is_asked_for
            a_terminal_carries_megabytes
        }
    };
}
pub(crate) use contract_cases;
