//! The worker's log and what actions print, sent to a syslog server (RFC 5424 over UDP, as boot services receive it).
//!
//! Nothing ever waits for it: messages go into a bounded queue, a thread sends them, and what does not fit is dropped,
//! counted, and said in the log and to the server. A line of output is one message of the action's name; a line of the
//! worker's own log is one of `tink-worker`.

mod format;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tink_runtime::OutputStream;
use tink_workflow::WorkerId;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::events::{Observer, WorkerEvent};
use format::{Message, Severity};

/// Messages that wait at most, and their bytes: the newest are kept.
const QUEUE_MAX: usize = 4096;
const QUEUE_BYTES_MAX: usize = 1024 * 1024;
/// Between two tries to find the server.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(10);
/// After this long its name is looked up again: no answer says that a server has moved.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(300);
/// Between two words about what was dropped.
const NOTE_PAUSE: Duration = Duration::from_secs(10);
/// The target under which the worker's log repeats what actions print.
const OUTPUT_TARGET: &str = "tink_worker::output";

/// Sends messages to one server. Clones share its queue; its thread ends when the last of them is dropped.
#[derive(Clone)]
pub struct Syslog {
    shared: Arc<Shared>,
    /// Held by everyone but the thread.
    _alive: Arc<Alive>,
}

struct Alive(Arc<Shared>);

#[derive(Default)]
struct Queue {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Since the last word about it.
    dropped: u64,
    dropped_in_all: u64,
    closed: bool,
}

/// The way to the server, as long as it is believed.
struct Route {
    socket: UdpSocket,
    found: Instant,
    refused: bool,
}

impl Route {
    fn is_stale(&self) -> bool {
        self.found.elapsed() > if self.refused { LOOK_UP_PAUSE } else { LOOK_UP_AGAIN }
    }
}

struct Shared {
    host: String,
    port: u16,
    /// The host name in messages.
    worker: String,
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Syslog {
    /// Starts the thread that sends to `host`, a name or an address.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(host: &str, port: u16, worker: &WorkerId) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(host, port, worker));
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("syslog".to_owned()).spawn(move || own.send_all())?;
        Ok(Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared })
    }

    /// Messages that were never sent, since the start.
    #[must_use]
    pub fn dropped_count(&self) -> u64 {
        self.shared.lock().dropped_in_all
    }
}

impl Shared {
    fn new(host: &str, port: u16, worker: &WorkerId) -> Self {
        Self {
            host: host.to_owned(),
            port,
            worker: format::word(worker.as_str(), 255),
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole after every statement, so a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, severity: Severity, application: &str, text: &str) {
        let message = Message { severity, host: &self.worker, application, text }.encode();
        let mut queue = self.lock();
        queue.bytes += message.len();
        queue.messages.push_back(message);
        while queue.messages.len() > QUEUE_MAX || queue.bytes > QUEUE_BYTES_MAX {
            let Some(oldest) = queue.messages.pop_front() else { break };
            queue.bytes -= oldest.len();
            queue.drop_one();
        }
        self.changed.notify_one();
    }

    /// Runs in a thread of its own: looking a name up and sending may take their time.
    fn send_all(&self) {
        let mut route: Option<Route> = None;
        let mut noted: Option<Instant> = None;
        while let Some(message) = self.next(&mut noted) {
            if route.is_none() {
                route = self.connected(&mut noted);
            }
            if let Some(stale) = route.as_mut().filter(|route| route.is_stale()) {
                (stale.found, stale.refused) = (Instant::now(), false);
                // Where the name cannot be looked up now, the old way is as good as any.
                if let Ok(socket) = self.connect() {
                    stale.socket = socket;
                }
            }
            let sent = route.as_mut().is_some_and(|route| {
                let sent = route.socket.send(&message).is_ok();
                route.refused |= !sent;
                sent
            });
            if !sent {
                // A datagram that the kernel does not take, or that an earlier one was refused.
                self.lock().drop_one();
            }
            self.note_drops(&mut noted);
        }
    }

    /// The oldest message, waited for; nothing when nobody can send any more. What was dropped is said also when no message
    /// comes after it.
    fn next(&self, noted: &mut Option<Instant>) -> Option<Vec<u8>> {
        loop {
            let mut queue = self.lock();
            if let Some(message) = queue.messages.pop_front() {
                queue.bytes -= message.len();
                return Some(message);
            }
            if queue.closed {
                return None;
            }
            if queue.dropped > 0 {
                drop(self.changed.wait_timeout(queue, NOTE_PAUSE));
            } else {
                drop(self.changed.wait(queue));
            }
            self.note_drops(noted);
        }
    }

    /// The way to the server, as soon as its name can be looked up. Meanwhile the queue drops what is too much, and that
    /// is said.
    fn connected(&self, noted: &mut Option<Instant>) -> Option<Route> {
        let mut said = false;
        loop {
            match self.connect() {
                Ok(socket) => {
                    if said {
                        tracing::info!(host = self.host, "the syslog server is found");
                    }
                    return Some(Route { socket, found: Instant::now(), refused: false });
                }
                Err(error) if !std::mem::replace(&mut said, true) => {
                    tracing::warn!(host = self.host, %error, "the syslog server is not found; trying again");
                }
                Err(error) => tracing::debug!(host = self.host, %error, "the syslog server is not found yet"),
            }
            self.note_drops(noted);
            let queue = self.lock();
            let (queue, _) = self
                .changed
                .wait_timeout_while(queue, LOOK_UP_PAUSE, |queue| !queue.closed)
                .unwrap_or_else(PoisonError::into_inner);
            if queue.closed {
                return None;
            }
        }
    }

    fn connect(&self) -> io::Result<UdpSocket> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
            let socket = UdpSocket::bind(any).and_then(|socket| {
                socket.set_nonblocking(true)?;
                socket.connect(address)?;
                Ok(socket)
            });
            match socket {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn note_drops(&self, noted: &mut Option<Instant>) {
        if noted.is_some_and(|at| at.elapsed() < NOTE_PAUSE) {
            return;
        }
        let (dropped, in_all) = {
            let mut queue = self.lock();
            (std::mem::take(&mut queue.dropped), queue.dropped_in_all)
        };
        if dropped > 0 {
            *noted = Some(Instant::now());
            tracing::warn!(host = self.host, dropped, in_all, "log messages were dropped on their way to syslog");
        }
    }
}

impl Queue {
    fn drop_one(&mut self) {
        self.dropped += 1;
        self.dropped_in_all += 1;
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_one();
    }
}

impl Observer for Syslog {
    fn observe(&self, event: &WorkerEvent) {
        if let WorkerEvent::OutputLine { assignment, stream, line } = event {
            let severity = match stream {
                OutputStream::Stdout => Severity::Info,
                OutputStream::Stderr => Severity::Error,
            };
            self.shared.push(severity, &assignment.name, line);
        }
    }
}

impl<S: Subscriber> Layer<S> for Syslog {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        // What actions print comes by the worker's events, also where it is not echoed.
        if event.metadata().target() == OUTPUT_TARGET {
            return;
        }
        let severity = match *event.metadata().level() {
            Level::ERROR => Severity::Error,
            Level::WARN => Severity::Warning,
            Level::INFO => Severity::Info,
            Level::DEBUG | Level::TRACE => Severity::Debug,
        };
        let mut line = Line::default();
        event.record(&mut line);
        self.shared.push(severity, "tink-worker", &format!("{}{}", line.message, line.fields));
    }
}

/// `message field=value …`.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl fmt::Debug for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syslog").field("host", &self.shared.host).field("port", &self.shared.port).finish()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::journal::tests::assignment;

