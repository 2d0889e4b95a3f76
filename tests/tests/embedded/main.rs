//! The embedded runtime end to end: server, workers and CLI as an operator starts them, a real registry with a password,
//! and no container engine.

mod detached;
mod machine;
mod site;
mod up;
mod workflows;
