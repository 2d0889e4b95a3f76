//! The server: workflows, their state machine and the wire to all workers
