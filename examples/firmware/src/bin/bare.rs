//! The node without the protocol: readings go out as lines of text. `run` takes its size away from that of the node.
#![no_std]
#![no_main]

use core::time::Duration;
use cortex_m_rt::entry;
use firmware::board::uart::UART0;
use firmware::board::{boot, clock, stack, start};
use firmware::text::{Line, number};

#[entry]
fn main() -> ! {
    start();
    UART0.start();
    let (mut next, mut every, mut taken) = (clock::now(), 200, boot() as u32);
    loop {
        let now = clock::now();
        let mut buffer = [0; 16];
        while let input @ [_, ..] = UART0.read(&mut buffer) {
            every = number(input).unwrap_or(every);
        }
        if now >= next {
            let mut text = Line::new();
            text.put(b"reading ").number(taken).put(b" stack ").number(stack::high_water());
            UART0.write(text.as_bytes());
            taken = taken.wrapping_add(1);
            next = now + Duration::from_millis(u64::from(every));
        }
        clock::sleep_until(Some(next), || UART0.has_input());
    }
}
