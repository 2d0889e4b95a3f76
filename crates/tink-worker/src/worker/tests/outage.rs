//! A server that is away for a while, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tink_workflow::WorkerId;
use tokio::time::Instant;

use crate::doubles::{Engine, Machine, Steps, workflow};
use crate::transport::local::Local;
use crate::transport::{Ack, Next, Transport, TransportError};
use crate::{CancellationToken, Ended, Report, Settings, SystemClock, Worker};

/// Goes away with the first result and is back after an hour; notes when it took results and was asked for work.
#[derive(Debug)]
struct Away {
    engine: Local,
    back: Mutex<Option<Instant>>,
    taken: Mutex<Vec<Instant>>,
    asked: Mutex<Vec<Instant>>,
}

impl Away {
    fn is_away(&self) -> bool {
        self.back.lock().unwrap().is_some_and(|back| Instant::now() < back)
    }
}

fn unreachable() -> TransportError {
    TransportError::Unreachable { server: "double".to_owned(), reason: "away".to_owned() }
}

#[async_trait]
impl Transport for Away {
    async fn next(&self) -> Result<Next, TransportError> {
        if self.is_away() {
            return Err(unreachable());
        }
        self.asked.lock().unwrap().push(Instant::now());
        self.engine.next().await
    }

    async fn report(&self, report: &Report) -> Result<Ack, TransportError> {
        if report.state.is_terminal() {
            self.back.lock().unwrap().get_or_insert_with(|| Instant::now() + Duration::from_secs(3600));
        }
        if self.is_away() {
            return Err(unreachable());
        }
        if report.state.is_terminal() {
            self.taken.lock().unwrap().push(Instant::now());
        }
        self.engine.report(report).await
    }
}

#[tokio::test(start_paused = true)]
async fn work_is_asked_for_as_soon_as_a_server_that_was_away_takes_a_result() {
    let engine = Local::new(vec![workflow("w", &["x", "y"], |_| {})], Arc::new(SystemClock));
    let away = Arc::new(Away { engine, back: Mutex::default(), taken: Mutex::default(), asked: Mutex::default() });
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(WorkerId::parse("w1").unwrap(), dir.path());
    // Pauses so long that only a hurry can bring the two together.
    settings.backoff_max = Duration::from_secs(600);
    let engine = Engine { machine: Arc::new(Mutex::new(Machine::default())), steps: Arc::new(Steps::new(None)) };
    let transport = Arc::clone(&away);
    let worker = Worker::new(settings, transport, Arc::new(engine)).unwrap();
    assert_eq!(worker.run(CancellationToken::new()).await, Ended::Finished);
    let taken = away.taken.lock().unwrap()[0];
    let next = away.asked.lock().unwrap().iter().copied().find(|asked| *asked >= taken).unwrap();
    assert!(next - taken < Duration::from_secs(1), "asked only {:?} later", next - taken);
}
