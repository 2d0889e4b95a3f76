//! Lanes: order, repetition, giving up.

use std::sync::Arc;
use std::time::Duration;

use tink_workflow::ActionState;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};

use super::*;
use crate::journal::tests::assignment;

fn lane_item(lane: &mut Lane, entry: u64, action: &str) -> oneshot::Receiver<()> {
    let assignment = Arc::new(assignment("default/w", action));
    let report = Report { state: ActionState::Success, ..Report::running(&assignment, "exit code 0") };
    let (tried, done) = oneshot::channel();
    lane.push_result(EntryId(entry), assignment, report, tried);
    done
}

fn lane() -> Lane {
    Lane::new(Duration::from_secs(5))
}

#[tokio::test(start_paused = true)]
async fn a_lane_sends_one_report_at_a_time_in_order() {
    let mut lane = lane();
    let _first = lane_item(&mut lane, 1, "a1");
    let _second = lane_item(&mut lane, 2, "a2");
    assert_eq!(lane.take_due(Instant::now()).unwrap().action.as_str(), "a1");
    assert!(lane.take_due(Instant::now()).is_none(), "the second one waits for the first one's answer");
    let item = lane.sent().unwrap();
    lane.again(item);
    assert!(lane.take_due(Instant::now()).is_none(), "and for its next try");
    advance(Duration::from_secs(10)).await;
    assert_eq!(lane.take_due(Instant::now()).unwrap().action.as_str(), "a1");
    lane.sent().unwrap();
    assert_eq!(lane.take_due(Instant::now()).unwrap().action.as_str(), "a2");
    lane.sent().unwrap();
    assert!(lane.is_empty() && lane.due().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_result_that_waits_is_tried_at_once_when_it_is_handed_in_again() {
    let mut lane = lane();
    let first = lane_item(&mut lane, 1, "a1");
    lane.take_due(Instant::now()).unwrap();
    let item = lane.sent().unwrap();
    lane.again(item);
    assert!(lane.take_due(Instant::now()).is_none());
    let _again = lane_item(&mut lane, 1, "a1");
    assert!(lane.take_due(Instant::now()).is_some());
    assert!(lane.sent().is_some() && lane.is_empty(), "it is in the lane once");
    assert!(first.await.is_err(), "whoever waited before is not left waiting");
}

#[tokio::test(start_paused = true)]
async fn only_offers_after_an_error_that_pass_the_action_over_count_against_it() {
    let mut lane = lane();
    let _done = lane_item(&mut lane, 1, "a1");
    let passed = |lane: &mut Lane| {
        lane.take_due(Instant::now() + Duration::from_secs(3600)).unwrap();
        let item = lane.sent().unwrap();
        let Kind::Result { errors, passed, .. } = &item.kind else { panic!() };
        let counted = (*errors, *passed);
        let Kind::Result { entry, assignment, passed, .. } = item.kind else { panic!() };
        lane.again(Item {
            report: item.report,
            kind: Kind::Result { entry, assignment, tried: None, errors: counted.0.max(1), since: None, passed },
        });
        counted
    };
    lane.offered(None);
    assert_eq!(passed(&mut lane), (0, 0), "no error yet");
    lane.offered(None);
    let other = assignment("default/other", "b1");
    lane.offered(Some(&(other.workflow, other.action)));
    assert_eq!(passed(&mut lane), (1, 2));
    let this = assignment("default/w", "a1");
    lane.offered(Some(&(this.workflow, this.action)));
    assert_eq!(passed(&mut lane), (1, 0), "the server still has it");
}
