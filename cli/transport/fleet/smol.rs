//! Many clients as futures, on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time;

use e_pigeon_core::{ClientConfig, Instant};
use e_pigeon_mio::Resolver;
use e_pigeon_smol as adapter;
use smol::LocalExecutor;
use smol::future::{or, yield_now};

use crate::failure::Failure;
use crate::limits;
use crate::transport::load::{Load, Then};
use crate::transport::smol::{Client, WakeSignal, sleep};
use crate::wake::Wake;

pub(crate) struct Fleet {
    members: Vec<(Client, adapter::Driver, Rc<WakeSignal>)>,
    /// Rung after each turn.
    signal: Rc<WakeSignal>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        Self { members: Vec::new(), signal: Rc::new(WakeSignal::new()) }
    }

    pub(super) fn add(&mut self, config: ClientConfig, broker: Resolver) -> Result<(), Failure> {
        let (client, driver) = adapter::client(config, broker).map_err(limits::explain)?;
        self.members.push((Client::new(client), driver, Rc::new(WakeSignal::new())));
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn wake(&self) -> Wake {
        self.signal.wake()
    }

    pub(super) fn run(self, load: &mut dyn Load, spins: bool) -> Result<(), Failure> {
        let Self { members, signal } = self;
        let start = time::Instant::now();
        let signals: Vec<Rc<WakeSignal>> = members.iter().map(|(_, _, signal)| Rc::clone(signal)).collect();
        let shared = RefCell::new((load, Ok(())));
        let executor = LocalExecutor::new();
        for (who, (mut client, driver, call)) in members.into_iter().enumerate() {
            let (shared, signal) = (&shared, Rc::clone(&signal));
            let begin = Rc::new(WakeSignal::new());
            let begun = Rc::clone(&begin);
            let drive = async move {
                begun.notified().await;
                driver.run().await;
            };
            executor.spawn(drive).detach();
            let run = async move {
                call.notified().await;
                begin.notify();
                loop {
                    let turn = {
                        let (load, outcome) = &mut *shared.borrow_mut();
                        let turn = if client.is_broken() {
                            Err(Failure::broken("client"))
                        } else {
                            load.turn(who, &mut client)
                        };
                        let goes_on = turn.is_ok();
                        if !goes_on {
                            *outcome = turn;
                        }
                        goes_on
                    };
                    signal.notify();
                    if !turn {
                        return;
                    }
                    or(client.has_event(), call.notified()).await;
                }
            };
            executor.spawn(run).detach();
        }
        let mut call = Vec::new();
        smol::block_on(executor.run(async {
            loop {
                let now =
                    Instant::from_micros(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
                let then = {
                    let (load, outcome) = &mut *shared.borrow_mut();
                    std::mem::replace(outcome, Ok(()))?;
                    load.round(now, &mut call)?
                };
                for who in call.drain(..) {
                    if let Some(signal) = signals.get(who) {
                        signal.notify();
                    }
                }
                match then {
                    Then::Done => return Ok(()),
                    Then::Until(_) if spins => yield_now().await,
                    Then::Until(until) => {
                        let left = until.map(|at| at.saturating_duration_since(now));
                        or(signal.notified(), sleep(left)).await;
                    }
                }
            }
        }))
    }
}
