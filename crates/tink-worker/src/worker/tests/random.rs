//! Many lives with crashes and errors at random steps.

use proptest::prelude::*;

use super::crash::{check, world};
use crate::Ended;
use crate::doubles::{Fault, Life};

#[derive(Clone, Copy, Debug)]
enum Away {
    Nothing,
    ContainersEnd,
    MachineReboots,
}

fn life() -> impl Strategy<Value = (u64, Fault, Away)> {
    let fault = prop_oneof![3 => Just(Fault::Crash), 1 => Just(Fault::Error)];
    let away = prop_oneof![4 => Just(Away::Nothing), 2 => Just(Away::ContainersEnd), 1 => Just(Away::MachineReboots)];
    (1_u64..120, fault, away)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn however_often_the_worker_dies_every_result_arrives_once_and_in_order(
        lives in prop::collection::vec(life(), 1..7)
    ) {
        let world = world();
        let mut reboots = 0;
        for (at, fault, away) in &lives {
            let (life, _) = world.live(Some((*at, *fault)));
            prop_assert_ne!(life, Life::Stuck);
            match away {
                Away::Nothing => {}
                Away::ContainersEnd => world.machine.lock().unwrap().end_all(),
                Away::MachineReboots => {
                    world.machine.lock().unwrap().reboot();
                    reboots += 1;
                }
            }
        }
        // Twice: what could not be removed in one life is removed in the next one.
        for _ in 0..2 {
            prop_assert_eq!(world.live(None).0, Life::Ended(Ended::Finished));
        }
        check(&world, &format!("{lives:?}"), 1 + reboots);
    }
}