    fn worker() -> WorkerId {
        WorkerId::parse("02:00:00:00:00:01").unwrap()
    }

    fn line(text: &str, stream: OutputStream) -> WorkerEvent {
        WorkerEvent::OutputLine { assignment: Arc::new(assignment("default/w", "a1")), stream, line: text.to_owned() }
    }

    fn server() -> (UdpSocket, Syslog) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let port = socket.local_addr().unwrap().port();
        (socket, Syslog::start("127.0.0.1", port, &worker()).unwrap())
    }

    fn received(socket: &UdpSocket) -> String {
        let mut buffer = [0; 65_536];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn output_arrives_line_by_line_with_its_stream_as_severity() {
        let (socket, syslog) = server();
        syslog.observe(&line("writing the image", OutputStream::Stdout));
        syslog.observe(&line("no space left", OutputStream::Stderr));
        let first = received(&socket);
        assert!(first.starts_with("<30>1 ") && first.ends_with(" - - writing the image"), "{first}");
        assert!(first.contains(" 02:00:00:00:00:01 "), "{first}");
        let second = received(&socket);
        assert!(second.starts_with("<27>1 ") && second.ends_with(" no space left"), "{second}");
    }

    #[test]
    fn the_workers_own_log_arrives_with_its_fields() {
        let (socket, syslog) = server();
        let subscriber = tracing_subscriber::registry().with(syslog);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: OUTPUT_TARGET, "not twice");
            tracing::warn!(action = "stream", "the image could not be pulled");
        });
        let message = received(&socket);
        assert!(message.starts_with("<28>1 ") && message.contains(" tink-worker "), "{message}");
        assert!(message.ends_with("the image could not be pulled action=\"stream\""), "{message}");
    }

    #[derive(Clone, Default)]
    struct Logged(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Logged {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged when the server is looked for once.
    fn logged_while_looking() -> String {
        let (shared, logged) = (Shared::new("nobody.invalid", 514, &worker()), Logged::default());
        for _ in 0..QUEUE_MAX + 10 {
            shared.push(Severity::Info, "talks", "line");
        }
        // The look-up fails once, and then it is over.
        shared.lock().closed = true;
        let writer = logged.clone();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(Level::INFO).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::callsite::rebuild_interest_cache();
            assert!(shared.connected(&mut None).is_none());
        });
        String::from_utf8(logged.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_server_that_is_not_found_is_said_at_the_default_level_and_what_is_dropped_meanwhile() {
        // A thread of another test that comes to the same line for the first time just now, with nobody to log to, has
        // `tracing` believe for a moment that nobody listens to it.
        let mut texts = (0..10).map(|_| logged_while_looking());
        let text = texts.find(|text| text.contains("is not found")).unwrap_or_else(logged_while_looking);
        assert_eq!(text.matches("the syslog server is not found").count(), 1, "{text}");
        assert!(text.contains("nobody.invalid") && text.contains("log messages were dropped"), "{text}");
    }

    #[test]
    fn a_server_that_is_not_found_costs_bounded_memory_and_no_time() {
        let syslog = Syslog::start("nobody.invalid", 514, &worker()).unwrap();
        let text = "x".repeat(1000);
        let count = 20_000;
        for _ in 0..count {
            syslog.observe(&line(&text, OutputStream::Stdout));
        }
        let queue = syslog.shared.lock();
        assert!(queue.bytes <= QUEUE_BYTES_MAX && queue.messages.len() <= QUEUE_MAX);
        // One may be in the hands of the thread that looks for the server.
        let kept = queue.messages.len() as u64;
        assert!((count - 1..=count).contains(&(queue.dropped_in_all + kept)), "{} {kept}", queue.dropped_in_all);
    }
}
