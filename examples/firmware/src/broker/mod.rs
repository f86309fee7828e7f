//! The broker on the microcontroller: for clients on two serial lines, several on each, and for one in its own program.

mod heap;
mod limits;
mod line;
mod service;

use crate::board::uart::{UART0, UART1};
use crate::board::{boot, clock};
use core::mem::MaybeUninit;
use cortex_m::singleton;
use e_pigeon_core::{Broker, Instant, Ready};
use line::Line;
use service::Service;

/// Runs for ever.
pub fn run() -> ! {
    if let (Some(broker), Some(service)) = (start(), Service::new(clock::now())) {
        work(broker, service);
    }
    // The limits make no sense. There is nobody to tell.
    loop {
        cortex_m::asm::wfi();
    }
}

/// Makes the broker where it stays. Not inlined, as the next: what each takes of the stack is not below the others.
#[inline(never)]
fn start() -> Option<&'static mut Broker> {
    let epoch = boot();
    heap::start();
    let place = singleton!(: MaybeUninit<Broker> = MaybeUninit::uninit())?;
    Broker::new(limits::config(epoch.rotate_left(32)), epoch).ok().map(|made| place.write(made))
}

#[inline(never)]
fn work(broker: &mut Broker, mut service: Service) -> ! {
    let mut lines = [Line::start(&UART0), Line::start(&UART1)];
    loop {
        turn(broker, &mut service, &mut lines);
    }
}

/// One turn: what came in, what is due, what goes out.
fn turn(broker: &mut Broker, service: &mut Service, lines: &mut [Line]) {
    let now = clock::now();
    for line in lines.iter_mut() {
        line.read(now, broker);
    }
    if broker.poll_timeout().is_some_and(|at| now >= at) {
        broker.handle_timeout(now);
    }
    service.turn(now, broker);
    // What is written may make more links ready, and so may what the service says: until there is nothing more.
    loop {
        let is_noted = note_ready(now, broker, service, lines);
        for line in lines.iter_mut() {
            line.write(now, broker);
        }
        if !is_noted {
            break;
        }
    }
    // Nobody here wants to know who comes and goes.
    while broker.poll_event().is_some() {}
    heap::note();
    let due = [broker.poll_timeout(), service.poll_timeout()].into_iter().flatten().min();
    clock::sleep_until(due, || lines.iter().any(Line::has_input) || service.wants_turn());
}

/// Takes up which links have something to be written; true where any has.
fn note_ready(now: Instant, broker: &mut Broker, service: &mut Service, lines: &mut [Line]) -> bool {
    let mut is_noted = false;
    while let Some(ready) = broker.poll_ready() {
        let (Ready::Transmit(link) | Ready::Resume(link) | Ready::Close(link)) = ready;
        let is_over = matches!(ready, Ready::Close(_));
        if service.has(link) {
            service.hear(now, broker, is_over);
        } else {
            is_noted |= lines.iter_mut().any(|line| line.note(link, is_over));
        }
    }
    is_noted
}
