//! What an engine's exit code means.

use crate::ExitCause;

/// Docker and containerd know how the process ended, but tell only a number: 128 + n for signal n, which a program may
/// also have returned by itself. 128 + n is taken for the signal where the signal is one that a process dies of unasked (a crash,
/// a kill, an end of the pipe) or that `docker stop` sends; nothing but a shell that saw its child die so returns
/// these numbers in practice, and then the signal is the better message, too. Other numbers stay exit codes; 129 and 130
/// among them, which programs do return (`git`'s usage, an interrupted tool). Success is code 0 either way.
pub(crate) fn cause(code: i32) -> ExitCause {
    const ILL: i32 = 4;
    const TRAP: i32 = 5;
    const ABRT: i32 = 6;
    const BUS: i32 = 7;
    const FPE: i32 = 8;
    const KILL: i32 = 9;
    const SEGV: i32 = 11;
    const PIPE: i32 = 13;
    const TERM: i32 = 15;
    const SYS: i32 = 31;
    match code - 128 {
        signal @ (ILL | TRAP | ABRT | BUS | FPE | KILL | SEGV | PIPE | TERM | SYS) => ExitCause::Signal(signal),
        _ => ExitCause::Code(code),
    }
}
