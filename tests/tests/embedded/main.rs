//! The embedded runtime end to end: server, workers and CLI as an operator starts them, a real registry with a password,
//! and no container engine: the programs find neither a socket nor a program of one (`site::without_engine`), and
//! `--runtime auto` must choose. `up_needs_nothing_but_its_own_program` shows a machine that has nothing else, either.

mod detached;
mod machine;
mod proxies;
mod site;
mod up;
mod workflows;
