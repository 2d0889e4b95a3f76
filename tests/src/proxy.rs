//! A TCP proxy on loopback that lets through what it is told to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

/// Lets bytes through from one port to another. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes of answers that are let through; then connections stay open, and silent.
    budget: AtomicU64,
    stalled: AtomicU64,
    stopped: AtomicBool,
}

impl Proxy {
    /// Starts one in front of `upstream`; everything passes.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("failed to listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            budget: AtomicU64::new(u64::MAX),
            stalled: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if own.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(server) = TcpStream::connect(upstream) else { continue };
                join(&own, client, server);
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets only so many more bytes of answers through.
    pub fn stall_after(&self, bytes: u64) {
        self.shared.budget.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything through that comes on new connections; those that stalled stay as they are.
    pub fn flow(&self) {
        self.shared.budget.store(u64::MAX, Ordering::SeqCst);
    }

    /// Connections that stalled so far.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.shared.stalled.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn join(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        let (mut from, mut to) = (client_too, server_too);
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let shared = Arc::clone(shared);
    thread::spawn(move || answer(&shared, server, client));
}

fn answer(shared: &Shared, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer) else {
            let _ = to.shutdown(std::net::Shutdown::Both);
            return;
        };
        let mut left = 0;
        let _ = shared.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |budget| {
            left = budget.min(read as u64);
            Some(if budget == u64::MAX { budget } else { budget - left })
        });
        let passes = usize::try_from(left).unwrap_or(read);
        if to.write_all(buffer.get(..passes).unwrap_or_default()).is_err() {
            return;
        }
        if passes < read {
            shared.stalled.fetch_add(1, Ordering::SeqCst);
            // Held open until the client gives up.
            let _ = to.read(&mut [0]);
            return;
        }
    }
}
