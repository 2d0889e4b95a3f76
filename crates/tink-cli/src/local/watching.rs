//! Shows what a worker of this process does.

use tink_worker::WorkerEvent;

use crate::progress::{Display, News};

/// Lines of output that may wait for the display; what is more is dropped and counted, so that a slow terminal never
/// holds up an action.
pub const OUTPUT_LINES_MAX: usize = 4096;

/// Shows one event.
pub fn show(display: &mut Display, event: &WorkerEvent) {
    match event {
        WorkerEvent::PullProgress { assignment, progress } => {
            display.news(&News::Pull { action_id: assignment.action.as_str(), name: &assignment.name, progress })
        }
        WorkerEvent::Started { assignment, .. } => {
            display.news(&News::Started { action_id: assignment.action.as_str() });
        }
        WorkerEvent::OutputLine { assignment, line, .. } => {
            let line: String = line.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
            display.news(&News::Output { name: &assignment.name, line: &line });
        }
        WorkerEvent::OutputDropped { lines } => display.note(&format!("    ({lines} lines of output are not shown)")),
        WorkerEvent::Retrying { assignment, reason } => {
            display.note(&format!("{}: {reason}; trying again", assignment.name))
        }
        WorkerEvent::AssignmentTaken { assignment, taken_up: true } => {
            display.note(&format!("{} was started before; taking it up", assignment.name));
        }
        WorkerEvent::Disconnected { reason } => display.note(&format!("the server does not answer: {reason}")),
        WorkerEvent::Connected
        | WorkerEvent::AssignmentTaken { .. }
        | WorkerEvent::Ended { .. }
        | WorkerEvent::Reported { .. } => {}
    }
}
